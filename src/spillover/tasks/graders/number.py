"""The grader `number`: right if the answer's number is the gold one, however both are written."""

from spillover.records import Grade
from spillover.tasks.graders.markup import concluding_part, plain
from spillover.tasks.graders.numerals import Number, is_operand, numbers


def number(text: str, golds: tuple[str, ...], language: str, conclusion: str = "") -> Grade:
    """Return 1 if the number that a text answers with equals a gold one, else 0; unreadable without a number.

    The rule is that of MGSM (Shi et al. 2022) as evaluations apply it: the first number behind the words of the
    conclusion, or the last number of the text. Numbers are read by the language's marks in CLDR, and compared exactly:
    18.0 is 18, but 0.33 is not 1/3.
    """
    answer = answer_number(text, language, conclusion)
    if answer is None:
        return Grade(0.0, readable=False)
    values = (answer_number(gold, language) for gold in golds)
    return Grade(float(any(value.equals(answer) for value in values if value)))


def answer_number(text: str, language: str, conclusion: str = "") -> Number | None:
    r"""Return the number that a text answers with; None if it has none.

    Behind `conclusion`, or in `\boxed{}`, it is the first number that is no operand; else the last number of the text.
    """
    marked = concluding_part(text, conclusion)
    if marked:
        values = numbers(marked, language)
        results = [value for value in values if not is_operand(marked, value)]
        if values:
            return (results or values)[0]
    values = numbers(plain(text), language)
    return values[-1] if values else None

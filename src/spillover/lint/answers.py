"""Faults of tasks answered in words: unreachable gold answers, exemplars that contradict themselves, low limits.

Each check is a pure function over items, exemplars or the task.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from spillover.lint.calculations import false_equations, last_result
from spillover.lint.reading import RawItem, RawItems
from spillover.records import Answer, Defect
from spillover.tasks import GenerationTask
from spillover.tasks.graders.markup import concluding_part
from spillover.tasks.graders.number import answer_number
from spillover.tasks.graders.numerals import Number

NUMERIC = "number"
"""The grader whose golds have a value, so that languages can be compared."""


def refused(reading: RawItems, task: GenerationTask) -> Iterator[Defect]:
    """Yield the gold answers that the task's own grader refuses."""
    refusals = {entry.id: _refused(entry, reading.language, task) for entry in reading.entries}
    faulty = [entry for entry in reading.entries if refusals[entry.id]]
    if not faulty:
        return
    lost = [entry for entry in faulty if len(refusals[entry.id]) == len(entry.answers)]
    first = (lost or faulty)[0]
    more = f" ({len(faulty)} items have such answers)" if len(faulty) > 1 else ""
    bound = round(100 - 100 * len(lost) / len(reading.entries), 1) if lost else None
    ceiling = f"; a perfect model would be given at most {bound}%" if lost else ""
    message = (
        f"task {task.name!r}: item {first.id!r}: found the answer {refusals[first.id][0]!r}, which its own grader "
        f"{task.grader!r} calls wrong{more}{ceiling}"
    )
    yield Defect("error" if lost else "warning", "answer", message, first.place, reading.language, bound)


def _refused(entry: RawItem, language: str, task: GenerationTask) -> list[str]:
    """Return the answers of an item that are wrong against themselves."""
    return [
        gold
        for gold in entry.answers
        if task.read(Answer(entry.id, task.name, language, (gold,), gold, tokens=1, ended=True)).score < 1
    ]


def differing_values(readings: Sequence[RawItems], task: GenerationTask) -> Iterator[Defect]:
    """Yield the languages whose gold numbers differ from those of most other languages, for the grader `number`."""
    if task.grader != NUMERIC:
        return
    values: dict[str, dict[str, frozenset[object]]] = {}
    for reading in readings:
        for entry in reading.entries:
            values.setdefault(entry.id, {})[reading.language] = _values(entry.answers, reading.language)
    usual = {id: Counter(by_language.values()).most_common(1)[0][0] for id, by_language in values.items()}
    for reading in readings:
        others = [entry for entry in reading.entries if values[entry.id][reading.language] != usual[entry.id]]
        if others:
            first = others[0]
            expected = " or ".join(sorted(map(str, usual[first.id])))
            more = f" ({len(others)} items differ)" if len(others) > 1 else ""
            message = (
                f"task {task.name!r}: item {first.id!r}: found the answer {first.answers[0]!r}, expected the value "
                f"{expected}, as in the other languages{more}"
            )
            yield Defect("error", "answer", message, first.place, reading.language)


def _values(answers: Sequence[str], language: str) -> frozenset[object]:
    """Return the different values of an item's gold answers, by the marks of their language."""
    numbers = (answer_number(answer, language) for answer in answers)
    return frozenset(_shown(number) for number in numbers if number)


def _shown(number: Number) -> str:
    return f"{number.value}{'%' * number.percent}"


def exemplars(task: GenerationTask, languages: Sequence[str]) -> Iterator[Defect]:
    """Yield exemplars whose worked answer lacks its conclusion, contradicts itself, or another language's exemplar."""
    results: dict[int, dict[str, str]] = {}
    for code in languages:
        row = task.row(code)
        for place, (*_, answer) in enumerate(row.exemplars):
            where = f"task {task.name!r}: rows.{code}: exemplar {place + 1}"
            if row.conclusion and not concluding_part(answer, row.conclusion):
                message = f"{where}: found no {row.conclusion!r} with an answer behind it in {answer!r}"
                yield Defect("error", "exemplar", message, language=code)
            elif task.grader == NUMERIC:
                number = answer_number(answer, code, row.conclusion)
                results.setdefault(place, {})[code] = _shown(number) if number else "no number"
                yield from _contradictions(answer, row.conclusion, code, number, where)
    for place, by_language in results.items():
        usual, _ = Counter(by_language.values()).most_common(1)[0]
        for code, result in by_language.items():
            if result != usual:
                where = f"task {task.name!r}: rows.{code}: exemplar {place + 1}"
                message = f"{where}: found the answer {result}, expected {usual}, as in the other languages"
                yield Defect("error", "exemplar", message, language=code)


def _contradictions(answer: str, conclusion: str, language: str, number: Number | None, where: str) -> Iterator[Defect]:
    """Yield equations of a worked answer that do not hold, and a last equation that gives another number."""
    for equation in false_equations(answer, language):
        yield Defect("error", "exemplar", f"{where}: found {equation!r}, which does not hold", language=language)
    result = last_result(answer, conclusion, language)
    if number and result and not number.equals(result):
        message = f"{where}: found the answer {_shown(number)} after a calculation that gives {_shown(result)}"
        yield Defect("warning", "exemplar", message, language=language)


def limits(
    reading: RawItems, task: GenerationTask, answers: Mapping[str, int], shown: Sequence[int]
) -> Iterator[Defect]:
    """Yield a limit of tokens in which the gold answers do not fit, or none of the answers that exemplars show.

    Args:
        reading: the items of a language.
        task: the task.
        answers: id of an item → tokens of its shortest gold answer.
        shown: tokens of each exemplar's answer.
    """
    limit = task.limit(reading.language)
    where = f"task {task.name!r}: max_tokens: found {limit}"
    longer = [entry for entry in reading.entries if answers.get(entry.id, 0) > limit]
    if longer:
        first, bound = longer[0], round(100 - 100 * len(longer) / len(reading.entries), 1)
        more = f" ({len(longer)} items have longer answers)" if len(longer) > 1 else ""
        message = (
            f"{where}, expected at least {answers[first.id]}, the tokens of the answer of item {first.id!r}{more}: a "
            f"perfect model would be given at most {bound}%"
        )
        yield Defect("error", "limit", message, first.place, reading.language, bound)
    elif shown and max(shown) > limit:
        message = (
            f"{where}, but exemplars show answers of up to {max(shown)} tokens: a model that does as they do is cut"
        )
        yield Defect("warning", "limit", message, language=reading.language)

"""The graders of answers in words: pure functions `(text, golds, language) -> Grade`, rows of `plugins.GRADERS`."""

from collections.abc import Callable
from inspect import signature

from spillover.records import Grade

Grader = Callable[..., Grade]
"""Takes a text, its gold answers and a language's code; the words before the final answer if it names `conclusion`."""


def grade_text(grader: Grader, text: str, golds: tuple[str, ...], language: str, conclusion: str = "") -> Grade:
    """Grade one text.

    Args:
        grader: gets `conclusion` if its parameters name it.
        text: what a model wrote.
        golds: the answers that count as right, at least one.
        language: code of the item's language.
        conclusion: the words before the final answer of a worked one, `The answer is`; empty without any.
    """
    if conclusion and "conclusion" in signature(grader).parameters:
        return grader(text, golds, language, conclusion=conclusion)
    return grader(text, golds, language)

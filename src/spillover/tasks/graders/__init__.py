"""The graders of answers in words: pure functions `(text, golds, language) -> Grade`, rows of `plugins.GRADERS`."""

from collections.abc import Callable
from inspect import signature

from spillover.records import Grade

Grader = Callable[..., Grade]
"""Takes a text, its gold answers and a language's code; and the answer's cue if it has a parameter `cue`."""


def grade_text(grader: Grader, text: str, golds: tuple[str, ...], language: str, cue: str = "") -> Grade:
    """Grade one text.

    Args:
        grader: gets the cue if its parameters name it.
        text: what a model wrote.
        golds: the answers that count as right, at least one.
        language: code of the item's language.
        cue: the words that announce the answer at the end of worked reasoning; empty without any.
    """
    if cue and "cue" in signature(grader).parameters:
        return grader(text, golds, language, cue=cue)
    return grader(text, golds, language)

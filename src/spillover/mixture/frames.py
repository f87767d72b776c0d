"""Frames: how a pair becomes the source and the target text of an example."""

from collections.abc import Callable

from spillover.languages import get_language
from spillover.records import Pair
from spillover.tasks import Task, published_names

Frame = Callable[[Task, Pair], tuple[str, str]]
"""A task and a pair → what the model reads, what it learns to write."""


def plain(task: Task, pair: Pair) -> tuple[str, str]:
    """Text and target only: nothing of the evaluation's format is taught."""
    return "\n".join(pair.source) + "\n", "\n".join(pair.target)


def task_frame(task: Task, pair: Pair) -> tuple[str, str]:
    """The evaluation template's field names stand in the text, in each language."""
    return (
        task.render_question(pair.source, pair.source_language) + "\n",
        task.render_question(pair.target, pair.target_language),
    )


def paper(task: Task, pair: Pair) -> tuple[str, str]:
    """As published with arXiv 2405.13816: each question ends in its answer's cue and an open quotation mark.

    The instruction follows in English.
    """
    source = _as_published(task, pair.source, pair.source_language)
    names = get_language(pair.source_language).name, get_language(pair.target_language).name
    instruction = f"{source}\nTranslate the input from {names[0]} to {names[1]}:\n"
    return instruction, _as_published(task, pair.target, pair.target_language)


def _as_published(task: Task, fields: tuple[str, ...], code: str) -> str:
    *names, cue = published_names(task, code)
    lines = [f"{name}: {text}" if name else text for name, text in zip(names, fields, strict=True)]
    return "\n".join([*lines, f'{cue}: "'])


FRAMES: dict[str, Frame] = {"plain": plain, "task-frame": task_frame, "paper": paper}

"""How the prompts and files published with arXiv 2405.13816 name a question's fields and ask for its answer."""

import tomllib
from functools import cache
from importlib.resources import files

from spillover.tasks.task import Task


def published_names(task: Task, language: str) -> tuple[str, ...]:
    """Return what precedes each field, an empty text where nothing does, and then the answer's cue.

    A task or language that the paper does not have keeps its own names.
    """
    names = _table().get(task.name, {}).get(language, ())
    row = task.row(language)
    return tuple(names) if len(names) == len(task.fields) + 1 else (*row.fields, row.answer)


@cache
def _table() -> dict[str, dict[str, list[str]]]:
    """Return task → language → names."""
    text = files("spillover").joinpath("data", "published.toml").read_text(encoding="utf-8")
    table: dict[str, dict[str, list[str]]] = tomllib.loads(text)["names"]
    return table

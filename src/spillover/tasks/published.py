"""Names of a question's fields and answer in the prompts and files published with arXiv 2405.13816."""

import tomllib
from functools import cache
from importlib.resources import files

from spillover.tasks.task import BaseTask


def published_names(task: BaseTask, language: str) -> tuple[str, ...]:
    """Return the name before each field, an empty text where there is none, and then the answer's cue.

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

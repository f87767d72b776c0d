"""A plan → a new folder: the experiment, the data in the layout that runs read, and the file of a user's own task."""

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import tomli_w
from jinja2 import Environment

from spillover.errors import SpilloverError
from spillover.init.plan import Entry, Plan
from spillover.records import EXPERIMENT_FILE

TASK = "task.toml"

HEAD = """\
# Written by `spillover init`. `fields`, `answer` and `labels` of a row are the words of its prompts: translate them.
# The exemplars are rows of your data, which are not measured.

"""


def require_new(folder: Path) -> Path:
    """Return a folder that does not exist yet; refuse one that does, since nothing is overwritten."""
    if folder.exists():
        raise SpilloverError(f"{folder}: found a file or folder, expected a new name; choose one with --out")
    return folder


def write_plan(plan: Plan, folder: Path, model: str) -> Path:
    """Write a new folder and return its experiment file.

    Args:
        plan: what is written.
        folder: the folder, which is made.
        model: the experiment's model.
    """
    for kind, entries in (("questions", plan.questions), ("items", plan.items)):
        for language, rows in entries.items():
            path = folder / "data" / plan.task / kind / f"{language}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(_lines(plan.fields, rows, kind == "items")), encoding="utf-8")
    if plan.own_task:
        (folder / TASK).write_text(HEAD + tomli_w.dumps(plan.own_task), encoding="utf-8")
    place = folder.as_posix()
    template = files("spillover.init").joinpath(f"{EXPERIMENT_FILE}.j2").read_text(encoding="utf-8")
    text = (
        Environment(keep_trailing_newline=True, autoescape=False)
        .from_string(template)
        .render(
            plan=plan,
            model=model,
            folder=place,
            task=f"{place}/{TASK}" if plan.own_task else plan.task,
            to=json.dumps(plan.to),
        )
    )
    (folder / EXPERIMENT_FILE).write_text(text, encoding="utf-8")
    return folder / EXPERIMENT_FILE


def _lines(fields: Sequence[str], entries: Sequence[Entry], labeled: bool) -> Iterator[str]:
    for entry in entries:
        row: Mapping[str, str] = {"id": entry.id} | dict(zip(fields, entry.texts, strict=True))
        yield json.dumps({**row, "label": entry.label} if labeled else row, ensure_ascii=False) + "\n"

"""A plan → a new folder: the experiment, the data in the layout that runs read, and the file of a user's own task."""

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from importlib.util import find_spec
from math import ceil
from pathlib import Path

import tomli_w
from jinja2 import Environment

from spillover.analysis.statistics.treatment import FEWEST_PAIRS
from spillover.errors import SpilloverError
from spillover.experiment import ModelConfig, TuneConfig
from spillover.init.choice_texts import write_choice_texts
from spillover.init.corpus import Corpus
from spillover.init.entries import Entry
from spillover.init.plan import Plan
from spillover.records import EXPERIMENT_FILE
from spillover.utils.hub import write_lock

TASK = "task.toml"

MAX_ITEMS = 1000
"""Items of a language up to which all are measured."""

HEAD = """\
# Written by `spillover init`. `fields`, `answer` and `labels` of a row are the words of its prompts: translate them.
# The exemplars are rows of your data, which are not measured.

"""


def require_new(folder: Path) -> Path:
    """Return a folder that does not exist yet; refuse one that does, since nothing is overwritten."""
    if folder.exists():
        raise SpilloverError(f"{folder}: found a file or folder, expected a new name; choose one with --out")
    return folder


def write_plan(plan: Plan, corpus: Corpus, folder: Path, model: str) -> Path:
    """Write a new folder and return its experiment file. Rows of the hub have the commit that was read in a lock.

    Args:
        plan: what is written.
        corpus: the data that it comes from.
        folder: the folder, which is made.
        model: the experiment's model.
    """
    folder.mkdir(parents=True)
    for kind, entries in (("questions", plan.questions), ("items", plan.items)) if not plan.carried else ():
        for language, rows in entries.items():
            path = folder / "data" / plan.task / kind / f"{language}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(_lines(plan.fields, rows, kind == "items")), encoding="utf-8")
    if plan.own_task:
        (folder / TASK).write_text(HEAD + tomli_w.dumps(plan.own_task), encoding="utf-8")
    template = files("spillover.init").joinpath(f"{EXPERIMENT_FILE}.j2").read_text(encoding="utf-8")
    environment = Environment(keep_trailing_newline=True, autoescape=False)
    environment.filters["toml"] = _as_toml
    by_text = ""
    if corpus.letters:
        by_text = write_choice_texts(folder, plan.own_task, corpus.letters, list(plan.items), not plan.unpaired)
    place, items = folder.as_posix(), max(map(len, plan.items.values()), default=0)
    text = environment.from_string(template).render(
        plan=plan,
        origin=_origin(corpus),
        model=model,
        small=model == ModelConfig.model_fields["name"].default,
        source=plan.carried.source if plan.carried else f"folder:{place}/data",
        task=f"{place}/{TASK}" if plan.own_task else plan.task,
        by_text=by_text,
        reads_harness=find_spec("lm_eval") is not None,
        items=items,
        limit=MAX_ITEMS if items > MAX_ITEMS else 0,
        share=_held_out_share(len(plan.questions[plan.pivot])),
    )
    (folder / EXPERIMENT_FILE).write_text(text, encoding="utf-8")
    if plan.carried and corpus.origin and corpus.origin.commit:
        write_lock(folder / EXPERIMENT_FILE, {"datasets": {corpus.origin.id: corpus.origin.commit}})
    return folder / EXPERIMENT_FILE


def _held_out_share(questions: int) -> float:
    """Return the share that holds out enough questions to check whether tuning took; 0: the default share does.

    Args:
        questions: how many there are. Of fewer than `4 * FEWEST_PAIRS` no more than a quarter is held out.
    """
    share = TuneConfig.model_fields["validation_share"].default
    needed = ceil(100 * FEWEST_PAIRS / questions) / 100
    return min(needed, 0.25) if needed > share else 0


def _origin(corpus: Corpus) -> str:
    """Return where the rows come from, in words."""
    origin = corpus.origin
    if origin is None:
        return corpus.place
    splits = " and ".join(filter(None, (origin.items_split, origin.questions_split)))
    return f"{origin.source}, {splits}, {f'revision {origin.commit}' if origin.commit else 'revision not known'}"


def _as_toml(value: object) -> str:
    """Return a text, a list or a table as a value on one line; JSON writes texts as TOML reads them."""
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_as_toml(key)} = {_as_toml(part)}' for key, part in value.items())} }}"
    return json.dumps(value, ensure_ascii=False)


def _lines(fields: Sequence[str], entries: Sequence[Entry], labeled: bool) -> Iterator[str]:
    for entry in entries:
        row: Mapping[str, str] = {"id": entry.id} | dict(zip(fields, entry.texts, strict=True))
        yield json.dumps({**row, "label": entry.label} if labeled else row, ensure_ascii=False) + "\n"

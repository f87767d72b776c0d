"""Whether a run reads the rows of a set of the hub from there, and how: the source and its column map."""

from collections.abc import Mapping
from dataclasses import dataclass

from spillover.init.corpus import Corpus
from spillover.init.decide import Decisions
from spillover.init.divide import Parts
from spillover.sources.hub import PRESETS, QUESTIONS_SPLIT, HubLayout
from spillover.sources.labels import code_of
from spillover.tasks import Task


@dataclass(frozen=True, slots=True)
class Carried:
    """How a run reads a set of the hub."""

    source: str
    """The source as an experiment names it."""
    columns: Mapping[str, str]
    """Field, `id` or `label` → column; none if the source knows the set."""
    classes: Mapping[str, str]
    """Code in the label's column → label; none where the column has words."""


def carried(corpus: Corpus, decisions: Decisions, parts: Parts) -> Carried | None:
    """Return how a run reads the same rows from the hub; None if it has to have copies.

    Copies are needed for a task of one's own, whose exemplars are rows, and where the rows of the set are not yet
    items: several languages in one table, choices in columns, other splits, texts that are both tuned on and measured.
    """
    origin, task = corpus.origin, decisions.shipped
    if not origin or not origin.readable or not task or corpus.letters or parts.unpaired or parts.overlapping:
        return None
    preset = PRESETS.get(origin.source.partition(":")[2])
    if preset:
        return Carried(origin.source, {}, {}) if _is_as_decided(preset, decisions, task) else None
    items_split = "test" if parts.items else origin.items_split
    has_usual_splits = origin.items_split == items_split and (origin.questions_split or items_split) == QUESTIONS_SPLIT
    is_complete = all(len(rows) == len(corpus.rows[corpus.pivot]) for rows in corpus.rows.values())
    if origin.sampled or not has_usual_splits or not is_complete:
        return None
    columns = dict(zip(task.fields, decisions.text, strict=True)) | {"id": corpus.id or ""}
    codes = {value: label for value, label in decisions.classes.items() if code_of(value) is not None}
    return Carried(origin.source, columns | ({"label": decisions.label} if parts.items else {}), codes)


def _is_as_decided(preset: HubLayout, decisions: Decisions, task: Task) -> bool:
    """Whether a set that the source knows is read as the user wants it."""
    return (
        preset.columns == decisions.text
        and preset.task in ("", task.name)
        and decisions.label in ("", preset.label)
        and set(decisions.classes.values()) <= set(preset.labels)
    )

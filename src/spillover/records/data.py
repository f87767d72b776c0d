"""The values that flow between the stages. Frozen, without behavior beyond what derives from their own fields.

The texts of a question are a tuple in the order of its task's fields, never a dict.
"""

from dataclasses import dataclass
from typing import Literal

PairFlag = Literal[
    "copy",
    "language",
    "length",
    "repetition",
    "digits",
    "markers",
    "quotes",
    "lines",
    "collapse",
    "quality",
    "unknown",
]
"""Faults of a pair. `translate/checks.py` defines them; the last two `stages/quality.py`."""


@dataclass(frozen=True, slots=True)
class Question:
    """A task's question in one language. It has no field for the answer: question translation never sees one."""

    task: str
    """Name of the task."""
    id: str
    """The same id in another language is the same question."""
    language: str
    """Code of the language."""
    fields: tuple[str, ...]
    """The texts, in the order of the task's fields."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A question in two languages. No answer."""

    task: str
    """Name of the task."""
    id: str
    """The question's id."""
    source_language: str
    """Code of the language translated from (in tuning: the input)."""
    target_language: str
    """Code of the pivot (in tuning: the output)."""
    source: tuple[str, ...]
    """The question's texts in the source language."""
    target: tuple[str, ...]
    """The same texts in the target language."""
    flags: tuple[PairFlag, ...] = ()
    """Faults that the checks found."""


@dataclass(frozen=True, slots=True)
class LabeledQuestion:
    """A question for tuning with its answer. Only the recipes compared with question translation use it."""

    task: str
    """Name of the task."""
    id: str
    """The question's id."""
    language: str
    """Code of the language."""
    fields: tuple[str, ...]
    """The texts, in the order of the task's fields."""
    gold: int
    """Index of the right label; 0 for a question answered in words."""
    answer: str = ""
    """The answer in words, worked where it shows reasoning; empty for a question with choices."""


@dataclass(frozen=True, slots=True)
class Example:
    """One training example: the model reads `source` and learns to continue with `target`."""

    id: str
    """The question's id."""
    language: str
    """Code of the source's language."""
    source: str
    """What the model reads; no loss falls on it."""
    target: str
    """What it learns to write, its closing delimiter included."""
    stage: int = 0
    """Phase of tuning, from 0. All examples of a phase are learned before the next phase, with the same adapter."""


@dataclass(frozen=True, slots=True)
class Item:
    """A question whose answer is known, for evaluation only."""

    task: str
    """Name of the task."""
    id: str
    """The same id in another language is the same item."""
    language: str
    """Code of the language."""
    fields: tuple[str, ...]
    """The texts, in the order of the task's fields."""
    gold: int
    """Index of the right label, so language-neutral; 0 for an item answered in words."""
    translator: str = ""
    """The translator that made it; empty if people wrote it."""
    cluster: str = ""
    """Name of its cluster, if a column has one. Items of a cluster are not independent."""
    answers: tuple[str, ...] = ()
    """The answers in words that count as right; empty for an item with choices."""
    delimiter: str = ""
    """What stands before each choice in `fields` and is no part of it; empty unless the item comes rendered."""


@dataclass(frozen=True, slots=True)
class PartPlan:
    """A part of a phase of tuning: a run of its examples."""

    name: str
    """Its recipe, and its control if it has one."""
    weight: float
    """Share of the phase's examples, relative to the other parts' weights; above 0."""
    examples: int
    """Number of its examples. Those of a phase's parts follow each other in the order of the parts."""


@dataclass(frozen=True, slots=True)
class PhasePlan:
    """A phase of tuning. None stands for the value in `tune`."""

    parts: tuple[PartPlan, ...]
    """The parts, in the order of their examples."""
    epochs: float | None = None
    """Passes over as many examples as all parts have."""
    learning_rate: float | None = None
    """Peak of the schedule."""
    layers: str | tuple[int | float, ...] | None = None
    """Blocks that learn, as in `tune.layers`."""
    depth: float | None = None
    """Relative depth at which the texts of a pair are compared, in (0, 1]; None: targets are learned."""

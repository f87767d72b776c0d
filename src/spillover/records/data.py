"""The values that flow between the stages. Frozen, without behavior beyond what derives from their own fields.

They know nothing of files, models or languages' names. Texts of a question are a tuple in the order of its task's
fields, never a dict.
"""

from dataclasses import dataclass
from typing import Literal

PairFlag = Literal["copy", "language", "length", "repetition", "digits", "markers", "quotes", "lines", "collapse"]
"""What a check may find wrong with a pair; `translate/checks.py` says when."""


@dataclass(frozen=True, slots=True)
class Question:
    """A task's question in one language. It has no gold, nor a place to keep one: the paper's premise is a type."""

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
    """What the checks found wrong with it."""


@dataclass(frozen=True, slots=True)
class LabeledQuestion:
    """A question for tuning with its answer. Only the rivals of question translation ask for one."""

    task: str
    """Name of the task."""
    id: str
    """The question's id."""
    language: str
    """Code of the language."""
    fields: tuple[str, ...]
    """The texts, in the order of the task's fields."""
    gold: int
    """Index of the right label."""


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
    """When it is learned: all examples of a stage before any of the next, with the same adapter."""


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
    """Index of the right label, so language-neutral."""
    translator: str = ""
    """What translated it from English; empty where people wrote it."""
    cluster: str = ""
    """Name of the items that it belongs with, where a column says so: they are not independent of one another."""

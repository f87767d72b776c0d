"""What became of each item: the one record that statistics, gates and reports read, whatever the task asks for."""

from dataclasses import dataclass
from typing import Literal

Reason = Literal["right", "wrong", "unreadable", "wrong language", "ran on"]
"""Why an item has its score. Only items that are not right have one of the last four."""

REASONS: tuple[Reason, ...] = ("right", "wrong", "unreadable", "wrong language", "ran on")
"""All reasons, in the order in which they are shown."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A text that a model wrote for one item, as it is stored."""

    id: str
    """The item's id."""
    text: str
    """The text written, without the stop string that ended it."""
    tokens: int
    """Number of tokens written."""
    ended: bool
    """Whether a stop string or the end of the sequence ended it; else it reached the limit of tokens."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model wrote for one item, with what it should have written."""

    id: str
    """The item's id."""
    task: str
    """Name of the task."""
    language: str
    """Code of the item's language."""
    golds: tuple[str, ...]
    """The answers that count as right; at least one."""
    text: str
    """The text written, without the stop string that ended it."""
    tokens: int
    """Number of tokens written."""
    ended: bool
    """Whether a stop string or the end of the sequence ended it; else it reached the limit of tokens."""


@dataclass(frozen=True, slots=True)
class Grade:
    """What a grader makes of one answer."""

    score: float
    """In [0, 1]; 1 is fully right."""
    readable: bool = True
    """Whether the grader could read an answer of the kind that it expects: a number, a letter."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one item in one arm."""

    item: str
    """The item's id."""
    task: str
    """Name of the task."""
    language: str
    """Code of the item's language."""
    score: float
    """In [0, 1]."""
    reason: Reason
    """Why: `right` if and only if the score is 1."""
    answer_in_language: bool | None = None
    """Whether the answer is in no other language than the one asked for; None where any will do, and for choices."""
    lines_in_language: bool | None = None
    """Whether each of its lines is; None where no line is long enough to tell."""


@dataclass(frozen=True, slots=True)
class LanguageCheck:
    """Whether an answer keeps to the language that was asked for, after Marchisio et al. (2024)."""

    answer: bool
    """Whether the answer as a whole is in no other language, as far as one can tell."""
    lines: bool | None
    """Whether each of its lines is; None where no line is long enough to tell."""
    words: bool | None
    """Whether it has no word in Latin letters; None for languages written in them, and where `lines` is not true."""

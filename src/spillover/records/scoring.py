"""Prompts, cells, predictions, and the likelihoods of texts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from spillover.records.outcomes import Outcome

Length = Literal["characters", "bytes"]
"""Units of a choice's length: code points, and bytes of UTF-8."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model reads for one item. The full text of a choice is `header + body + choice`."""

    exemplars: tuple[str, ...]
    """The exemplars, the same for every item of a cell, each with its closing delimiter."""
    body: str
    """The item itself, up to where the answer begins."""
    choices: tuple[str, ...]
    """The continuations to score, one per label, each with its closing delimiter. None is a prefix of another."""
    answers: tuple[str, ...] = ()
    """(exemplars,) the end of each exemplar that is its answer, with its delimiter; empty: nobody says where."""

    def identity(self) -> dict[str, Any]:
        """Return what a digest depends on: all texts. How exemplars divide into turns is decided by their texts."""
        return {"exemplars": self.exemplars, "body": self.body, "choices": self.choices}

    @property
    def header(self) -> str:
        """The exemplars as one text."""
        return "".join(self.exemplars)


@dataclass(frozen=True, slots=True)
class ProbeCell:
    """The items of one language that are asked while a model is tuned."""

    tuned: bool
    """Whether the language is one of those tuned on."""
    prompts: tuple[Prompt, ...]
    """(items,) the same items in every language, in one order."""
    gold: tuple[int, ...]
    """(items,) index of each item's right choice."""


@dataclass(frozen=True, slots=True)
class ChatStyle:
    """How a prompt becomes a chat, where a chat template wraps it."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Variables that the chat template reads, such as `enable_thinking`."""
    system: str = ""
    """Text of the system turn before each chat; empty: no such turn."""
    turns: bool = False
    """Whether each exemplar is a turn of the user and one of the assistant; else all are in the user's one turn."""
    part: Mapping[str, str] = field(default_factory=dict)
    """Further keys of the one part that is the user's text, such as `source_lang_code`; empty: none."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What one evaluation measures: an arm, a task, a language."""

    arm: str
    """Name of the arm, such as `base` or `tuned`."""
    task: str
    """Name of the task."""
    language: str
    """Code of the language."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's scores of one item. Every choice has its score, so no analysis needs the model again."""

    id: str
    """The item's id."""
    task: str
    """Name of the task."""
    language: str
    """Code of the language."""
    gold: int
    """Index of the right label."""
    logprobs: tuple[float, ...]
    """log p(choice | prompt) in nats, one per label; at most 0."""
    logprobs_per_token: tuple[float, ...] = ()
    """`logprobs` divided by the choice's number of tokens, nats per token; empty if scoring is not `exact`."""
    content_free: tuple[float, ...] = ()
    """Scores of the cell's content-free prompts, nats, one per label, the same for all items; empty without any."""
    lengths: Mapping[Length, tuple[int, ...]] = field(default_factory=dict)
    """Length of each choice, without delimiters, in the units that its task asks for."""

    @property
    def chosen(self) -> int:
        """Index of the label with the highest score; the first of them where several tie."""
        return self.logprobs.index(max(self.logprobs))

    @property
    def tied(self) -> bool:
        """Whether the highest score occurs more than once."""
        return self.logprobs.count(max(self.logprobs)) > 1


Result = Prediction | Outcome
"""What one arm did with one item: the scores of a task's labels, or the outcome of an answer in words."""


@dataclass(frozen=True, slots=True)
class TextNLL:
    """Negative log-likelihood of an item's own texts."""

    id: str
    """The item's id."""
    task: str
    """Name of the task."""
    language: str
    """Code of the language."""
    nats: float
    """−log p of the whole text, each token given those before; at least 0."""
    bytes: int
    """Length of the text in UTF-8."""

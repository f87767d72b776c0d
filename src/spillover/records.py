"""The values that flow between the stages. Frozen, without behavior beyond what derives from their own fields.

They know nothing of files, models or languages' names. Texts of a question are a tuple in the order of its task's
fields, never a dict.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Flag = Literal["copy", "language", "length", "repetition", "digits", "markers", "quotes", "lines", "collapse"]
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
    flags: tuple[Flag, ...] = ()
    """What the checks found wrong with it."""


@dataclass(frozen=True, slots=True)
class Annotated:
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


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model reads for one item. The full text of a choice is `header + body + choice`."""

    exemplars: tuple[str, ...]
    """The exemplars, which every item of a cell shares, each with its closing delimiter."""
    body: str
    """The item itself, up to where the answer begins."""
    choices: tuple[str, ...]
    """The continuations to score, one a label, each with its closing delimiter: none is a prefix of another."""

    @property
    def header(self) -> str:
        """The exemplars as one text."""
        return "".join(self.exemplars)


@dataclass(frozen=True, slots=True)
class Cell:
    """What one evaluation measures: an arm, a task, a language."""

    arm: str
    """`base` or `tuned`."""
    task: str
    """Name of the task."""
    language: str
    """Code of the language."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says to one item. Every choice's score is kept, so no analysis needs the model again."""

    id: str
    """The item's id."""
    task: str
    """Name of the task."""
    language: str
    """Code of the language."""
    gold: int
    """Index of the right label."""
    scores: tuple[float, ...]
    """log p(choice | prompt) in nats, one a label; at most 0."""
    normalized: tuple[float, ...] = ()
    """The same divided by the choice's number of tokens, nats a token; empty where scoring is not `exact`."""
    content_free: tuple[float, ...] = ()
    """Scores of the cell's content-free prompts, nats, one a label: the same for all its items; empty if not asked."""

    @property
    def chosen(self) -> int:
        """Index of the label with the highest score; the first of them where several tie."""
        return int(np.argmax(self.scores))

    @property
    def tied(self) -> bool:
        """Whether the highest score occurs more than once."""
        return self.scores.count(max(self.scores)) > 1


@dataclass(frozen=True, slots=True)
class Surprise:
    """How little a model expects an item's own texts."""

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


@dataclass(frozen=True, slots=True)
class Affine:
    """A lens: for each layer the map h + (h V) U + b from its states to what the last block would make of them."""

    down: NDArray[np.float32]
    """(layers, width, rank): V."""
    up: NDArray[np.float32]
    """(layers, rank, width): U. A rank of 0 leaves the identity and the bias."""
    bias: NDArray[np.float32]
    """(layers, width): b."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A number for each layer, with its 95% interval over items; nan where not measurable."""

    value: tuple[float, ...]
    """(layers,) the estimates."""
    low: tuple[float, ...]
    """(layers,) lower ends of the intervals."""
    high: tuple[float, ...]
    """(layers,) upper ends of the intervals."""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """What a lens reads where the answer is about to come, layer by layer, averaged over the items of a cell.

    The first layer is the embedding, the others what leaves each block.
    """

    arm: str
    """`base` or `tuned`."""
    task: str
    """Name of the task."""
    language: str
    """Code of the input's language."""
    lens: str
    """Name of the lens."""
    english: Curve
    """Mean probability of the right answer in English, in [0, 1]; over the items where it can be told."""
    native: Curve
    """Mean probability of the right answer in the input's language, in [0, 1]; likewise."""
    all_english: Curve
    """Mean probability of all English answers together, in [0, 1]."""
    all_native: Curve
    """Mean probability of all native answers together, in [0, 1]."""
    entropy: Curve
    """Mean entropy of the next token, in bits."""
    energy: Curve
    """Mean latent energy, at least 0; 1 is as close to the tokens as they are to each other."""
    english_rank: Curve
    """Geometric mean of the rank of the right English answer's first token, at least 1."""
    native_rank: Curve
    """The same for the right answer in the input's language."""
    items: int
    """Number of items averaged."""
    told: int
    """In how many of them the right answer differs between English and the input's language; all, if it is English."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95% interval."""

    value: float
    """The point estimate."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    n: int
    """Number of independent observations behind it."""

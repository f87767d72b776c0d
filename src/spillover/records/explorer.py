"""What lenses and neighbors show of single items, for readers who look at one item at a time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float32]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Neighbors:
    """The nearest item of every other language, by the cosine of the items' mean states at one layer.

    The arrays have the nearest languages alone, the nearest first.
    """

    languages: Integers
    """(items, nearest) index of the other language in `Exploration.languages`."""
    items: Integers
    """(items, nearest) index of the nearest item in that language, among the analyzed items."""
    cosines: Reals
    """(items, nearest) cosine of the two states, in [-1, 1]."""
    translations: Integers
    """(items,) number of other languages, of all, in which the item's own translation is nearer than any other item."""


@dataclass(frozen=True, slots=True)
class ExploredReading:
    """What one lens reads of the items of a cell. The first layer is the embedding."""

    lens: str
    """Name of the lens."""
    english: Reals
    """(items, layers) probability of the right answer in English, in [0, 1]; nan where both languages have one word."""
    native: Reals
    """(items, layers) probability of the right answer in the input's language, likewise."""
    tokens: Integers
    """(items, layers, top) the most probable next tokens, as indices in `Exploration.vocabulary`."""
    probabilities: Reals
    """(items, layers, top) their probabilities, in [0, 1], in descending order."""


@dataclass(frozen=True, slots=True)
class ExploredCell:
    """The first analyzed items of one language."""

    language: str
    """Code of the language."""
    ids: tuple[str, ...]
    """(analyzed,) ids of all analyzed items; the first ones are explored."""
    answers: tuple[tuple[str, str], ...]
    """(items,) the right answer in English, and in the language."""
    readings: tuple[ExploredReading, ...]
    """One per lens."""
    neighbors: Neighbors | None
    """None with one language, or where items are no translations of each other."""


@dataclass(frozen=True, slots=True)
class Exploration:
    """The explored items of one arm and task."""

    arm: str
    """Name of the arm."""
    task: str
    """Name of the task."""
    languages: tuple[str, ...]
    """Codes of all analyzed languages."""
    vocabulary: tuple[str, ...]
    """Texts of the tokens that any reading names."""
    layer: int
    """The layer at which states are compared; 0 is the embedding."""
    cells: tuple[ExploredCell, ...]
    """One per language that a lens has read token by token."""

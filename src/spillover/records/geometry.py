"""The geometry of languages inside the model: how alike their states are, layer by layer."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Alignment:
    """One metric between every two languages of a task. Each array is (arms, layers, languages a, languages b)."""

    metric: str
    """Name of the metric, with `-partial` at its end if text length is partialled out."""
    value: Array
    """The metric. `docs/analysis.md` defines it and its range."""
    null_low: Array
    """Lower end of the central 95% under shuffles of the item pairing."""
    null_high: Array
    """Upper end of the central 95%."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Alignments and components of the languages of one task, per layer. Layer 0 is the embedding."""

    task: str
    """Name of the task."""
    arms: tuple[str, ...]
    """Names of the arms."""
    languages: tuple[str, ...]
    """Codes of the languages, two or more."""
    items: int
    """Number of items, the same in every language."""
    alignments: tuple[Alignment, ...]
    """One per metric."""
    components: Array
    """(arms, layers, languages, items, 2): the first two principal components, with the same axes in all arms."""


@dataclass(frozen=True, slots=True)
class LanguageAlignment:
    """One metric of each language beside the others of a group, in a task of very many languages.

    `value`, `null_low` and `null_high` are (arms, layers, groups, languages): the mean over the language's pairs with
    the other languages of a group; nan if the group has no other language.
    """

    metric: str
    """Name of the metric, with `-partial` at its end if text length is partialled out."""
    value: NDArray[np.float32]
    """The metric. `docs/analysis.md` defines it and its range."""
    null_low: NDArray[np.float32]
    """Lower end of the central 95% under shuffles of the item pairing."""
    null_high: NDArray[np.float32]
    """Upper end of the central 95%."""
    pairs: NDArray[np.float32]
    """(arms, pair layers, languages a, languages b): the metric between every two languages, in a few layers."""


@dataclass(frozen=True, slots=True)
class FoldedGeometry:
    """The geometry of a task with very many languages: means per language in every layer, pairs in a few layers."""

    task: str
    """Name of the task."""
    arms: tuple[str, ...]
    """Names of the arms."""
    languages: tuple[str, ...]
    """Codes of the languages."""
    items: int
    """Number of items, the same in every language."""
    groups: tuple[str, ...]
    """Names of the groups: `all`, `pivot`, `family` (the language's own) and `tuned` (the languages tuned on)."""
    pair_layers: tuple[int, ...]
    """The layers whose pairs are held. Layer 0 is the embedding."""
    alignments: tuple[LanguageAlignment, ...]
    """One per metric."""
    centers: NDArray[np.float32]
    """(arms, layers, languages, 2): mean over items of the first two principal components, on the same axes."""

"""The geometry of languages inside the model: how alike their states are, layer by layer."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Alignment:
    """One metric of the languages of a task. The geometry that holds it says what the axes of its arrays are."""

    metric: str
    """Name of the metric, with `-partial` at its end if text length is partialled out."""
    value: NDArray[np.floating[Any]]
    """The metric. `docs/analysis.md` defines it and its range."""
    null_low: NDArray[np.floating[Any]]
    """Lower end of the central 95% under shuffles of the item pairing."""
    null_high: NDArray[np.floating[Any]]
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
    """One per metric, between every two languages: arrays of (arms, layers, languages a, languages b)."""
    components: Array
    """(arms, layers, languages, items, 2): the first two principal components, with the same axes in all arms."""


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
    alignments: tuple[Alignment, ...]
    """One per metric, of each language beside the others of a group: arrays of (arms, layers, groups, languages).

    A number is the mean over the language's pairs with the others of the group; nan if the group has no other language.
    """
    pairs: NDArray[np.float32]
    """(metrics, arms, pair layers, languages a, languages b): each metric between every two languages."""
    centers: NDArray[np.float32]
    """(arms, layers, languages, 2): mean over items of the first two principal components, on the same axes."""

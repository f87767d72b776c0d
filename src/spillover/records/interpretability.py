"""What was seen inside the model: lenses, language neurons, patching, and the languages beside each other."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spillover.records.estimates import Curve, Estimate


@dataclass(frozen=True, slots=True)
class AffineLens:
    """A lens: for each layer the map h + (h V) U + b from its states to what the last block would make of them."""

    down: NDArray[np.float32]
    """(layers, width, rank): V."""
    up: NDArray[np.float32]
    """(layers, rank, width): U. A rank of 0 leaves the identity and the bias."""
    bias: NDArray[np.float32]
    """(layers, width): b."""


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
    distinguishable: int
    """In how many of them the right answer differs between English and the input's language; all, if it is English."""


Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Alignment:
    """One metric between every two languages of a task. Each array is (arms, layers, languages, languages), [a, b]."""

    metric: str
    """Name of the metric; `-partial` follows where text length is partialled out."""
    value: Array
    """The metric; what its range is and means, `docs/analysis.md` says."""
    null_low: Array
    """Lower end of the central 95% under shuffles of the item pairing."""
    null_high: Array
    """Upper end of it."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """The languages of one task beside each other, layer by layer. Layer 0 is the embedding."""

    task: str
    """Name of the task."""
    arms: tuple[str, ...]
    """Names of the arms."""
    languages: tuple[str, ...]
    """Codes of the languages, two or more."""
    items: int
    """Number of items, the same in every language."""
    alignments: tuple[Alignment, ...]
    """One a metric."""
    components: Array
    """(arms, layers, languages, items, 2): the first two principal components, both arms on the same axes."""


@dataclass(frozen=True, slots=True)
class LensSummary:
    """One number that sums up a lens in one task and language, before and after tuning."""

    task: str
    """Name of the task."""
    language: str
    """Code of the input's language."""
    lens: str
    """Name of the lens."""
    measure: Literal["english", "crossover_depth", "share"]
    """Area under latent English, where native overtakes English (relative depth), share of the right answer."""
    base: Estimate | None
    """In [0, 1]; bootstrap of items; None where not measurable, or where native never overtakes English."""
    tuned: Estimate | None
    """The same after tuning."""
    difference: Estimate | None
    """tuned − base over the same resampled items, in [-1, 1]; None where either is."""


@dataclass(frozen=True, slots=True)
class LanguageNeurons:
    """How many MLP neurons of a block belong to one language, to several, or to none in particular."""

    arm: str
    """`base` or `tuned`; what makes a language neuron is the base model's in both."""
    task: str
    """Name of the task whose items were read."""
    language: str
    """Code of the language whose neurons are counted; empty: of any."""
    layer: int
    """The block, from 1."""
    specific: int
    """Language neurons active in one language."""
    related: int
    """Language neurons active in several languages, but not in all."""
    general: int
    """All others."""


@dataclass(frozen=True, slots=True)
class Patch:
    """What one language's states do to the right answer in another, item by item the same question."""

    arm: str
    """`base` or `tuned`."""
    task: str
    """Name of the task."""
    source: str
    """Code of the language whose states are put in."""
    target: str
    """Code of the language of the run they are put into, and of the answer."""
    effects: tuple[float, ...]
    """(layers,) mean change of the right answer's log-probability in nats; the first layer is the embedding."""
    items: int
    """Number of items averaged."""


@dataclass(frozen=True, slots=True)
class Internals:
    """All that was seen inside the model."""

    trajectories: tuple[Trajectory, ...]
    """What the lenses saw."""
    lens_summaries: tuple[LensSummary, ...]
    """What sums it up."""
    neurons: tuple[LanguageNeurons, ...]
    """Language neurons by block; empty with one language, or where the architecture's neurons are not known."""
    patches: tuple[Patch, ...]
    """Effects of activation patching; empty where none was asked for, or with one language."""
    geometry: tuple[Geometry, ...] = ()
    """One a task; empty where nothing was traced, or in one language only."""

"""Measurements inside the model: lenses, language neurons, patching, and the geometry of languages."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spillover.records.estimates import Curve, Estimate
from spillover.records.explorer import Exploration
from spillover.records.geometry import FoldedGeometry, Geometry


@dataclass(frozen=True, slots=True)
class AffineLens:
    """A lens: per layer the map h + (h V) U + b from its states to the states after the last block."""

    down: NDArray[np.float32]
    """(layers, width, rank): V."""
    up: NDArray[np.float32]
    """(layers, rank, width): U. A rank of 0 leaves the identity and the bias."""
    bias: NDArray[np.float32]
    """(layers, width): b."""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A lens's output at the position before the answer, per layer, averaged over the items of a cell.

    The first layer is the embedding. The others are the outputs of the blocks.
    """

    arm: str
    """Name of the arm."""
    task: str
    """Name of the task."""
    language: str
    """Code of the input's language."""
    lens: str
    """Name of the lens."""
    english: Curve
    """Mean probability of the right answer in English, in [0, 1], over the distinguishable items."""
    native: Curve
    """Mean probability of the right answer in the input's language, in [0, 1], over the distinguishable items."""
    all_english: Curve
    """Mean probability of all English answers together, in [0, 1]."""
    all_native: Curve
    """Mean probability of all native answers together, in [0, 1]."""
    entropy: Curve
    """Mean entropy of the next token, in bits."""
    energy: Curve
    """Mean latent energy, at least 0; 1: the state is as close to the tokens as they are to each other."""
    english_rank: Curve
    """Geometric mean of the rank of the right English answer's first token, at least 1."""
    native_rank: Curve
    """Geometric mean of the rank of the right native answer's first token, at least 1."""
    items: int
    """Number of items averaged."""
    distinguishable: int
    """Number of items whose right answer differs between English and the input's language; all for English itself."""


@dataclass(frozen=True, slots=True)
class LensSummary:
    """One number that summarizes a lens in one task and language, in two arms."""

    reference: str
    """Name of the arm that the other one is compared with."""
    arm: str
    """Name of the other arm."""
    task: str
    """Name of the task."""
    language: str
    """Code of the input's language."""
    lens: str
    """Name of the lens."""
    measure: Literal["english", "crossover_depth", "share"]
    """Area under latent English; relative depth where native overtakes English; share of the right answer."""
    reference_value: Estimate | None
    """In [0, 1], in the reference; None if not measurable, or if native never overtakes English."""
    arm_value: Estimate | None
    """In [0, 1], in the arm; None likewise."""
    difference: Estimate | None
    """arm − reference over the same items, in [-1, 1]; None if either is None."""


NeuronTokens = Literal["prompts", "answers"]
"""At which tokens neurons are counted: those of the items' own texts, or those of the right answers."""

NeuronScore = Literal["lape", "peaked-lape"]
"""By which score language neurons are chosen."""


@dataclass(frozen=True, slots=True)
class LanguageNeurons:
    """Number of MLP neurons of a block that are specific to one language, related to several, or general."""

    arm: str
    """Name of the arm. All arms use the first one's thresholds of language neurons."""
    task: str
    """Name of the task."""
    language: str
    """Code of the language whose neurons are counted; empty: any language."""
    layer: int
    """The block, from 1."""
    specific: int
    """Language neurons active in one language."""
    related: int
    """Language neurons active in several languages, but not in all."""
    general: int
    """All other neurons."""
    tokens: NeuronTokens = "prompts"
    """At which tokens they are counted."""
    score: NeuronScore = "lape"
    """By which score they are chosen."""


@dataclass(frozen=True, slots=True)
class NeuronOverlap:
    """Neurons that belong to a language in two arms, beside what two unrelated sets would share."""

    reference: str
    """Name of the arm that the other one is compared with."""
    arm: str
    """Name of the other arm."""
    task: str
    """Name of the task."""
    tokens: NeuronTokens
    """At which tokens the neurons are counted."""
    score: NeuronScore
    """By which score they are chosen."""
    language: str
    """Code of the language."""
    in_reference: int
    """Number of the language's neurons in the reference."""
    in_arm: int
    """Number of them in the arm."""
    shared: int
    """Number of them in both."""
    expected: float
    """Mean of `shared` over random sets with as many neurons in every block."""
    null_low: int
    """Lower end of the central 95% of `shared` over these sets."""
    null_high: int
    """Upper end of the central 95%."""
    p_value: float
    """Chance that such sets share as many or more, in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Deactivation:
    """Effect of switching off one language's neurons on another language, beside as many random neurons per block.

    A change is: with the neurons off − with all neurons. An excess is that change − the mean change over the draws of
    random neurons.
    """

    arm: str
    """Name of the arm."""
    task: str
    """Name of the task."""
    score: NeuronScore
    """By which score the neurons are chosen."""
    off: str
    """Code of the language whose neurons are switched off."""
    language: str
    """Code of the language that is measured."""
    neurons: int
    """Number of neurons that are switched off."""
    draws: int
    """Number of draws of random neurons."""
    accuracy: Estimate
    """Change of the accuracy, in [-1, 1]."""
    accuracy_excess: Estimate
    """Excess of the accuracy over the draws, in [-2, 2]. Below 0: these neurons matter more than random ones."""
    accuracy_p: float
    """Monte Carlo p: the share of all draws, and of the neurons themselves, that lose as much accuracy or more."""
    bits: Estimate
    """Change of the bits per byte of the items' texts."""
    bits_excess: Estimate
    """Excess of the bits per byte. Above 0: these neurons matter more than random ones."""
    bits_p: float
    """Monte Carlo p: the share of all draws, and of the neurons themselves, that cost as many bits or more."""


@dataclass(frozen=True, slots=True)
class Patch:
    """Effect of one language's states on the right answer in another, for the same items."""

    arm: str
    """Name of the arm."""
    task: str
    """Name of the task."""
    source: str
    """Code of the language whose states are inserted."""
    target: str
    """Code of the language of the prompt and the answer that they are inserted into."""
    effects: tuple[float, ...]
    """(layers,) mean change of the right answer's log-probability in nats; the first layer is the embedding."""
    items: int
    """Number of items averaged."""


@dataclass(frozen=True, slots=True)
class Internals:
    """All measurements inside the model."""

    trajectories: tuple[Trajectory, ...]
    """One per arm, task, language and lens."""
    lens_summaries: tuple[LensSummary, ...]
    """One per arm but the first, task, language, lens and measure."""
    neurons: tuple[LanguageNeurons, ...]
    """Language neurons per block; empty with one language, or if the architecture's neurons are unknown."""
    patches: tuple[Patch, ...]
    """Effects of activation patching; empty if the experiment has none, or with one language."""
    geometry: tuple[Geometry, ...] = ()
    """One per task of up to 40 languages; empty if nothing was traced, or with one language."""
    folded_geometry: tuple[FoldedGeometry, ...] = ()
    """One per task of more than 40 languages."""
    overlaps: tuple[NeuronOverlap, ...] = ()
    """One per arm but the first, task, kind of tokens, score and language; empty without language neurons."""
    deactivations: tuple[Deactivation, ...] = ()
    """One per arm, task, language switched off and language measured; empty if the experiment has none."""
    explorations: tuple[Exploration, ...] = ()
    """One per arm and task; empty without a lens, or if the readings hold no tokens."""

"""Which MLP neurons belong to which languages, from how often each is active: LAPE and a split in three.

Sources: LAPE, Tang et al. 2024 (arXiv 2402.16438); the split, Zhang et al. 2025 (arXiv 2505.21505).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import entropy

from spillover.records import Cell, LanguageNeurons

Array = NDArray[np.float64]

ACTIVE_THRESHOLD = 0.95
"""Quantile of the activation probabilities of all (neuron, language) pairs above which a neuron is active."""

SHARE = 0.01
"""Share of all neurons, those of the lowest LAPE, that are the base model's language neurons. Both as in Tang et al."""


@dataclass(frozen=True, slots=True)
class Activity:
    """How active the MLP neurons are in one cell."""

    cell: Cell
    """The cell."""
    active: NDArray[np.int64]
    """(blocks, neurons) number of tokens in which each is active."""
    tokens: int
    """Number of tokens in all."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Thresholds of language neurons, from the base model.

    Neurons are ordered by LAPE; those of the same LAPE by their highest probability, from the highest down; those of
    the same probability by their place. Ties are common: every neuron that is active in one language alone has LAPE 0.
    """

    active: float
    """Probability of activation, in [0, 1], above which a neuron counts as active in a language."""
    lape: float
    """LAPE, in nats, of the last language neuron in that order; −inf: there is none."""
    peak: float
    """Its highest probability of activation."""
    place: int
    """Its place among all neurons, block by block."""


def lape(probabilities: Array) -> Array:
    """Return the language activation probability entropy of each neuron in nats, in [0, log languages].

        LAPE = −Σ_k p'_k log p'_k,  p' = p / Σ_k p_k

    probabilities: (languages, …) of activation. Low: active in few languages. Inf where it is active in none.
    """
    total = probabilities.sum(axis=0)
    entropies: Array = np.where(total > 0, entropy(np.where(total > 0, probabilities, 1), axis=0), np.inf)
    return entropies


def thresholds(probabilities: Array) -> Thresholds:
    """Return what makes a language neuron, from (languages, blocks, neurons) probabilities of the base model.

    The bar of activation is a quantile of them all. Of the neurons that are active in some language, the first in the
    order pass, as many as `SHARE` of all neurons (Tang et al. take their number exactly, too).
    """
    active = float(np.quantile(probabilities, ACTIVE_THRESHOLD))
    entropies, peaks = _keys(probabilities)
    candidates = np.flatnonzero(probabilities.max(axis=0).ravel() > active)
    ordered = candidates[np.lexsort((candidates, -peaks[candidates], entropies[candidates]))]
    language_neurons = ordered[: max(1, round(SHARE * len(peaks)))]
    if not len(language_neurons):
        return Thresholds(active, -np.inf, 0.0, 0)
    last = int(language_neurons[-1])
    return Thresholds(active, float(entropies[last]), float(peaks[last]), last)


def languages_of(probabilities: Array, limits: Thresholds) -> NDArray[np.bool_]:
    """Return in which languages each neuron counts, (languages, blocks, neurons); in none if it is a general one."""
    entropies, peaks = _keys(probabilities)
    places = np.arange(len(peaks))
    not_later = (peaks > limits.peak) | ((peaks == limits.peak) & (places <= limits.place))
    passes = (entropies < limits.lape) | ((entropies == limits.lape) & not_later)
    members: NDArray[np.bool_] = (probabilities > limits.active) & passes.reshape(probabilities.shape[1:])
    return members


def _keys(probabilities: Array) -> tuple[Array, Array]:
    """Return LAPE, rounded so that the order of the languages makes no difference, and highest probability."""
    return np.round(lape(probabilities), 9).ravel(), probabilities.max(axis=0).ravel()


def neurons(cells: Sequence[Activity]) -> list[LanguageNeurons]:
    """Count specific, related and general neurons by block, of each task and arm by the first arm's bars.

    Specific: a language neuron active in one language; related: in several, but not all; general: every other. Since
    the bars are the first arm's, the other arms' counts say what differs. Nothing for fewer than two languages.
    """
    counts: list[LanguageNeurons] = []
    for task in dict.fromkeys(activity.cell.task for activity in cells):
        limits: Thresholds | None = None
        for arm in dict.fromkeys(activity.cell.arm for activity in cells):
            activities = [activity for activity in cells if (activity.cell.task, activity.cell.arm) == (task, arm)]
            if len(activities) < 2 or not activities[0].active.size:
                continue
            probabilities = np.stack([activity.active / activity.tokens for activity in activities])
            limits = limits or thresholds(probabilities)
            members = languages_of(probabilities, limits)
            counts += _counts(arm, task, [activity.cell.language for activity in activities], members)
    return counts


def _counts(arm: str, task: str, codes: Sequence[str], members: NDArray[np.bool_]) -> list[LanguageNeurons]:
    many = members.sum(axis=0)
    kinds = {"specific": many == 1, "related": (many > 1) & (many < len(codes))}
    width = members.shape[2]
    counts = []
    for block in range(members.shape[1]):
        in_block = {kind: mask[block] for kind, mask in kinds.items()}
        for code, mask in (("", np.ones(width, dtype=bool)), *zip(codes, members[:, block], strict=True)):
            specific, related = int((in_block["specific"] & mask).sum()), int((in_block["related"] & mask).sum())
            counts.append(LanguageNeurons(arm, task, code, block + 1, specific, related, width - specific - related))
    return counts

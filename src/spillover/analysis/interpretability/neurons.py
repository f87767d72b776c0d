"""Which MLP neurons belong to which languages, from how often each is active: two scores and a split in three.

Sources: LAPE, Tang et al. 2024 (arXiv 2402.16438); the split, and LAPE with the highest probability subtracted, Zhang
et al. 2025 (arXiv 2505.21505) and their code, github.com/NJUNLP/Language-Neurons-Alignment.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from spillover.records import Cell, LanguageNeurons, NeuronScore, NeuronTokens

Array = NDArray[np.float64]
Members = NDArray[np.bool_]

ACTIVE_THRESHOLD = 0.95
"""Quantile of the activation probabilities of all (neuron, language) pairs above which a neuron is active."""

SHARE = 0.01
"""Share of all neurons, those of the lowest score, that are language neurons. Both as in Tang et al."""

MAX_WEIGHT, WEIGHT_STEP = 0.2, 1e-3
"""Largest weight of the highest probability, and the precision of the search, as in Zhang et al.'s code."""


@dataclass(frozen=True, slots=True)
class Activity:
    """How active the MLP neurons are in one cell."""

    cell: Cell
    """The cell."""
    active: NDArray[np.int64]
    """(blocks, neurons) number of tokens in which each is active."""
    tokens: int
    """Number of tokens in all."""
    part: NeuronTokens = "prompts"
    """The tokens at which the neurons were counted."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Thresholds of language neurons, from the base model.

    Neurons are ordered by score; those of the same score by their highest probability, from the highest down; those of
    the same probability by their place. Ties are common: every neuron that is active in one language alone has LAPE 0.
    """

    active: float
    """Probability of activation, in [0, 1], above which a neuron counts as active in a language."""
    score: float
    """Score of the last language neuron in that order; −inf: there is none."""
    peak: float
    """Its highest probability of activation."""
    place: int
    """Its place among all neurons, block by block."""
    weight: float | None = None
    """The weight of the highest probability in the score, `peaked_lape`; None: the score is `lape`."""


def lape(probabilities: Array) -> Array:
    """Return the language activation probability entropy of each neuron in nats, in [0, log languages].

        LAPE = −Σ_k p'_k log p'_k,  p' = p / Σ_k p_k

    probabilities: (languages, …) of activation. Low: active in few languages. Inf where it is active in none.
    """
    total = probabilities.sum(axis=0)
    entropies: Array = np.where(total > 0, scipy.stats.entropy(np.where(total > 0, probabilities, 1), axis=0), np.inf)
    return entropies


def peaked_lape(probabilities: Array, weight: float) -> Array:
    """Return the entropy of each neuron less a weight times its highest probability.

        score = LAPE / log K − λ max_k p_k / (H_K / K),  H_K = 1 + 1/2 + … + 1/K

    probabilities: (languages, …) of activation; weight: λ, at least 0. A neuron that is active in no language has the
    entropy of one that is active in all alike. Range [−λ K / H_K, 1]. Low: active in few languages, and often.
    Source: Zhang et al. 2025; the scale of the second term is that of their code.
    """
    languages = len(probabilities)
    entropies = np.minimum(lape(probabilities), np.log(languages)) / np.log(languages)
    scale = sum(1 / k for k in range(1, languages + 1)) / languages
    scores: Array = entropies - weight * probabilities.max(axis=0) / scale
    return scores


def thresholds(probabilities: Array) -> Thresholds:
    """Return what makes a language neuron by LAPE, from (languages, blocks, neurons) probabilities of the base model.

    The bar of activation is a quantile of them all. Of the neurons that are active in some language, the first in the
    order pass, as many as `SHARE` of all neurons (Tang et al. take their number exactly, too).
    """
    active = float(np.quantile(probabilities, ACTIVE_THRESHOLD))
    return _thresholds(probabilities, active, None, np.flatnonzero(probabilities.max(axis=0).ravel() > active))


def peaked_thresholds(probabilities: Array) -> Thresholds:
    """Return what makes a language neuron by `peaked_lape`. Of all neurons the first in the order pass, as above.

    λ is found by bisection in [0, `MAX_WEIGHT`]: the largest with which no language neuron is active in all languages.
    If even 0 has such a neuron, λ is 0. Source: Zhang et al.'s code (`autosweep`).
    """
    active = float(np.quantile(probabilities, ACTIVE_THRESHOLD))
    everyone = np.arange(probabilities[0].size)

    def limits(weight: float) -> Thresholds:
        return _thresholds(probabilities, active, weight, everyone)

    def excludes_general(weight: float) -> bool:
        return not languages_of(probabilities, limits(weight)).all(axis=0).any()

    if excludes_general(MAX_WEIGHT):
        return limits(MAX_WEIGHT)
    low, high = 0.0, MAX_WEIGHT
    while high - low > WEIGHT_STEP:
        middle = (low + high) / 2
        low, high = (middle, high) if excludes_general(middle) else (low, middle)
    return limits(low)


SCORES: Mapping[NeuronScore, Callable[[Array], Thresholds]] = {"lape": thresholds, "peaked-lape": peaked_thresholds}
"""Name of a score → probabilities of the base model → what makes a language neuron."""


def _thresholds(probabilities: Array, active: float, weight: float | None, candidates: NDArray[np.intp]) -> Thresholds:
    """Return the thresholds with which the first of the candidates pass."""
    scores, peaks = _keys(probabilities, weight)
    ordered = candidates[np.lexsort((candidates, -peaks[candidates], scores[candidates]))]
    language_neurons = ordered[: max(1, round(SHARE * len(peaks)))]
    if not len(language_neurons):
        return Thresholds(active, -np.inf, 0.0, 0, weight)
    last = int(language_neurons[-1])
    return Thresholds(active, float(scores[last]), float(peaks[last]), last, weight)


def languages_of(probabilities: Array, limits: Thresholds) -> Members:
    """Return in which languages each neuron counts, (languages, blocks, neurons); in none if it is a general one."""
    scores, peaks = _keys(probabilities, limits.weight)
    places = np.arange(len(peaks))
    not_later = (peaks > limits.peak) | ((peaks == limits.peak) & (places <= limits.place))
    passes = (scores < limits.score) | ((scores == limits.score) & not_later)
    members: Members = (probabilities > limits.active) & passes.reshape(probabilities.shape[1:])
    return members


def _keys(probabilities: Array, weight: float | None) -> tuple[Array, Array]:
    """Return score, rounded so that the order of the languages makes no difference, and highest probability."""
    scores = lape(probabilities) if weight is None else peaked_lape(probabilities, weight)
    return np.round(scores, 9).ravel(), probabilities.max(axis=0).ravel()


@dataclass(frozen=True, slots=True)
class NeuronSets:
    """The language neurons of one arm and task."""

    arm: str
    """Name of the arm."""
    task: str
    """Name of the task."""
    part: NeuronTokens
    """The tokens at which they were counted."""
    score: NeuronScore
    """The score by which they were chosen."""
    languages: tuple[str, ...]
    """Codes of the languages."""
    members: Members
    """(languages, blocks, neurons): whether a neuron is one of the language's."""


def neuron_sets(cells: Sequence[Activity]) -> Iterator[NeuronSets]:
    """Yield the language neurons of each task, kind of tokens, score and arm, by the first arm's thresholds.

    Nothing for fewer than two languages, or where neurons are not counted.
    """
    for task, part in dict.fromkeys((activity.cell.task, activity.part) for activity in cells):
        limits: dict[NeuronScore, Thresholds] = {}
        for arm in dict.fromkeys(activity.cell.arm for activity in cells):
            chosen = [a for a in cells if (a.cell.task, a.part, a.cell.arm) == (task, part, arm)]
            if len(chosen) < 2 or not chosen[0].active.size:
                continue
            codes = tuple(activity.cell.language for activity in chosen)
            probabilities = np.stack([activity.active / activity.tokens for activity in chosen])
            for score, choose in SCORES.items():
                if score not in limits:
                    limits[score] = choose(probabilities)
                yield NeuronSets(arm, task, part, score, codes, languages_of(probabilities, limits[score]))


def neurons(sets: Sequence[NeuronSets]) -> list[LanguageNeurons]:
    """Count specific, related and general neurons by block, of each set.

    Specific: a language neuron active in one language; related: in several, but not all; general: every other. Since
    the thresholds are the first arm's, the other arms' counts say what differs.
    """
    return [count for chosen in sets for count in _counts(chosen)]


def _counts(chosen: NeuronSets) -> Iterator[LanguageNeurons]:
    many = chosen.members.sum(axis=0)
    kinds = {"specific": many == 1, "related": (many > 1) & (many < len(chosen.languages))}
    width = chosen.members.shape[2]
    for block in range(chosen.members.shape[1]):
        in_block = {kind: mask[block] for kind, mask in kinds.items()}
        masks = zip(chosen.languages, chosen.members[:, block], strict=True)
        for code, mask in (("", np.ones(width, dtype=bool)), *masks):
            specific, related = int((in_block["specific"] & mask).sum()), int((in_block["related"] & mask).sum())
            general = width - specific - related
            yield LanguageNeurons(
                chosen.arm, chosen.task, code, block + 1, specific, related, general, chosen.part, chosen.score
            )

"""Intervals, tests and power, each a pure function. `docs/statistics.md` has the formulas and their sources."""

from collections.abc import Iterator, Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

from spillover.errors import SpilloverError, did_you_mean
from spillover.records import CONFIDENCE, Estimate

Array = NDArray[np.float64]
Units = NDArray[np.int_] | NDArray[np.str_]

RESAMPLES = 10_000
"""Number of bootstrap resamples by default."""

EXACT_UNITS = 14
"""Most units that changed for which a permutation test goes through all signs."""

SIGN_DRAWS = 19_999
"""Random signs of a permutation test otherwise. The smallest p is 1 / (this + 1)."""

_BLOCK = 30_000
"""Numbers in a block of resamples. A block fits in a processor's cache, which is three times faster."""


def wilson(successes: float, n: float) -> Estimate:
    """Return a share with its Wilson score interval (Wilson 1927), within [0, 1].

    n is at least 1; neither has to be whole: an effective number of items is not (Dean and Pagano 2015).
    """
    share, z = successes / n, scipy.special.ndtri((1 + CONFIDENCE) / 2)
    center = share + z**2 / (2 * n)
    reach = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = np.clip((np.array([-reach, reach]) + center) / (1 + z**2 / n), 0, 1).tolist()
    return Estimate(share, low, high, round(n))


def mcnemar(changes: Array, units: Units | None = None) -> float:
    """Return the two-sided p of the exact McNemar test, by units whose items change together.

    changes: (items,), 1 where an item was fixed, −1 where it was broken, else 0; units: (items,) the independent unit
    of each; None: every item by itself. If tuning does nothing, a unit's net change is as likely to be its negative, so
    p is the share of all signs whose sum is as far from 0. With single items that is `fixed` against
    Binomial(fixed + broken, 1/2). 1 where nothing changed. Conservative: p < a happens with a chance of at most a.
    """
    nets = changes if units is None else np.bincount(np.unique(units, return_inverse=True)[1], changes)
    sizes = np.abs(nets).astype(int)
    odds = np.ones(1)  # of each sum of the units with a plus
    for size, count in zip(*np.unique(sizes[sizes > 0], return_counts=True), strict=True):
        step = np.zeros(size * count + 1)
        step[::size] = scipy.stats.binom.pmf(np.arange(count + 1), count, 0.5)
        odds = np.convolve(odds, step)
    sums = 2 * np.arange(len(odds)) - sizes.sum()
    return min(1.0, float(odds[np.abs(sums) >= abs(round(float(nets.sum())))].sum()))


def sign_flip(changes: Array, units: Units | None = None, seed: int = 0) -> float:
    """Return the two-sided p of the paired permutation test of a mean change, by units whose items change together.

    changes: (items,) differences of scores; units: as for `mcnemar`, which this is for changes of −1, 0 and 1. Exact
    over all signs if at most `EXACT_UNITS` units changed; else over `SIGN_DRAWS` random ones and the one observed, so
    that p < a happens with a chance of at most a. 1 where nothing changed.
    """
    nets = changes if units is None else np.bincount(np.unique(units, return_inverse=True)[1], changes)
    nets = nets[nets != 0]
    bar = abs(nets.sum()) - 1e-9 * np.abs(nets).sum()  # sums of the same numbers in another order are equal
    if len(nets) <= EXACT_UNITS:
        sums = np.zeros(1)
        for net in nets:
            sums = np.concatenate([sums + net, sums - net])
        return float((np.abs(sums) >= bar).mean())
    random, extreme = np.random.default_rng(seed), 1
    rows = max(1, _BLOCK // len(nets))
    for start in range(0, SIGN_DRAWS, rows):
        signs = random.integers(2, size=(min(rows, SIGN_DRAWS - start), len(nets)))
        extreme += int((np.abs((2 * signs - 1) @ nets) >= bar).sum())
    return extreme / (SIGN_DRAWS + 1)


def paired_test(changes: Array, units: Units | None = None) -> float:
    """Return the two-sided p of a mean change: McNemar's for changes of −1, 0 and 1, else that of flipped signs."""
    return mcnemar(changes, units) if (changes == np.rint(changes)).all() else sign_flip(changes, units)


def holm(p_values: Sequence[float]) -> Array:
    """Correct p-values so that the chance of any false one is bounded (Holm 1979)."""
    order = np.argsort(p_values)
    steps = np.asarray(p_values, dtype=float)[order] * np.arange(len(order), 0, -1)
    result = np.empty(len(order))
    result[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return result


def benjamini_hochberg(p_values: Sequence[float]) -> Array:
    """Correct p-values so that the expected share of false ones among those found is bounded (1995)."""
    result: Array = scipy.stats.false_discovery_control(p_values)
    return result


CORRECTIONS = {"holm": holm, "benjamini-hochberg": benjamini_hochberg}
"""How to correct p-values for their number."""


def adjust(p_values: Sequence[float], correction: str = "holm") -> Array:
    """Correct p-values for their number; never below the raw ones, at most 1, in the same order.

    Raises:
        SpilloverError: the correction is none of `CORRECTIONS`.
    """
    if correction not in CORRECTIONS:
        raise SpilloverError(f"correction: found {correction!r}; {did_you_mean(correction, CORRECTIONS)}")
    return CORRECTIONS[correction](p_values)


def macro_auc(scores: Array, gold: NDArray[np.int_], units: Units | None = None) -> Estimate | None:
    """Mean over labels of the AUC of `s_k − logsumexp of the others` for gold = k against the rest.

    scores: (items, labels), nats, −inf in the last places of an item with fewer labels; gold: (items,). Range [0, 1];
    1/2 by chance; ties count half. It asks how the scores *rank* the items: with two labels, a constant added to one
    changes nothing. Items are ranked among those with as many labels: among all, an item with fewer labels would rank
    higher, and be right more often, by chance. The result is the mean over these groups, weighted by their items. A
    group in which a label is gold fewer than twice is left out; None if no group is left.

    The interval is DeLong's (1988) on the logit scale, its components averaged over labels and, where `units`,
    (items,), tell which items are not independent, summed over those (Obuchowski 1997). Where the ranking is perfect,
    it is Wilson's for as many items, or units, as the rarest label has.
    """
    places = np.arange(len(gold)) if units is None else np.unique(units, return_inverse=True)[1]
    numbers = np.isfinite(scores).sum(axis=1)
    rows_of = {number: np.flatnonzero(numbers == number) for number in np.unique(numbers).tolist()}
    groups = {k: rows for k, rows in rows_of.items() if np.bincount(gold[rows], minlength=k).min() >= 2}
    if not groups:
        return None
    n, area, deviations = sum(map(len, groups.values())), 0.0, np.zeros(len(gold))
    for labels, rows in groups.items():
        value, parts = _one_against_rest(scores[rows, :labels], gold[rows])
        area += value * len(rows) / n
        deviations[rows] = parts * len(rows) / n
    if area in (0.0, 1.0):
        rarest = min(len(np.unique(places[r][gold[r] == label])) for k, r in groups.items() for label in range(k))
        bound = wilson(int(area) * rarest, rarest)
        return Estimate(area, bound.low, bound.high, n)
    error = np.sqrt((np.bincount(places, deviations) ** 2).sum())
    reach = scipy.special.ndtri((1 + CONFIDENCE) / 2) * error / (area * (1 - area))
    low, high = scipy.special.expit(scipy.special.logit(area) + np.array([-reach, reach]))
    return Estimate(area, float(low), float(high), n)


def _one_against_rest(scores: Array, gold: NDArray[np.int_]) -> tuple[float, Array]:
    """Return the mean over labels of their AUC, and what each item contributes to its deviation, (items,)."""
    n, labels = scores.shape
    counts = np.bincount(gold, minlength=labels)
    areas = np.empty(labels)
    deviations = np.zeros(n)
    for label in range(labels):
        margin = scores[:, label] - np.logaddexp.reduce(np.delete(scores, label, axis=1), axis=1)
        placements = _placements(margin, gold == label)
        areas[label] = placements[gold == label].mean()
        size = np.where(gold == label, counts[label], n - counts[label])
        deviations += (placements - areas[label]) / np.sqrt(size * (size - 1)) / labels
    return float(areas.mean()), deviations


def _placements(values: Array, positive: NDArray[np.bool_]) -> Array:
    """Return for each positive the share of negatives below it, for each negative of positives above it."""
    result = np.empty(len(values))
    result[positive] = _share_below(values[~positive], values[positive])
    result[~positive] = 1 - _share_below(values[positive], values[~positive])
    return result


def _share_below(others: Array, values: Array) -> Array:
    """Return for each value the share of the others that are lower; a tie counts half."""
    ordered = np.sort(others)
    lower, at_most = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    result: Array = (lower + at_most) / (2 * len(others))
    return result


def resample(n: int, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[Array]:
    """Yield how often each of n things occurs in each bootstrap resample, in blocks (some resamples, n).

    Rows sum to n. The same n and seed give the same resamples, and fewer resamples are the first of more.
    """
    random = np.random.default_rng(seed)
    rows = max(1, _BLOCK // n)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = random.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def percentile_interval(value: float, draws: Array, n: int) -> Estimate:
    """Return an estimate with the percentile interval of its bootstrap draws, (resamples,)."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Estimate(float(value), float(low), float(high), n)


def detectable_gain(pairs: float, discordance: float, alpha: float = 1 - CONFIDENCE, power: float = 0.8) -> float:
    """Return the smallest mean change that would have been shown with this power.

    pairs: effective number of independent pairs, `MeanChange.effective`; discordance: share of outcomes that changed,
    in [0, 1]. Solves Miettinen's (1968) sample size. No difference exceeds its discordance, so where the answer would,
    all changes are taken to be gains. In (0, 1]; 1 where there are too few pairs for any.
    """
    test, beta = scipy.special.ndtri(1 - alpha / 2), scipy.special.ndtri(power)

    def missing(gain: float) -> float:
        changed = max(discordance, gain)
        return float(test * np.sqrt(changed) + beta * np.sqrt(changed - gain**2) - gain * np.sqrt(pairs))

    return float(scipy.optimize.brentq(missing, 1e-12, 1.0)) if missing(1.0) < 0 else 1.0


def pairs_for_gain(gain: float, discordance: float, alpha: float = 1 - CONFIDENCE, power: float = 0.8) -> float:
    """Return the effective number of independent pairs that shows a mean change with this power.

    gain: in (0, 1); the rest as for `detectable_gain`, whose inverse this is: Miettinen's (1968) sample size. Twice
    the items have twice the effective pairs, whatever the languages and clusters share.
    """
    test, beta = scipy.special.ndtri(1 - alpha / 2), scipy.special.ndtri(power)
    changed = max(discordance, gain)
    return float((test * np.sqrt(changed) + beta * np.sqrt(changed - gain**2)) / gain) ** 2

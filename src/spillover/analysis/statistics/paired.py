"""The interval of a mean change: one language or many, single items or clusters, many changes or none.

An outcome is 1 where an item was fixed, −1 where it was broken, else 0; of scores between 0 and 1, their difference.
The interval inverts Tango's score test of paired shares at the effective number of pairs. `docs/statistics.md` has the
formulas, sources and coverage.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import scipy
from numpy.typing import NDArray

from spillover.analysis.statistics.estimate import wilson
from spillover.records import CONFIDENCE, Estimate

Array = NDArray[np.float64]
Clusters = NDArray[np.int_] | NDArray[np.str_]

CONTINUITY = 0.5
"""Share of one pair's weight that an end lies further out, since counts move in steps (Yates)."""

POWER = 0.8
"""Chance with which a detectable effect is shown."""

_HALVINGS = 30
"""Steps of bisection over a range of 2: an end is right to 2e-9."""


@dataclass(frozen=True, slots=True)
class MeanChange:
    """A mean change with the inputs of its interval. Shares; 0.01 is one point."""

    value: float
    """Mean over columns of the mean over items, in [-1, 1]: fixed − broken."""
    fixed: float
    """Weighted sum of positive outcomes, in [0, 1]."""
    broken: float
    """Weighted sum of negative outcomes without their sign, in [0, 1]."""
    variance: float
    """Variance of the mean, from the independent units."""
    outcomes: int
    """Number of outcomes: items × columns, without missing ones."""
    units: int
    """Number of independent units: items, or clusters of items."""
    squares: float
    """Weighted sum of the squared outcomes: `fixed + broken` if all are −1, 0 or 1, less if some are between."""

    def effective(self, extra: float = 0.0) -> float:
        """Return how many independent pairs would know the mean as well; between 1 and the number of outcomes.

        Pairs have outcomes −1, 0 and 1. Outcomes between vary less, so more pairs than outcomes may know as much.
        extra: variance to add, such as that between seeds. One change is added to those seen, as if its whole unit
        had changed with it in every column. So where nothing changed, a unit counts as one pair.
        """
        changed = self.outcomes * (self.fixed + self.broken)
        spread = self.fixed + self.broken - self.value**2
        if spread <= 0:
            return float(self.units)
        shared = self.units * (self.variance + extra) / spread
        apart = min(1.0, max(0.0, self.squares - self.value**2) / spread)  # 1 for outcomes −1, 0 and 1
        shared = max(shared, apart * self.units / self.outcomes)
        return self.units * (changed + 1) / (changed * shared + 1)

    def estimate(self, extra: float = 0.0, z: float | None = None) -> Estimate:
        """Return the mean with its interval; `n` is the number of independent units.

        Args:
            extra: variance to add to that over items, such as that between seeds.
            z: how many standard errors the ends are away; None: Student's quantile for the units.
        """
        bar = critical(self.units - 1) if z is None else z
        low, high = score_interval(self.fixed, self.broken, self.effective(extra), bar)
        return Estimate(self.value, float(low), float(high), self.units)


def estimates(changes: Sequence[MeanChange]) -> list[Estimate]:
    """Return each mean with its interval, as `MeanChange.estimate` does; all of them take little longer than one."""
    if not changes:
        return []
    parts = [(change.fixed, change.broken, change.effective(), critical(change.units - 1)) for change in changes]
    ends = score_interval(*np.array(parts).T).T.tolist()
    return [Estimate(c.value, low, high, c.units) for c, (low, high) in zip(changes, ends, strict=True)]


@cache
def critical(degrees: float, alpha: float = 1 - CONFIDENCE) -> float:
    """Return Student's quantile for the two ends of an interval, which miss with a chance of `alpha` together."""
    return float(scipy.stats.t.ppf(1 - alpha / 2, max(degrees, 1)))


def mean_change(values: Array, clusters: Clusters | None = None, influence: Array | None = None) -> MeanChange:
    """Return the mean over columns of the mean over items.

    Args:
        values: (items, columns) outcomes, nan where a column lacks an item. Columns are languages, and seeds of them.
        clusters: (items,) the cluster of each item, by name or number; None: every item by itself.
        influence: (items, columns) what each item contributes to the mean, where that is more than its own outcome;
            the variance is taken from it.
    """
    measured = ~np.isnan(values).all(axis=1)
    if not measured.all():
        values = values[measured]
        clusters = None if clusters is None else clusters[measured]
        influence = None if influence is None else influence[measured]
    present = ~np.isnan(values)
    weights = present / (present.sum(axis=0) * values.shape[1])
    filled = np.nan_to_num(values)
    gained, lost = np.maximum(filled, 0), np.maximum(-filled, 0)
    fixed, broken = float((weights * gained).sum()), float((weights * lost).sum())
    squares = float((weights * gained**2).sum()) + float((weights * lost**2).sum())
    contributions = filled if influence is None else np.nan_to_num(influence)
    centers = contributions.sum(axis=0) / present.sum(axis=0)
    deviations = (weights * (contributions - centers)).sum(axis=1)
    outcomes = int(present.sum())
    units, variance = _variance(deviations, outcomes, clusters, _strata(present, clusters))
    value = float((filled.sum(axis=0) / present.sum(axis=0)).mean())
    return MeanChange(value, fixed, broken, variance, outcomes, units, squares)


def unbounded_mean(values: Array, clusters: Clusters | None = None) -> tuple[Estimate, float]:
    """Return the mean of any numbers, (items, columns), with Student's interval, and the mean that 80% power detects.

    values, clusters: as for `mean_change`. The variance is that between units, so with single items in one column the
    interval is that of the paired t-test. Infinite where there is one unit.
    """
    change = mean_change(values, clusters)
    if change.units < 2:
        return Estimate(change.value, -np.inf, np.inf, change.units), np.inf
    error = float(np.sqrt(change.variance * change.outcomes / (change.outcomes - 1)))
    bar = critical(change.units - 1)
    estimate = Estimate(change.value, change.value - bar * error, change.value + bar * error, change.units)
    return estimate, (bar + float(scipy.stats.t.ppf(POWER, change.units - 1))) * error


def effective_items(scores: Array, clusters: Clusters | None = None) -> float:
    """Return how many independent items of score 0 or 1 would know the mean of `scores`, (items,) in [0, 1], as well.

    With its units' degrees of freedom allowed for, as Korn and Graubard (1998) do; the number of items where each is a
    unit and has score 0 or 1.
    """
    rarer = 1 - scores if scores.mean() > 0.5 else scores
    change = mean_change(rarer[:, None], clusters)
    if change.units == len(scores) and change.squares == change.fixed:
        return float(change.units)
    return change.effective() * (critical(len(scores) - 1) / critical(change.units - 1)) ** 2


def mean_score(scores: Array, clusters: Clusters) -> Estimate:
    """Return the mean of (items,) scores in [0, 1] with Wilson's interval at the effective number of items."""
    items = effective_items(scores, clusters)
    return replace(wilson(scores.mean() * items, items), n=len(np.unique(clusters)))


def share(scores: Array, clusters: Clusters | None = None, influence: Array | None = None) -> Estimate:
    """Return the mean of scores in [0, 1], (items,) or (items, columns), with the interval of the rarer outcome.

    clusters, influence: as for `mean_change`. For accuracies whose variance is more than that of their hits.
    """
    return shares([(scores, clusters, influence)])[0]


def shares(cells: Sequence[tuple[Array, Clusters | None, Array | None]]) -> list[Estimate]:
    """Return `share` of the scores, clusters and influences of many cells, which takes little longer than of one."""
    changes, turns = [], []
    for scores, clusters, influence in cells:
        values = scores.reshape(len(scores), -1)
        contributions = values if influence is None else influence.reshape(values.shape)
        turned = bool(np.nanmean(values, axis=0).mean() > 0.5)
        rarer, parts = (1 - values, 1 - contributions) if turned else (values, contributions)
        changes.append(mean_change(rarer, clusters, parts))
        turns.append(turned)
    return [_of_rarer(rare, turned) for rare, turned in zip(estimates(changes), turns, strict=True)]


def _of_rarer(rare: Estimate, turned: bool) -> Estimate:
    """Return the share whose rarer outcome has this estimate; turned: that outcome is a score of 0."""
    low, high = max(rare.low, 0.0), min(rare.high, 1.0)
    return Estimate(1 - rare.value, 1 - high, 1 - low, rare.n) if turned else Estimate(rare.value, low, high, rare.n)


def over_languages(over_items: Estimate, values: Array) -> Estimate:
    """Return a mean over languages as a claim about languages in general, as if others had been drawn.

    over_items: the mean with its interval over items; values: (languages,), two or more. What drawing other languages
    would change, Student's interval of their values, is added in quadrature; limited to ±1; `n` is their number.
    """
    count = len(values)
    reach = critical(count - 1) * float(values.std(ddof=1)) / np.sqrt(count)
    low = over_items.value - float(np.hypot(over_items.value - over_items.low, reach))
    high = over_items.value + float(np.hypot(over_items.high - over_items.value, reach))
    return Estimate(over_items.value, max(-1.0, low), min(1.0, high), count)


def _strata(present: Array, clusters: Clusters | None) -> int:
    """Return how many groups of columns share no unit: 1 where items are paired, all columns where none is.

    present: (items, columns) whether a column has an item.
    """
    if present.shape[1] == 1 or present.all(axis=1).any():
        return 1
    units = np.arange(len(present)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    items, columns = np.nonzero(present)
    size = int(units.max()) + 1
    edges = scipy.sparse.coo_array(
        (np.ones(len(items)), (units[items], size + columns)), shape=(size + present.shape[1],) * 2
    )
    return int(scipy.sparse.csgraph.connected_components(edges, directed=False)[0])


def _variance(deviations: Array, outcomes: int, clusters: Clusters | None, strata: int) -> tuple[int, float]:
    """Return the number of units and the variance of a sum of deviations, (items,), that are independent by unit.

    Both corrections for small numbers are taken: that of the units, of which each stratum uses one for its mean, and
    that of the spread it is compared with.
    """
    sums = deviations if clusters is None else np.bincount(np.unique(clusters, return_inverse=True)[1], deviations)
    units = len(sums)
    if units < 2:
        return units, float((sums**2).sum())
    return units, float((sums**2).sum() * units / max(units - strata, 1) * (outcomes - 1) / outcomes)


def score_interval(fixed: Array | float, broken: Array | float, pairs: Array | float, z: Array | float) -> Array:
    """Return (2, …): the ends of the interval of `fixed − broken`, for shares of a number of pairs.

    An end is where the score test of paired shares (Tango 1998) rejects at z, with Gart and Nam's correction for
    skewness (Laud 2017) and a continuity correction. All arguments are broadcast; `pairs` need not be whole.
    """
    one, other, count, bar = np.broadcast_arrays(*(np.asarray(part, np.float64) for part in (fixed, broken, pairs, z)))
    low, minus_high = _lower(np.stack([one, other]), np.stack([other, one]), count, bar)
    return np.stack([low, -minus_high])


def _lower(fixed: Array, broken: Array, pairs: Array, z: Array) -> Array:
    """Return the lower end, by bisection."""
    difference = fixed - broken
    low, high = np.full_like(difference, -1.0), difference.copy()
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        # Share broken, given this difference, that makes the data most likely.
        linear = (2 - difference) * middle - (fixed + broken)
        root = np.maximum(linear**2 + 8 * broken * middle * (1 - middle), 0)
        changed = (np.sqrt(root) - linear) / 2 + middle
        variance = np.maximum(changed - middle**2, 1e-12)
        third = middle - 3 * middle * changed + 2 * middle**3
        skew = third / (variance**1.5 * np.sqrt(pairs))
        score = (difference - middle - CONTINUITY / pairs) * np.sqrt(pairs / variance)
        rejected = score > z + skew * (z**2 - 1) / 6
        low, high = np.where(rejected, middle, low), np.where(rejected, high, middle)
    result: Array = (low + high) / 2
    return result

"""The interval of a mean of few and skewed numbers, such as probabilities of which a few items hold nearly all.

`docs/inside.md` has the formula, its source and its coverage.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillover.records import CONFIDENCE, Estimate

Array = NDArray[np.float64]

DRAWS = 4000
"""Random weightings of the items from which the ends of an interval are taken."""

SMALLEST = 0.05
"""Part of the largest number under which another counts as this part, so that its log exists and no tail is endless."""


@dataclass(frozen=True, slots=True)
class Range:
    """Where numbers of a kind can lie, and how far out one that was not seen may be."""

    low: float
    """The lower end."""
    high: float
    """The upper end."""
    top: float
    """From where the distance of low numbers is measured: the upper end, or 0 for numbers that grow from 0."""
    reach: float
    """How many mean log distances the number that was not seen may lie beyond the largest one; by simulation."""


PROBABILITY = Range(0.0, 1.0, 1.0, reach=2.5)
"""A probability, or a mean of some: often tiny in most items and large in a few."""

DIFFERENCE = Range(-1.0, 1.0, 0.0, reach=1.0)
"""The difference of two probabilities."""

POSITIVE = Range(0.0, np.inf, 0.0, reach=0.0)
"""A number from 0 up: bits, an energy, the log of a rank."""

ANY = Range(-np.inf, np.inf, 0.0, reach=0.0)
"""Any number."""


def mean_band(values: Array, kind: Range, seed: int = 0) -> tuple[Array, Array]:
    """Return the lower and the upper ends, (columns,) each, of the 95% intervals of the columns' means.

    values: (items, columns). An end is a quantile of the mean under random weights (Dirichlet, all 1) of the items and
    of one more that was not seen, which lies as far out as the others suggest. With it at the very end of the range
    this is Gaffke's bound (2005), which covers whatever the distribution is; for shares it is Clopper and Pearson's.
    Of a single item nothing is known: infinite, where the kind has no end.
    """
    weights = np.random.default_rng(seed).standard_exponential((DRAWS, len(values) + 1))
    weights /= weights.sum(axis=1, keepdims=True)
    means, unseen = weights[:, :-1] @ values, weights[:, -1:]
    lowest = np.maximum(kind.low, kind.top - beyond(kind.top - values, kind.reach))
    highest = np.minimum(kind.high, beyond(values, kind.reach))
    tail = (1 - CONFIDENCE) / 2
    low, high = (
        np.quantile(means + unseen * end, part, axis=0, method="nearest")
        for end, part in ((lowest, tail), (highest, 1 - tail))
    )
    mean = values.mean(axis=0)
    return np.minimum(low, mean), np.maximum(high, mean)  # equal numbers: only rounding is between them


def beyond(values: Array, reach: float) -> Array:
    """Return how large one more of (items, columns) numbers may be, (columns,), at least the largest.

    One standard deviation more than the largest; or, where that is more, the largest times exp(reach × H) with H the
    mean log distance of the √n largest from the next one (Hill 1975), which is large where tails are long.
    """
    if len(values) < 2:
        return np.full(values.shape[1], np.inf)
    ordered = np.sort(values, axis=0)
    count = min(len(values) - 1, max(3, int(np.sqrt(len(values)))))
    largest, further = ordered[-1], ordered[-1] + values.std(axis=0, ddof=1)
    parts = np.maximum(ordered[-count - 1 :] / np.where(largest > 0, largest, 1), SMALLEST)
    tail = (np.log(parts[1:]) - np.log(parts[0])).mean(axis=0)
    highest: Array = np.where(largest > 0, np.maximum(further, largest * np.exp(reach * tail)), further)
    return highest


def mean_estimate(values: Array, kind: Range) -> Estimate:
    """Return the mean of (items,) numbers with its interval."""
    low, high = mean_band(values[:, None], kind)
    return Estimate(float(values.mean()), float(low[0]), float(high[0]), len(values))

"""The mean gain of a recipe over seeds of tuning, as a claim about tuning with it again.

`compare` and `sweep` use it. `docs/statistics.md` has the formula and its coverage.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillover.analysis.statistics.paired import critical, mean_change
from spillover.records import Estimate

Array = NDArray[np.float64]
Units = NDArray[np.int_] | NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class SeedSpread:
    """How far the seeds of one recipe are apart, pooled over recipes: two seeds of one say next to nothing."""

    between: float
    """Variance of the mean between the seeds of a recipe, as seen; 0 without a second seed."""
    noise: float
    """The part of it that items explain which one seed gets right and another does not."""
    degrees: int
    """Seeds beyond the first, summed over recipes; 0 without a second seed."""
    units: int
    """Number of independent units."""

    def joined(self, variance: float, seeds: float) -> tuple[float, float]:
        """Return the variance of a mean over `seeds` of them, and how many standard errors its ends are away.

        variance: what other items would change in the mean over seeds. Of few seeds the noise is not known to be in
        what was seen between them, so only 1 − 1 / degrees of it is taken off; the rest of it is in both parts, and
        taken off the items'. Each part has its own Student's quantile (Graybill and Wang 1980).
        """
        of_items = critical(self.units - 1)
        if not self.degrees:
            return variance, of_items
        shared = self.noise / self.degrees
        between = max(0.0, self.between - (self.noise - shared)) / seeds
        items = max(0.0, variance - shared / seeds)
        total = max(variance, items + between)
        reach = max(of_items**2 * variance, of_items**2 * items + critical(self.degrees) ** 2 * between)
        return total, float(np.sqrt(reach / total)) if total > 0 else of_items


def seed_spread(recipes: Sequence[Array], units: Units) -> SeedSpread:
    """Pool the spread between seeds over recipes, of which those with one seed tell nothing.

    Args:
        recipes: (seeds, items, columns) outcomes of each; nan where a column lacks an item, in every seed the same.
        units: (items,) the independent unit of each item.
    """
    places = np.unique(units, return_inverse=True)[1]
    count = int(places.max()) + 1
    several = [outcomes for outcomes in recipes if len(outcomes) > 1]
    degrees = sum(len(outcomes) - 1 for outcomes in several)
    if not degrees:
        return SeedSpread(0.0, 0.0, 0, count)
    between = noise = 0.0
    for outcomes in several:
        present = ~np.isnan(outcomes)
        weights = present / (present.sum(axis=1, keepdims=True) * outcomes.shape[2])
        means = np.nansum(weights * outcomes, axis=1)  # seeds, columns: each column's part of the mean
        parts = np.nansum(weights * outcomes, axis=2)
        parts -= (weights * (means * outcomes.shape[2])[:, None]).sum(axis=2)  # seeds, items: around each column's mean
        of_units = np.stack([np.bincount(places, row, minlength=count) for row in parts])
        between += float(means.sum(axis=1).var() * len(outcomes))
        noise += float(((of_units - of_units.mean(axis=0)) ** 2).sum()) * count / max(count - 1, 1)
    return SeedSpread(between / degrees, noise / degrees, degrees, count)


def over_seeds(outcomes: Array, units: Units, spread: SeedSpread) -> Estimate:
    """Return the mean of (seeds, items, columns) outcomes with its interval over items and over tuning again.

    Without a second seed anywhere, `spread` adds nothing, and the interval is about items alone.
    """
    return _estimate(outcomes, units, spread, len(outcomes))


def difference_over_seeds(one: Array, other: Array, units: Units, spread: SeedSpread) -> Estimate:
    """Return the mean of one − other, both (seeds, items, columns) hits, paired item by item: every seed with every."""
    pairs = (one[:, None] - other[None]).reshape(-1, *one.shape[1:])
    return _estimate(pairs, units, spread, 1 / (1 / len(one) + 1 / len(other)))


def _estimate(outcomes: Array, units: Units, spread: SeedSpread, seeds: float) -> Estimate:
    change = mean_change(outcomes.transpose(1, 0, 2).reshape(outcomes.shape[1], -1), units)
    variance, z = spread.joined(change.variance, seeds)
    return change.estimate(variance - change.variance, z)

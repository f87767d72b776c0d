"""The gain that an evaluation can show, known before anything is measured.

The assumptions are those of the simulation in `benchmarks/power.py`. `docs/statistics.md` shows its power curves.
"""

from scipy.special import ndtri

from spillover.analysis.statistics.estimate import detectable_gain, pairs_for_gain
from spillover.analysis.statistics.paired import POWER, MeanChange
from spillover.records import CONFIDENCE

CHANGED = 0.2
"""Share of the answers that tuning changes: an assumption. In the answers of `examples/samples` it is 4.8%."""

SHARED = 0.12
"""Correlation between the changes of one item in two languages."""

SHARED_IN_CLUSTER = 0.065
"""Correlation between the changes of two items of one cluster, in one language or two."""


REACH = float(ndtri((1 + CONFIDENCE) / 2))
"""Standard errors from an estimate to an end of its interval: 1.96."""

ABOVE = float(ndtri(POWER))
"""Standard errors that an estimate must be expected above a bound, to be above it in 80% of evaluations: 0.84."""

BETWEEN = float(ndtri((1 + POWER) / 2))
"""The same for an estimate that must lie between two bounds: 1.28."""


def planned_gain(items: int, languages: int, units: int | None = None, margin: float = 0.0) -> float:
    """Return the smallest mean gain that an evaluation calls improved with 80% power.

    Args:
        items: number of items, the same in each language.
        languages: number of languages whose mean is taken.
        units: number of independent units: items, or clusters of the same size. None: each item by itself.
        margin: a gain is improved if its interval lies above 0 and reaches beyond this share.

    Returns:
        A share in (0, 1]; 0.01 is one point. The variance of the mean is that of independent answers times the design
        effect 1 + (languages − 1) · `SHARED` + languages · (items / units − 1) · `SHARED_IN_CLUSTER` (Kish 1965).
    """
    clusters, outcomes = units or items, items * languages
    design = 1 + (languages - 1) * SHARED + languages * (items / clusters - 1) * SHARED_IN_CLUSTER
    half = CHANGED / 2
    change = MeanChange(0.0, half, half, CHANGED * design / outcomes, outcomes, clusters, CHANGED)
    gain = detectable_gain(change.effective(), CHANGED)
    return max(gain, margin - (REACH - ABOVE) / (REACH + ABOVE) * gain)


def pairs_to_settle(margin: float, discordance: float) -> float:
    """Return the effective number of independent pairs that tells a gain as large as the margin from none.

    Either is called by its name with 80% power: the gain is improved, and no change is equivalent. The second takes
    more, by the square of (1.96 + 1.28) / (1.96 + 0.84) for standard errors. margin, discordance: as `gain` and
    `discordance` of `pairs_for_gain`.
    """
    return pairs_for_gain(margin, discordance) * ((REACH + BETWEEN) / (REACH + ABOVE)) ** 2

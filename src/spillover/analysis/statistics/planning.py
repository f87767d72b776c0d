"""The gain that an evaluation can show, known before anything is measured.

The assumptions are those of the simulation in `benchmarks/power.py`. `docs/statistics.md` shows its power curves.
"""

from spillover.analysis.statistics.estimate import detectable_gain
from spillover.analysis.statistics.paired import MeanChange

CHANGED = 0.2
"""Share of the answers that tuning changes: an assumption. In the answers of `examples/samples` it is 4.8%."""

SHARED = 0.12
"""Correlation between the changes of one item in two languages."""

SHARED_IN_CLUSTER = 0.065
"""Correlation between the changes of two items of one cluster, in one language or two."""


def planned_gain(items: int, languages: int, units: int | None = None) -> float:
    """Return the smallest mean gain that an evaluation shows with 80% power.

    Args:
        items: number of items, the same in each language.
        languages: number of languages whose mean is taken.
        units: number of independent units: items, or clusters of the same size. None: each item by itself.

    Returns:
        A share in (0, 1]; 0.01 is one point. The variance of the mean is that of independent answers times the design
        effect 1 + (languages − 1) · `SHARED` + languages · (items / units − 1) · `SHARED_IN_CLUSTER` (Kish 1965).
    """
    clusters, outcomes = units or items, items * languages
    design = 1 + (languages - 1) * SHARED + languages * (items / clusters - 1) * SHARED_IN_CLUSTER
    half = CHANGED / 2
    change = MeanChange(0.0, half, half, CHANGED * design / outcomes, outcomes, clusters, CHANGED)
    return detectable_gain(change.effective(), CHANGED)

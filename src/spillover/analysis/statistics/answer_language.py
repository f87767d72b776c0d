"""Whether an arm answers less often in the language that was asked for: a harm of its own, whatever the scores."""

import numpy as np
from numpy.typing import NDArray

from spillover.analysis.statistics.paired import Clusters, mean_change
from spillover.analysis.statistics.verdicts import FEWEST_ITEMS
from spillover.records import Estimate

Array = NDArray[np.float64]


def pass_rate(passes: Array) -> float | None:
    """Return the share of answers that keep to the language, of those that tell; None if none does.

    passes: (items,) 1 or 0; nan where nothing can be told. After Marchisio et al. (2024).
    """
    telling = passes[~np.isnan(passes)]
    return float(telling.mean()) if len(telling) else None


def pass_rate_change(reference: Array, arm: Array, clusters: Clusters | None = None) -> Estimate | None:
    """Return the mean difference of pass rates, arm − reference, in [-1, 1], paired by item; None without any pair.

    Args:
        reference: (items, languages) whether each answer of the arm compared with keeps to the language, 1 or 0; nan
            where nothing can be told.
        arm: the same of the other arm. An item counts in a language where both arms have a value.
        clusters: (items,) the cluster of each item; None: every item by itself.
    """
    change = arm - reference
    measured = ~np.isnan(change).all(axis=0)
    return mean_change(change[:, measured], clusters).estimate() if measured.any() else None


def language_harm(change: Estimate) -> bool:
    """Whether a change of pass rates is a possible harm: 30 items or more, and an interval wholly below 0.

    As for scores, the chance of a false alarm is at most 2.5%.
    """
    return change.n >= FEWEST_ITEMS and change.high < 0

"""How many language neurons two arms share, beside what random sets of as many neurons per block would share."""

from collections.abc import Iterator, Sequence
from functools import reduce

import numpy as np
import scipy
from numpy.typing import NDArray

from spillover.analysis.interpretability.neurons import NeuronSets
from spillover.records import CONFIDENCE, NeuronOverlap

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def overlaps(sets: Sequence[NeuronSets]) -> Iterator[NeuronOverlap]:
    """Compare each language's neurons in every arm with those in the first arm.

    Null: in every block, a random set of the arm's size (hypergeometric). Language neurons gather in certain blocks, so
    sets that were drawn over the whole network would share fewer than unrelated ones do.
    """
    first = next((chosen.arm for chosen in sets), "")
    references = {(r.task, r.part, r.score, r.languages): r for r in sets if r.arm == first}
    for chosen in sets:
        reference = references.get((chosen.task, chosen.part, chosen.score, chosen.languages))
        if chosen.arm == first or reference is None:
            continue
        for code, before, after in zip(chosen.languages, reference.members, chosen.members, strict=True):
            yield NeuronOverlap(
                first, chosen.arm, chosen.task, chosen.part, chosen.score, code, *compare_sets(before, after)
            )


def compare_sets(before: Mask, after: Mask) -> tuple[int, int, int, float, int, int, float]:
    """Return what `NeuronOverlap` says of two sets (blocks, neurons), from `in_reference` on."""
    shared = int((before & after).sum())
    odds = shared_odds(before, after)
    cumulative = np.cumsum(odds)
    tail = (1 - CONFIDENCE) / 2
    low, high = (int(np.searchsorted(cumulative, part - 1e-12)) for part in (tail, 1 - tail))
    expected = float(odds @ np.arange(len(odds)))
    return int(before.sum()), int(after.sum()), shared, expected, low, high, min(1.0, float(odds[shared:].sum()))


def shared_odds(before: Mask, after: Mask) -> Array:
    """Return the chance of 0, 1, … shared neurons if `after` is random with as many neurons in every block.

    The number per block is hypergeometric, and blocks are independent: their distributions are convolved.
    """
    width = before.shape[1]
    sizes = zip(before.sum(axis=1), after.sum(axis=1), strict=True)
    per_block = (scipy.stats.hypergeom.pmf(range(min(a, b) + 1), width, a, b) for a, b in sizes)
    odds: Array = reduce(np.convolve, per_block, np.ones(1))
    return odds

"""Switching neurons off: which ones, and what it changes beside random neurons. A test of causes.

Sources: deactivation of language neurons, Tang et al. 2024 (arXiv 2402.16438); here with random neurons as its null.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spillover.analysis.statistics.estimate import percentile_interval, resample
from spillover.records import Cell, Deactivation, Estimate, NeuronScore

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

DRAWS = 19
"""Draws of random neurons. With 19 the smallest p is 1/20."""

RESAMPLES = 2000
"""Bootstrap resamples of items and draws."""

ROUNDING = 1e-9
"""Relative difference under which two changes tie."""


@dataclass(frozen=True, slots=True)
class Readings:
    """What a model makes of a cell's items."""

    right: Array
    """(items,) 1 where the right answer has the highest score, else 0."""
    bits: Array
    """(items,) bits of each item's text."""


def random_neurons(members: Mask, draw: int) -> Mask:
    """Return as many random neurons in every block as a set (blocks, neurons) has, none of them in the set.

    A block of which the set holds more than half has no room for that: there, of all neurons. `draw` is the seed.
    """
    random = np.random.default_rng(draw)
    chosen = np.zeros_like(members)
    for block, (row, size) in enumerate(zip(members, members.sum(axis=1).tolist(), strict=True)):
        others = np.flatnonzero(~row)
        chosen[block, random.choice(others if len(others) >= size else len(row), size, replace=False)] = True
    return chosen


def deactivation(
    cell: Cell,
    score: NeuronScore,
    off: str,
    neurons: int,
    readings: tuple[Readings, Readings, list[Readings]],
    sizes: NDArray[np.int_],
) -> Deactivation:
    """Compare the readings of a cell with all neurons, without a language's, and without random ones, one per draw.

    sizes: (items,) bytes of each item's text.
    """
    plain, without, draws = readings
    ones = np.ones(len(sizes))
    accuracy = _effect(plain.right, without.right, [draw.right for draw in draws], ones, sign=-1)
    bits = _effect(plain.bits, without.bits, [draw.bits for draw in draws], sizes, sign=1)
    return Deactivation(cell.arm, cell.task, score, off, cell.language, neurons, len(draws), *accuracy, *bits)


def _effect(
    plain: Array, without: Array, draws: list[Array], sizes: NDArray[Any], sign: int
) -> tuple[Estimate, Estimate, float]:
    """Return change, excess over the draws, and p of Σ values / Σ sizes over items. sign: of a change for the worse.

    The intervals resample items; that of the excess resamples the draws too.
    """
    changes = np.stack([values - plain for values in (without, *draws)])  # (1 + draws, items)
    count, items = len(draws), len(plain)
    weights = np.concatenate([np.ones((1, items)), *resample(items, RESAMPLES)])
    drawn = np.concatenate([np.ones((1, count)), *resample(count, RESAMPLES, seed=1)]) / count
    rates = weights @ changes.T / (weights @ sizes)[:, None]  # (1 + resamples, 1 + draws)
    excess = rates[:, 0] - (rates[:, 1:] * drawn).sum(axis=1)
    losses = sign * rates[0]
    p_value = float((losses >= losses[0] - ROUNDING * np.abs(losses).max()).mean())
    change, beyond = (percentile_interval(float(values[0]), values[1:], items) for values in (rates[:, 0], excess))
    return change, beyond, p_value

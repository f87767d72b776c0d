"""Lens outputs over items: curves with bands per layer, and their summaries, base against tuned.

`docs/inside.md` has the definitions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from spillover.analysis.interpretability.lens import LensOutput
from spillover.analysis.statistics.bands import DIFFERENCE, POSITIVE, PROBABILITY, Range, mean_band, mean_estimate
from spillover.analysis.statistics.estimate import percentile_interval, resample
from spillover.records import Cell, Curve, Estimate, LensSummary, Trajectory

Array = NDArray[np.float64]

RESAMPLES = 1000
"""Bootstrap resamples of the depth at which two curves cross."""


@dataclass(frozen=True, slots=True)
class CellReading:
    """Output of one lens in one cell."""

    cell: Cell
    """The cell."""
    lens: str
    """Name of the lens."""
    reading: LensOutput
    """Item by item; in both arms the same items in the same order."""


def trajectory(cell_reading: CellReading) -> Trajectory:
    """Average a reading over its items; intervals as in `bands`."""
    reading, distinct = cell_reading.reading, _distinguishable(cell_reading.reading)
    return Trajectory(
        arm=cell_reading.cell.arm,
        task=cell_reading.cell.task,
        language=cell_reading.cell.language,
        lens=cell_reading.lens,
        english=_curve(reading.english[distinct], PROBABILITY),
        native=_curve(reading.native[distinct], PROBABILITY),
        all_english=_curve(reading.all_english, PROBABILITY),
        all_native=_curve(reading.all_native, PROBABILITY),
        entropy=_curve(reading.entropy, POSITIVE),
        energy=_curve(reading.energy, POSITIVE),
        english_rank=_geometric(reading.english_rank),
        native_rank=_geometric(reading.native_rank),
        items=len(reading.entropy),
        distinguishable=int(distinct.sum()),
    )


def _distinguishable(reading: LensOutput) -> NDArray[np.bool_]:
    distinct: NDArray[np.bool_] = np.logical_not(np.isnan(reading.english).any(axis=1))
    return distinct


def _curve(values: NDArray[np.float32], kind: Range, shape: Callable[[Array], Array] = np.asarray) -> Curve:
    """Return the mean over items of (items, layers) values, put through `shape`; nan without items."""
    if not len(values):
        unknown = (float("nan"),) * values.shape[1]
        return Curve(unknown, unknown, unknown)
    numbers = values.astype(np.float64)
    return Curve(*(tuple(shape(part).tolist()) for part in (numbers.mean(axis=0), *mean_band(numbers, kind))))


def _geometric(ranks: NDArray[np.float32]) -> Curve:
    return _curve(np.log(ranks), POSITIVE, np.exp)


def english(reading: LensOutput) -> Array:
    """Return the area under each item's probability of the right English answer over relative depth, (items,).

    In [0, 1]: how much English comes up on the way.
    """
    area: Array = scipy.integrate.trapezoid(reading.english, dx=1 / (reading.english.shape[1] - 1), axis=1)
    return area


def share(reading: LensOutput) -> Array:
    """Return the part of the right answer, in either language, in all answers at the last layer, (items,).

    In [0, 1]; by chance 1 / labels.
    """
    right = reading.english[:, -1] + reading.native[:, -1]
    quotient: Array = right / (reading.all_english + reading.all_native)[:, -1]
    return quotient


def crossover_depth(reading: LensOutput, weights: Array) -> Array:
    """Return the relative depth, in [0, 1], from which on the native answer is more probable than the English one.

    Of the mean curves by each row of weights, (resamples, items) → (resamples,): the first layer that it leads and
    leads ever after; nan where it does not lead at the end.
    """
    leads = weights @ reading.native > weights @ reading.english
    from_here = np.logical_and.accumulate(leads[:, ::-1], axis=1)[:, ::-1]
    depths: Array = np.where(leads[:, -1], from_here.argmax(axis=1) / (leads.shape[1] - 1), np.nan)
    return depths


def _means(measure: Callable[[LensOutput], Array], reference: LensOutput, arm: LensOutput) -> list[Estimate | None]:
    """Return the mean over items of a measure of each, in the reference, in the arm, and arm − reference."""
    before, after = measure(reference), measure(arm)
    parts = ((before, PROBABILITY), (after, PROBABILITY), (after - before, DIFFERENCE))
    return [mean_estimate(values, kind) for values, kind in parts]


def _depths(reference: LensOutput, arm: LensOutput) -> list[Estimate | None]:
    """Return where native overtakes English in the reference, in the arm, and arm − reference, resampling items.

    A resample in which it does not lead at the end counts as depth 1, so that the interval is not about the others
    alone: its upper end says 1 where it may never overtake.
    """
    n = len(reference.english)
    weights = np.concatenate([np.ones((1, n)), *resample(n, RESAMPLES)]) / n
    before, after = crossover_depth(reference, weights), crossover_depth(arm, weights)
    parts = ((before, np.nan_to_num(before, nan=1)), (after, np.nan_to_num(after, nan=1)))
    depths = [*parts, (after - before, parts[1][1] - parts[0][1])]
    return [None if np.isnan(exact[0]) else percentile_interval(exact[0], draws[1:], n) for exact, draws in depths]


MEASURES: dict[
    Literal["english", "crossover_depth", "share"], Callable[[LensOutput, LensOutput], list[Estimate | None]]
] = {
    "english": partial(_means, english),
    "crossover_depth": _depths,
    "share": partial(_means, share),
}
"""Name → what sums up the readings of the reference and the arm: each of them, and arm − reference."""


def latents(readings: Sequence[CellReading]) -> list[LensSummary]:
    """Sum up each lens in each task and language: each arm against the first one, over the same resampled items."""
    cells = {(r.cell.arm, (r.cell.task, r.cell.language, r.lens)): r.reading for r in readings}
    reference, *others = dict.fromkeys(r.cell.arm for r in readings) or [""]
    return [
        summary
        for arm in others
        for (name, place), reading in cells.items()
        if name == reference
        for summary in _latents((reference, arm, *place), reading, cells[arm, place])
    ]


def _latents(place: tuple[str, str, str, str, str], reference: LensOutput, arm: LensOutput) -> list[LensSummary]:
    """Return every summary; `place` is the names of both arms, the task, the language and the lens."""
    distinct = _distinguishable(reference)
    n = int(distinct.sum())
    if not n:
        return [LensSummary(*place, name, None, None, None) for name in MEASURES]
    arms = _only(reference, distinct), _only(arm, distinct)
    return [LensSummary(*place, name, *measure(*arms)) for name, measure in MEASURES.items()]


def _only(reading: LensOutput, items: NDArray[np.bool_]) -> LensOutput:
    return LensOutput(*(getattr(reading, name)[items].astype(np.float64) for name in LensOutput.__slots__))

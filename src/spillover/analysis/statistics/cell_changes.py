"""The cells of one task, measured together: the changes of the items in all languages, and each cell's change."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spillover.analysis.statistics.choices import LabelSplit, choice_gains, choice_metrics
from spillover.analysis.statistics.paired import MeanChange, estimates, mean_change
from spillover.analysis.statistics.pairing import Array, PairedCell, UnitNumbers, item_table
from spillover.analysis.statistics.reasons import ReasonSplit
from spillover.records import ChoiceGain, ChoiceMetrics, Estimate, ReasonPart


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The items of one task in all languages: their scores, changes, and what the changes are made of."""

    units: UnitNumbers
    """(items,) the number of each item's independent unit."""
    reference: Array
    """(items, languages) scores in the one arm, nan where a language lacks the item."""
    arm: Array
    """(items, languages) scores in the other."""
    labels: LabelSplit | None
    """The changes split by what the labels' scores say; None for answers in words."""
    answers: ReasonSplit | None
    """The changes split by reason; None for tasks with labels."""

    @classmethod
    def of(cls, cells: Sequence[PairedCell]) -> "Outcomes":
        """Put the items of a task's cells beside one another."""
        units, (reference, arm) = item_table(cells, lambda cell: np.stack([cell.reference, cell.arm]))
        labels = LabelSplit.of(cells) if cells[0].choices else None
        return cls(units, reference, arm, labels, None if labels else ReasonSplit.of(cells))

    def gain(self, columns: Sequence[int]) -> MeanChange:
        """Return the mean difference over some languages."""
        return mean_change(self.arm[:, columns] - self.reference[:, columns], self.units)

    def reasons(self, columns: Sequence[int]) -> tuple[ReasonPart, ...]:
        """Return the mean difference over some languages, split by reason; nothing for tasks with labels."""
        return self.answers.over(columns) if self.answers and columns else ()


@dataclass(frozen=True, slots=True)
class CellChange:
    """The change of one cell, and what its labels tell."""

    change: MeanChange
    """The mean change."""
    difference: Estimate
    """The same with its interval."""
    choices: ChoiceGain | None
    """The part that only tasks with labels have; None for answers in words."""
    metrics: tuple[ChoiceMetrics, ChoiceMetrics] | tuple[None, None]
    """What the labels tell about the reference, and about the arm."""


def measure_cells(cells: Sequence[PairedCell], outcomes: Outcomes) -> list[CellChange]:
    """Measure all cells of a task at once: the bisection for an interval takes about as long for one as for many."""
    changes, labels = [outcomes.gain([column]) for column in range(len(cells))], outcomes.labels
    choices: Sequence[ChoiceGain | None] = choice_gains(cells, labels) if labels else [None] * len(cells)
    scored = [(cell.choices, cell.units) for cell in cells if cell.choices]
    before = choice_metrics([(scores.reference, scores.gold, units) for scores, units in scored])
    after = choice_metrics([(scores.arm, scores.gold, units) for scores, units in scored])
    metrics = list(zip(before, after, strict=True)) if labels else [(None, None)] * len(cells)
    return list(map(CellChange, changes, estimates(changes), choices, metrics))

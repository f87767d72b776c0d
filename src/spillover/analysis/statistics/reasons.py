"""A gain split by the reasons for lower scores: wrong, unreadable, wrong language, ran on.

`docs/statistics.md` has the formula.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spillover.analysis.statistics.answer_language import pass_rate
from spillover.analysis.statistics.paired import mean_change
from spillover.analysis.statistics.pairing import Array, PairedCell, UnitNumbers, item_table
from spillover.records import REASONS, AnswerMetrics, Reason, ReasonPart

LOSSES: tuple[Reason, ...] = tuple(reason for reason in REASONS if reason != "right")
"""The reasons that an item can lose score for."""


@dataclass(frozen=True, slots=True)
class ReasonSplit:
    """The parts of each item's change in one task."""

    units: UnitNumbers
    """(items,) the number of each item's independent unit."""
    parts: Array
    """(reasons, items, languages) score lost for each of `LOSSES` in the reference − in the arm; nan without item."""

    @classmethod
    def of(cls, cells: Sequence[PairedCell]) -> "ReasonSplit":
        """Split the changes of a task's cells."""
        return cls(*item_table(cells, _parts))

    def over(self, columns: Sequence[int]) -> tuple[ReasonPart, ...]:
        """Return the mean of each part over some languages, with its interval. They sum to the mean change."""
        return tuple(
            ReasonPart(reason, mean_change(part[:, columns], self.units).estimate())
            for reason, part in zip(LOSSES, self.parts, strict=True)
        )


def _parts(cell: PairedCell) -> Array:
    before, after = cell.reasons
    return lost(cell.reference, before) - lost(cell.arm, after)


def lost(scores: Array, reasons: Sequence[Reason]) -> Array:
    """Return (reasons, items): 1 − score where an item lost it for that reason, else 0.

    scores: (items,) in [0, 1]; reasons: (items,). The rows are those of `LOSSES`; they sum to 1 − scores.
    """
    chosen = np.array([[reason == row for reason in reasons] for row in LOSSES], dtype=np.float64)
    result: Array = chosen * (1 - scores)
    return result


def answer_metrics(reasons: Sequence[Reason], in_language: Array) -> AnswerMetrics:
    """Return the share of each reason, and the shares that keep to the language.

    reasons: (items,); in_language: (2, items) whether the answer and its lines do, nan where none is told.
    """
    shares = tuple(reasons.count(reason) / len(reasons) for reason in REASONS)
    return AnswerMetrics(shares, *(pass_rate(passes) for passes in in_language))

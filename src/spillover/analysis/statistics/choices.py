"""What only tasks with labels have: calibrated accuracies, AUC, and a gain split into discrimination and label prior.

`docs/statistics.md` has every rule and formula.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from spillover.analysis.statistics.calibrate import centered, contextual, label_mean_influence
from spillover.analysis.statistics.estimate import macro_auc
from spillover.analysis.statistics.paired import estimates, mean_change, mean_score, shares, unbounded_mean
from spillover.analysis.statistics.pairing import (
    Array,
    ChoiceScores,
    Golds,
    LabelScores,
    PairedCell,
    UnitNumbers,
    Units,
    is_correct,
    item_table,
)
from spillover.records import ChoiceGain, ChoiceMetrics, Estimate, Length

IMBALANCE = 0.05
"""Largest distance of a label's share of the golds from its share by chance, 1 / labels where all items have as many.

Beyond it a gain is not split into parts."""

NEAR_TIE_NATS = 0.05
"""Largest distance of the two highest scores, in nats, at which half precision may change the choice."""

SLOPE_REACH = 2.0
"""Half the range over which the slope of the centered accuracy is taken, in standard errors of a label's mean."""


@dataclass(frozen=True, slots=True)
class LabelSplit:
    """Change of each item of one task, (items, languages); nan where a language lacks the item."""

    units: UnitNumbers
    """(items,) the number of each item's independent unit."""
    difference: Array
    """1 where an item was fixed, −1 where it was broken, else 0."""
    centered: Array
    """The same change under centered scores."""
    influence: Array
    """Influence of each item on the difference of the centered accuracies."""
    margin: Array
    """Change of the gold margin, nats."""
    by_length: Mapping[Length, Array]
    """Unit of length → the change under scores per unit; empty unless the task asks."""

    @classmethod
    def of(cls, cells: Sequence[PairedCell]) -> "LabelSplit":
        """Split the changes of a task's cells, which all have labels."""
        units, (difference, centered_change, influence, margin, *by_length) = item_table(cells, _changes)
        asked = cells[0].choices.arm.by_length if cells[0].choices else ()
        lengths = dict(zip(asked, by_length, strict=True))
        return cls(units, difference, centered_change, influence, margin, lengths)

    def discrimination(self, groups: Sequence[Sequence[int]]) -> list[Estimate]:
        """Return, for each group of columns, the part of the gain due to better ranking of the labels."""
        return estimates([mean_change(self.centered[:, c], self.units, self.influence[:, c]) for c in groups])

    def label_prior(self, groups: Sequence[Sequence[int]]) -> list[Estimate]:
        """Return, for each group of columns, the part of the gain due to a weaker bias toward one label."""
        rest, influence = (self.difference - part for part in (self.centered, self.influence))
        return estimates([mean_change(rest[:, c], self.units, influence[:, c]) for c in groups])

    def length_change(self, unit: Length, columns: Sequence[int]) -> Estimate | None:
        """Return the mean change of the accuracy per unit of length; None unless the task asks, or without columns."""
        if unit not in self.by_length or not columns:
            return None
        return mean_change(self.by_length[unit][:, columns], self.units).estimate()

    def margin_change(self, columns: Sequence[int]) -> tuple[Estimate, float]:
        """Return the mean change of the gold margin, nats, and the one that 80% power detects."""
        return unbounded_mean(self.margin[:, columns], self.units)


def _changes(cell: PairedCell) -> Array:
    assert cell.choices is not None
    arms, gold = (cell.choices.reference.logprobs, cell.choices.arm.logprobs), cell.choices.gold
    hits = [is_correct(centered(scores), gold) for scores in arms]
    contributions = [centered_accuracy_influence(scores, gold) for scores in arms]
    margins = [gold_margin(scores, gold) for scores in arms]
    centered_change, influence, margin = (after - before for before, after in (hits, contributions, margins))
    one, other = (labels.by_length for labels in (cell.choices.reference, cell.choices.arm))
    by_length = [is_correct(other[unit], gold) - is_correct(one[unit], gold) for unit in other]
    return np.stack([cell.difference, centered_change, influence, margin, *by_length])


def gold_margin(scores: Array, gold: Golds) -> Array:
    """Return the score of each item's right label − logsumexp of the other labels' scores, (items,), nats.

    scores: (items, labels), nats, −inf where an item lacks a label; gold: (items,). Above 0 where the right label is
    more probable than all others together; a constant added to all scores of an item changes nothing.
    """
    others = np.where(np.arange(scores.shape[1]) == gold[:, None], -np.inf, scores)
    result: Array = scores[np.arange(len(gold)), gold] - np.logaddexp.reduce(others, axis=1)
    return result


def choice_gains(cells: Sequence[PairedCell], split: LabelSplit) -> list[ChoiceGain]:
    """Return what only tasks with labels have of the gains; `cells` are those of the split, and have labels."""
    columns = [[column] for column in range(len(cells))]
    parts = zip(split.discrimination(columns), split.label_prior(columns), strict=True)
    return [
        _choice_gain(cell.choices, split, column, *of_cell)
        for column, (cell, of_cell) in enumerate(zip(cells, parts, strict=True))
        if cell.choices
    ]


def _choice_gain(
    choices: ChoiceScores, split: LabelSplit, column: int, discrimination: Estimate, label_prior: Estimate
) -> ChoiceGain:
    gold = np.bincount(choices.gold, minlength=choices.labels) / len(choices.gold)
    balanced = has_balanced_golds(choices.gold, choices.numbers)
    margin, detectable = split.margin_change([column])
    return ChoiceGain(
        chance=_chance(choices.numbers),
        gold=tuple(gold.tolist()),
        discrimination=discrimination if balanced else None,
        label_prior=label_prior if balanced else None,
        margin=margin,
        margin_detectable=detectable,
        per_character=split.length_change("characters", [column]),
        per_byte=split.length_change("bytes", [column]),
    )


def _chance(numbers: Golds) -> float:
    """Return the accuracy of guessing: the mean of 1 / choices over items, exact where all have as many.

    numbers: (items,) of each item's choices.
    """
    counts = Counter(numbers.tolist())
    return float(sum(Fraction(count, int(number)) for number, count in counts.items()) / len(numbers))


def choice_metrics(cells: Sequence[tuple[LabelScores, Golds, Units]]) -> list[ChoiceMetrics]:
    """Return what one arm's scores of the labels tell about it in each cell: its scores, golds and units."""
    hits = [
        (is_correct(centered(arm.logprobs), gold), units, centered_accuracy_influence(arm.logprobs, gold))
        for arm, gold, units in cells
    ]
    return [_choice_metrics(*cell, accuracy) for cell, accuracy in zip(cells, shares(hits), strict=True)]


def _choice_metrics(arm: LabelScores, gold: Golds, units: Units, centered_accuracy: Estimate) -> ChoiceMetrics:
    scores = arm.logprobs
    n, labels = scores.shape
    ordered = np.sort(scores, axis=1)
    by_context = None if arm.content_free is None else contextual(scores, arm.content_free)
    by_token, by_length = arm.logprobs_per_token, arm.by_length
    return ChoiceMetrics(
        centered=centered_accuracy,
        auc=macro_auc(scores, gold, units),
        chosen=tuple((np.bincount(scores.argmax(axis=1), minlength=labels) / n).tolist()),
        ties=int((ordered[:, -1] == ordered[:, -2]).sum()),
        near_ties=int((ordered[:, -1] - ordered[:, -2] <= NEAR_TIE_NATS).sum()),
        per_token=None if by_token is None else mean_score(is_correct(by_token, gold), units),
        contextual=None if by_context is None else mean_score(is_correct(by_context, gold), units),
        per_character=mean_score(is_correct(by_length["characters"], gold), units)
        if "characters" in by_length
        else None,
        per_byte=mean_score(is_correct(by_length["bytes"], gold), units) if "bytes" in by_length else None,
    )


def centered_accuracy_influence(scores: Array, gold: Golds) -> Array:
    """Return the influence of each item on the centered accuracy, (items,). Their mean is the centered accuracy.

    scores: (items, labels), nats; gold: (items,). An item's influence is its hit under the full-sample centering plus
    the slope of the accuracy times the item's shift of the centering (a linearized bootstrap). The slope is taken
    within ± 2 standard errors. Re-centering each resample exactly gives intervals that are too wide in small cells.
    """
    residuals, shifts = centered(scores), label_mean_influence(scores)
    steps = SLOPE_REACH * shifts.std(axis=0) / np.sqrt(len(scores))
    slopes = np.zeros(scores.shape[1])
    for label in np.flatnonzero(steps):
        step = steps[label] * np.eye(scores.shape[1])[label]
        slopes[label] = (is_correct(residuals - step, gold) - is_correct(residuals + step, gold)).mean() / (
            2 * steps[label]
        )
    return is_correct(residuals, gold) + shifts @ slopes


def has_balanced_golds(gold: Golds, numbers: Golds) -> bool:
    """Whether every label is gold about as often as by chance: its share of the items within `IMBALANCE` of that.

    gold: (items,); numbers: (items,) how many labels each has. Otherwise centering, which makes the labels compete as
    equals, would take a right answer for a preference: of a model that is always right, it would call some answers
    wrong.
    """
    labels = int(numbers.max())
    by_chance = ((np.arange(labels) < numbers[:, np.newaxis]) / numbers[:, np.newaxis]).sum(axis=0)
    distance = np.abs(np.bincount(gold, minlength=labels) - by_chance)
    return bool((distance.round(9) <= round(IMBALANCE * len(gold), 9)).all())

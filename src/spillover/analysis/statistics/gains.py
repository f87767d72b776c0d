"""Compare two arms: a gain per language, a summary per task, verdicts.

`docs/statistics.md` has every rule and formula.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from spillover.analysis.statistics.calibrate import centered, contextual
from spillover.analysis.statistics.clusters import Clusters
from spillover.analysis.statistics.estimate import adjust, detectable_gain, macro_auc, mcnemar, wilson
from spillover.analysis.statistics.paired import MeanChange, effective_items, mean_change, over_languages, share
from spillover.analysis.statistics.pairing import ArmScores, Array, Golds, PairedCell, Units, is_correct, pair_arms
from spillover.analysis.statistics.verdicts import FEWEST_ITEMS, headline, sentence, verdict
from spillover.languages import get_language
from spillover.records import CONFIDENCE, ArmMetrics, Comparison, Estimate, Gain, GroupGain, Prediction, Summary

MARGIN = 0.02
"""Differences within ± this share count as equivalent."""

IMBALANCE = 0.05
"""Largest distance of a label's share of the golds from 1 / labels. Beyond it a gain is not split into parts."""

NEAR_TIE_NATS = 0.05
"""Largest distance of the two highest scores, in nats, at which half precision may change the choice."""

SLOPE_REACH = 2.0
"""Half the range over which the slope of the centered accuracy is taken, in standard errors of a label's mean."""

PROPERTIES: tuple[Literal["tier", "script", "family"], ...] = ("tier", "script", "family")


@dataclass(frozen=True, slots=True)
class _Test:
    """McNemar's test of one cell among those of the whole comparison."""

    fixed: int
    broken: int
    p: float
    adjusted: float
    alpha: float
    """Level at which Holm tests the smallest of all p-values."""


@dataclass(frozen=True, slots=True)
class _Outcomes:
    """Change of each item of one task, (items, languages); nan where a language lacks the item."""

    units: Units
    """(items,) the independent unit of each item."""
    difference: Array
    """1 where an item was fixed, −1 where it was broken, else 0."""
    centered: Array
    """The same change under centered scores."""
    influence: Array
    """Influence of each item on the difference of the centered accuracies."""

    def gain(self, columns: Sequence[int]) -> MeanChange:
        """Return the mean difference over some languages."""
        return mean_change(self.difference[:, columns], self.units)

    def discrimination(self, columns: Sequence[int]) -> Estimate:
        """Return the part of the gain due to better ranking of the labels."""
        return mean_change(self.centered[:, columns], self.units, self.influence[:, columns]).estimate()

    def label_prior(self, columns: Sequence[int]) -> Estimate:
        """Return the part of the gain due to a weaker bias toward one label."""
        rest, influence = (self.difference - part for part in (self.centered, self.influence))
        return mean_change(rest[:, columns], self.units, influence[:, columns]).estimate()

    @classmethod
    def of(cls, cells: Sequence[PairedCell]) -> "_Outcomes":
        """Put the items of a task's cells beside one another."""
        unit_of = {id: unit for cell in cells for id, unit in zip(cell.ids, cell.units, strict=True)}
        rows = {id: row for row, id in enumerate(sorted(unit_of))}
        values = np.full((3, len(rows), len(cells)), np.nan)
        for column, cell in enumerate(cells):
            arms = (cell.base.logprobs, cell.tuned.logprobs)
            hits = [is_correct(centered(scores), cell.gold) for scores in arms]
            contributions = [centered_accuracy_influence(scores, cell.gold) for scores in arms]
            place = [rows[id] for id in cell.ids]
            values[:, place, column] = cell.difference, hits[1] - hits[0], contributions[1] - contributions[0]
        return cls(np.array([unit_of[id] for id in rows]), *values)


def compare(
    base: Iterable[Prediction],
    tuned: Iterable[Prediction],
    tuned_on: Collection[str],
    pivot: str = "en",
    margin: float = MARGIN,
    correction: str = "holm",
    clusters: Mapping[str, Clusters] | None = None,
) -> Comparison:
    """Compare two arms over every task and language.

    Args:
        base: predictions of the one arm, any number of tasks and languages, in any order.
        tuned: predictions of the other, of the same items.
        tuned_on: codes of the languages that tuning read.
        pivot: code of the language that tuning wrote.
        margin: differences within ± this share count as equivalent.
        correction: how p-values are corrected for the number of tasks and languages (`CORRECTIONS`).
        clusters: task → an item's id → the first id of its cluster, of items that are not independent; the others, and
            all of a task that is not in it, are.

    Raises:
        SpilloverError: the arms do not share their items, golds and number of labels; a score is not finite.
    """
    cells = pair_arms(base, tuned, clusters)
    tests = _tests(cells, correction)
    gains: list[Gain] = []
    summaries: list[Summary] = []
    for task in dict.fromkeys(cell.task for cell in cells):
        members = [(cell, test) for cell, test in zip(cells, tests, strict=True) if cell.task == task]
        outcomes = _Outcomes.of([cell for cell, _ in members])
        of_task = [
            _gain(cell, group_of(cell.language, tuned_on, pivot), test, outcomes, column, margin)
            for column, (cell, test) in enumerate(members)
        ]
        gains += of_task
        summaries.append(_summary(of_task, outcomes, margin))
    return Comparison(tuple(gains), tuple(summaries), margin, correction, headline(gains, summaries))


def group_of(code: str, tuned_on: Collection[str], pivot: str) -> Literal["unseen", "tuned", "pivot"]:
    """Return the group that a language belongs to: the pivot, a language tuned on, or one that tuning never saw."""
    if code == pivot:
        return "pivot"
    return "tuned" if code in tuned_on else "unseen"


def _tests(cells: Sequence[PairedCell], correction: str) -> list[_Test]:
    changes = [(int((cell.difference > 0).sum()), int((cell.difference < 0).sum())) for cell in cells]
    p_values = [mcnemar(cell.difference, cell.units) for cell in cells]
    adjusted = adjust(p_values, correction)
    return [
        _Test(fixed, broken, p, float(corrected), (1 - CONFIDENCE) / len(cells))
        for (fixed, broken), p, corrected in zip(changes, p_values, adjusted, strict=True)
    ]


def centered_accuracy_influence(scores: Array, gold: Golds) -> Array:
    """Return the influence of each item on the centered accuracy, (items,). Their mean is the centered accuracy.

    scores: (items, labels), nats; gold: (items,). An item's influence is its hit under the full-sample centering plus
    the slope of the accuracy times the item's shift of the centering (a linearized bootstrap). The slope is taken
    within ± 2 standard errors. Re-centering each resample exactly gives intervals that are too wide in small cells.
    """
    residuals = centered(scores)
    steps = SLOPE_REACH * residuals.std(axis=0) / np.sqrt(len(scores))
    slopes = np.zeros(scores.shape[1])
    for label in np.flatnonzero(steps):
        step = steps[label] * np.eye(scores.shape[1])[label]
        slopes[label] = (is_correct(residuals - step, gold) - is_correct(residuals + step, gold)).mean() / (
            2 * steps[label]
        )
    return is_correct(residuals, gold) + residuals @ slopes


def _gain(
    cell: PairedCell,
    group: Literal["unseen", "tuned", "pivot"],
    test: _Test,
    outcomes: _Outcomes,
    column: int,
    margin: float,
) -> Gain:
    n, labels = cell.base.logprobs.shape
    gold = np.bincount(cell.gold, minlength=labels) / n
    change = outcomes.gain([column])
    difference = change.estimate()
    split = has_balanced_golds(cell.gold, labels)
    return Gain(
        task=cell.task,
        language=cell.language,
        group=group,
        n=n,
        chance=1 / labels,
        gold=tuple(gold.tolist()),
        base=_arm_metrics(cell.base, cell),
        tuned=_arm_metrics(cell.tuned, cell),
        difference=difference,
        fixed=test.fixed,
        broken=test.broken,
        p=test.p,
        p_adjusted=test.adjusted,
        minimum_detectable=detectable_gain(change.effective(), change.fixed + change.broken, test.alpha),
        discrimination=outcomes.discrimination([column]) if split else None,
        label_prior=outcomes.label_prior([column]) if split else None,
        verdict=verdict(difference, n, margin, significant=test.adjusted < 1 - CONFIDENCE),
        possible_harm=n >= FEWEST_ITEMS and difference.high < 0,
    )


def has_balanced_golds(gold: Golds, labels: int) -> bool:
    """Whether every label is gold about equally often: within `IMBALANCE` of 1 / labels.

    gold: (items,). Otherwise centering, which makes the labels compete as equals, would take a right answer for a
    preference: of a model that is always right, it would call some answers wrong.
    """
    counts = np.bincount(gold, minlength=labels)
    return bool((np.abs(counts * labels - len(gold)) <= round(IMBALANCE * labels * len(gold), 9)).all())


def _arm_metrics(arm: ArmScores, cell: PairedCell) -> ArmMetrics:
    """Return how one arm does in a cell."""
    scores, gold, units = arm.logprobs, cell.gold, cell.units
    n, labels = scores.shape
    ordered = np.sort(scores, axis=1)
    by_context = None if arm.content_free is None else contextual(scores, arm.content_free)
    return ArmMetrics(
        accuracy=_accuracy(scores, cell),
        centered=share(is_correct(centered(scores), gold), units, centered_accuracy_influence(scores, gold)),
        auc=macro_auc(scores, gold, units),
        chosen=tuple((np.bincount(scores.argmax(axis=1), minlength=labels) / n).tolist()),
        ties=int((ordered[:, -1] == ordered[:, -2]).sum()),
        near_ties=int((ordered[:, -1] - ordered[:, -2] <= NEAR_TIE_NATS).sum()),
        per_token=None if arm.logprobs_per_token is None else _accuracy(arm.logprobs_per_token, cell),
        contextual=None if by_context is None else _accuracy(by_context, cell),
    )


def _accuracy(scores: Array, cell: PairedCell) -> Estimate:
    hits = is_correct(scores, cell.gold)
    items = effective_items(hits, cell.units)
    return replace(wilson(hits.mean() * items, items), n=len(np.unique(cell.units)))


def _summary(gains: Sequence[Gain], outcomes: _Outcomes, margin: float) -> Summary:
    """Summarize one task; `gains` are in the order of the outcomes' columns."""
    columns, items = _columns(gains, "unseen"), len(outcomes.units)
    change = outcomes.gain(columns) if columns else None
    unseen = change.estimate() if change else None
    split = bool(columns) and all(gains[column].label_prior is not None for column in columns)
    worst = min(gains, key=lambda gain: gain.difference.value)
    values = np.array([gain.difference.value for gain in gains])
    summary = Summary(
        task=gains[0].task,
        n=items,
        unseen=unseen,
        unseen_general=over_languages(unseen, values[columns]) if unseen and len(columns) > 1 else None,
        tuned=_mean(outcomes, _columns(gains, "tuned")),
        overall=outcomes.gain(range(len(gains))).estimate(),
        pivot=_mean(outcomes, _columns(gains, "pivot")),
        worst_language=worst.language,
        worst=replace(worst.difference, low=min(gain.difference.low for gain in gains)),
        discrimination=outcomes.discrimination(columns) if split else None,
        label_prior=outcomes.label_prior(columns) if split else None,
        minimum_detectable=detectable_gain(change.effective(), change.fixed + change.broken) if change else None,
        by_property=_splits(gains, outcomes),
        verdict=verdict(unseen, items, margin) if unseen else None,
        sentence="",
    )
    changed = change is not None and change.fixed + change.broken > 0
    return replace(summary, sentence=sentence(summary, len(columns), margin, changed))


def _columns(gains: Sequence[Gain], group: str) -> list[int]:
    return [column for column, gain in enumerate(gains) if gain.group == group]


def _mean(outcomes: _Outcomes, columns: Sequence[int]) -> Estimate | None:
    """Return the mean over some languages; None over no language."""
    return outcomes.gain(columns).estimate() if columns else None


def _splits(gains: Sequence[Gain], outcomes: _Outcomes) -> tuple[GroupGain, ...]:
    members: dict[tuple[Literal["tier", "script", "family"], str], list[int]] = {}
    for by in PROPERTIES:
        for column in _columns(gains, "unseen"):
            members.setdefault((by, getattr(get_language(gains[column].language), by)), []).append(column)
    return tuple(
        GroupGain(by, name, tuple(gains[column].language for column in columns), outcomes.gain(columns).estimate())
        for (by, name), columns in members.items()
    )

"""From the predictions of two arms to what the report says: a gain a language, a summary a task, verdicts.

Every rule and formula is in `docs/statistics.md`. Knows records and arrays; neither a model nor a file.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from spillover.analysis.arms import ArmScores, Array, Golds, PairedCell, pair_arms, right
from spillover.analysis.calibrate import centered, contextual
from spillover.analysis.estimate import (
    LEVEL,
    adjust,
    bootstrap_means,
    detectable_gain,
    detectable_mean,
    general_interval,
    interval,
    macro_auc,
    mcnemar,
    wilson,
)
from spillover.analysis.verdicts import headline, sentence, verdict
from spillover.findings import Comparison, Gain, Performance, Split, Summary
from spillover.languages import language
from spillover.records import Estimate, Prediction

MARGIN = 0.02
"""Differences within ± this count as equivalent."""

IMBALANCE = 0.05
"""How far a label's share among the golds may be from 1 / labels before the split of a gain is withheld."""

CLOSE = 0.05
"""Nats between the two highest scores up to which half precision may turn a choice."""

SLOPE_REACH = 2.0
"""How many standard errors of a label's mean the slope of the centered accuracy is taken over."""

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
class _Draws:
    """Bootstrap draws of one task, (resamples, languages), all from the same resampled items."""

    difference: Array
    base: Array
    """Centered accuracies of the base arm."""
    tuned: Array
    """Those of the tuned arm."""

    def column(self, index: int) -> "_Draws":
        """Return the draws of one language, (resamples,) each."""
        return _Draws(self.difference[:, index], self.base[:, index], self.tuned[:, index])

    @property
    def discrimination(self) -> Array:
        return self.tuned - self.base

    @property
    def prior(self) -> Array:
        return self.difference - self.discrimination


def compare(
    base: Iterable[Prediction],
    tuned: Iterable[Prediction],
    tuned_on: Collection[str],
    pivot: str = "en",
    margin: float = MARGIN,
    correction: str = "holm",
    seed: int = 0,
) -> Comparison:
    """Compare two arms over every task and language.

    Args:
        base: predictions of the one arm, any number of tasks and languages, in any order.
        tuned: predictions of the other, of the same items.
        tuned_on: codes of the languages that tuning read.
        pivot: code of the language that tuning wrote.
        margin: differences within ± this share count as equivalent.
        correction: how p-values are corrected for the number of tasks and languages (`CORRECTIONS`).
        seed: of the bootstrap; the same seed gives the same numbers, whatever the order of the items.

    Raises:
        SpilloverError: the arms do not share their items, golds and number of labels; a score is not finite.
    """
    cells = pair_arms(base, tuned)
    tests = _tests(cells, correction)
    gains: list[Gain] = []
    summaries: list[Summary] = []
    for task in dict.fromkeys(cell.task for cell in cells):
        members = [(cell, test) for cell, test in zip(cells, tests, strict=True) if cell.task == task]
        draws = _draw([cell for cell, _ in members], seed)
        found = [
            _gain(cell, group_of(cell.language, tuned_on, pivot), test, draws.column(column), margin)
            for column, (cell, test) in enumerate(members)
        ]
        gains += found
        items = len({id for cell, _ in members for id in cell.ids})
        summaries.append(_summary(found, draws, items, margin, seed))
    return Comparison(tuple(gains), tuple(summaries), margin, correction, headline(gains, summaries))


def group_of(code: str, tuned_on: Collection[str], pivot: str) -> Literal["unseen", "tuned", "pivot"]:
    """Return the group that a language belongs to: the pivot, a language tuned on, or one that tuning never saw."""
    if code == pivot:
        return "pivot"
    return "tuned" if code in tuned_on else "unseen"


def _tests(cells: Sequence[PairedCell], correction: str) -> list[_Test]:
    changes = [(int((cell.difference > 0).sum()), int((cell.difference < 0).sum())) for cell in cells]
    p_values = [mcnemar(fixed, broken) for fixed, broken in changes]
    adjusted = adjust(p_values, correction)
    return [
        _Test(fixed, broken, p, float(corrected), (1 - LEVEL) / len(cells))
        for (fixed, broken), p, corrected in zip(changes, p_values, adjusted, strict=True)
    ]


def _draw(cells: Sequence[PairedCell], seed: int) -> _Draws:
    """Resample the items of a task once for all its languages and both arms."""
    rows = {id: row for row, id in enumerate(sorted({id for cell in cells for id in cell.ids}))}
    places = [np.array([rows[id] for id in cell.ids]) for cell in cells]
    values = np.full((3, len(rows), len(cells)), np.nan)
    for column, (cell, place) in enumerate(zip(cells, places, strict=True)):
        values[0, place, column] = cell.difference
        values[1, place, column] = recentered_hits(cell.base, cell.gold)
        values[2, place, column] = recentered_hits(cell.tuned, cell.gold)
    return _Draws(*np.split(bootstrap_means(np.hstack(list(values)), seed=seed), 3, axis=1))


def recentered_hits(scores: Array, gold: Golds) -> Array:
    """Return what each item contributes to the centered accuracy, (items,), its part in the centering included.

    scores: (items, labels), nats; gold: (items,). The mean is the centered accuracy. A resample's mean is, to first
    order, the accuracy with the centering estimated from that resample: hits by this sample's centering, and what a
    shift of the centering changes, by the accuracy's slope within ± 2 standard errors. Centering each resample to the
    letter follows the steps of the sample's own accuracy instead, and its intervals are too wide in small cells.
    """
    residuals = centered(scores)
    steps = SLOPE_REACH * residuals.std(axis=0) / np.sqrt(len(scores))
    slopes = np.zeros(scores.shape[1])
    for label in np.flatnonzero(steps):
        step = steps[label] * np.eye(scores.shape[1])[label]
        slopes[label] = (right(residuals - step, gold) - right(residuals + step, gold)).mean() / (2 * steps[label])
    return right(residuals, gold) + residuals @ slopes


def _gain(
    cell: PairedCell, group: Literal["unseen", "tuned", "pivot"], test: _Test, draws: _Draws, margin: float
) -> Gain:
    n, labels = cell.base.shape
    gold = np.bincount(cell.gold, minlength=labels) / n
    difference = interval(cell.difference.mean(), draws.difference, n)
    base = _performance(cell.before, cell.gold, draws.base)
    tuned = _performance(cell.after, cell.gold, draws.tuned)
    split = balanced(cell.gold, labels)
    discrimination = tuned.centered.value - base.centered.value
    return Gain(
        task=cell.task,
        language=cell.language,
        group=group,
        n=n,
        chance=1 / labels,
        gold=tuple(gold.tolist()),
        base=base,
        tuned=tuned,
        difference=difference,
        fixed=test.fixed,
        broken=test.broken,
        p=test.p,
        p_adjusted=test.adjusted,
        detectable=detectable_gain(n, (test.fixed + test.broken) / n, test.alpha),
        discrimination=interval(discrimination, draws.discrimination, n) if split else None,
        prior=interval(difference.value - discrimination, draws.prior, n) if split else None,
        verdict=verdict(difference, n, margin, significant=test.adjusted < 1 - LEVEL),
        alarm=difference.high < 0,
    )


def balanced(gold: Golds, labels: int) -> bool:
    """Whether every label is gold about equally often: within `IMBALANCE` of 1 / labels.

    gold: (items,). Otherwise centering, which makes the labels compete as equals, would take a right answer for a
    preference: of a model that is always right, it would call some answers wrong.
    """
    counts = np.bincount(gold, minlength=labels)
    return bool((np.abs(counts * labels - len(gold)) <= round(IMBALANCE * labels * len(gold), 9)).all())


def _performance(arm: ArmScores, gold: Golds, recentered: Array) -> Performance:
    """Return how one arm does in a cell; `recentered` are the bootstrap draws of its centered accuracy."""
    scores = arm.raw
    n, labels = scores.shape
    ordered = np.sort(scores, axis=1)
    by_context = None if arm.content_free is None else contextual(scores, arm.content_free)
    return Performance(
        accuracy=_accuracy(scores, gold),
        centered=interval(right(centered(scores), gold).mean(), recentered, n),
        auc=macro_auc(scores, gold),
        chosen=tuple((np.bincount(scores.argmax(axis=1), minlength=labels) / n).tolist()),
        ties=int((ordered[:, -1] == ordered[:, -2]).sum()),
        close=int((ordered[:, -1] - ordered[:, -2] <= CLOSE).sum()),
        normalized=None if arm.normalized is None else _accuracy(arm.normalized, gold),
        contextual=None if by_context is None else _accuracy(by_context, gold),
    )


def _accuracy(scores: Array, gold: Golds) -> Estimate:
    return wilson(int(right(scores, gold).sum()), len(gold))


def _summary(gains: Sequence[Gain], draws: _Draws, items: int, margin: float, seed: int) -> Summary:
    """Summarize one task, `gains` in the order of the draws' columns, over `items` different items."""
    columns = _columns(gains, "unseen")
    values = [gain.difference.value for gain in gains]
    unseen = _mean(values, draws.difference, columns, items)
    general = None
    if len(columns) > 1:
        general = general_interval(np.array(values)[columns], draws.difference[:, columns], seed)
    worst = min(gains, key=lambda gain: gain.difference.value)
    summary = Summary(
        task=gains[0].task,
        n=items,
        unseen=unseen,
        unseen_general=general,
        tuned=_mean(values, draws.difference, _columns(gains, "tuned"), items),
        overall=interval(float(np.mean(values)), draws.difference.mean(axis=1), items),
        pivot=_mean(values, draws.difference, _columns(gains, "pivot"), items),
        worst_language=worst.language,
        worst=replace(worst.difference, low=min(gain.difference.low for gain in gains)),
        discrimination=_mean([_value(g.discrimination) for g in gains], draws.discrimination, columns, items),
        prior=_mean([_value(g.prior) for g in gains], draws.prior, columns, items),
        detectable=detectable_mean(draws.difference[:, columns].mean(axis=1)) if unseen else None,
        splits=_splits(gains, draws.difference, items),
        verdict=verdict(unseen, items, margin) if unseen else None,
        sentence="",
    )
    return replace(summary, sentence=sentence(summary, len(columns), margin))


def _columns(gains: Sequence[Gain], group: str) -> list[int]:
    return [column for column, gain in enumerate(gains) if gain.group == group]


def _value(estimate: Estimate | None) -> float:
    return np.nan if estimate is None else estimate.value


def _mean(values: Sequence[float], draws: Array, columns: Sequence[int], items: int) -> Estimate | None:
    """Return the mean over some languages; None over no language, or where one of them has no value."""
    mean = np.mean([values[column] for column in columns]) if columns else np.nan
    return None if np.isnan(mean) else interval(float(mean), draws[:, columns].mean(axis=1), items)


def _splits(gains: Sequence[Gain], draws: Array, items: int) -> tuple[Split, ...]:
    values = [gain.difference.value for gain in gains]
    found = []
    for by in PROPERTIES:
        members: dict[str, list[int]] = {}
        for column, gain in enumerate(gains):
            if gain.group == "unseen":
                members.setdefault(getattr(language(gain.language), by), []).append(column)
        for name, columns in members.items():
            mean = _mean(values, draws, columns, items)
            if mean is not None:
                found.append(Split(by, name, tuple(gains[column].language for column in columns), mean))
    return tuple(found)

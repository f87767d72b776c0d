"""Compare arms: a gain per language, a summary per task, verdicts.

`docs/statistics.md` has every rule and formula.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from spillover.analysis.statistics.answer_language import language_harm, pass_rate_change
from spillover.analysis.statistics.cell_changes import CellChange, Outcomes, measure_cells
from spillover.analysis.statistics.clusters import Clusters
from spillover.analysis.statistics.estimate import adjust, detectable_gain, paired_test
from spillover.analysis.statistics.groups import Group, group_of
from spillover.analysis.statistics.paired import MeanChange, critical, mean_score, over_languages, share
from spillover.analysis.statistics.pairing import PairedCell, pair_arms
from spillover.analysis.statistics.reasons import answer_metrics
from spillover.analysis.statistics.verdicts import FEWEST_ITEMS, headline, sentence, verdict, within
from spillover.languages import get_language
from spillover.records import (
    CONFIDENCE,
    ArmMetrics,
    ChoiceGain,
    ChoiceMetrics,
    Comparison,
    Estimate,
    Gain,
    GroupGain,
    ReasonPart,
    Result,
    Summary,
)

MARGIN = 0.02
"""Differences within ± this share count as equivalent."""

PROPERTIES: tuple[Literal["tier", "script", "family"], ...] = ("tier", "script", "family")

Names = tuple[str, str]
"""Names of two arms: the reference, and the arm that is compared with it."""


@dataclass(frozen=True, slots=True)
class _Test:
    """The paired test of one cell among those of all comparisons."""

    p: float
    adjusted: float
    alpha: float
    """Level at which Holm tests the smallest of all p-values."""


def compare(
    base: Iterable[Result],
    tuned: Iterable[Result],
    tuned_on: Collection[str],
    pivot: str = "en",
    margin: float = MARGIN,
    correction: str = "holm",
    clusters: Mapping[str, Clusters] | None = None,
) -> Comparison:
    """Compare a tuned model with its base over every task and language.

    Args:
        base: results of the one arm, any number of tasks and languages, in any order: predictions in tasks with labels,
            outcomes in tasks with answers in words.
        tuned: results of the other, of the same items.
        tuned_on: codes of the languages that tuning read.
        pivot: code of the language that tuning wrote.
        margin: differences within ± this share count as equivalent.
        correction: how p-values are corrected for the number of tasks and languages (`CORRECTIONS`).
        clusters: task → an item's id → the first id of its cluster, of items that are not independent; the others, and
            all of a task that is not in it, are.

    Raises:
        SpilloverError: the arms do not share their items, golds and number of labels; a score is not finite.
    """
    arms = {"base": base, "tuned": tuned}
    return compare_pairs(arms, [("base", "tuned")], tuned_on, pivot, margin, correction, clusters)[0]


def compare_pairs(
    arms: Mapping[str, Iterable[Result]],
    pairs: Sequence[Names],
    tuned_on: Collection[str],
    pivot: str = "en",
    margin: float = MARGIN,
    correction: str = "holm",
    clusters: Mapping[str, Clusters] | None = None,
    tuned: bool = True,
) -> tuple[Comparison, ...]:
    """Compare pairs of arms, with p-values corrected for the number of tests of all of them.

    arms: name → its results; pairs: which arms to compare, the primary comparison first; tuned: whether anything was
    tuned, for the sentences. The rest is as for `compare`.

    Raises:
        SpilloverError: two arms do not share their items, golds and number of labels; a score is not finite.
    """
    cells = [pair_arms(arms[names[0]], arms[names[1]], clusters, names) for names in pairs]
    tests = iter(_tests([cell for of_pair in cells for cell in of_pair], correction))
    return tuple(
        _comparison(names, of_pair, [next(tests) for _ in of_pair], (tuned_on, pivot), margin, correction, tuned)
        for names, of_pair in zip(pairs, cells, strict=True)
    )


def _comparison(
    names: Names,
    cells: Sequence[PairedCell],
    tests: Sequence[_Test],
    seen: tuple[Collection[str], str],
    margin: float,
    correction: str,
    tuned: bool,
) -> Comparison:
    gains: list[Gain] = []
    summaries: list[Summary] = []
    for task in dict.fromkeys(cell.task for cell in cells):
        members = [(cell, test) for cell, test in zip(cells, tests, strict=True) if cell.task == task]
        outcomes = Outcomes.of([cell for cell, _ in members])
        measured = measure_cells([cell for cell, _ in members], outcomes)
        of_task = [
            _gain(cell, group_of(cell.language, *seen), test, of_cell, outcomes.reasons([column]), margin)
            for column, ((cell, test), of_cell) in enumerate(zip(members, measured, strict=True))
        ]
        gains += of_task
        summaries.append(_summary(of_task, outcomes, margin, tuned))
    return Comparison(*names, tuple(gains), tuple(summaries), margin, correction, headline(gains, summaries, tuned))


def _tests(cells: Sequence[PairedCell], correction: str) -> list[_Test]:
    p_values = [paired_test(cell.difference, cell.units) for cell in cells]
    alpha = (1 - CONFIDENCE) / len(cells)
    return [
        _Test(p, float(corrected), alpha) for p, corrected in zip(p_values, adjust(p_values, correction), strict=True)
    ]


def _gain(
    cell: PairedCell, group: Group, test: _Test, measured: CellChange, reasons: tuple[ReasonPart, ...], margin: float
) -> Gain:
    n, change, difference, language = len(cell.ids), measured.change, measured.difference, _language_change(cell)
    return Gain(
        task=cell.task,
        language=cell.language,
        group=group,
        n=n,
        reference=_arm_metrics(cell, 0, measured.metrics[0]),
        arm=_arm_metrics(cell, 1, measured.metrics[1]),
        difference=difference,
        fixed=int((cell.difference > 0).sum()),
        broken=int((cell.difference < 0).sum()),
        p=test.p,
        p_adjusted=test.adjusted,
        minimum_detectable=detectable_gain(change.effective(), change.fixed + change.broken, test.alpha),
        choices=measured.choices,
        reasons=reasons,
        answer_language=language,
        language_harm=language is not None and language_harm(language),
        verdict=verdict(difference, n, margin, significant=test.adjusted < 1 - CONFIDENCE),
        possible_harm=n >= FEWEST_ITEMS and difference.high < 0 and not _surely_small(change, test.alpha, margin),
    )


def _surely_small(change: MeanChange, alpha: float, margin: float) -> bool:
    """Whether a change is smaller than the margin beyond doubt, in an interval corrected for the number of tests."""
    return within(change.estimate(z=critical(change.units - 1, alpha)), margin)


def _language_change(cell: PairedCell) -> Estimate | None:
    before, after = (arm[0][:, np.newaxis] for arm in cell.in_language)
    return pass_rate_change(before, after, cell.units)


def _arm_metrics(cell: PairedCell, place: int, choices: ChoiceMetrics | None) -> ArmMetrics:
    """Return how one arm does in a cell; `place` is 0 for the reference, 1 for the arm."""
    return ArmMetrics(
        score=mean_score((cell.reference, cell.arm)[place], cell.units),
        choices=choices,
        answers=None if choices else answer_metrics(cell.reasons[place], cell.in_language[place]),
    )


def _summary(gains: Sequence[Gain], outcomes: Outcomes, margin: float, tuned: bool) -> Summary:
    """Summarize one task; `gains` are in the order of the outcomes' columns."""
    columns, items = _columns(gains, "unseen"), len(outcomes.units)
    change = outcomes.gain(columns) if columns else None
    unseen = change.estimate() if change else None
    splits = [gains[column].choices for column in columns]
    labels = outcomes.labels if splits and all(map(_is_split, splits)) else None
    gold = outcomes.labels.margin_change(columns) if outcomes.labels and columns else (None, None)
    worst = min(gains, key=lambda gain: gain.difference.value)
    values = np.array([gain.difference.value for gain in gains])
    summary = Summary(
        task=gains[0].task,
        n=items,
        reference_score=share(outcomes.reference, outcomes.units),
        arm_score=share(outcomes.arm, outcomes.units),
        unseen=unseen,
        unseen_general=over_languages(unseen, values[columns]) if unseen and len(columns) > 1 else None,
        tuned=_mean(outcomes, _columns(gains, "tuned")),
        overall=outcomes.gain(range(len(gains))).estimate(),
        pivot=_mean(outcomes, _columns(gains, "pivot")),
        worst_language=worst.language,
        worst=replace(worst.difference, low=min(gain.difference.low for gain in gains)),
        discrimination=labels.discrimination([columns])[0] if labels else None,
        label_prior=labels.label_prior([columns])[0] if labels else None,
        reasons=outcomes.reasons(columns),
        minimum_detectable=detectable_gain(change.effective(), change.fixed + change.broken) if change else None,
        margin=gold[0],
        margin_detectable=gold[1],
        per_character=outcomes.labels.length_change("characters", columns) if outcomes.labels else None,
        per_byte=outcomes.labels.length_change("bytes", columns) if outcomes.labels else None,
        by_property=_splits(gains, outcomes),
        verdict=verdict(unseen, items, margin) if unseen else None,
        sentence="",
    )
    changed = change is not None and change.fixed + change.broken > 0
    return replace(summary, sentence=sentence(summary, len(columns), margin, changed, tuned))


def _is_split(choices: ChoiceGain | None) -> bool:
    return choices is not None and choices.label_prior is not None


def _columns(gains: Sequence[Gain], group: str) -> list[int]:
    return [column for column, gain in enumerate(gains) if gain.group == group]


def _mean(outcomes: Outcomes, columns: Sequence[int]) -> Estimate | None:
    """Return the mean over some languages; None over no language."""
    return outcomes.gain(columns).estimate() if columns else None


def _splits(gains: Sequence[Gain], outcomes: Outcomes) -> tuple[GroupGain, ...]:
    members: dict[tuple[Literal["tier", "script", "family"], str], list[int]] = {}
    for by in PROPERTIES:
        for column in _columns(gains, "unseen"):
            if value := getattr(get_language(gains[column].language), by):  # empty where it is unknown
                members.setdefault((by, value), []).append(column)
    return tuple(
        GroupGain(by, name, tuple(gains[column].language for column in columns), outcomes.gain(columns).estimate())
        for (by, name), columns in members.items()
    )

"""Scores and gains of every arm as tables: gains per language, scores per arm, summaries per task.

Pure: findings in, tables out.
"""

from collections.abc import Mapping, Sequence

from spillover.languages import get_language
from spillover.records import REASONS, ArmMetrics, Comparison, Findings, Gain, Summary
from spillover.report.tables.table import Table
from spillover.utils.formatting import MINUS, nats_with_interval, percent, share_with_interval, with_interval

GROUPS = {"unseen": "not tuned on", "tuned": "tuned on", "pivot": "pivot"}
"""Group of a gain → its name for readers."""

UNTUNED_GROUPS = {"unseen": "measured", "pivot": "pivot"}
"""The same where nothing was tuned."""


def group_names(findings: Findings) -> dict[str, str]:
    """Return group → its name for readers."""
    return GROUPS if findings.setup.mixture or findings.setup.tuned_on else UNTUNED_GROUPS


def by_arm(findings: Findings) -> dict[str, Comparison]:
    """Return the arms, the primary reference first: name → a comparison that has it."""
    arms: dict[str, Comparison] = {}
    for comparison in findings.comparisons:
        arms.setdefault(comparison.reference, comparison)
        arms.setdefault(comparison.arm, comparison)
    return arms


def metrics(gain: Gain, arm: str, comparison: Comparison) -> ArmMetrics:
    """Return how the arm of this name does in a cell of a comparison that has it."""
    return gain.reference if arm == comparison.reference else gain.arm


def by_task(comparison: Comparison) -> list[tuple[str, list[Gain]]]:
    """Return each task, in the comparison's order, with its gains."""
    names = dict.fromkeys(gain.task for gain in comparison.gains)
    return [(name, [gain for gain in comparison.gains if gain.task == name]) for name in names]


def unit(gains: Sequence[Gain]) -> str:
    """Return what the mean score of a task's items is called."""
    return "accuracy" if gains[0].choices else "score"


def summary(findings: Findings) -> list[Table]:
    """Return two tables per comparison with a row per task: mean differences in points, and the gold margin's."""
    means = _means(findings)
    tables = []
    for comparison in findings.comparisons:
        rows = tuple(
            (s.task, *(with_interval(getattr(s, field)) for field in means.values()), s.verdict or "no verdict")
            for s in comparison.summaries
        )
        caption = f"Mean difference ({comparison.arm} − {comparison.reference}) in points, with 95% intervals."
        tables.append(Table(caption, ("task", *means, "verdict"), rows))
        tables += _margins(comparison, next(iter(means)))
    return tables


def _margins(comparison: Comparison, group: str) -> list[Table]:
    """Return the change of the gold margin next to that of the score; nothing without tasks that have labels."""
    rows = tuple(
        (s.task, with_interval(s.unseen), _points(s.minimum_detectable), nats_with_interval(s.margin), f"{least:.2f}")
        for s in comparison.summaries
        if (least := s.margin_detectable) is not None
    )
    caption = (
        f"Gold margin ({comparison.arm} − {comparison.reference}, {group}): change in nats of the right label's score "
        "− logsumexp of the others', next to the change of the score in points. Detectable: with 80% power."
    )
    header = ("task", "points", "detectable", "nats", "detectable nats")
    return [Table(caption, header, rows)] if rows else []


def _points(share: float | None) -> str:
    return MINUS if share is None else f"{100 * share:.1f}"


def _means(findings: Findings) -> dict[str, str]:
    """Return the name of each mean over languages → the field of a `Summary` that has it."""
    if group_names(findings) is GROUPS:
        return {"not tuned on": "unseen", "tuned on": "tuned", "all languages": "overall"}
    pivot = any(summary.pivot for comparison in findings.comparisons for summary in comparison.summaries)
    return {"all but the pivot": "unseen", "all languages": "overall"} if pivot else {"all languages": "overall"}


def arms(findings: Findings) -> list[Table]:
    """Return a row per arm, a column per task: the mean score over all languages in percent. Nothing for two arms."""
    if len(findings.comparisons) == 1:
        return []
    tasks = [summary.task for summary in findings.comparisons[0].summaries]
    rows = []
    for arm, comparison in by_arm(findings).items():
        scores = [s.reference_score if arm == comparison.reference else s.arm_score for s in comparison.summaries]
        rows.append((arm, *(share_with_interval(score) for score in scores)))
    caption = "Mean score of each arm over all languages in percent, with 95% intervals over items."
    return [Table(caption, ("arm", *tasks), tuple(rows))]


def gains(findings: Findings) -> list[Table]:
    """Return a table per comparison and task with a row per language, the largest gain first."""
    return [
        _gains(task, members, comparison, group_names(findings))
        for comparison in findings.comparisons
        for task, members in by_task(comparison)
    ]


def _gains(task: str, gains: Sequence[Gain], comparison: Comparison, names_of: Mapping[str, str]) -> Table:
    if gains[0].choices:
        test, parts = "McNemar's test", "discrimination and label prior"
        names: tuple[str, ...] = ("discrimination", "label prior", "gold margin")
    else:
        test, parts = "a paired test", "the parts by reason, which are what fewer answers were lost for"
        names = tuple(part.reason for part in gains[0].reasons)
    header = (
        *("language", "group", comparison.reference, comparison.arm, "difference", "verdict"),
        *("fixed / broken", "p", "detectable", *names),
    )
    margin = " Gold margin: its change in nats." if gains[0].choices else ""
    caption = (
        f"{task}: gains in points, largest first. p: {test}, corrected ({comparison.correction}). Detectable: "
        f"the smallest gain that these items show with 80% power. The gain is the sum of {parts}.{margin}"
    )
    ranked = sorted(gains, key=lambda gain: gain.difference.value, reverse=True)
    return Table(caption, header, tuple(_gain_row(gain, names_of[gain.group]) for gain in ranked), keys=2)


def _gain_row(gain: Gain, group: str) -> tuple[str, ...]:
    parts = [gain.choices.discrimination, gain.choices.label_prior] if gain.choices else [p.part for p in gain.reasons]
    return (
        get_language(gain.language).name,
        group,
        percent(gain.reference.score.value),
        percent(gain.arm.score.value),
        with_interval(gain.difference),
        f"{gain.verdict}{' (possible harm)' if gain.possible_harm else ''}",
        f"{gain.fixed} / {gain.broken}",
        f"{gain.p_adjusted:.3f}",
        f"{100 * gain.minimum_detectable:.1f}",
        *(with_interval(part, "withheld") for part in parts),
        *((nats_with_interval(gain.choices.margin),) if gain.choices else ()),
    )


CHOICE_COLUMNS = ("accuracy", "centered", "contextual", "per token", "AUC", "labels chosen", "close")
"""Columns of an arm in the table of accuracy, for a task with labels."""

ANSWER_COLUMNS = ("score", *REASONS, "in language", "lines in language")
"""The same for a task with answers in words."""


def accuracy(findings: Findings) -> list[Table]:
    """Return a table per task with a row per language: each arm's score, and what the labels or the answers tell."""
    members = by_arm(findings)
    by_comparison = {name: dict(by_task(comparison)) for name, comparison in members.items()}
    tables = []
    for task, gains in by_task(findings.comparisons[0]):
        columns = CHOICE_COLUMNS if gains[0].choices else ANSWER_COLUMNS
        header = ("language", "items", *(f"{column}, {arm}" for arm in members for column in columns))
        rows = [
            (
                get_language(gain.language).name,
                str(gain.n),
                *(
                    text
                    for arm, comparison in members.items()
                    for text in _arm_cells(by_comparison[arm][task][place], arm, comparison)
                ),
            )
            for place, gain in enumerate(gains)
        ]
        tables.append(Table(f"{task}: {_accuracy_caption(gains)}", header, tuple(rows)))
    return tables


def _accuracy_caption(gains: Sequence[Gain]) -> str:
    choices = gains[0].choices
    if choices is None:
        return (
            "mean score in percent with its 95% interval, then the share of answers by reason in percent. In language: "
            "answers in no other language than the one asked for. Lines in language: answers all of whose lines are, "
            "of those with a line long enough to tell."
        )
    return (
        f"accuracy in percent with its 95% interval; chance is {_chance(gains)}{_unbalanced(gains)}. "
        "Centered: after centering each label. Contextual: after contextual calibration. Per token: by "
        "log-probability per token. AUC: macro AUC in percent; chance is 50. Labels chosen: shares in the task's "
        "order. Close: items whose two best labels are within 0.05 nats; half precision may order them otherwise."
    )


def _chance(gains: Sequence[Gain]) -> str:
    """Return the accuracy of guessing, in percent: of all languages, else the lowest and the highest."""
    shares = sorted({percent(gain.choices.chance) for gain in gains if gain.choices}, key=float)
    return " to ".join(dict.fromkeys((shares[0], shares[-1])))


def _unbalanced(gains: Sequence[Gain]) -> str:
    """Return the accuracy of always giving the most frequent label, if the golds are unbalanced."""
    shares = [max(gain.choices.gold) for gain in gains if gain.choices and gain.choices.discrimination is None]
    return f"; always giving the most frequent label: up to {percent(max(shares))}" if shares else ""


def _arm_cells(gain: Gain, arm: str, comparison: Comparison) -> tuple[str, ...]:
    measured = metrics(gain, arm, comparison)
    score = share_with_interval(measured.score)
    if measured.choices is None:
        answers = measured.answers
        rates = (answers.in_language, answers.lines_in_language) if answers else (None, None)
        shares = (percent(share) for share in (answers.reasons if answers else ()))
        return score, *shares, *(MINUS if rate is None else percent(rate) for rate in rates)
    choices = measured.choices
    auc = percent(choices.auc.value) if choices.auc else MINUS
    contextual, normalized = (percent(e.value) if e else MINUS for e in (choices.contextual, choices.per_token))
    chosen = " / ".join(percent(share) for share in choices.chosen)
    # Centering and the discrimination part both suppose balanced golds.
    withheld = gain.choices is not None and gain.choices.discrimination is None
    centered = "withheld" if withheld else percent(choices.centered.value)
    return score, centered, contextual, normalized, auc, chosen, str(choices.near_ties)


LENGTHS = {"per character": "per_character", "per byte": "per_byte"}
"""Name of an accuracy by the length of the choices → the field that has it, in metrics, gains and summaries."""


def lengths(findings: Findings) -> list[Table]:
    """Return per comparison, task and length that the task asks for a table: both accuracies and their difference."""
    return [
        _of_length(comparison, summary, name, field, group_names(findings)["unseen"])
        for comparison in findings.comparisons
        for summary, (_, gains) in zip(comparison.summaries, by_task(comparison), strict=True)
        for name, field in LENGTHS.items()
        if gains[0].choices and getattr(gains[0].choices, field)
    ]


def _of_length(comparison: Comparison, summary: Summary, name: str, field: str, group: str) -> Table:
    rows = [
        (
            get_language(gain.language).name,
            *(_length_cell(arm, field) for arm in (gain.reference, gain.arm)),
            with_interval(getattr(gain.choices, field)),
            with_interval(gain.difference),
        )
        for gain in comparison.gains
        if gain.task == summary.task
    ]
    if summary.unseen:
        rows.append((f"mean, {group}", "", "", with_interval(getattr(summary, field)), with_interval(summary.unseen)))
    caption = (
        f"{summary.task}: accuracy {name} in percent. The choice with the highest log-probability {name} of its text "
        "counts as chosen. Differences are in points, with 95% intervals."
    )
    header = ("language", comparison.reference, comparison.arm, f"difference, {name}", "difference, plain accuracy")
    return Table(caption, header, tuple(rows))


def _length_cell(arm: ArmMetrics, field: str) -> str:
    assert arm.choices is not None
    return share_with_interval(getattr(arm.choices, field))


def splits(findings: Findings) -> list[Table]:
    """Return per comparison a row per task and property: the mean difference over unseen languages that share it."""
    tables = []
    for comparison in findings.comparisons:
        rows = [
            (summary.task, split.by, split.name, with_interval(split.difference), ", ".join(split.languages))
            for summary in comparison.summaries
            for split in summary.by_property
        ]
        caption = (
            f"Mean difference ({comparison.arm} − {comparison.reference}) over the languages "
            f"{group_names(findings)['unseen']} that share a property, in points."
        )
        header = ("task", "by", "which", "difference", "languages")
        tables += [Table(caption, header, tuple(rows), keys=3)] if rows else []
    return tables

"""Answers in words as a figure: what became of them, per language and arm. Pure: findings in, charts out."""

from itertools import accumulate

from spillover.languages import get_language
from spillover.records import REASONS, Findings
from spillover.report.figures import charts
from spillover.report.figures.charts import Datum
from spillover.report.figures.figure import Figure, Plot, slugs
from spillover.report.tables.gains import by_arm, by_task, metrics
from spillover.utils.formatting import percent, plural

MIN_LABELED = 0.08
"""Least share whose number fits into its part of a bar."""


def answers(findings: Findings) -> Figure:
    """Stacked bars: the share of answers with each of the five reasons, a bar per language and arm."""
    groups = [(task, gains) for task, gains in by_task(findings.comparisons[0]) if gains[0].choices is None]
    names = slugs([task for task, _ in groups])
    plots = [_plot(findings, task, name) for (task, _), name in zip(groups, names, strict=True)]
    return Figure(
        "Answers",
        "Each bar is all answers of one arm in one language. The arms are, from top to bottom: "
        f"{', '.join(by_arm(findings))}. The parts of a bar are, from left to right: right, wrong, unreadable (the "
        "grader found no answer of the kind it expects), wrong language, ran on (no end before the limit). "
        "Numbers are percent. More right answers with fewer that ran on may be a matter of form, not of knowledge.",
        tuple(plots),
    )


def _plot(findings: Findings, task: str, name: str) -> Plot:
    arms = by_arm(findings)
    rows: list[Datum] = []
    right: dict[str, list[float]] = {arm: [] for arm in arms}
    for arm, comparison in arms.items():
        for gain in dict(by_task(comparison))[task]:
            shares = metrics(gain, arm, comparison).answers
            if shares:
                rows += _bar(get_language(gain.language).name, arm, shares.reasons)
                right[arm].append(shares.reasons[0])
    means = " to ".join(f"{percent(sum(shares) / len(shares))} ({arm})" for arm, shares in right.items())
    languages = len({row["language"] for row in rows})
    alt_text = f"Stacked bars of {task} in {plural(languages, 'language')}: right answers on average {means} percent."
    return Plot(f"answers-{name}", task, alt_text, charts.shares(rows, list(arms), REASONS), width=520)


def _bar(language: str, arm: str, shares: tuple[float, ...]) -> list[Datum]:
    """Return the parts of one bar that are not empty."""
    ends = list(accumulate(shares))
    return [
        {
            "language": language,
            "arm": arm,
            "reason": reason,
            "from": round(end - share, 4),
            "to": round(end, 4),
            "middle": round(end - share / 2, 4),
            "percent": percent(share),
            "label": f"{100 * share:.0f}" if share >= MIN_LABELED else "",
        }
        for reason, share, end in zip(REASONS, shares, ends, strict=True)
        if share
    ]

"""How records show themselves in a notebook: a sentence and a small table as HTML, without any library.

Every text is untrusted, so it is escaped.
"""

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from spillover.records.estimates import Estimate

if TYPE_CHECKING:
    from spillover.records.comparison import Comparison
    from spillover.records.run import Findings
    from spillover.records.runs import RunComparison


def of_comparison(comparison: "Comparison") -> str:
    """Return the verdicts, a row per task with means over languages, and a table of all languages."""
    arms = (f"{comparison.reference} (%)", f"{comparison.arm} (%)")
    parts = _means(comparison)
    tasks = [
        (
            summary.task,
            f"{100 * summary.reference_score.value:.1f}",
            f"{100 * summary.arm_score.value:.1f}",
            *(in_points(getattr(summary, field)) for field in parts.values()),
            f"{summary.worst_language} {in_points(summary.worst)}",
            summary.verdict or "no verdict",
        )
        for summary in comparison.summaries
    ]
    gains = [
        (
            gain.task,
            gain.language,
            f"{100 * gain.reference.score.value:.1f}",
            f"{100 * gain.arm.score.value:.1f}",
            in_points(gain.difference),
            gain.verdict,
        )
        for gain in comparison.gains
    ]
    header = ("task", *arms, *(f"{name} (points)" for name in parts), "worst language", "verdict")
    languages = table(("task", "language", *arms, "difference (points)", "verdict"), gains, keys=2)
    return (
        f"{''.join(paragraph(summary.sentence) for summary in comparison.summaries)}"
        f"{table(header, tasks)}"
        f"<details><summary>Each language</summary>{languages}</details>"
    )


def _means(comparison: "Comparison") -> dict[str, str]:
    """Return the name of each mean difference → the field of a `Summary` that has it, in every summary."""
    groups = {gain.group for gain in comparison.gains}
    if groups == {"unseen"} or any(summary.unseen is None for summary in comparison.summaries):
        return {"difference": "overall"}
    others = "not tuned on" if "tuned" in groups else "all but the pivot"
    return {"all languages": "overall", others: "unseen"}


def of_findings(findings: "Findings") -> str:
    """Return whether the treatment took, where something was tuned, then each comparison."""
    treatment = paragraph(findings.treatment.sentence) if findings.treatment else ""
    return treatment + "".join(of_comparison(comparison) for comparison in findings.comparisons)


def of_runs(comparison: "RunComparison") -> str:
    """Return whether each treatment took, a row per recipe and task, and a row per pair of recipes."""
    recipes = [
        (recipe.name, result.title, str(recipe.seeds), in_points(result.gain) if result.gain else "")
        for recipe in comparison.recipes
        for result in recipe.results
    ]
    pairs = [
        (pair.one, pair.other, pair.title, in_points(pair.difference), "" if pair.measure else pair.verdict)
        for pair in comparison.comparisons
    ]
    return (
        "".join(map(paragraph, comparison.treatments))
        + table(("run", "task", "seeds", "gain, not tuned on (points)"), recipes, keys=2)
        + (table(("first", "second", "task", "first − second (points)", "verdict"), pairs, keys=3) if pairs else "")
    )


def paragraph(sentence: str) -> str:
    """Return a sentence as HTML."""
    return f"<p>{escape(sentence)}</p>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], keys: int = 1) -> str:
    """Return a table as HTML. The first `keys` columns name a row and are aligned at the left."""

    def row(tag: str, texts: Sequence[str]) -> str:
        cells = (
            f'<{tag} style="text-align: {"left" if column < keys else "right"}">{escape(text)}</{tag}>'
            for column, text in enumerate(texts)
        )
        return f"<tr>{''.join(cells)}</tr>"

    body = "".join(row("td", texts) for texts in rows)
    return f"<table><thead>{row('th', header)}</thead><tbody>{body}</tbody></table>"


def in_points(estimate: Estimate) -> str:
    """Write a difference in points with its interval: `+5.2 [+3.1, +7.3]`."""
    value, low, high = map(_points, (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def _points(share: float) -> str:
    tenths = round(100 * share, 1)
    return f"{tenths:+.1f}".replace("-", "−") if tenths else "0.0"

"""Faults of the data as tables: the defects that lint reports, the flags of the pairs tuned on, and their quality.

Pure: findings in, tables out.
"""

from spillover.languages import get_language
from spillover.records import Findings
from spillover.report.tables.table import Table
from spillover.utils.formatting import minus


def doctor(findings: Findings) -> list[Table]:
    """Return a row per defect, errors first."""
    rows = tuple(
        (
            defect.severity,
            defect.check,
            get_language(defect.language).name if defect.language else "",
            defect.message,
            defect.place,
            "" if defect.ceiling is None else f"{defect.ceiling:.1f}",
        )
        for defect in findings.data.defects
    )
    caption = (
        "Defects of the data. An error stops a run, or makes its numbers measure something else than they say. A "
        "warning is worth a look. Ceiling: the accuracy in percent that a perfect model would reach there."
    )
    header = ("", "check", "language", "defect", "where", "ceiling")
    return [Table(caption, header, rows, keys=5)] if rows else []


def pairs(findings: Findings) -> list[Table]:
    """Return a row per language tuned on: its pairs, the count of each flag, the pairs dropped."""
    rows = tuple(
        (
            get_language(checks.language).name,
            str(checks.pairs),
            *(str(count) for _, count in checks.flags),
            str(checks.dropped),
        )
        for checks in findings.data.pairs
    )
    if not rows:
        return []
    caption = (
        "Pairs tuned on, the pairs that each check flags, and the pairs dropped. A flag is a suspicion: the experiment "
        "says which flags drop a pair."
    )
    flags = [flag for flag, _ in findings.data.pairs[0].flags]
    return [Table(caption, ("language", "pairs", *flags, "dropped"), rows)]


def quality(findings: Findings) -> list[Table]:
    """Return a row per language tuned on: how its translations were scored."""
    rows = tuple(
        (
            get_language(each.language).name,
            str(each.pairs),
            *(minus(f"{value:.3f}") for value in each.quantiles),
            "" if each.threshold is None else minus(f"{each.threshold:g}"),
            str(each.flagged),
        )
        for each in findings.data.quality
    )
    if not rows:
        return []
    caption = (
        f"Quality of the translations as {findings.data.quality[0].scorer} estimates it: the scores at 5, 25, 50, 75 "
        "and 95 percent of the pairs, the threshold, and the pairs beyond it."
    )
    return [Table(caption, ("language", "pairs", "5%", "25%", "median", "75%", "95%", "threshold", "flagged"), rows)]

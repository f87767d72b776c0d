"""What is wrong with the data, as tables: the doctor's findings, and the flags of the pairs tuned on.

Pure: findings in, tables out.
"""

from spillover.languages import get_language
from spillover.records import Findings
from spillover.report.tables.table import Table


def doctor(findings: Findings) -> list[Table]:
    """Return a row a defect, errors first."""
    rows = tuple(
        (
            one.severity,
            one.check,
            get_language(one.language).name if one.language else "",
            one.message,
            one.place,
            "" if one.ceiling is None else f"{one.ceiling:.1f}",
        )
        for one in findings.data.defects
    )
    caption = (
        "What the data doctor found: an error would stop a run, or make it measure something else than it says; a "
        "warning is worth a look. At most is the accuracy in percent that a perfect model would be given there."
    )
    header = ("", "check", "language", "what is wrong", "where", "at most")
    return [Table(caption, header, rows, keys=5)] if rows else []


def pairs(findings: Findings) -> list[Table]:
    """Return a row a language tuned on: its pairs, how many of them have each flag, how many were dropped."""
    checked = findings.data.pairs
    rows = tuple(
        (get_language(one.language).name, str(one.pairs), *(str(count) for _, count in one.flags), str(one.dropped))
        for one in checked
    )
    caption = (
        "Pairs tuned on, how many of them a check accuses, and how many were dropped for it. A flag accuses; the "
        "experiment says which ones drop a pair."
    )
    flags = [flag for one in checked[:1] for flag, _ in one.flags]
    return [Table(caption, ("language", "pairs", *flags, "dropped"), rows)] if rows else []

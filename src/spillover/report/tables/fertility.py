"""Tokens per word, character and byte beside the gain, as tables. Pure."""

from collections.abc import Sequence

from spillover.languages import get_language
from spillover.records import Estimate, Fertility, FertilityCorrelation, Findings
from spillover.report.tables.table import Table
from spillover.utils.formatting import MINUS, minus, plural, signed, with_interval

COLUMNS = {
    "per_word": "tokens per word",
    "per_character": "per character",
    "per_byte": "per byte",
    "premium": "relative to English",
}
"""Measure → its heading. A measure that no language has gets no column."""


def fertility(findings: Findings) -> list[Table]:
    """Return a table per task: a row per language, its tokens and its gain, then the correlations of both."""
    gains = {(gain.task, gain.language): gain.difference for gain in findings.comparisons[0].gains}
    tasks: dict[str, list[Fertility]] = {}
    for row in findings.fertility:
        tasks.setdefault(row.task, []).append(row)
    return [
        _table(task, rows, gains, [c for c in findings.fertility_correlations if c.task == task])
        for task, rows in tasks.items()
    ]


def _table(
    task: str,
    rows: Sequence[Fertility],
    gains: dict[tuple[str, str], Estimate],
    correlations: Sequence[FertilityCorrelation],
) -> Table:
    caption = (
        f"{task}: tokens of the items' texts with the base model's tokenizer, beside the gain in points. A script "
        "without blanks between words has no tokens per word."
    )
    measures = [measure for measure in COLUMNS if any(getattr(row, measure) is not None for row in rows)]
    body = [
        (
            get_language(row.language).name,
            *(_number(getattr(row, measure)) for measure in measures),
            with_interval(gains.get((task, row.language))),
        )
        for row in rows
    ]
    if correlations:
        count = max(correlation.languages for correlation in correlations)
        caption += (
            " The last row is Spearman's rank correlation with the gain, with its p, over at most "
            f"{plural(count, 'language')} that tuning never saw."
        )
        cells = {c.measure: f"{signed(c.rho, 2)} (p = {minus(f'{c.p_value:.2g}')})" for c in correlations}
        body.append(("correlation", *(cells.get(measure, MINUS) for measure in measures), ""))
    return Table(caption, ("language", *(COLUMNS[measure] for measure in measures), "gain"), tuple(body))


def _number(value: float | None) -> str:
    return MINUS if value is None else f"{value:.2f}"

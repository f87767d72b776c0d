"""Fertility beside the gain: the table, the CSV, and which languages the correlation is over."""

import csv
import io
from dataclasses import replace

from spillover.analysis.statistics.fertility import MIN_LANGUAGES, correlations, fertility
from spillover.records import Findings
from spillover.report.tables.csvs import CSVS
from spillover.report.tables.run import TABLES


def test_only_languages_that_tuning_never_saw_count(findings: Findings) -> None:
    gains = findings.comparisons[0].gains
    rows = [
        fertility(gain.task, gain.language, ["x" * (place + 1)], 10, 5, spaced=gain.language != "th")
        for place, gain in enumerate(gains)
    ]
    unseen = [gain for gain in gains if gain.group == "unseen" and gain.task == "sentiment"]
    found = {row.measure: row for row in correlations(rows, gains) if row.task == "sentiment"}
    assert set(found) == {"per_character", "per_byte"}, "what does not vary has none"
    assert found["per_byte"].languages == len(unseen)
    assert list(correlations(rows[: MIN_LANGUAGES - 1], gains[: MIN_LANGUAGES - 1])) == []


def test_the_table_and_the_csv_have_the_gain_beside_the_tokens(findings: Findings) -> None:
    gains = findings.comparisons[0].gains
    rows = [
        fertility(gain.task, gain.language, ["x" * (place % 20 + 3)], 10, 5 + place % 20, spaced=gain.language != "th")
        for place, gain in enumerate(gains)
    ]
    whole = replace(findings, fertility=tuple(rows), fertility_correlations=tuple(correlations(rows, gains)))
    first, *_ = TABLES["fertility"](whole)
    thai = next(row for row in first.rows if row[0] == "Thai")
    assert thai[1] == "−"
    assert first.rows[-1][0] == "correlation"
    assert "p = " in first.rows[-1][3]
    table = list(csv.DictReader(io.StringIO(CSVS["fertility"](whole))))
    assert len(table) == len(gains)
    assert float(table[0]["gain"]) == gains[0].difference.value
    assert float(table[0]["per_byte"]) == rows[0].per_byte
    assert TABLES["fertility"](findings) == []


def test_what_no_language_has_gets_no_column(findings: Findings) -> None:
    rows = [fertility("sentiment", code, ["x"], 10, None, spaced=False) for code in ("th", "zh")]
    (table,) = TABLES["fertility"](replace(findings, fertility=tuple(rows)))
    assert table.header == ("language", "per character", "per byte", "gain")
    assert {len(row) for row in table.rows} == {4}

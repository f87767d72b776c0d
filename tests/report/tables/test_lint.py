"""What is wrong with the data, and what a run cost, as the report shows it."""

import csv
import io
from collections.abc import Callable
from dataclasses import replace

from spillover.records import Data, Findings, TranslationCost
from spillover.report.run import Content
from spillover.report.tables import csvs
from spillover.report.tables.cost import characters
from spillover.report.tables.lint import doctor, pairs

Render = Callable[[Findings], dict[str, Content]]


def test_flags_are_counted_by_language(findings: Findings) -> None:
    (table,) = pairs(findings)
    assert table.header == ("language", "pairs", "copy", "collapse", "dropped")
    assert table.rows == (("Chinese", "200", "3", "1", "3"), ("German", "190", "0", "2", "0"))


def test_every_defect_is_told_in_full(findings: Findings) -> None:
    (table,) = doctor(findings)
    assert table.rows == (
        ("error", "swap", "Thai", "'yes' and 'no' are swapped", "items/th.jsonl: line 2", "12.5"),
        ("warning", "imbalance", "", "always answering 'yes' is right in 80.0% of 60 items", "", ""),
    )
    rows = list(csv.DictReader(io.StringIO(csvs.doctor(findings))))
    assert [(row["severity"], row["language"], row["ceiling"]) for row in rows] == [
        ("error", "th", "12.5"),
        ("warning", "", ""),
    ]


def test_characters_of_what_was_translated_but_not_of_what_was_looked_up(findings: Findings) -> None:
    (table,) = characters(findings)
    assert table.rows == (("Chinese", "12,345", "4,000", "17.5"), ("German", "23,456", "0", "0.0"))
    assert characters(replace(findings, translation_costs=(TranslationCost("zh", 0, 0, 0, 0.0),))) == []


def test_the_page_shows_them_and_says_where_there_is_nothing(findings: Findings, tables_and_page: Render) -> None:
    made = tables_and_page(findings)
    page = str(made["index.html"])
    for text in ("are swapped", "items/th.jsonl: line 2", "12,345", "<strong>Errors in the data.</strong>"):
        assert text in page
    assert {f"tables/{name}.{end}" for name in ("doctor", "pairs", "characters") for end in ("md", "csv")} <= set(made)
    nothing = tables_and_page(replace(findings, data=Data((), "", (), ()), translation_costs=()))
    page = str(nothing["index.html"])
    assert "No fault was found" in page
    assert "No question was sent to a translator" in page
    assert "Errors in the data" not in page
    assert not {name for name in nothing if name.startswith(("tables/doctor", "tables/pairs", "tables/characters"))}

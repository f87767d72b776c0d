"""The report of three arms: what is added to that of two, and what stays as it was."""

import csv
import io
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from spillover.records import Comparison, Findings, ItemScores
from spillover.report.figures.run import FIGURES
from spillover.report.run import Content
from spillover.report.tables import csvs
from spillover.report.tables.gains import accuracy, arms, gains
from spillover.report.tables.run import summary_text

Render = Callable[[Findings], dict[str, Content]]


@pytest.fixture(scope="module")
def three(findings: Findings) -> Findings:
    """The findings with an arm `mine` that is 10 points better than `tuned` everywhere."""
    (primary,) = findings.comparisons
    return replace(
        findings,
        comparisons=(primary, better(primary)),
        item_scores=tuple(with_third(sheet) for sheet in findings.item_scores),
    )


def better(comparison: Comparison) -> Comparison:
    rows = []
    for gain in comparison.gains:
        score, difference = gain.arm.score, gain.difference
        raised = replace(gain.arm, score=replace(score, value=score.value + 0.1))
        rows.append(replace(gain, arm=raised, difference=replace(difference, value=difference.value + 0.1)))
    summaries = tuple(
        replace(s, sentence=f"{s.task}: mine.", arm_score=replace(s.arm_score, value=s.arm_score.value + 0.1))
        for s in comparison.summaries
    )
    return replace(comparison, arm="mine", gains=tuple(rows), summaries=summaries)


def with_third(sheet: ItemScores) -> ItemScores:
    return replace(sheet, arms=(*sheet.arms, "mine"), logprobs=(*sheet.logprobs, sheet.logprobs[0]))


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_primary_comparison_is_as_with_two_arms(
    findings: Findings, three: Findings, tables_and_page: Render
) -> None:
    two, more = tables_and_page(findings), tables_and_page(three)
    assert two["tables/main.csv"] == more["tables/main.csv"]
    ours, theirs = (FIGURES["gains"](each).plots[0] for each in (three, findings))
    assert (ours.chart.to_dict(), ours.rows) == (theirs.chart.to_dict(), theirs.rows)
    assert "tables/arms.md" in more
    assert "tables/arms.md" not in two
    assert 'id="comparisons"' in str(more["index.html"])
    assert 'id="comparisons"' not in str(two["index.html"])


def test_every_other_comparison_has_a_forest_plot_per_task(three: Findings) -> None:
    plots = FIGURES["comparisons"](three).plots
    assert [plot.name for plot in plots] == [f"gains-mine-base-{s.task}" for s in three.comparisons[0].summaries]
    assert all(plot.title.endswith("mine − base") for plot in plots)
    assert len(gains(three)) == 2 * len(plots)


def test_the_arms_stand_in_one_table_with_their_intervals(three: Findings) -> None:
    (table,) = arms(three)
    assert table.header == ("arm", "sentiment", "entailment", "paraphrase")
    assert [row[0] for row in table.rows] == ["base", "tuned", "mine"]
    for column, summary in enumerate(three.comparisons[0].summaries, start=1):
        tuned, mine = (float(table.rows[row][column].split(" ")[0]) for row in (1, 2))
        assert tuned == pytest.approx(100 * summary.arm_score.value, abs=0.051)
        assert mine - tuned == pytest.approx(10, abs=0.11)
    header = accuracy(three)[0].header
    assert [name for name in header if name.startswith("accuracy, ")] == [
        f"accuracy, {arm}" for arm in ("base", "tuned", "mine")
    ]


def test_a_csv_row_names_its_arms(three: Findings) -> None:
    rows = rows_of(csvs.gains(three))
    assert {(row["reference"], row["arm"]) for row in rows} == {("base", "tuned"), ("base", "mine")}
    cells = [
        {row["arm"]: row for row in rows if (row["task"], row["language"]) == ("sentiment", code)} for code in ("en",)
    ]
    for cell in cells:
        assert cell["tuned"]["reference_score"] == cell["mine"]["reference_score"]
        assert float(cell["mine"]["arm_score"]) - float(cell["tuned"]["arm_score"]) == pytest.approx(0.1)
    assert list(rows_of(csvs.items(three))[0])[4:] == ["base", "tuned", "mine", "cluster"]
    assert len(rows_of(csvs.summaries(three))) == 2 * len(
        rows_of(csvs.summaries(replace(three, comparisons=three.comparisons[:1])))
    )


def test_the_terminal_ends_with_the_primary_verdict(three: Findings) -> None:
    from rich.console import Console

    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(summary_text(three))
    text = console.export_text()
    assert text.index("mine − base:") < text.index("paraphrase: mine.") < text.index(three.comparisons[0].sentence)
    assert re.search(r"mine +\d\d\.\d \[", text)

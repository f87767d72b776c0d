"""The dose in a report: its charts, its table, and its place on the page."""

import csv
import io
from collections.abc import Callable
from dataclasses import replace

import pytest

from spillover.records import Dose, DoseGroup, DosePoint, Estimate, Findings
from spillover.report.figures.run import FIGURES
from spillover.report.run import Content
from spillover.report.tables import csvs
from spillover.report.tables.run import TABLES

SENTENCE = "In <b>all</b>, the best probe is at step 10."


def group(change: float) -> DoseGroup:
    interval = Estimate(change, change - 0.1, change + 0.1, 20)
    return DoseGroup(0.5 + change, interval, -0.25 + change, replace(interval, value=2 * change))


POINTS = tuple(
    DosePoint(step, chrf, chrf / 10, group(change), None)
    for step, chrf, change in ((0, 12.5, 0.0), (10, 30.25, 0.125), (14, 40.0, -0.05))
)


@pytest.fixture(scope="module")
def probed(findings: Findings) -> Findings:
    return replace(findings, dose=Dose(POINTS, SENTENCE))


def test_each_probe_is_a_row(probed: Findings) -> None:
    (table,) = TABLES["dose"](probed)
    assert table.rows[1] == ("10", "30.2", "3.025", "62.5", "+12.5 [+2.5, +22.5]", "−", "−")
    rows = list(csv.DictReader(io.StringIO(csvs.CSVS["dose"](probed))))
    assert [float(row["unseen_change_high"]) for row in rows] == pytest.approx([0.1, 0.225, 0.05])
    assert [row["step"] for row in rows] == ["0", "10", "14"]
    assert {row["tuned_accuracy"] for row in rows} == {""}


def test_the_charts_have_all_steps_and_intervals(probed: Findings, findings: Findings) -> None:
    figure = FIGURES["dose"](probed)
    assert [plot.name for plot in figure.plots] == ["dose-chrf", "dose-loss", "dose-accuracy"]
    (rows,) = figure.plots[2].chart.to_dict()["datasets"].values()
    assert [(row["step"], row["low"], row["value"], row["high"]) for row in rows] == [
        (0, -10, 0, 10),
        (10, 2.5, 12.5, 22.5),
        (14, -15, -5, 5),
    ]
    assert "never tuned on: −5.0 [−15.0, +5.0]" in figure.plots[2].description
    assert FIGURES["dose"](findings).plots == ()


def test_a_run_without_held_out_pairs_or_items_has_only_its_charts(findings: Findings) -> None:
    bare = [replace(point, chrf=None, loss=None) for point in POINTS]
    assert [plot.name for plot in FIGURES["dose"](replace(findings, dose=Dose(tuple(bare), ""))).plots] == [
        "dose-accuracy"
    ]
    (table,) = TABLES["dose"](replace(findings, dose=Dose(tuple(bare), "")))
    assert table.rows[0][1:3] == ("−", "−")


def test_it_stands_where_the_treatment_does(
    probed: Findings, tables_and_page: Callable[[Findings], dict[str, Content]]
) -> None:
    made = tables_and_page(probed)
    page = str(made["index.html"])
    assert page.index('id="treatment"') < page.index('id="dose"') < page.index('id="better"')
    assert "In &lt;b&gt;all&lt;/b&gt;, the best probe is at step 10." in page
    assert {f"tables/dose.{ending}" for ending in ("md", "tex", "csv")} < made.keys()

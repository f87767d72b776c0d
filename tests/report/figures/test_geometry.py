"""Tables, CSV and figures of invented geometry: the numbers are those given, and the page stays small and inert."""

import csv
import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from spillover.languages import languages
from spillover.plugins import METRICS
from spillover.records import Alignment, Findings, Geometry
from spillover.report.figures.geometry import POINTS, geometry
from spillover.report.figures.run import for_file, for_page
from spillover.report.run import Content
from spillover.report.tables import csvs, run
from spillover.report.tables.geometry import COLUMNS, over_pairs

if TYPE_CHECKING:
    from playwright.sync_api import Page

LAYERS, FEW, ITEMS = 19, 3, 20
CODES = tuple(languages())


def invented(task: str, seed: int, layers: int = LAYERS) -> Geometry:
    random = np.random.default_rng(seed)
    shape = (2, layers, len(CODES), len(CODES))
    names = [metric + suffix for metric in METRICS for suffix in ("", "-partial")]
    alignments = []
    for name in names:
        values = random.uniform(-1, 1, size=shape)
        if "retrieval" not in name:
            values = (values + values.swapaxes(-1, -2)) / 2
        alignments.append(Alignment(name, values, values - 0.2, values - 0.1))
    components = random.normal(size=(2, layers, len(CODES), ITEMS, 2)) * np.arange(1, layers + 1)[:, None, None, None]
    return Geometry(task, ("base", "tuned"), CODES, ITEMS, tuple(alignments), components)


def with_geometry(findings: Findings, *geometry: Geometry) -> Findings:
    return replace(findings, internals=replace(findings.internals, geometry=geometry))


@pytest.fixture(scope="module")
def shaped(findings: Findings) -> Findings:
    return with_geometry(findings, invented("sentiment", 0))


@pytest.fixture(scope="module")
def few_layers(findings: Findings) -> Findings:
    """The same with as many layers as show their order."""
    return with_geometry(findings, invented("sentiment", 0, FEW))


@pytest.fixture(scope="module")
def page(shaped: Findings, tables_and_page: Callable[[Findings], dict[str, Content]]) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(csvs.CSVS, "geometry", lambda _: "")  # takes most of the time, and is tested with few layers
        return str(tables_and_page(shaped)["index.html"])


def test_csv_has_each_pair_with_its_null(few_layers: Findings) -> None:
    found = list(csv.DictReader(io.StringIO(csvs.geometry(few_layers))))
    given = few_layers.internals.geometry[0]
    assert tuple(found[0]) == COLUMNS == ("arm", "task", "metric", "layer", "a", "b", "value", "null_low", "null_high")
    assert len(found) == 2 * FEW * len(CODES) * (len(CODES) - 1) * len(given.alignments)
    by_name = {a.metric: a for a in given.alignments}
    for row in found[::97]:
        alignment = by_name[row["metric"]]
        place = (given.arms.index(row["arm"]), int(row["layer"]), CODES.index(row["a"]), CODES.index(row["b"]))
        for column, values in (
            ("value", alignment.value),
            ("null_low", alignment.null_low),
            ("null_high", alignment.null_high),
        ):
            assert float(row[column]) == pytest.approx(values[place], abs=1e-6)
    assert not any(row["a"] == row["b"] for row in found)


def test_tables_hold_the_mean_over_pairs_and_the_papers_pearson(shaped: Findings) -> None:
    made = run.TABLES["geometry"](shaped)
    assert len(made) == 4
    given = {a.metric: a.value for a in shaped.internals.geometry[0].alignments}
    raw, partial, pearson, _ = made
    assert raw.header[2:] == partial.header[2:] == tuple(METRICS)
    assert len(raw.rows) == 2 * LAYERS + 1
    for row in raw.rows[:-1]:
        arm, layer = ("base", "tuned").index(row[1]), int(row[0])
        for metric, text in zip(raw.header[2:], row[2:], strict=True):
            pairs = [given[metric][arm, layer, a, b] for a in range(20) for b in range(20) if a != b]
            assert float(text.replace("−", "-")) == pytest.approx(np.mean(pairs), abs=6e-4)
    assert pearson.header[2:] == CODES[1:]
    found = float(pearson.rows[5][2 + CODES.index("th") - 1].replace("−", "-"))
    assert found == pytest.approx(given["pearson"][1, 2, 0, CODES.index("th")], abs=6e-4)
    assert run.TABLES["geometry"](with_geometry(shaped)) == []


def test_over_pairs_leaves_out_the_diagonal() -> None:
    values = np.array([[100.0, 1], [2, 100]])
    assert over_pairs(values) == 1.5


def test_heatmap_has_base_below_the_diagonal_and_tuned_above(shaped: Findings) -> None:
    plot = next(plot for plot in geometry(shaped).plots if plot.name.startswith("pairs"))
    spec = plot.chart.to_dict()
    rows = plot.rows
    params = {param["name"]: param["value"] for param in spec["params"]}
    given = {a.metric: a.value for a in shaped.internals.geometry[0].alignments}
    for row in rows:
        a, b = CODES.index(row["row"]), CODES.index(row["column"])
        arm = 0 if a > b else 1
        assert row["arm"] == ("base", "tuned")[arm]
        for metric in ("cka", "retrieval"):
            expected = (given[metric][arm, 7, a, b] + given[metric][arm, 7, b, a]) / 2
            assert row["values"][params["names"].index(metric)][7] / 1000 == pytest.approx(expected, abs=6e-4)
    assert len(rows) == 20 * 19


def test_components_of_both_arms_share_their_axes(few_layers: Findings) -> None:
    plots = [plot for plot in geometry(few_layers).plots if plot.name.startswith("components")]
    given = few_layers.internals.geometry[0].components
    largest = np.abs(given).max(axis=(0, 2, 3))
    for arm, plot in enumerate(plots):
        rows = plot.rows
        items = [row for row in rows if row["label"] == ""]
        assert len(items) == len(CODES) * POINTS
        found = np.array([[row["x"], row["y"]] for row in items]).reshape(len(CODES), POINTS, 2, FEW) / 1000
        expected = (given[arm] / largest[:, None, None, :]).transpose(1, 2, 3, 0)
        np.testing.assert_allclose(found, expected[:, :POINTS], atol=6e-4)


def test_nothing_to_compare_is_no_section(findings: Findings) -> None:
    assert geometry(findings).plots == ()


def test_a_metric_that_one_task_lacks_still_draws(few_layers: Findings) -> None:
    first, other = few_layers.internals.geometry[0], invented("entailment", 1, FEW)
    fewer = replace(first, alignments=first.alignments[:2])
    figure = geometry(with_geometry(few_layers, fewer, other))
    assert figure.controls[0].choices[:2] == ("pearson", "pearson-partial")
    assert len(figure.controls[0].choices) == 2 * len(METRICS)
    for plot in figure.plots:
        plot.chart.to_dict()  # refused unless it is Vega-Lite
        for_file(figure, plot, "")
        for_page(figure, plot)


def test_the_page_is_small(page: str) -> None:
    assert len(page.encode()) < 3_000_000


def draw(opened: "Page") -> None:
    """Make every chart be drawn, as when the page is printed."""
    opened.evaluate("dispatchEvent(new Event('beforeprint'))")
    opened.wait_for_function("[...document.querySelectorAll('.chart')].every((chart) => chart.querySelector('svg'))")
    opened.wait_for_function("document.documentElement.dataset.drawn")


@pytest.fixture
def opened(page: str, visit: Callable[..., "Page"]) -> "Page":
    shown = visit({"index.html": page})
    draw(shown)
    return shown


def test_the_slider_and_the_metric_change_what_is_shown(opened: "Page") -> None:
    def drawn(chart: str, marks: str) -> str:
        return opened.locator(f"#chart-{chart} {marks}").evaluate_all("(all) => all.map((e) => e.outerHTML).join()")

    charts = {
        "metrics-sentiment": ".mark-line path",
        "pairs-sentiment": ".mark-rect path",
        "components-base-sentiment": ".mark-symbol path",
        "components-tuned-sentiment": ".mark-symbol path",
    }
    before = {chart: drawn(chart, marks) for chart, marks in charts.items()}
    assert all(before.values())
    slider = opened.get_by_label("Layer", exact=True)
    slider.focus()
    opened.keyboard.press("End")
    opened.wait_for_timeout(500)
    assert opened.locator("output[for=chosen-layer]").inner_text() == "18 of 18 (depth 1.00)"
    moved = {chart: drawn(chart, marks) for chart, marks in charts.items()}
    assert [chart for chart in charts if moved[chart] == before[chart]] == ["metrics-sentiment"]
    opened.get_by_label("Metric", exact=True).select_option("retrieval-partial")
    opened.wait_for_timeout(500)
    chosen = {chart: drawn(chart, marks) for chart, marks in charts.items()}
    assert [chart for chart in charts if chosen[chart] != moved[chart]] == ["metrics-sentiment", "pairs-sentiment"]


def test_charts_stay_in_their_place_on_a_small_screen(opened: "Page") -> None:
    opened.set_viewport_size({"width": 390, "height": 800})
    opened.reload()
    draw(opened)
    for chart in opened.locator("#geometry .chart").all():
        box, place = chart.locator("svg").bounding_box(), chart.bounding_box()
        assert box is not None
        assert place is not None
        assert box["width"] <= place["width"] + 1
    assert opened.evaluate("document.documentElement.scrollWidth") == 390


def test_numbers_of_the_charts_are_whole(page: str) -> None:
    assert re.search(r'"values":\[\[-?\d+,-?\d+,', page)

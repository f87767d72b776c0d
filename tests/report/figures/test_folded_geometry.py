"""The geometry of very many languages in tables, files and charts: folded, with the numbers that were measured."""

import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest

from spillover.languages import known_languages
from spillover.plugins import METRICS
from spillover.records import Alignment, Findings, FoldedGeometry
from spillover.report import blocks
from spillover.report.figures.geometry import geometry
from spillover.report.figures.run import for_file, for_page
from spillover.report.run import Content, render
from spillover.report.tables import csvs, folded_geometry, run
from spillover.report.tables.folded_geometry import over_languages

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LANGUAGES, LAYERS = 50, 9
CODES = tuple(known_languages())[:LANGUAGES]
GROUPS = ("all", "pivot", "family", "tuned")


def invented() -> FoldedGeometry:
    random = np.random.default_rng(0)
    alignments, pairs = [], []
    for name in [metric + suffix for metric in METRICS for suffix in ("", "-partial")]:
        values = random.uniform(size=(2, LAYERS, len(GROUPS), LANGUAGES)).astype(np.float32)
        values[:, :, 1, 0] = np.nan  # the pivot has no pair with itself
        pairs.append(random.uniform(size=(2, 3, LANGUAGES, LANGUAGES)).astype(np.float32))
        alignments.append(Alignment(name, values, values - 0.2, values - 0.1))
    centers = random.normal(size=(2, LAYERS, LANGUAGES, 2)).astype(np.float32)
    return FoldedGeometry(
        "sentiment", ("base", "tuned"), CODES, 20, GROUPS, (2, 4, 6), tuple(alignments), np.stack(pairs), centers
    )


@pytest.fixture(scope="module")
def many(findings: Findings) -> Findings:
    (comparison,) = findings.comparisons
    pattern = comparison.gains[0]
    gains = tuple(
        replace(
            pattern,
            language=code,
            group="pivot" if place == 0 else "unseen",
            difference=replace(pattern.difference, value=(17 * place % LANGUAGES) / 500),
        )
        for place, code in enumerate(CODES)
    )
    internals = replace(
        findings.internals,
        trajectories=(),
        lens_summaries=(),
        neurons=(),
        patches=(),
        explorations=(),
        folded_geometry=(invented(),),
    )
    compared = replace(comparison, gains=gains, summaries=(comparison.summaries[0],))
    forgetting = tuple(replace(findings.forgetting[0], language=code) for code in CODES)
    return replace(
        findings, comparisons=(compared,), internals=internals, item_scores=(), fertility=(), forgetting=forgetting
    )


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def test_tables_hold_means_over_pairs_and_each_language_at_the_middle_layer(many: Findings) -> None:
    raw, partial = run.TABLES["geometry-means"](many)
    assert raw.header[2:] == partial.header[2:] == tuple(METRICS)
    given = {a.metric: a for a in many.internals.folded_geometry[0].alignments}
    for row in raw.rows[:-1]:
        for metric, text in zip(raw.header[2:], row[2:], strict=True):
            value = given[metric].value[("base", "tuned").index(row[1]), int(row[0]), 0]
            assert number(text) == pytest.approx(value.mean(), abs=6e-4)
    (languages,) = run.TABLES["geometry-languages"](many)
    assert len(languages.rows) == LANGUAGES
    assert languages.rows[0][languages.header.index("pivot, base")] == "−"
    cka = given["cka"].value[1, LAYERS // 2, GROUPS.index("family"), 7]
    assert number(languages.rows[7][languages.header.index("family, tuned")]) == pytest.approx(cka, abs=6e-4)
    assert run.TABLES["geometry"](many) == []


def test_files_hold_every_language_layer_and_null_and_every_pair_of_a_few_layers(many: Findings) -> None:
    of_run = many.internals.folded_geometry[0]
    rows = pq.read_table(io.BytesIO(folded_geometry.language_file(many))).to_pylist()
    assert len(rows) == 2 * len(METRICS) * 2 * LAYERS * LANGUAGES
    given = {a.metric: a for a in of_run.alignments}
    for row in rows[::499]:
        alignment = given[row["metric"]]
        place = (of_run.arms.index(row["arm"]), row["layer"], slice(None), CODES.index(row["language"]))
        for suffix, values in (("", alignment.value), ("_null_low", alignment.null_low)):
            found = [row[f"{group}{suffix}"] for group in GROUPS]
            np.testing.assert_array_equal(np.array(found, dtype=np.float32), values[place])
    pairs = pq.read_table(io.BytesIO(folded_geometry.pair_file(many))).to_pylist()
    assert len(pairs) == 2 * 3 * LANGUAGES * (LANGUAGES - 1)
    for row in pairs[::997]:
        layer, a, b = of_run.pair_layers.index(row["layer"]), CODES.index(row["a"]), CODES.index(row["b"])
        assert (
            row["retrieval"] == of_run.pairs[list(given).index("retrieval"), of_run.arms.index(row["arm"]), layer, a, b]
        )
    means = csvs.geometry_means(many).splitlines()
    assert len(means) == 1 + 2 * LAYERS * len(GROUPS) * 2 * len(METRICS)


def test_a_mean_leaves_out_what_was_not_measured() -> None:
    values = np.array([[1, np.nan, 3], [np.nan] * 3], dtype=np.float32)
    np.testing.assert_array_equal(over_languages(values), [2, np.nan])


def test_charts_hold_their_languages_and_few_pairs(many: Findings) -> None:
    figure = geometry(many)
    names = [plot.name for plot in figure.plots]
    assert names == [
        "metrics-sentiment",
        "languages-base-sentiment",
        "languages-tuned-sentiment",
        "pairs-sentiment",
        "components-base-sentiment",
        "components-tuned-sentiment",
    ]
    assert "tables/geometry-pairs.parquet" in figure.reading
    plots = dict(zip(names, figure.plots, strict=True))
    for plot in figure.plots:
        plot.chart.to_dict()  # refused unless it is Vega-Lite
        for_file(figure, plot, "")
        for_page(figure, plot)
    given = {a.metric: a for a in many.internals.folded_geometry[0].alignments}
    metrics = list(given)
    rows = plots["languages-tuned-sentiment"].rows
    assert (len(rows), sum(row["extreme"] for row in rows)) == (LANGUAGES, 20)
    found = rows[7]["values"][metrics.index("anc")][2][5]
    assert found == pytest.approx(1000 * given["anc"].value[1, 5, 2, 7], abs=0.51)
    assert rows[0]["values"][0][1] is None
    pairs = plots["pairs-sentiment"].rows
    assert len(pairs) == 20 * 19, "the ten largest and the ten smallest gains; the pivot has one of these"
    for row in pairs[::37]:
        a, b = CODES.index(row["row"]), CODES.index(row["column"])
        held = many.internals.folded_geometry[0].pairs[metrics.index("cka"), 0 if a > b else 1, 1]
        assert row["values"][metrics.index("cka")][1] == pytest.approx(500 * (held[a, b] + held[b, a]), abs=0.51)


def test_small_runs_say_nothing_of_folding(findings: Findings) -> None:
    assert geometry(findings).plots == ()
    assert folded_geometry.means(findings) == []


@pytest.fixture
def files(many: Findings) -> dict[str, Content]:
    """The report with its charts beside the page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spillover.report.run.pictures", lambda *_: {})
        patch.setattr(blocks, "MAX_CHARTS", 1000)
        return render(many)


def test_charts_beside_the_page_are_loaded_when_they_are_near(
    files: dict[str, Content], browser: "Browser", tmp_path: Path
) -> None:
    for name, content in files.items():
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
    page = browser.new_context(viewport={"width": 390, "height": 800}).new_page()
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url.rpartition("/")[2]))
    page.goto((tmp_path / "index.html").as_uri())
    page.wait_for_selector("html[data-drawn]")
    assert "languages-tuned-sentiment.js" not in loaded, "it is far below"
    chart = page.locator("#chart-languages-tuned-sentiment")
    chart.scroll_into_view_if_needed()
    page.wait_for_selector("#chart-languages-tuned-sentiment svg")
    cells = chart.locator(".mark-rect.role-mark path")
    before = cells.evaluate_all("(all) => all.map((e) => e.outerHTML).join()")
    assert cells.count() == 20 * LAYERS
    page.get_by_label("Beside", exact=True).select_option("its own family")
    page.wait_for_timeout(500)
    assert cells.evaluate_all("(all) => all.map((e) => e.outerHTML).join()") != before
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.context.close()

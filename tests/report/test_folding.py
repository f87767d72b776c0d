"""A page of very many languages: charts fold to their extremes, long tables scroll and can be searched."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spillover.languages import get_language, known_languages
from spillover.records import Findings, Patch
from spillover.report.figures.run import FIGURES, for_file, for_page
from spillover.report.run import Content

if TYPE_CHECKING:
    from playwright.sync_api import Page

LANGUAGES = 60
OTHERS = LANGUAGES - 1


@pytest.fixture(scope="module")
def many(findings: Findings) -> Findings:
    """One task in sixty languages; the gains are all different and in no order of the languages."""
    (comparison,) = findings.comparisons
    pattern, codes = comparison.gains[0], list(known_languages())[:LANGUAGES]
    values = [(17 * place % LANGUAGES) / 500 for place in range(LANGUAGES)]
    gains = tuple(
        replace(pattern, language=code, group="unseen", difference=replace(pattern.difference, value=value))
        for code, value in zip(codes, values, strict=True)
    )
    forgetting = tuple(replace(findings.forgetting[0], language=code) for code in codes)
    patches = tuple(
        Patch(arm, pattern.task, source, target, (-1.0, -0.5, 0.0), 2)
        for arm in ("base", "tuned")
        for code in codes[1:]
        for source, target in ((code, codes[0]), (codes[0], code))
    )
    internals = replace(findings.internals, trajectories=(), lens_summaries=(), neurons=(), patches=patches)
    compared = replace(comparison, gains=gains, summaries=(comparison.summaries[0],))
    return replace(findings, comparisons=(compared,), internals=internals, forgetting=forgetting, item_scores=())


@pytest.mark.parametrize(("name", "languages"), [("gains", LANGUAGES), ("accuracy", LANGUAGES), ("patches", OTHERS)])
def test_the_extremes_are_those_of_the_gains(many: Findings, name: str, languages: int) -> None:
    figure = FIGURES[name](many)
    plot = figure.plots[-1]
    shown = many.comparisons[0].gains[-languages:]  # patching goes to and from the first language
    ranked = sorted(shown, key=lambda gain: gain.difference.value)
    expected = {get_language(gain.language).name for gain in (*ranked[:10], *ranked[-10:])}
    datasets = for_page(figure, plot)["datasets"].values()
    rows = [row for rows in datasets for row in rows if "extreme" in row and not row["language"].startswith("Mean")]
    gaps = [place for place, row in enumerate(rows) if "gap" in row]
    assert gaps == ([LANGUAGES - 10] if name == "gains" else []), "between the halves of a chart that is sorted"
    rows = [row for row in rows if "gap" not in row]
    assert {row["language"] for row in rows if row["extreme"]} == expected
    assert len({row["language"] for row in rows}) == languages == plot.languages


def test_the_picture_shows_all_and_the_page_few(many: Findings, findings: Findings) -> None:
    figure = FIGURES["gains"](many)
    (plot,) = figure.plots
    assert [param["value"] for param in for_page(figure, plot)["params"]] == ["few"]
    assert [param["value"] for param in for_file(figure, plot, "")["params"]] == ["all"]
    small = FIGURES["gains"](findings)
    assert "params" not in for_page(small, small.plots[0])


def rows_drawn(page: "Page") -> int:
    return page.locator("#chart-gains-sentiment .role-axis-label text").count()


def test_a_button_shows_all_and_a_search_finds_rows(
    many: Findings, tables_and_page: Callable[[Findings], dict[str, Content]], visit: Callable[..., "Page"]
) -> None:
    made = tables_and_page(many)
    page = visit(made)
    for section, most in (("gains", 700), ("accuracy", 700), ("patches", 800), ("forgetting", 700)):
        box = page.locator(f"#{section}").bounding_box()
        assert box and box["height"] < most, "sixty rows take 1,200 pixels or more"
    button = page.locator("#gains button")
    button.scroll_into_view_if_needed()
    page.wait_for_selector("#chart-gains-sentiment svg")
    few = rows_drawn(page)
    assert page.get_by_text("⋯ 40 more ⋯").count() == 1
    assert page.get_by_text("The 40 languages between them are left out").count() == 2, "gains and accuracy"
    assert button.inner_text() == f"Show all {LANGUAGES} languages"
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_function(
        "few => document.querySelectorAll('#chart-gains-sentiment .role-axis-label text').length >= few + 39", arg=few
    )
    assert button.get_attribute("aria-expanded") == "true"
    assert page.get_by_text("⋯ 40 more ⋯").count() == 0, "nothing is left out"
    page.keyboard.press("Enter")
    page.wait_for_function(
        "few => document.querySelectorAll('#chart-gains-sentiment .role-axis-label text').length === few", arg=few
    )
    table = page.locator("#forgetting")
    table.locator("input[type=search]").fill("german")
    assert table.locator("tbody tr:visible").count() == 1
    assert table.locator("output").inner_text() == f"1 of {LANGUAGES}"


def test_patching_folds_on_a_phone_too(
    many: Findings, tables_and_page: Callable[[Findings], dict[str, Content]], visit: Callable[..., "Page"]
) -> None:
    page = visit(tables_and_page(many), width=390)
    button = page.locator("#patches button")
    button.scroll_into_view_if_needed()
    chart = page.locator("#chart-patches-sentiment-tuned")
    chart.scroll_into_view_if_needed()
    cells = chart.locator(".role-mark path")
    page.wait_for_selector("#chart-patches-sentiment-tuned svg")
    assert cells.count() == 2 * 20 * 3, "both ways, in the extremes, at every layer"
    assert button.inner_text() == f"Show all {OTHERS} languages"
    button.click()
    page.wait_for_function(
        "count => document.querySelectorAll('#chart-patches-sentiment-tuned .role-mark path').length === count",
        arg=2 * OTHERS * 3,
    )
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_long_table_of_a_folded_part_is_made_when_it_is_opened(
    many: Findings, tables_and_page: Callable[[Findings], dict[str, Content]], visit: Callable[..., "Page"]
) -> None:
    page = visit(tables_and_page(many), width=390)
    part = page.locator("#gains details")
    assert part.locator("tbody tr").count() == 0
    part.locator("summary").click()
    assert part.locator("tbody tr").count() >= LANGUAGES
    part.locator("input[type=search]").first.fill("german")
    assert part.locator("tbody tr:visible").count() >= 1
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    part.locator("summary").click()
    part.locator("summary").click()
    assert part.locator("noscript").count() == 0


def test_small_tables_are_part_of_the_page_at_once(
    findings: Findings, tables_and_page: Callable[[Findings], dict[str, Content]]
) -> None:
    assert str(tables_and_page(findings)["index.html"]).count("<noscript") == 1, "the sentence about charts"

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spillover.languages import get_language, languages
from spillover.records import Data, Findings, Internals, ItemScores
from spillover.report.figures.charts import DARK_FROM, HEAT
from spillover.report.figures.figure import slugs
from spillover.report.figures.run import FIGURES
from spillover.report.run import render

if TYPE_CHECKING:
    from playwright.sync_api import Page

Report = dict[str, Any]
"""File → its text, or the bytes of a picture."""
Render = Callable[[Findings], Report]
Visit = Callable[..., Any]
"""Opens a report: (report, width, mode) → a page of the browser."""

TASKS = ("sentiment", "entailment", "paraphrase")
CHARTS = [f"{kind}-{task}" for kind in ("gains", "lens", "entropy") for task in TASKS]
INSIDE = [kind for task in TASKS for kind in (f"neurons-{task}", f"patches-{task}-base", f"patches-{task}-tuned")]


class Tags(HTMLParser):
    """Every tag of a page with its attributes, and the text of every script, style and code."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str):
        self.texts.append((self.tags[-1][0] if self.tags else "", data))


@pytest.fixture(scope="module")
def report(findings: Findings) -> Report:
    return render(findings)


@pytest.fixture(scope="module")
def attacked(hostile: Findings) -> Report:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spillover.report.run.PIXELS", 0.1)  # its texts are in the SVG; large PNGs take half the time
        return render(hostile)


@pytest.fixture(scope="module")
def untuned(findings: Findings) -> Findings:
    """The same without anything seen inside, and without losses."""
    return replace(
        findings, internals=Internals((), (), (), ()), tuning=replace(findings.tuning, losses=(), validation=())
    )


def test_every_link_leads_to_a_file_or_a_place_of_the_page(report: Report):
    parsed = Tags(report["index.html"])
    ids = {attributes["id"] for _, attributes in parsed.tags if "id" in attributes}
    links = [attributes["href"] for tag, attributes in parsed.tags if tag == "a"]
    assert len(links) > 30
    for link in links:
        assert link[1:] in ids if link.startswith("#") else link in report
    assert {name for name in report if name.startswith("figures/")} <= set(links)
    assert len(ids) == sum("id" in attributes for _, attributes in parsed.tags)


def test_the_page_is_small_and_loads_nothing(report: Report):
    page = report["index.html"]
    assert len(page.encode()) < 3_000_000
    parsed = Tags(page)
    assert not [tag for tag, attributes in parsed.tags if "src" in attributes or tag in ("link", "img", "iframe")]
    assert not [attributes for _, attributes in parsed.tags if any(name.startswith("on") for name in attributes)]


def test_harm_and_possible_harm_are_told_apart(findings: Findings, tables_and_page: Render):
    """What is corrected for the number of languages, and what chance raises now and then."""
    first, second, *others = findings.comparisons[0].gains
    calm = [replace(gain, possible_harm=False, verdict="inconclusive") for gain in others]
    gains = (
        replace(first, possible_harm=True, verdict="harmed"),
        replace(second, possible_harm=True, verdict="inconclusive"),
        *calm,
    )
    page = tables_and_page(replace(findings, comparisons=(replace(findings.comparisons[0], gains=gains),)))[
        "index.html"
    ]
    notes = [
        " ".join(re.sub("<[^>]*>", "", note).split())
        for note in re.findall(r'class="alarm"[^>]*>(.*?)</div>', page, re.DOTALL)
    ]
    harm, possible = (next(note for note in notes if note.startswith(word)) for word in ("Harm.", "Possible harm"))
    names = [get_language(gain.language).name for gain in (first, second)]
    assert [names[0] in harm, names[1] in harm] == [True, False]
    assert [f" {names[0]} (" in possible, names[1] in possible] == [False, True]
    assert f"raise up to {0.025 * len(gains):.1f} such alarms on average among {len(gains)} cells" in possible


def test_the_policy_allows_the_pages_own_scripts_and_style_only(report: Report):
    page = report["index.html"]
    policy = next(a["content"] for _, a in Tags(page).tags if a.get("http-equiv") == "Content-Security-Policy")
    inline = re.findall(r"<(script|style)>(.*?)</\1>", page, flags=re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for _, text in inline]
    assert sorted(re.findall(r"'sha256-([^']+)'", policy)) == sorted(hashes)
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_untrusted_text_adds_no_tag(tame: Findings, attacked: Report, tables_and_page: Render):
    def shape(page: str) -> list[str]:
        return [tag for tag, _ in Tags(page).tags]

    assert shape(attacked["index.html"]) == shape(tables_and_page(tame)["index.html"])
    data = re.search(
        r'<script type="application/json" id="spec-accuracy">(.*?)</script>', attacked["index.html"], re.DOTALL
    )
    assert "onerror" in json.dumps(json.loads(data[1]))
    assert all("<img" not in content for name, content in attacked.items() if name.endswith(".svg"))
    assert all(
        re.fullmatch(r"(tables|figures)/[a-z0-9_-]+\.[a-z]+|index\.html|card\.(svg|png)", name) for name in attacked
    )


def test_right_to_left_text_has_its_own_direction_wherever_it_is_shown(
    from_the_right: Findings, tables_and_page: Render, undirected: Callable[[str], list[str]]
):
    made = tables_and_page(from_the_right)
    page = made["index.html"].partition('<script type="application/json" id="styles">')[0]
    assert undirected(page) == []
    assert len(undirected(page.replace(' dir="auto"', ""))) > 20
    task = from_the_right.comparisons[0].summaries[0].task
    assert f'| <span dir="auto">{task}</span> |' in made["tables/summary.md"]
    assert "dir=" not in made["tables/summary.csv"] + made["tables/summary.tex"] + made["tables/cost.md"]
    shown = re.findall(r'element\("(?:h4|h5|p|th)", (?!name|layer|")[^;]*', made["index.html"])
    assert len(shown) == 16
    assert all('dir: "auto"' in call for call in shown)


def test_every_chart_is_a_picture_of_both_kinds(report: Report):
    pictures = {name for name in report if name.startswith("figures/")}
    names = {*CHARTS, *INSIDE, "accuracy", "training"}
    assert pictures == {f"figures/{name}.{ending}" for name in names for ending in ("svg", "png")}
    assert all(report[name].startswith(b"\x89PNG") for name in pictures if name.endswith("png"))
    assert all(report[name].startswith("<svg") for name in pictures if name.endswith("svg"))


def test_a_run_with_little_to_tell_still_has_a_page(findings: Findings, untuned: Findings):
    (comparison,) = findings.comparisons
    own = tuple(gain for gain in comparison.gains if gain.task == "paraphrase" and gain.language in ("en", "de"))
    summary = replace(
        comparison.summaries[2],
        unseen=None,
        unseen_general=None,
        pivot=None,
        minimum_detectable=None,
        by_property=(),
        verdict=None,
    )
    bare = replace(
        untuned,
        comparisons=(replace(comparison, gains=own, summaries=(summary,), sentence="None."),),
        data=Data((), "", (), ()),
        costs=(),
        translation_costs=(),
    )
    made = render(bare)
    assert "no verdict" in made["index.html"]
    assert {name for name in made if name.endswith("svg")} == {
        "card.svg",
        "figures/gains-paraphrase.svg",
        "figures/accuracy.svg",
    }


def test_forest_plot_is_sorted_by_gain_below_the_mean(findings: Findings):
    plot = FIGURES["gains"](findings).plots[0]
    spec, rows = plot.chart.to_dict(), plot.rows
    values = [row["value"] for row in rows[1:]]
    assert rows[0]["language"].startswith("Mean")
    assert values == sorted(values, reverse=True)
    assert spec["layer"][-1]["encoding"]["y"]["sort"] == [row["language"] for row in rows]


def test_file_names_differ_whatever_the_names():
    found = slugs(["a", "A", "../../a", "日本", "", "a_2", "a-2", "x" * 90])
    assert len(set(found)) == len(found)
    assert all(re.fullmatch(r"[a-z0-9_-]{1,45}", name) for name in found)


def luminance(color: list[float]) -> float:
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def test_numbers_in_the_heatmap_are_readable():
    stops = [[int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)] for color in HEAT]
    for step in range(101):
        place = step / 100 * (len(stops) - 1)
        low = min(int(place), len(stops) - 2)
        cell = luminance([a + (b - a) * (place - low) for a, b in zip(stops[low], stops[low + 1], strict=True)])
        ratio = 1.05 / (cell + 0.05) if step / 100 > DARK_FROM else (cell + 0.05) / 0.05
        assert ratio >= 4.5


# In the browser


def draw_all(page: "Page") -> None:
    """Make every chart be drawn, as when the page is printed."""
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function("[...document.querySelectorAll('.chart')].every((chart) => chart.querySelector('svg'))")
    page.wait_for_function("document.documentElement.dataset.drawn")


DRAWN = """[...document.querySelectorAll(".chart")].map((chart) => {
  const svg = chart.querySelector("svg"), place = chart.getBoundingClientRect();
  return {
    marks: svg.querySelectorAll(".mark-symbol path, .mark-line path, .mark-rect path").length,
    label: chart.getAttribute("aria-label"),
    width: svg.getBoundingClientRect().width,
    room: place.width,
    texts: [...svg.querySelectorAll("text")].map((e) => [e.textContent, e.getBoundingClientRect().right - place.right]),
  };
})"""
"""Per chart: how many marks it has, its label, its picture's width, the width of its place, and how far each text
reaches beyond that place at the right, in pixels. Asked in one message, because a page has thousands of texts."""


def test_a_chart_is_drawn_when_it_comes_near_with_what_was_chosen_before(report: Report, visit: Visit):
    page = visit(report)
    drawn = "[...document.querySelectorAll('.chart')].filter((chart) => chart.querySelector('svg')).length"
    at_once, top = page.evaluate(drawn), page.locator("#provenance").evaluate("(e) => e.offsetTop")
    assert 0 < at_once < len(CHARTS)
    assert page.locator("#chart-entropy-paraphrase svg").count() == 0
    page.get_by_label("Input language").select_option("Thai")
    page.locator("#chart-lens-sentiment").scroll_into_view_if_needed()
    page.wait_for_selector("#chart-lens-sentiment svg")
    page.wait_for_function("document.querySelector('#chart-lens-sentiment').textContent.includes('told apart')")
    assert page.evaluate(drawn) > at_once
    draw_all(page)
    assert page.evaluate(drawn) == len(CHARTS) + len(INSIDE) + 2
    # what is not drawn yet has about its height already, so that the page does not jump below a reader
    assert page.locator("#provenance").evaluate("(e) => e.offsetTop") == pytest.approx(top, rel=0.02)


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_every_chart_draws_and_nothing_sticks_out(report: Report, visit: Visit, width: int, mode: str):
    page = visit(report, width, mode)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    draw_all(page)
    charts = page.evaluate(DRAWN)
    assert len(charts) == len(CHARTS) + len(INSIDE) + 2
    for chart in charts:
        assert chart["marks"] > 0
        assert chart["label"]
        assert chart["width"] <= chart["room"] + 1
        assert chart["texts"], "no chart is without texts"
        for text, overhang in chart["texts"]:  # what lies beyond the picture's edge is cut off
            assert overhang <= 1, text
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_has_contrast_aa(report: Report, visit: Visit, mode: str):
    page = visit(report, 1440, mode)
    draw_all(page)
    found = page.evaluate(
        """() => {
          const parse = (color) => color.match(/[\\d.]+/g).map(Number);
          const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
            .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
          const ground = (element) => {
            for (let e = element; e; e = e.parentElement) {
              const color = parse(getComputedStyle(e).backgroundColor);
              if (color.length === 3 || color[3] > 0) return color;
            }
          };
          const own = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
          const texts = [...document.querySelectorAll("body *:not(script):not(noscript)")].filter(own);
          return texts.filter((e) => !e.closest(".mark-text.role-mark")).map((e) => {
            const style = getComputedStyle(e);
            const color = parse(e.closest("svg") ? style.fill : style.color);
            const [a, b] = [light(color), light(ground(e))].sort((x, y) => y - x);
            return [e.textContent.slice(0, 30), (a + 0.05) / (b + 0.05)];
          });
        }"""
    )
    assert len(found) > 200
    assert [(text, ratio) for text, ratio in found if ratio < 4.5] == []


def test_the_language_chosen_is_the_one_shown(report: Report, visit: Visit):
    page = visit(report, 390)
    draw_all(page)

    def curves(chart: str) -> list[str]:
        return [path.get_attribute("d") for path in page.locator(f"#chart-{chart} .mark-line path").all()]

    before = {chart: curves(chart) for chart in CHARTS[3:]}
    assert page.locator("#chosen-language").input_value() == "Chinese"
    page.get_by_label("Input language").select_option("Swahili")
    page.wait_for_timeout(300)
    for chart in CHARTS[3:]:
        assert len(curves(chart)) == len(before[chart]) == (4 if chart.startswith("lens") else 2)
        assert curves(chart) != before[chart]
    page.get_by_label("Input language").select_option("Thai")
    page.wait_for_timeout(300)
    assert "cannot be told apart" in page.locator("#chart-lens-sentiment").text_content()


def test_charts_follow_the_readers_mode_and_keep_the_language(report: Report, visit: Visit):
    page = visit(report, 390, "light")
    draw_all(page)
    page.get_by_label("Input language").select_option("Swahili")
    page.wait_for_timeout(300)
    curves = "[...document.querySelectorAll('#chart-lens-sentiment .mark-line path')].map((p) => p.getAttribute('d'))"
    ink = "getComputedStyle(document.querySelector('#chart-gains-sentiment .role-axis-label text')).fill"
    shown, light = page.evaluate(curves), page.evaluate(ink)
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector("html[data-drawn=dark]")
    assert page.evaluate(curves) == shown
    assert page.evaluate(ink) != light


def test_markup_in_the_findings_shows_as_text(attacked: Report, visit: Visit, hostile: Findings):
    page = visit(attacked)
    assert page.locator("img").count() == 0
    assert page.locator("h1").inner_text() == hostile.name
    assert page.title().startswith(hostile.name)
    assert page.locator("#experiment-file").inner_text() == hostile.provenance.experiment
    draw_all(page)
    assert "sentiment</scr" in page.locator("#chart-accuracy").text_content()
    page.locator("#chart-accuracy .mark-text text").first.hover()
    page.wait_for_selector("#vg-tooltip-element.visible")
    assert "onerror" in page.locator("#vg-tooltip-element").inner_text()
    assert page.locator("img").count() == 0


def test_wide_tables_scroll_by_keyboard_in_their_own_box(report: Report, visit: Visit):
    page = visit(report, 390)
    box = page.locator("#table .scroll").first
    box.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(400)
    assert box.evaluate("(e) => e.scrollLeft") > 0
    assert page.evaluate("document.documentElement.scrollLeft") == 0


# The items browser


def shown(page: "Page") -> list[str]:
    return page.locator("#items li h4").all_inner_texts()


def choose(page: "Page", **chosen: str) -> None:
    for name, value in chosen.items():
        page.locator(f"#items-{name}").select_option(value)
    page.locator("#items [aria-busy=true]").wait_for(state="detached")


def expected(sheet: ItemScores) -> list[str]:
    """Return for each item of a sheet its kind, by a naive reading of the scores."""
    kinds = {(False, True): "fixed", (True, False): "broken", (True, True): "right", (False, False): "wrong"}
    return [kinds[max(b) == b[gold], max(t) == t[gold]] for b, t, gold in zip(*sheet.logprobs, sheet.gold, strict=True)]


def test_the_filters_show_exactly_their_items(report: Report, visit: Visit, findings: Findings):
    page = visit(report)
    assert len(shown(page)) == 20
    page.locator("#items button").click()
    assert len(shown(page)) == 24
    assert page.locator("#items button").is_hidden()
    for sheet in (findings.item_scores[0], findings.item_scores[17], findings.item_scores[39]):
        for kind in ("fixed", "broken", "right", "wrong"):
            choose(page, task=sheet.task, language=sheet.language, change=kind)
            wanted = [f"{id}: {k}" for id, k in zip(sheet.ids, expected(sheet), strict=True) if k == kind]
            assert shown(page) == wanted
            assert (
                page.locator("#items [role=status]").inner_text() == f"{len(wanted)} of 24 items, {len(wanted)} shown."
            )


def test_an_item_has_its_text_in_english_too_and_every_score(report: Report, visit: Visit, findings: Findings):
    page = visit(report)
    english, hindi = (next(s for s in findings.item_scores if s.language == code) for code in ("en", "hi"))
    choose(page, task="sentiment", language="hi")
    item = page.locator("#items li").nth(3)
    assert item.locator("p[lang=hi]").all_inner_texts() == list(hindi.texts[3])
    assert item.locator("p[lang=en]").all_inner_texts() == list(english.texts[3])
    cells = [float(text.removesuffix(" chosen").replace("−", "-")) for text in item.locator("td").all_inner_texts()]
    scores = [score for pair in zip(*(rows[3] for rows in hindi.logprobs), strict=True) for score in pair]
    assert cells == pytest.approx(scores, abs=0.00501)
    assert item.locator(".chosen").count() == 2
    assert "(right answer)" in item.locator("tbody th").nth(hindi.gold[3]).inner_text()


def test_every_script_is_intact_and_a_hostile_item_is_text(report: Report, visit: Visit, findings: Findings):
    page = visit(report, 390)
    for sheet in findings.item_scores[:20]:
        choose(page, task=sheet.task, language=sheet.language)
        found = page.locator(f"#items li > p[lang={sheet.language}]").all_inner_texts()
        assert found == [text for texts in sheet.texts[:20] for text in texts]
        assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator("img").count() == 0


def test_right_to_left_text_runs_right_to_left(
    findings: Findings, untuned: Findings, visit: Visit, tables_and_page: Render
):
    """None of the twenty languages does, but a text may: the direction is that of the text, not of the page."""
    hebrew, arabic = "המלון היה נקי", "كان الفندق نظيفا"
    sheet = replace(findings.item_scores[1], texts=((hebrew,), (arabic,), *findings.item_scores[1].texts[2:]))
    page = visit(tables_and_page(replace(untuned, item_scores=(findings.item_scores[0], sheet))))
    choose(page, language="zh")
    texts = page.locator("#items p[lang=zh]")
    assert texts.all_inner_texts()[:2] == [hebrew, arabic]
    directions = [texts.nth(place).evaluate("(e) => getComputedStyle(e).direction") for place in range(3)]
    assert directions == ["rtl", "rtl", "ltr"]


def test_the_browser_works_by_keyboard(report: Report, visit: Visit):
    page = visit(report)
    before = shown(page)
    page.locator("#items-language").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(200)
    assert page.locator("#items-language").input_value() == "zh"
    assert page.locator("#items-change").input_value() == "fixed"
    assert 0 < len(shown(page)) < len(before)


def test_a_large_page_stays_small(untuned: Findings, tables_and_page: Render):
    """3 tasks × 20 languages × 600 items of 20 words each, none of them twice."""
    random = np.random.default_rng(0)
    words = np.array(["".join(map(chr, row)) for row in random.integers(0x0E01, 0x0E2E, size=(8000, 5))])
    sheets = []
    for task in ("sentiment", "entailment", "paraphrase"):
        for code in languages():
            texts = tuple((" ".join(row),) for row in random.choice(words, size=(600, 20)))
            base, tuned = (tuple(map(tuple, (-random.exponential(3, size=(600, 3))).tolist())) for _ in range(2))
            ids = tuple(f"{task}-{i}" for i in range(600))
            sheets.append(
                ItemScores(task, code, ("a", "b", "c"), ids, texts, (0,) * 600, ("base", "tuned"), (base, tuned))
            )
    made = tables_and_page(replace(untuned, item_scores=tuple(sheets)))
    assert len(made["index.html"].encode()) < 15_000_000


def test_a_screenshot_is_kept(report: Report, visit: Visit, tmp_path_factory: pytest.TempPathFactory):
    page = visit(report)
    page.locator("#items").scroll_into_view_if_needed()
    place = tmp_path_factory.getbasetemp() / "report.png"
    page.screenshot(path=place, full_page=True)
    assert place.read_bytes().startswith(b"\x89PNG")

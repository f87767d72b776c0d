"""The explorer of the page: what its blocks hold, and what a reader sees who chooses an item, a language and a lens."""

import base64
import gzip
import json
import re
from collections.abc import Callable
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spillover.languages import get_language
from spillover.records import Exploration, ExploredCell, ExploredReading, Findings, Neighbors
from spillover.report import blocks
from spillover.report.run import render
from spillover.report.visible import visible

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Report = dict[str, Any]
Render = Callable[[Findings], Report]
Visit = Callable[..., Any]

CODES, ARMS, LENSES = ("en", "zh", "th", "sw"), ("base", "tuned"), ("logit", "tuned")
EXPLORED, LAYERS, TOP, NEAREST = 6, 5, 5, 3
HOSTILE = "</script><img src=x onerror=alert(1)>"
VOCABULARY = ("\n", " the", "חדר", HOSTILE, "\u202e", "ดี", "<0xE0>", *(f" word{n}" for n in range(40)))


def reading(lens: str, seed: tuple[int, ...], same: bool) -> ExploredReading:
    random = np.random.default_rng(seed)
    english, native = random.uniform(size=(2, EXPLORED, LAYERS)).astype(np.float32)
    probabilities = -np.sort(-random.uniform(size=(EXPLORED, LAYERS, TOP)).astype(np.float32))
    tokens = random.integers(len(VOCABULARY), size=(EXPLORED, LAYERS, TOP))
    tokens[0, 0] = np.arange(TOP)
    curves = (english * np.nan, native * np.nan) if same else (english, native)
    return ExploredReading(lens, *curves, tokens, probabilities)


def exploration(findings: Findings, arm: str, task: str, paired: bool) -> Exploration:
    """In Thai the answers have the words of English."""
    cells = []
    for place, code in enumerate(CODES):
        sheet = next(s for s in findings.item_scores if (s.task, s.language) == (task, code))
        random = np.random.default_rng([place, ARMS.index(arm)])
        others = np.array([[n for n in range(len(CODES)) if n != place]] * EXPLORED)
        items = random.integers(len(sheet.ids), size=(EXPLORED, NEAREST))
        cosines = -np.sort(-random.uniform(size=(EXPLORED, NEAREST)).astype(np.float32))
        neighbors = Neighbors(others, items, cosines, random.integers(4, size=EXPLORED))
        readings = (reading(lens, (place, ARMS.index(arm), LENSES.index(lens)), code == "th") for lens in LENSES)
        answers = tuple((f"yes {n}", f"{code} {n}") for n in range(EXPLORED))
        cells.append(ExploredCell(code, sheet.ids, answers, tuple(readings), neighbors if paired else None))
    return Exploration(arm, task, CODES, VOCABULARY, 2, tuple(cells))


@pytest.fixture(scope="module")
def explored(findings: Findings) -> Findings:
    """Two tasks; the items of the second are no translations of each other."""
    explorations = tuple(
        exploration(findings, arm, task, paired)
        for arm in ARMS
        for task, paired in (("sentiment", True), ("entailment", False))
    )
    nothing = replace(findings.internals, trajectories=(), lens_summaries=(), neurons=(), patches=())
    return replace(findings, internals=replace(nothing, explorations=explorations))


@pytest.fixture(scope="module")
def report(explored: Findings, tables_and_page: Render) -> Report:
    return tables_and_page(explored)


def listed(made: Report) -> list[dict[str, Any]]:
    match = re.search(r'<script type="application/json" id="explorations">(.*?)</script>', made["index.html"])
    assert match
    rows: list[dict[str, Any]] = json.loads(match[1])
    return rows


def unpacked(block: dict[str, Any]) -> Any:  # noqa: ANN401
    return json.loads(gzip.decompress(base64.b64decode(block["data"])))


def cell_of(findings: Findings, arm: str, task: str, code: str) -> ExploredCell:
    (exploration,) = (e for e in findings.internals.explorations if (e.arm, e.task) == (arm, task))
    return next(cell for cell in exploration.cells if cell.language == code)


def test_the_blocks_hold_every_number_and_the_texts_that_they_name(explored: Findings, report: Report) -> None:
    rows = listed(report)
    texts = {block["task"]: unpacked(block) for block in rows if "code" not in block}
    cells = [block for block in rows if "code" in block]
    assert [(block["task"], block["code"]) for block in cells] == [
        (task, sheet.language)
        for task in ("sentiment", "entailment")
        for sheet in explored.item_scores
        if sheet.task == task and sheet.language in CODES
    ]
    for block in cells:
        columns = unpacked(block)
        for place, arm in enumerate(ARMS):
            cell = cell_of(explored, arm, block["task"], block["code"])
            for lens, rows_of_lens in zip(cell.readings, columns["readings"], strict=True):
                shown = rows_of_lens[place]
                names = np.array(columns["vocabulary"])[np.array(shown["tokens"])]
                assert (names == np.array([visible(text) for text in VOCABULARY])[lens.tokens]).all()
                np.testing.assert_allclose(np.array(shown["probabilities"]), lens.probabilities, rtol=5e-3)
                np.testing.assert_allclose(np.array(shown["native"], dtype=float), lens.native, rtol=5e-3)
            if block["task"] == "entailment":
                assert columns["neighbors"] == []
                continue
            for i, id in enumerate(columns["ids"]):
                near = columns["neighbors"][place]
                for code, other in zip((block["code"], *near["languages"][i]), (id, *near["ids"][i]), strict=True):
                    sheet = next(s for s in explored.item_scores if (s.task, s.language) == (block["task"], code))
                    assert texts[block["task"]][code][other] == list(sheet.texts[sheet.ids.index(other)])


def test_a_lens_or_a_language_that_one_arm_lacks_is_left_out(explored: Findings, tables_and_page: Render) -> None:
    base, *others = explored.internals.explorations
    without = replace(base.cells[1], readings=base.cells[1].readings[1:])
    changed = replace(base, cells=(base.cells[0], without, base.cells[2]))
    made = tables_and_page(replace(explored, internals=replace(explored.internals, explorations=(changed, *others))))
    lenses = {
        block["code"]: block["lenses"] for block in listed(made) if block["task"] == "sentiment" and "code" in block
    }
    assert lenses == {"en": ["logit", "tuned"], "zh": ["tuned"], "th": ["logit", "tuned"]}


def test_a_run_without_tokens_has_no_explorer_and_one_without_a_lens_says_so(
    findings: Findings, tables_and_page: Render
) -> None:
    old = tables_and_page(findings)["index.html"]
    assert 'id="explorer"' not in old
    assert "no item to explore" not in old
    blind = replace(findings, internals=replace(findings.internals, trajectories=(), lens_summaries=(), patches=()))
    page = tables_and_page(blind)["index.html"]
    assert 'id="explorer"' not in page
    assert page.count("No lens read the layers, so there is no item to explore.") == 1


# In the browser


def choose(page: "Page", **chosen: str) -> None:
    for name, value in chosen.items():
        page.locator(f"#explorer-{name}").select_option(value)
    page.locator("#explorer [aria-busy=true]").wait_for(state="detached")


def percent(value: float) -> str:
    share = Decimal(100 * float(f"{value:.3g}"))
    digits = 2 if share < Decimal("0.1") else 1 if share < 10 else 0
    rounded = share.quantize(Decimal(10) ** -digits, ROUND_HALF_UP)
    return "<0.01%" if share < Decimal("0.01") else f"{rounded}%"


def rows_shown(page: "Page") -> list[list[str]]:
    rows = page.locator("#explorer tbody tr").all()
    return [[" ".join(cell.split()) for cell in row.locator("th, td").all_inner_texts()] for row in rows]


def rows_expected(findings: Findings, task: str, code: str, lens: str, item: int) -> list[list[str]]:
    place = LENSES.index(lens)
    readings = [cell_of(findings, arm, task, code).readings[place] for arm in ARMS]
    rows = []
    for layer in range(LAYERS):
        row = [str(layer)]
        for of_arm in readings:
            pairs = zip(of_arm.tokens[item, layer], of_arm.probabilities[item, layer], strict=True)
            row.append(" ".join(f"{visible(VOCABULARY[token])} {percent(p)}" for token, p in pairs))
            row += [percent(of_arm.english[item, layer])] + [percent(of_arm.native[item, layer])] * (code != "en")
        rows.append(row)
    return rows


def test_a_reader_chooses_and_sees_that_items_values(report: Report, explored: Findings, visit: Visit) -> None:
    page = visit(report)
    page.wait_for_selector("#explorer .token", state="attached")
    assert page.locator("#explorer-language").input_value() == "zh", "the first but English"
    seen = []
    sheets = {(s.task, s.language): s for s in explored.item_scores}
    for task, code, lens, item in (
        ("sentiment", "zh", "logit", 0),
        ("sentiment", "zh", "tuned", 0),
        ("sentiment", "sw", "tuned", 3),
        ("entailment", "sw", "logit", 3),
        ("entailment", "en", "logit", 5),
    ):
        sheet = sheets[task, code]
        choose(page, task=task, language=code, item=sheet.ids[item], lens=lens)
        rows = rows_shown(page)
        assert rows == rows_expected(explored, task, code, lens, item)
        assert rows not in seen, "another choice has other values"
        seen.append(rows)
        assert page.locator(f"#explorer .texts p[lang={code}]").all_inner_texts() == list(sheet.texts[item])
        assert page.locator("#explorer .curves path").count() == (2 if code == "en" else 4)
        assert page.locator("#explorer [role=status]").inner_text().startswith(sheet.ids[item])
        picture = page.locator("#explorer .curves svg").get_attribute("aria-label")
        last = cell_of(explored, "tuned", task, code).readings[LENSES.index(lens)].english[item, -1]
        assert f"tuned, “yes {item}” in English {percent(last)}" in picture


def test_the_item_stays_chosen_in_another_language(report: Report, visit: Visit) -> None:
    page = visit(report)
    page.wait_for_selector("#explorer .token", state="attached")
    second = page.locator("#explorer-item option").nth(1).get_attribute("value")
    page.locator("#explorer-item").focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(300)
    assert page.locator("#explorer .texts h4").inner_text() == second
    choose(page, language="sw")
    assert page.locator("#explorer-item").input_value() == second


def test_neighbors_are_listed_with_text_and_language(report: Report, explored: Findings, visit: Visit) -> None:
    page = visit(report)
    page.wait_for_selector("#explorer .token", state="attached")
    choose(page, language="sw")
    boxes = page.locator("#explorer .neighbors > div")
    assert boxes.count() == len(ARMS)
    sheets = {s.language: s for s in explored.item_scores if s.task == "sentiment"}
    for place, arm in enumerate(ARMS):
        cell = cell_of(explored, arm, "sentiment", "sw")
        assert cell.neighbors
        text = f"Its translation is the nearest item in {cell.neighbors.translations[0]} of 3 other languages."
        assert text in boxes.nth(place).inner_text()
        for k, row in enumerate(boxes.nth(place).locator("li").all()):
            code, item = CODES[cell.neighbors.languages[0, k]], cell.neighbors.items[0, k]
            named, words = row.locator("p").all_inner_texts()
            assert named.startswith(f"{get_language(code).name}, {cell.neighbors.cosines[0, k]:.3f}"[:-1])
            assert named.endswith("its translation") == (item == 0)
            assert words == " · ".join(sheets[code].texts[item])
    choose(page, task="entailment")
    assert boxes.count() == 0
    assert "no translations of each other" in page.locator("#explorer .neighborhood").inner_text()


def test_answers_with_one_word_in_both_languages_have_no_curves(report: Report, visit: Visit) -> None:
    page = visit(report)
    page.wait_for_selector("#explorer .token", state="attached")
    choose(page, language="th")
    assert "cannot be told apart" in page.locator("#explorer .curves").inner_text()
    assert page.locator("#explorer .curves svg").count() == 0
    assert rows_shown(page)[0][2] == "–"
    choose(page, language="zh")
    assert page.locator("#explorer .curves path").count() == 4


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_sticks_out_and_tokens_are_text(report: Report, visit: Visit, width: int) -> None:
    page = visit(report, width, "dark")
    page.wait_for_selector("#explorer .token", state="attached")
    tokens = page.locator("#explorer .tokens .token bdi").all_inner_texts()[:TOP]
    assert tokens == ["↵", "␣the", "חדר", HOSTILE.replace(" ", "␣"), "<U+202E>"]
    assert page.locator("img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") == width
    words, beside = (page.locator(f"#explorer {part}").bounding_box() for part in (".words", ".shown"))
    for control in page.locator("#explorer select").all():
        box = control.bounding_box()
        assert box["x"] + box["width"] <= words["x"] + words["width"] + 1
    if width == 1440:
        assert words["x"] + words["width"] <= beside["x"]
    box = page.locator("#explorer .scroll")
    box.focus()
    page.keyboard.press("End")
    picture, place = (page.locator(f"#explorer .curves{part}").bounding_box() for part in (" svg", ""))
    assert picture["width"] <= place["width"] + 1


def test_a_large_explorer_is_beside_the_page_and_a_missing_file_is_named(
    explored: Findings,
    browser: "Browser",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("spillover.report.run.pictures", lambda *_: {})
    monkeypatch.setattr(blocks, "MAX_BYTES", 5_000)
    made = render(explored)
    for path, content in made.items():
        if path.startswith(("items/", "explorer/", "index")):
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_text(str(content), encoding="utf-8")
    files = {
        block["code"]: block["file"] for block in listed(made) if block.get("code") and block["task"] == "sentiment"
    }
    (tmp_path / files["sw"]).unlink()
    page = browser.new_page()
    page.goto((tmp_path / "index.html").as_uri())
    page.wait_for_selector("#explorer .token", state="attached", timeout=60_000)
    choose(page, language="sw")
    assert files["sw"] in page.locator("#explorer [role=status]").inner_text()
    assert page.locator("#explorer .shown").is_hidden()
    choose(page, language="en")
    assert page.locator("#explorer .shown").is_visible()
    page.close()

"""The report of tasks answered in words: shares by reason, items with both arms' answers, files."""

import csv
import io
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from spillover.analysis.statistics.gains import compare_pairs
from spillover.records import REASONS, Findings, ItemAnswers, Outcome, Reason
from spillover.report.figures.run import FIGURES
from spillover.report.run import Content
from spillover.report.tables.gains import accuracy, gains

Render = Callable[[Findings], dict[str, Content]]
Visit = Callable[..., Any]

LANGUAGES, ARMS, N = ("en", "de", "th"), ("base", "tuned"), 40
TEXTS = {"en": "It holds 18 eggs.", "de": "Es sind 18 Eier.", "th": "มีไข่ 18 ฟอง"}
MARKUP = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def sheets() -> tuple[ItemAnswers, ...]:
    """Answers with every reason; the tuned arm is right more often."""
    return tuple(_sheets())


def _sheets() -> Iterator[ItemAnswers]:
    draw = random.Random(7)
    for code in LANGUAGES:
        rows = [draw.choices(REASONS, weights=weights, k=N) for weights in ((2, 4, 1, 1, 2), (6, 2, 1, 1, 0))]
        yield ItemAnswers(
            task="arithmetic",
            language=code,
            ids=tuple(f"sum {number}" for number in range(N)),
            texts=tuple((f"{number} + 3 = ?",) for number in range(N)),
            golds=tuple((str(number + 3), f"{number + 3}.0") for number in range(N)),
            arms=ARMS,
            answers=tuple(tuple(f"{TEXTS[code]} {arm} {MARKUP}" for _ in range(N)) for arm in ARMS),
            scores=tuple(tuple(_score(reason, place) for place, reason in enumerate(row)) for row in rows),
            reasons=tuple(tuple(row) for row in rows),
            clusters=("",) * N,
        )


def _score(reason: Reason, place: int) -> float:
    return 1.0 if reason == "right" else (0.5 if place % 7 == 0 else 0.0)


def _keeps(code: str, arm: str, number: int) -> bool:
    """The tuned arm answers half of the Thai items in another language."""
    return not (code == "th" and arm == "tuned" and number % 2)


@pytest.fixture(scope="module")
def outcomes(sheets: tuple[ItemAnswers, ...]) -> dict[str, list[Outcome]]:
    return {
        arm: [
            Outcome(id, sheet.task, sheet.language, score, reason, _keeps(sheet.language, arm, number))
            for sheet in sheets
            for number, (id, score, reason) in enumerate(
                zip(sheet.ids, sheet.scores[place], sheet.reasons[place], strict=True)
            )
        ]
        for place, arm in enumerate(ARMS)
    }


@pytest.fixture(scope="module")
def written(findings: Findings, sheets: tuple[ItemAnswers, ...], outcomes: dict[str, list[Outcome]]) -> Findings:
    made = compare_pairs(outcomes, [("base", "tuned")], tuned_on=("de",))
    return replace(findings, comparisons=made, item_scores=(), item_answers=sheets)


def rows_of(text: object) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(str(text))))


def test_a_bar_is_all_answers_of_an_arm_in_a_language(written: Findings, sheets: tuple[ItemAnswers, ...]) -> None:
    (plot,) = FIGURES["answers"](written).plots
    (rows,) = plot.chart.to_dict()["datasets"].values()
    bars = {(row["language"], row["arm"]) for row in rows}
    assert len(bars) == len(LANGUAGES) * len(ARMS)
    german = {row["reason"]: row for row in rows if (row["language"], row["arm"]) == ("German", "tuned")}
    shares = {reason: row["to"] - row["from"] for reason, row in german.items()}
    assert shares == pytest.approx({reason: sheets[1].reasons[1].count(reason) / N for reason in shares}, abs=2e-4)
    assert sum(shares.values()) == pytest.approx(1, abs=2e-4)
    assert list(german) == [reason for reason in REASONS if reason in german]


def test_a_figure_of_answers_needs_answers(findings: Findings) -> None:
    assert FIGURES["answers"](findings).plots == ()


def test_the_parts_of_a_gain_stand_in_its_row_and_sum_to_it(written: Findings) -> None:
    for gain in written.comparisons[0].gains:
        assert sum(part.part.value for part in gain.reasons) == pytest.approx(gain.difference.value)
    (table,) = gains(written)
    assert table.header[-4:] == ("wrong", "unreadable", "wrong language", "ran on")
    (scores,) = accuracy(written)
    columns = ("score", *REASONS, "in language", "lines in language")
    assert scores.header[2:10] == tuple(f"{column}, base" for column in columns)


def test_a_turn_to_another_language_is_an_alarm(written: Findings, tables_and_page: Render) -> None:
    (comparison,) = written.comparisons
    assert [gain.language for gain in comparison.gains if gain.language_harm] == ["th"]
    german, thai = (next(g for g in comparison.gains if g.language == code) for code in ("de", "th"))
    assert german.answer_language is not None and german.answer_language.value == 0
    assert thai.answer_language is not None
    assert thai.answer_language.value == pytest.approx(-0.5)
    assert thai.reference.answers is not None
    assert (thai.reference.answers.in_language, thai.reference.answers.lines_in_language) == (1.0, None)
    page = str(tables_and_page(written)["index.html"])
    assert "<strong>Another language.</strong>" in page
    assert "Thai (arithmetic, −50.0" in page


def test_the_pivot_is_called_by_its_name(
    written: Findings, outcomes: dict[str, list[Outcome]], tables_and_page: Render
) -> None:
    made = compare_pairs(outcomes, [("base", "tuned")], tuned_on=("th",), pivot="de")
    page = str(tables_and_page(replace(written, comparisons=made))["index.html"])
    assert "<dt>German</dt>" in page
    assert "<dt>English</dt>" not in page


def test_every_answer_is_in_the_file(
    written: Findings, sheets: tuple[ItemAnswers, ...], tables_and_page: Render
) -> None:
    contents = tables_and_page(written)
    rows = rows_of(contents["tables/answers.csv"])
    assert len(rows) == len(LANGUAGES) * len(ARMS) * N
    row = next(row for row in rows if (row["language"], row["arm"], row["id"]) == ("th", "tuned", "sum 3"))
    assert (row["reason"], float(row["score"])) == (sheets[2].reasons[1][3], sheets[2].scores[1][3])
    assert row["answer"] == sheets[2].answers[1][3]
    assert "tables/items.csv" not in contents
    assert MARKUP not in str(contents["index.html"])


def test_a_report_of_choices_has_no_file_of_answers(findings: Findings, tables_and_page: Render) -> None:
    contents = tables_and_page(findings)
    assert "tables/answers.csv" not in contents
    assert 'id="answers"' not in str(contents["index.html"])


def test_the_browser_shows_both_answers_with_their_reasons(
    written: Findings, sheets: tuple[ItemAnswers, ...], tables_and_page: Render, visit: Visit
) -> None:
    page = visit(tables_and_page(written), 390)
    page.locator("#items-language").select_option("th")
    item = page.locator("#items li").nth(3)
    item.wait_for()
    assert item.locator("p[lang=th]").first.inner_text() == "3 + 3 = ?"
    assert item.locator(".gold").inner_text() == "Right: 6 · 6.0"
    assert item.locator("td.answer").all_inner_texts() == [row[3] for row in sheets[2].answers]
    reasons = [text.partition(",")[0] for text in item.locator("td.reason").all_inner_texts()]
    assert reasons == [row[3] for row in sheets[2].reasons]
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator("img").count() == 0


def test_a_search_finds_words_of_answers_and_reasons(
    written: Findings, sheets: tuple[ItemAnswers, ...], tables_and_page: Render, visit: Visit
) -> None:
    page = visit(tables_and_page(written))
    status = page.locator("#items [role=status]")
    for words, matching in (
        ("ran on", [i for i in range(N) if "ran on" in (row[i] for row in sheets[0].reasons)]),
        ("SUM 39", [39]),
        ("nothing like it", []),
    ):
        page.locator("#items-search").fill(words)
        page.wait_for_function(
            f"document.querySelector('#items [role=status]').textContent.startsWith('{len(matching)} of {N} items')"
        )
        assert status.inner_text() == f"{len(matching)} of {N} items, {min(20, len(matching))} shown."

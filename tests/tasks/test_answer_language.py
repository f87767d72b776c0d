"""The language of answers: who is told, what is too short, and the pass rates of the language confusion benchmark."""

import re
from collections.abc import Callable
from time import process_time

import pytest

from spillover.languages import Language, languages, registered
from spillover.records import LanguageCheck
from spillover.sources import open_source
from spillover.tasks import open_task
from spillover.tasks.answer_language import answer_language, answer_languages, language_checks, line_languages
from spillover.utils.text import identifies

pytestmark = pytest.mark.skipif(not identifies(), reason="lingua is not installed")

SENTENCES = {
    "en": "She bought three apples and gave one of them to her brother.",
    "de": "Sie kaufte drei Äpfel und schenkte einen davon ihrem Bruder.",
    "sw": "Alinunua matofaa matatu na kumpa kaka yake moja kati ya hayo.",
    "ru": "Она купила три яблока и отдала одно из них своему брату.",
    "zh": "她买了三个苹果，把其中一个给了她的弟弟，自己留下两个。",
    "ja": "彼女はりんごを三つ買い、そのうちの一つを弟にあげました。",
    "th": "เธอซื้อแอปเปิลสามผลและให้น้องชายหนึ่งผล",
    "bn": "সে তিনটি আপেল কিনল এবং তার ভাইকে একটি দিল।",
}
CODES = tuple(SENTENCES)

WRAPPED: dict[str, Callable[[str], str]] = {
    "numbers": lambda text: f"12 + 30 = 42. {text} 42",
    "markup": lambda text: f"## **{text}**",
    "LaTeX": lambda text: rf"\text{{{text}}} \boxed{{42}} \times \frac{{1}}{{2}}",
    "code": lambda text: f"{text}\n```python\nprint('the answer to everything is forty-two')\n```",
    "an address": lambda text: f"{text} https://example.org/an/article/about/apples/and/brothers",
}


@pytest.mark.parametrize("code", CODES)
def test_a_sentence_is_told_whatever_stands_around_it(code: str) -> None:
    assert answer_language(SENTENCES[code], CODES) == code
    for name, wrap in WRAPPED.items():
        assert answer_language(wrap(SENTENCES[code]), CODES) == code, name


UNTOLD = [
    "",
    "\n",
    "18",
    "১৮",
    "12 + 30 = 42",
    "B)",
    "ok",
    "Paris",
    "Kuala Lumpur",
    "John F. Kennedy",
    "София",
    "東京大学",
]
UNTOLD += [
    "国立科学博物館附属自然教育園",
    r"\boxed{42}",
    "https://example.org/an/article/about/apples",
    "`return the_answer_to_all`",
]


@pytest.mark.parametrize("text", UNTOLD)
def test_what_cannot_be_told(text: str) -> None:
    assert answer_language(text, CODES) is None


def test_english_is_always_a_candidate_and_alone_tells_nothing() -> None:
    assert answer_language(SENTENCES["en"], ["sw"]) == "en"
    assert answer_language(SENTENCES["sw"], ["sw"]) == "sw"
    assert answer_language(SENTENCES["en"], ["en"]) is None
    assert answer_language(SENTENCES["en"], []) is None


def test_chinese_without_japanese_among_the_candidates_is_told_sooner() -> None:
    assert answer_language("国立科学博物館附属自然教育園", ["zh", "en"]) == "zh"


def test_nothing_is_told_among_languages_that_the_identifier_lacks() -> None:
    row = Language("ast", "Asturian", "asturianu", "Latin", "Romance", "low", "ast_Latn", "ast", "", "")
    with registered([row]):
        assert answer_language("Ella mercó tres mazanes y dio-y una al so hermanu.", ["ast", "es"]) is None
        assert language_checks([SENTENCES["en"]], "ast", []) == [LanguageCheck(True, None, None)]


def test_many_answers_are_told_as_one_by_one() -> None:
    texts = [*SENTENCES.values(), "18", *reversed(SENTENCES.values())]
    assert answer_languages(texts, CODES) == [*CODES, None, *reversed(CODES)]
    assert answer_languages([], CODES) == []


def test_lines() -> None:
    text = f"{SENTENCES['sw']}\n\n3 - 1 = 2\n{SENTENCES['en']}\n"
    assert line_languages(text, CODES) == ["sw", None, "en"]


CHECKS = [
    # text, expected, answer, lines, words
    (SENTENCES["sw"], "sw", True, True, None),
    (SENTENCES["en"], "sw", False, False, None),
    (f"{SENTENCES['sw']}\n{SENTENCES['sw']}\n{SENTENCES['en']}", "sw", True, False, None),
    ("18", "sw", True, None, None),
    (SENTENCES["ru"], "ru", True, True, True),
    (SENTENCES["ru"] + " Поэтому answer равен 18.", "ru", True, True, False),
    (SENTENCES["ru"] + " Её зовут Anna, она слушает BBC на 5 km.", "ru", True, True, True),
    (SENTENCES["ru"] + r" \text{Итого} \times https://example.org/apples `apples`", "ru", True, True, True),
    (SENTENCES["zh"] + "所以answer是18。", "zh", True, True, False),
    (SENTENCES["en"], "ru", False, False, None),
]


@pytest.mark.parametrize(("text", "expected", "answer", "lines", "words"), CHECKS)
def test_the_checks_of_one_answer(
    text: str, expected: str, answer: bool, lines: bool | None, words: bool | None
) -> None:
    assert language_checks([text], expected, CODES) == [LanguageCheck(answer, lines, words)]


def test_pass_rates_are_those_of_the_benchmark() -> None:
    """Against the definition: of the answers with a line that tells, the share without a line in another language."""
    texts = [text for text, expected, *_ in CHECKS if expected == "ru"] + ["18", "да"]
    checks = language_checks(texts, "ru", CODES)
    telling = [text for text in texts if any(line_languages(text, CODES))]
    line_errors = [text for text in telling if set(line_languages(text, CODES)) - {"ru", None}]
    clean = [text for text in telling if text not in line_errors]
    word_errors = [text for text in clean if {"answer", "apples"} & set(re.sub(r"https?:\S+|`.*?`", "", text).split())]
    lines = [check.lines for check in checks if check.lines is not None]
    words = [check.words for check in checks if check.words is not None]
    assert sum(lines) / len(lines) == 1 - len(line_errors) / len(telling)
    assert sum(words) / len(words) == 1 - len(word_errors) / len(clean)


@pytest.mark.slow
def test_no_sentence_of_twenty_languages_is_told_wrongly() -> None:
    """Whole sentences are told; beginnings of them are told rightly or not at all. Thousands take seconds.

    Twenty Latin letters are too few, so that of the shortest only those in other scripts are told.
    """
    source, task = open_source("starter", {}, "test"), open_task("entailment")
    texts = [(code, text) for code in languages() for item in source.items(task, code) for text in item.fields]
    answer_languages([text for _, text in texts[:1]], languages())
    for length, least in ((119, 0.9), (40, 0.75), (20, 0.25)):
        start = process_time()
        told = answer_languages([text[:length] for _, text in texts], languages())
        wrong = [
            (text, code) for (expected, text), code in zip(texts, told, strict=True) if code not in (None, expected)
        ]
        assert len(wrong) <= len(texts) / 1000, wrong
        assert sum(code is not None for code in told) / len(texts) >= least, length
        assert process_time() - start < len(texts) / 100

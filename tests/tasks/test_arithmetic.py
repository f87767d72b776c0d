"""The word problems of `arithmetic` as they stand in their files: right, parallel, written as each language writes.

`tests/sources/test_starter.py` checks ids, numbers, scripts and languages of the items, and the exemplars'
language; here are answers and exemplars.
"""

import json
import re
import tomllib
import unicodedata
from collections import Counter
from fractions import Fraction
from importlib.resources import files
from pathlib import Path

import pytest

from scripts import LETTER_NAMES
from spillover.languages import languages

DATA = Path(str(files("spillover").joinpath("data")))
TABLE = tomllib.loads((DATA / "tasks" / "arithmetic.toml").read_text("utf-8"))

by_language = pytest.mark.parametrize("code", languages())

FORMULAS = (
    "3 + 2", "7 - 4", "6 + 8", "5 * 4", "12 / 3", "9 + 4", "15 - 6", "3 * 8", "20 - 13", "18 / 6",
    "90 - 35", "9 * 6", "40 / 8", "125 + 60", "6 * 15", "240 - 115", "10 - 3 + 5", "2 * 3 + 4",
    "25 + 16 - 30", "8 + 2 * 8", "5 * 6 - 4", "28 / 2 - 5", "50 - 3 * 12", "2 * 15 + 3 * 15", "2 * 6 + 5",
    "18 + 18 - 3", "45 / 9 + 2", "500 - 120 - 150", "12 * 5 * 4",
    "6 * 5 + 4 * 2", "12 * 10 * 2 - 35 * 2", "30 / 4 - 6 / 4 - 2", "100 - 3 * 15 - 40", "8 * 20 / 5 - 10 / 5",
    "14 + 3 * 14 - 10", "200 / 20 - 4 * 25 / 20", "32 / 2 + 9 - 7", "3 * 40 * 15 - 25",
    "300 / 100 * 6 * 2", "2 * 80 - 2 * 80 * 25 / 100",
)  # fmt: skip
"""How each problem is solved, read from its English text by a person: the oracle of its answer."""

UNSAID = {"2", "100"}
"""Numbers that a formula has and its problem need not: half, twice, percent."""


def lines(code: str) -> list[dict[str, str]]:
    text = (DATA / "starter" / "arithmetic" / "items" / f"{code}.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def exemplars(code: str) -> list[tuple[str, str]]:
    return [(question, worked) for question, worked in TABLE["rows"][code]["exemplars"]]


def texts(code: str) -> list[str]:
    """Return every question and worked answer of a language."""
    return [*(line["question"] for line in lines(code)), *(text for pair in exemplars(code) for text in pair)]


def ascii_digits(text: str) -> str:
    return "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)


def numbers(text: str) -> Counter[str]:
    return Counter(re.findall(r"\d+", ascii_digits(text)))


def value(formula: str) -> Fraction:
    """Return the value of numbers joined by + - * × /, products before sums, each from left to right."""
    total = Fraction(0)
    for sign, term in re.findall(r"(^|[+-]) ?([^+-]+)", formula):
        factor, *rest = re.findall(r"(?:^|[*×/]) ?(?:\d+)", term.strip())
        product = Fraction(factor)
        for part in rest:
            number = Fraction(part[1:].strip())
            product = product / number if part[0] == "/" else product * number
        total += -product if sign == "-" else product
    return total


def test_formulas_are_evaluated() -> None:
    assert [value(formula) for formula in ("60 - 32 - 10", "2 + 3 * 4", "30 / 5", "3 × 4 / 6 - 1")] == [18, 14, 6, 1]


# Items


def test_each_answer_is_what_the_english_problem_asks() -> None:
    for line, formula in zip(lines("en"), FORMULAS, strict=True):
        assert value(formula) == int(line["answer"]), line
        said, used = set(numbers(line["question"])), set(numbers(formula))
        assert said <= used, line
        assert used - said <= UNSAID, line


def test_problems_become_harder() -> None:
    """Sixteen take one step, thirteen take two, eleven take three or more."""
    steps = [len(re.findall(r"[-+*/]", formula)) for formula in FORMULAS]
    assert steps[:16] == [1] * 16
    assert steps[16:23] == [2] * 7
    assert min(steps[29:]) >= 3
    assert max(int(line["answer"]) for line in lines("en")[:10]) <= 24


@by_language
def test_answers_are_the_same_in_every_language(code: str) -> None:
    assert [(line["id"], line["answer"]) for line in lines(code)] == [
        (line["id"], line["answer"]) for line in lines("en")
    ]


@by_language
def test_no_two_problems_differ_in_numbers_alone(code: str) -> None:
    questions = [*(line["question"] for line in lines(code)), *(question for question, _ in exemplars(code))]
    assert len({re.sub(r"\d+", "0", ascii_digits(question)) for question in questions}) == len(questions) == 48


# Exemplars

EQUATION = re.compile(r"(\d+(?: [-+×/] \d+)+) = (\d+)")


def faults(worked: str, conclusion: str, ending: str) -> list[str]:
    """Return what is wrong with a worked answer: a step, its conclusion, or a number that comes from nowhere."""
    plain, cue = ascii_digits(worked), ascii_digits(conclusion)
    steps = EQUATION.findall(plain)
    wrong = [f"{formula} = {result}" for formula, result in steps if value(formula) != int(result)]
    if plain.count("=") != len(steps) or not steps:
        wrong.append("an equation that is not read")
    results = [result for _, result in steps]
    if plain.count(cue) != 1 or not re.search(rf"{re.escape(cue)} ?{results[-1]}{re.escape(ending)}$", plain):
        wrong.append("another conclusion than the last result")
    return wrong


def test_faults_are_seen() -> None:
    right = "There are 5 ducks. 5 + 4 = 9. 9 × 2 = 18. The answer is 18."
    assert faults(right, "The answer is", ".") == []
    for old, new in [("= 9.", "= 8."), ("is 18", "is 17"), ("× 2", "x 2"), ("The answer is 18.", "")]:
        assert faults(right.replace(old, new), "The answer is", "."), new
    assert faults("৫ + ৪ = ৯। উত্তর হলো ৯।", "উত্তর হলো", "।") == []
    assert faults("৫ + ৪ = ৮। উত্তর হলো ৮।", "উত্তর হলো", "।") == ["5 + 4 = 8"]


ENDINGS = {"zh": "。", "ja": "です。", "hi": " है।", "bn": "।", "th": ""}
"""Language → what ends a worked answer, behind its number; elsewhere a full stop."""


@by_language
def test_worked_answers_are_right_and_end_in_the_conclusion(code: str) -> None:
    conclusion = TABLE["rows"][code]["conclusion"]
    for _, worked in exemplars(code):
        assert faults(worked, conclusion, ENDINGS.get(code, ".")) == [], worked


@by_language
def test_exemplars_have_the_numbers_of_the_english_ones(code: str) -> None:
    for pair, english in zip(exemplars(code), exemplars("en"), strict=True):
        assert [numbers(text) for text in pair] == [numbers(text) for text in english], pair


@by_language
def test_an_exemplar_starts_from_the_numbers_of_its_question(code: str) -> None:
    """A number of a worked answer is the question's, a result, or 2 for `twice`."""
    for question, worked in exemplars(code):
        results = {result for _, result in EQUATION.findall(ascii_digits(worked))}
        assert set(numbers(worked)) <= set(numbers(question)) | results | {"2"}, worked


@by_language
def test_no_conclusion_stands_in_a_question(code: str) -> None:
    conclusion = TABLE["rows"][code]["conclusion"].casefold()
    assert [text for text in texts(code) if conclusion in text.casefold() and "=" not in text] == []


# Writing

MARKS = {"zh": ("。", "？"), "ja": ("。", "。"), "hi": ("।", "?"), "bn": ("।", "?"), "th": ("", ""), "fr": (".", " ?")}
"""Language → what ends a sentence and a question; elsewhere `.` and `?`."""

NATIVE_DIGITS = {"bn": "BENGALI"}
"""Language → how the Unicode names of its digits begin; the others write ASCII digits."""


@by_language
def test_sentences_end_as_the_language_writes(code: str) -> None:
    stop, question_mark = MARKS.get(code, (".", "?"))
    questions = [*(line["question"] for line in lines(code)), *(question for question, _ in exemplars(code))]
    for question in questions:
        assert question.endswith(question_mark), question
        assert question.count(question_mark.strip() or "?") == (
            0 if code == "th" else question.count(stop) if code == "ja" else 1
        )
    foreign = set("。？।.?") - {stop, question_mark.strip()}
    assert [text for text in texts(code) if foreign & set(text)] == []


@by_language
def test_digits_are_those_that_the_language_uses(code: str) -> None:
    used = {unicodedata.name(char).partition(" DIGIT")[0] for text in texts(code) for char in text if char.isdecimal()}
    native = NATIVE_DIGITS.get(code)
    assert {name for name in used if not name.startswith("DIGIT ")} == ({native} if native else set())
    assert not native or not any(name.startswith("DIGIT ") for name in used)


@by_language
def test_exemplars_are_clean(code: str) -> None:
    row = TABLE["rows"][code]
    for text in [*row["fields"], row["answer"], row["conclusion"], *texts(code)]:
        assert text == " ".join(text.split())
        assert text == unicodedata.normalize("NFC", text)
        assert not re.search("[\u00a0\u200b\u2060\ufeff\u202f\ufffd]", text), ascii(text)


@by_language
def test_everything_is_in_the_languages_script(code: str) -> None:
    row, blocks = TABLE["rows"][code], LETTER_NAMES[languages()[code].script]
    for text in [*row["fields"], row["answer"], row["conclusion"], *texts(code)]:
        letters = [unicodedata.name(char) for char in text if unicodedata.category(char)[0] in "LM"]
        assert all(name.startswith(blocks) for name in letters), text


@by_language
def test_nothing_is_left_in_another_language(code: str) -> None:
    others = {text for other in set(languages()) - {code} for text in texts(other)}
    assert not others & set(texts(code))

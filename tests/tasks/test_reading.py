"""The passages of `reading` as they stand in their files: answers are in them, alike in all languages, and told apart.

`tests/sources/test_starter.py` checks ids, numbers, scripts and languages of passages and questions; here are answers
and exemplars.
"""

import json
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import regex

from scripts import LETTER_NAMES
from spillover.languages import languages
from spillover.plugins import GRADERS, resolve
from spillover.records import Item
from spillover.sources import open_source
from spillover.stages.items import clusters
from spillover.tasks import open_task

DATA = Path(str(files("spillover").joinpath("data")))
TABLE = tomllib.loads((DATA / "tasks" / "reading.toml").read_text("utf-8"))

PASSAGES = 20
QUESTIONS = 3
"""Questions that each passage has."""

UNSPACED = {"zh", "ja", "th"}
"""Languages that put no blanks between words."""

MARKS = {"zh": ("", "？"), "ja": ("", "か。"), "th": ("", ""), "es": ("¿", "?"), "fr": ("", " ?")}
"""Language → how its questions begin and end; elsewhere they end in a question mark."""

STOPS = {"zh": "。", "ja": "。", "th": "", "hi": "।", "bn": "।"}
"""Language → what ends its sentences; elsewhere a full stop."""

by_language = pytest.mark.parametrize("code", languages())

Row = tuple[str, str, tuple[str, ...]]
"""A passage, a question about it, and the answers that count as right."""


@cache
def lines(code: str) -> list[dict[str, Any]]:
    text = (DATA / "starter" / "reading" / "items" / f"{code}.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def item_rows(code: str) -> list[Row]:
    answers = [[line["answer"]] if isinstance(line["answer"], str) else line["answer"] for line in lines(code)]
    return [(line["passage"], line["question"], tuple(texts)) for line, texts in zip(lines(code), answers, strict=True)]


def exemplar_rows(code: str) -> list[Row]:
    return [(passage, question, (answer,)) for passage, question, answer in TABLE["rows"][code]["exemplars"]]


def rows(code: str) -> list[Row]:
    return [*item_rows(code), *exemplar_rows(code)]


def numbers(text: str) -> Counter[str]:
    plain = "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)
    return Counter(regex.findall("[0-9]+", plain))


# Shape


def test_every_language_has_all_items_and_two_exemplars() -> None:
    assert set(TABLE["rows"]) == set(languages())
    for code in languages():
        assert len(lines(code)) == PASSAGES * QUESTIONS
        assert len(TABLE["rows"][code]["exemplars"]) == 2


@by_language
def test_three_questions_share_a_passage_and_its_name(code: str) -> None:
    names = [f"passage-{number:02}" for number in range(1, PASSAGES + 1) for _ in range(QUESTIONS)]
    assert [line["cluster"] for line in lines(code)] == names
    assert len({(line["cluster"], line["passage"]) for line in lines(code)}) == PASSAGES
    assert len({passage for passage, _, _ in rows(code)}) == PASSAGES + 2, "an exemplar has a passage of its own"


def test_the_questions_of_a_passage_are_one_cluster() -> None:
    task, source = open_task("reading"), open_source("starter", {}, "test")
    assert {item.cluster for item in source.items(task, "sw")} == {line["cluster"] for line in lines("en")}
    cluster_of = clusters({("reading", "sw"): source.items(task, "sw")})["reading"]
    assert cluster_of == {f"reading-{n:03}": f"reading-{n - (n - 1) % QUESTIONS:03}" for n in range(1, 61)}


def test_english_passages_are_short() -> None:
    for passage, _, _ in rows("en"):
        assert 35 <= len(passage.split()) <= 55, passage
        assert 3 <= len(regex.findall(r"(?<!Mr|Mrs)\.(?= |$)", passage)) <= 5, passage


# Answers


def faults(passage: str, answers: Sequence[str], code: str) -> list[str]:
    """Return what is wrong with the answers to a question about a passage."""
    whole = "{}" if code in UNSPACED else r"(?<![\p{{L}}\p{{M}}\p{{N}}]){}(?![\p{{L}}\p{{M}}\p{{N}}])"
    wrong = []
    if not regex.search(whole.format(regex.escape(answers[0])), passage):
        wrong.append("the first answer is no words of the passage")
    if len(set(answers)) < len(answers):
        wrong.append("an answer occurs twice")
    if any(answer != answer.strip(" .,;:।。、，") or not answer for answer in answers):
        wrong.append("an answer has marks around it")
    return wrong


@by_language
def test_every_answer_is_words_of_its_passage(code: str) -> None:
    wrong = [(question, fault) for passage, question, answers in rows(code) for fault in faults(passage, answers, code)]
    assert wrong == []


def test_faults_are_seen() -> None:
    passage = "The door is red, and Ella painted it."
    assert faults(passage, ["Ella", "her name is Ella"], "en") == []
    assert faults("ประตูเป็นสีแดงและ", ["สีแดง"], "th") == []
    for answers, code in [(["ella"], "en"), (["door is blue"], "en"), (["paint"], "en"), (["blau"], "de")]:
        assert faults(passage, answers, code) == ["the first answer is no words of the passage"]
    assert faults("ডাক্তারকে দেন", ["ডাক্তার"], "bn") == ["the first answer is no words of the passage"]
    assert faults(passage, ["red", "red"], "en") == ["an answer occurs twice"]
    assert faults(passage, ["red,"], "en") == ["an answer has marks around it"]


@by_language
def test_answers_have_the_numbers_of_the_english_ones(code: str) -> None:
    for (_, question, answers), (_, _, english) in zip(rows(code), rows("en"), strict=True):
        assert numbers(answers[0]) == numbers(english[0]), question
    for (passage, question, _), english_row in zip(exemplar_rows(code), exemplar_rows("en"), strict=True):
        assert (numbers(passage), numbers(question)) == tuple(map(numbers, english_row[:2]))


@by_language
def test_the_grader_accepts_the_answers_to_a_question_alone(code: str) -> None:
    """Not those to the other questions about its passage: a model that answers the wrong one is wrong."""
    grade = resolve(GRADERS, TABLE["grader"], "grader")
    for passage, question, golds in rows(code):
        others = [other for text, name, texts in rows(code) for other in texts if text == passage and name != question]
        assert all(grade(gold, golds, code).score == 1 for gold in golds), question
        assert all(grade(other, golds, code).score < 1 for other in others), question


@by_language
def test_questions_differ_and_name_no_answer(code: str) -> None:
    assert len({question for _, question, _ in rows(code)}) == PASSAGES * QUESTIONS + 2
    assert [question for _, question, answers in rows(code) if faults(question, answers[:1], code) == []] == []


# Writing


@by_language
def test_exemplars_answers_and_names_are_written_in_the_languages_script(code: str) -> None:
    begins, row = LETTER_NAMES[languages()[code].script], TABLE["rows"][code]
    shown = [row["answer"], *row["fields"], *(text for exemplar in row["exemplars"] for text in exemplar)]
    for text in [*shown, *(answer for _, _, answers in item_rows(code) for answer in answers)]:
        letters = [unicodedata.name(char) for char in text if unicodedata.category(char)[0] in "LM"]
        assert all(name.startswith(begins) for name in letters), text
        assert text == unicodedata.normalize("NFC", " ".join(text.split())), text


@by_language
def test_texts_end_as_the_language_ends_them(code: str) -> None:
    begin, end = MARKS.get(code, ("", "?"))
    for passage, question, _ in rows(code):
        assert question.startswith(begin), question
        assert question.endswith(end), question
        assert passage.endswith(STOPS.get(code, ".")), passage


@by_language
def test_a_prompt_ends_where_the_answer_begins(code: str) -> None:
    task, (passage, question, answers) = open_task("reading"), item_rows(code)[0]
    prompt, row = task.prompt(Item("reading", "", code, (passage, question), 0, answers=answers)), TABLE["rows"][code]
    assert prompt.body == f"{row['fields'][0]}: {passage}\n{row['fields'][1]}: {question}\n{row['answer']}:"
    assert prompt.header.count(f"\n{row['answer']}: ") == 2
    assert prompt.choices == ()

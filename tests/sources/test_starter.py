"""The bundled corpus as it stands in its files: complete, balanced, parallel, its numbers kept, in the right language.

Whether the translations say the same is for readers; here is what a machine can tell.
"""

import json
import re
import tomllib
import unicodedata
from collections import Counter
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from scripts import LETTER_NAMES
from spillover.languages import languages
from spillover.records import Item, Question
from spillover.sources import open_source
from spillover.tasks import has_labels, open_task

ROOT = Path(str(files("spillover").joinpath("data", "starter")))
SIZES = {
    ("sentiment", "items"): 60,
    ("entailment", "items"): 30,
    ("paraphrase", "items"): 30,
    ("reading", "items"): 60,
    ("arithmetic", "items"): 40,
    ("sentiment", "questions"): 240,
}
"""(task, kind) → how many there are in a language."""

ASKED = ("en", "zh", "de", "es", "sw")
"""The languages of the questions."""

FIELDS = {
    "sentiment": ("text",),
    "entailment": ("premise", "hypothesis"),
    "paraphrase": ("first", "second"),
    "reading": ("passage", "question"),
    "arithmetic": ("question",),
}
LABELS = {
    "sentiment": {"positive", "negative"},
    "entailment": {"entailment", "neutral", "contradiction"},
    "paraphrase": {"same", "different"},
}
FILES = [(task, kind, code) for task, kind in SIZES for code in (ASKED if kind == "questions" else languages())]

CLUSTERED = {"reading"}
"""Tasks whose items share a passage, which a column of clusters names."""

Line = dict[str, Any]

by_file = pytest.mark.parametrize(("task", "kind", "code"), FILES, ids=["-".join(file) for file in FILES])
by_language = pytest.mark.parametrize("code", languages())


def lines(task: str, kind: str, code: str) -> list[Line]:
    text = (ROOT / task / kind / f"{code}.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.removesuffix("\n").split("\n")]


def texts(code: str) -> list[str]:
    """Return every text of a language, a passage once."""
    of_code = [(task, kind) for task, kind, other in FILES if other == code]
    passages = dict.fromkeys(line["passage"] for line in lines("reading", "items", code))
    others = [(task, kind, field) for task, kind in of_code for field in FIELDS[task] if field != "passage"]
    return [*passages, *(line[field] for task, kind, field in others for line in lines(task, kind, code))]


def bare(text: str) -> str:
    """Return a text without case, spaces and punctuation: what makes two texts the same."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(char for char in folded if unicodedata.category(char)[0] in "LMN")


@cache
def bare_texts(code: str) -> frozenset[str]:
    return frozenset(map(bare, texts(code)))


def test_these_are_all_the_files() -> None:
    found = {path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if path.is_file()}
    assert found == {f"{task}/{kind}/{code}.jsonl" for task, kind, code in FILES}


@by_file
def test_ids_and_columns(task: str, kind: str, code: str) -> None:
    found, count = lines(task, kind, code), SIZES[task, kind]
    letter = "q" if kind == "questions" else ""
    assert [line["id"] for line in found] == [f"{task}-{letter}{number:03}" for number in range(1, count + 1)]
    right = "label" if task in LABELS else "answer"
    columns = {"id", *FIELDS[task], *([right] if kind == "items" else []), *(["cluster"] if task in CLUSTERED else [])}
    assert all(set(line) == columns for line in found), "a question has no label, nor anything else beside its fields"


@pytest.mark.parametrize("task", LABELS)
def test_labels_are_balanced_and_the_same_in_every_language(task: str) -> None:
    english = [line["label"] for line in lines(task, "items", "en")]
    counts = Counter(english)
    assert set(counts) == LABELS[task]
    assert len(set(counts.values())) == 1
    for code in languages():
        assert [line["label"] for line in lines(task, "items", code)] == english, code


@by_file
def test_the_source_gives_the_files(task: str, kind: str, code: str) -> None:
    source, known = open_source("starter", {}, "test"), open_task(task)
    expected: list[Item | Question] = []
    for line in lines(task, kind, code):
        fields = tuple(line[field] for field in FIELDS[task])
        if kind == "items" and has_labels(known):
            expected.append(Item(task, line["id"], code, fields, known.labels.index(line["label"])))
        elif kind == "items":
            answers = (line["answer"],) if isinstance(line["answer"], str) else tuple(line["answer"])
            expected.append(Item(task, line["id"], code, fields, 0, cluster=line.get("cluster", ""), answers=answers))
        else:
            expected.append(Question(task, line["id"], code, fields))
    assert getattr(source, kind)(known, code) == expected
    assert source.item_languages(known) == tuple(languages())


@by_language
def test_no_text_occurs_twice(code: str) -> None:
    """Neither within nor between questions, items and the tasks' exemplars."""
    shown = [text for task in FIELDS for exemplar in open_task(task).row(code).exemplars for text in exemplar]
    counts = Counter(map(bare, texts(code) + shown))
    assert [text for text, count in counts.items() if count > 1] == []
    assert "" not in counts


@by_language
def test_texts_are_clean(code: str) -> None:
    for text in texts(code):
        assert text == " ".join(text.split())
        assert text == unicodedata.normalize("NFC", text)
        assert not re.search("[\u00a0\u200b\u2060\ufeff\u202f\ufffd]", text), ascii(text)


@by_language
def test_no_text_is_left_in_another_language(code: str) -> None:
    for other in set(languages()) - {code}:
        assert not bare_texts(code) & bare_texts(other), other


# Numbers

NUMBERS_OF_THEIR_OWN = {
    ("zh", "paraphrase-023"): ({"40"}, {"4000"}),  # 40 million is 4000万
    ("ja", "paraphrase-023"): ({"40"}, {"4000"}),
    ("de", "paraphrase-002"): (set(), {"1", "3"}),  # "three goals to one" is written 1:3
    ("nl", "paraphrase-002"): (set(), {"1", "3"}),  # and 1-3
}
"""(language, id) → numbers that English has in digits and the language has not, and the other way round."""


def numbers(text: str) -> Counter[str]:
    """Return the whole numbers written in digits of any script, without separators of thousands."""
    plain = "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)
    joined = re.sub(r"(?<=\d)[., '’\u00a0\u202f](?=\d{3}(?!\d))", "", plain)
    return Counter(re.findall(r"\d+", joined))


def test_numbers_are_read_in_any_script() -> None:
    assert numbers("৪,৫০০ and 4.500 and 4 500 and 4500") == Counter({"4500": 4})
    assert numbers("from 8:30 to 18.00, 1.5 km, 3-1") == Counter(["8", "30", "18", "00", "1", "5", "3", "1"])
    assert numbers("१२ और ๑๒") == Counter({"12": 2})


@by_file
def test_numbers_are_kept(task: str, kind: str, code: str) -> None:
    differing = set()
    for line, english in zip(lines(task, kind, code), lines(task, kind, "en"), strict=True):
        for field in FIELDS[task]:
            found, expected = numbers(line[field]), numbers(english[field])
            if found != expected:
                key = (code, line["id"])
                assert (set(expected - found), set(found - expected)) == NUMBERS_OF_THEIR_OWN.get(key), (key, field)
                differing.add(key)
    named = {key for key in NUMBERS_OF_THEIR_OWN if key[0] == code and key[1].startswith(task)}
    assert kind == "questions" or differing == named, "an exception that no text needs"


# Script and language


def share(text: str, script: str) -> float:
    """Return the share of a text's letters and marks that belong to a script."""
    letters = [unicodedata.name(char) for char in text if unicodedata.category(char)[0] in "LM"]
    return sum(name.startswith(LETTER_NAMES[script]) for name in letters) / len(letters)


def test_the_share_tells_scripts_apart() -> None:
    assert share("Ein Hund", "Latin") == 1
    assert share("Собака", "Latin") == 0
    assert share("ab собака", "Cyrillic") == 0.75
    assert share("犬が走る", "Han") == 0.5


@by_language
def test_a_text_is_written_in_its_languages_script(code: str) -> None:
    script = languages()[code].script
    assert [text for text in texts(code) if share(text, script) < 1] == []
    if script == "Japanese":
        assert [text for text in texts(code) if share(text, "Han") == 1] == [], "no kana: this is Chinese"


AGREEMENT = 0.95
"""The least share of a language's lines, and of its word problems alone, that the identifier must find to be in it."""


def arithmetic_exemplars(code: str) -> list[str]:
    """Return the worked problems in a language's prompts."""
    table = tomllib.loads((ROOT.parent / "tasks" / "arithmetic.toml").read_text("utf-8"))
    return ["\n".join(pair) for pair in table["rows"][code]["exemplars"]]


@pytest.fixture(scope="module")
def identified() -> dict[str, str]:
    """Each line's text → what lingua, of all its languages and in high-accuracy mode, takes it for."""
    if find_spec("lingua") is None:
        pytest.skip("the language identifier is not installed: pip install 'spillover[quality]'")
    from lingua import LanguageDetectorBuilder

    asked = [text for task, kind, code in FILES for text in shown(task, kind, code)]
    asked += [text for code in languages() for text in arithmetic_exemplars(code)]
    detector = LanguageDetectorBuilder.from_all_languages().build()
    answers = detector.detect_languages_in_parallel_of(asked)
    detector.unload_language_models()  # more than a gigabyte
    codes = ("" if answer is None else answer.iso_code_639_1.name.lower() for answer in answers)
    return dict(zip(asked, codes, strict=True))


def shown(task: str, kind: str, code: str) -> list[str]:
    """Return the texts of a file's lines, all fields of a line in one."""
    return ["\n".join(line[field] for field in FIELDS[task]) for line in lines(task, kind, code)]


def test_a_language_identifier_agrees(identified: dict[str, str]) -> None:
    """One test of all languages: the models of the identifier's own languages take longest to load."""
    for code, language in languages().items():
        problems = [*shown("arithmetic", "items", code), *arithmetic_exemplars(code)]
        everything = {text for task, kind, other in FILES if other == code for text in shown(task, kind, code)}
        assert (len(everything), len(set(problems))) == (220 + 240 * (code in ASKED), 48)
        for texts_of_code in (everything, problems):
            other = {text: identified[text] for text in texts_of_code if identified[text] != language.lingua}
            assert 1 - len(other) / len(texts_of_code) >= AGREEMENT, other

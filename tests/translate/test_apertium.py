"""Apertium as Debian installs it."""

import shutil
import subprocess

import pytest

from quiz import quiz, texts_of
from spillover.errors import SpilloverError
from spillover.translate import apertium, open_translator
from spillover.translate.apertium import Apertium

MODES = subprocess.run(["apertium", "-l"], capture_output=True, text=True).stdout if shutil.which("apertium") else ""
needs_it = pytest.mark.skipif(
    "eng-spa" not in MODES,
    reason="apertium or its mode eng-spa is not installed: apt install apertium apertium-eng-spa",
)

TEXTS = [
    "The room was clean.",
    'It cost $1,299.50 in 2019 (12% off), she said "yes".',
    "First line.\n\n  Second line, indented.\nThird line",
    "No full stop here",
    "Is it good?",
    "[brackets] {braces} <b>tags</b> / \\ ^ @ ~ wifi",
    "  ",
    "A: 1\r\nB: 2",
    "The room was clean.",
]


@needs_it
def test_every_text_comes_back_alone_with_its_digits_and_line_breaks() -> None:
    found = Apertium().translate(TEXTS, "en", "es")
    assert "limpia" in found[0]
    for text, translated in zip(TEXTS, found, strict=True):
        assert [c for c in translated if c.isdigit()] == [c for c in text if c.isdigit()]
        lines = list(zip(text.split("\n"), translated.split("\n"), strict=True))
        for before, after in lines:
            assert bool(before.strip()) == bool(after.strip())
            assert before[: len(before) - len(before.lstrip())] == after[: len(after) - len(after.lstrip())]
        assert {c for c in text if c in '"$%<>{}[]\r'} == {c for c in translated if c in '"$%<>{}[]\r'}
        assert "*" not in translated, "a word it does not know stays as it is"
    assert found == [Apertium().translate([text], "en", "es")[0] for text in TEXTS], "no text changes its neighbors"


@needs_it
def test_lines_that_a_rule_joins_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A twin of the engine that loses paragraphs: halving finds each line's translation all the same."""
    real = apertium.run_apertium
    monkeypatch.setattr(
        apertium, "run_apertium", lambda arguments, text="": real(arguments, text).replace("\n\n", " ", 1)
    )
    assert Apertium().translate(["Two houses.", "Three houses.", "Four houses."], "en", "es") == [
        "Dos casas.",
        "Tres casas.",
        "Cuatro casas.",
    ]


@needs_it
def test_a_direction_that_is_not_installed_names_those_that_are() -> None:
    message = r"'apertium' has no mode eng-tha \(en→th\); installed are .*eng-spa.*; more are packages"
    with pytest.raises(SpilloverError, match=message):
        open_translator(lambda code: [], "apertium").translate(quiz("a"), "th")
    with pytest.raises(SpilloverError, match=message):
        open_translator(lambda code: [], "apertium").characters(quiz("never translated"), "th")


@needs_it
def test_it_translates_questions() -> None:
    found = open_translator(lambda code: [], "apertium").translate(quiz("Two houses.", "Three houses."), "es")
    assert texts_of(found) == ["Dos casas.", "Tres casas."]


def test_without_the_command_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SpilloverError, match="apt install apertium apertium-eng-spa"):
        open_translator(lambda code: [], "apertium")

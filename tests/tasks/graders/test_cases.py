"""Every grader against a table of worked cases over many scripts."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spillover.plugins import GRADERS, resolve
from spillover.tasks.graders import grade_text

FOLDER = Path(__file__).parent
LEAST = 40


def table(name: str) -> list[list[Any]]:
    cases: list[list[Any]] = tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8"))["cases"]
    return cases


def rows(*names: str) -> Iterator[Any]:
    for name in names:
        for number, case in enumerate(table(name)):
            yield pytest.param(name, *case, id=f"{name}-{number}")


def verdict(name: str, text: str, golds: str | list[str], language: str, conclusion: str = "") -> str | float:
    """Return `right`, `wrong` or `unreadable`; the score where it is between."""
    golds = [golds] if isinstance(golds, str) else golds
    grade = grade_text(resolve(GRADERS, name, "grader"), text, tuple(golds), language, conclusion)
    if not grade.readable:
        assert grade.score == 0
        return "unreadable"
    return {0.0: "wrong", 1.0: "right"}.get(grade.score, grade.score)


@pytest.mark.parametrize("name", GRADERS)
def test_each_grader_has_a_table_over_many_languages(name: str) -> None:
    cases = table(name)
    assert len(cases) >= LEAST
    assert len({case[2] for case in cases}) >= 10
    assert any("unreadable" in case for case in cases)


@pytest.mark.parametrize(
    ("name", "text", "golds", "language", "conclusion", "expected"), rows("number", "letter", "exact")
)
def test_what_a_cue_may_announce(
    name: str, text: str, golds: str | list[str], language: str, conclusion: str, expected: str
) -> None:
    assert verdict(name, text, golds, language, conclusion) == expected


@pytest.mark.parametrize(("name", "text", "golds", "language", "expected"), rows("contains"))
def test_what_stands_in_a_text(name: str, text: str, golds: list[str], language: str, expected: str) -> None:
    assert verdict(name, text, golds, language) == expected


@pytest.mark.parametrize(("name", "text", "golds", "language", "expected"), rows("f1"))
def test_words_in_common(name: str, text: str, golds: list[str], language: str, expected: float | str) -> None:
    score = {1.0: "right", 0.0: "wrong"}.get(expected, expected) if isinstance(expected, float) else expected
    assert verdict(name, text, golds, language) == (pytest.approx(score) if isinstance(score, float) else score)


@pytest.mark.parametrize(("name", "text", "golds", "language", "least", "greatest"), rows("chrf"))
def test_likeness(
    name: str, text: str, golds: list[str], language: str, least: float | str, greatest: float | str
) -> None:
    result = verdict(name, text, golds, language)
    if isinstance(least, str) or isinstance(greatest, str):
        assert result == least == greatest
    else:
        score = {"right": 1.0, "wrong": 0.0}.get(result, result) if isinstance(result, str) else result
        assert least <= float(score) <= greatest

"""Translations are known as such in every language of the corpus, and a shuffled or slipped file never is."""

import random
from collections import Counter
from functools import cache
from math import log, prod, sqrt

import numpy as np
import pytest

from spillover.languages import languages
from spillover.lint import pairing
from spillover.lint.pairing import Ranking, rank, slip
from spillover.sources import open_source
from spillover.tasks import open_task

Texts = list[tuple[str, ...]]
OTHERS = [code for code in languages() if code != "en"]


@cache
def texts(code: str, name: str = "sentiment") -> Texts:
    return [item.fields for item in open_source("starter", {}, "test").items(open_task(name), code)]


def ranked(one: Texts, other: Texts) -> Ranking:
    ranking = rank(one, other)
    assert ranking
    return ranking


@pytest.mark.parametrize("code", OTHERS)
def test_translations_pass_and_shuffled_ones_never(code: str) -> None:
    there = texts(code)
    assert ranked(texts("en"), there).stretch is None
    shuffled = random.Random(code).sample(there, len(there))
    assert ranked(texts("en"), shuffled).stretch == (0, 59)


@pytest.mark.parametrize("code", ["zh", "th", "ja", "sw"])
def test_short_sets_of_two_texts_pass_too(code: str) -> None:
    for name in ("entailment", "paraphrase"):
        assert ranked(texts("en", name), texts(code, name)).stretch is None


@pytest.mark.parametrize(("code", "shift"), [("de", 1), ("zh", -2), ("hi", 3)])
def test_a_slip_is_told_by_how_many_rows(code: str, shift: int) -> None:
    moved = [texts(code)[(row - shift) % 60] for row in range(60)]
    assert ranked(texts("en"), moved).random
    assert slip(texts("en"), moved) == shift


def test_a_row_too_many_in_the_middle_is_told_from_where(code: str = "de") -> None:
    there = texts(code)
    found = ranked(texts("en"), [*there[:30], ("Noch eine Zeile.",), *there[30:59]])
    assert found.stretch and 20 <= found.stretch[0] <= 34 and found.stretch[1] >= 55


def test_the_null_is_that_of_random_permutations() -> None:
    """Mean and spread of the mean share over permutations, against 0.5 and 1 / (12 rows)."""
    draw, here, there = random.Random(0), texts("en")[:40], texts("ru")[:40]
    means = [ranked(here, draw.sample(there, 40)).shares.mean() for _ in range(60)]
    scores = (np.array(means) - 0.5) * np.sqrt(12 * 40)
    assert abs(scores.mean()) < 0.5 and 0.7 < scores.std() < 1.4 and scores.max() < 3.5


def test_nothing_is_claimed_of_few_rows_or_of_texts_that_do_not_differ() -> None:
    assert rank(texts("en")[:19], texts("de")[:19]) is None
    assert rank([("a",)] * 30, [("b",)] * 30) is None


def cosine(one: str, other: str, everything: list[str], sizes: tuple[int, ...]) -> float:
    """The cosine of two texts' pieces, each weighted (1 + log of its count) × log(texts / texts with it), by loops."""

    def pieces(text: str) -> Counter[str]:
        padded = f" {text} "
        return Counter(padded[start : start + size] for size in sizes for start in range(len(padded) - size + 1))

    bags = [pieces(text) for text in everything]
    weights = [
        {
            piece: (1 + log(count)) * log(len(bags) / sum(piece in bag for bag in bags))
            for piece, count in pieces(text).items()
        }
        for text in (one, other)
    ]
    product = sum(weight * weights[1].get(piece, 0) for piece, weight in weights[0].items())
    lengths = [sqrt(sum(weight**2 for weight in each.values())) for each in weights]
    return product / prod(lengths) if all(lengths) else 0.0


@pytest.mark.parametrize(("sizes", "agrees"), [((2, 3), True), ((2,), False), ((2, 3, 4), False)])
def test_texts_are_as_alike_as_their_rare_pieces(sizes: tuple[int, ...], agrees: bool) -> None:
    """Also of characters beyond 16 bits, of one character and of none; pieces of other lengths give other values."""
    here = ("hot tea", "猫\U0001f600\U0001f600猫", "a", "")
    there = ("hot hot coffee", "\U0001f600 猫猫", "the a", "te")
    expected = [[cosine(one, other, [*here, *there], sizes) for other in there] for one in here]
    assert np.allclose(pairing.by_pieces(here, there), expected, atol=1e-12) == agrees


def test_shuffled_texts_pass_where_only_their_marks_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken twin: with one likeness alone, translations into Chinese are taken for shuffled ones."""
    monkeypatch.setattr(pairing, "LIKENESSES", (pairing.by_pieces,))
    assert ranked(texts("en"), texts("zh")).random

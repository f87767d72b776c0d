"""IBM model 1 against a naive loop; words that are switched are translations, at the share that was asked for."""

import math
import random

import pytest

from spillover.mixture import codeswitch as module
from spillover.mixture.codeswitch import NONE, code_switched, model_1, translations, words
from spillover.records import Pair

NOUNS = {"cat": "Katze", "dog": "Hund", "bird": "Vogel", "horse": "Pferd", "fish": "Fisch", "cow": "Kuh", "hen": "Huhn"}
ADJECTIVES = {
    "red": "rot", "old": "alt", "small": "klein", "big": "groß", "new": "neu", "warm": "warm", "blue": "blau",
    "young": "jung", "good": "gut", "slow": "langsam", "quick": "schnell", "dear": "teuer",
}  # fmt: skip


def corpus() -> list[Pair]:
    return [
        Pair("sentiment", f"{a}{b}", "de", "en", (f"Der {d} ist {c}.",), (f"The {a} is {b}.",))
        for a, d in NOUNS.items()
        for b, c in ADJECTIVES.items()
    ]


def naive(bitext: list[tuple[list[str], list[str]]], rounds: int) -> dict[tuple[str, str], float]:
    """The formulas as they stand in Brown et al.: t(f|e) from expected counts, one pair at a time."""
    es = {e for pivot, _ in bitext for e in (*pivot, NONE)}
    fs = {f for _, other in bitext for f in other}
    t = {(f, e): 1 / len(fs) for f in fs for e in es}
    for _ in range(rounds):
        count = dict.fromkeys(t, 0.0)
        for pivot, other in bitext:
            for f in other:
                z = sum(t[f, e] for e in (*pivot, NONE))
                for e in (*pivot, NONE):
                    count[f, e] += t[f, e] / z
        total = {e: sum(count[f, e] for f in fs) for e in es}
        t = {(f, e): count[f, e] / total[e] for f, e in t}
    return t


def likelihood(bitext: list[tuple[list[str], list[str]]], table: module.Probabilities) -> float:
    return sum(
        math.log(sum(table[f][e] for e in (*pivot, NONE)) / (len(pivot) + 1)) for pivot, other in bitext for f in other
    )


@pytest.fixture
def bitext() -> list[tuple[list[str], list[str]]]:
    chosen = random.Random(0).sample(corpus(), 30)
    return [(words(pair.target[0]), words(pair.source[0])) for pair in chosen]


@pytest.mark.parametrize("rounds", [1, 5])
def test_probabilities_are_those_of_the_naive_loop(bitext: list[tuple[list[str], list[str]]], rounds: int) -> None:
    table, expected = model_1(bitext, rounds), naive(bitext, rounds)
    for f, row in table.items():
        for e, value in row.items():
            assert value == pytest.approx(expected[f, e], rel=1e-9)
    assert model_1(bitext, rounds + 1) != table, "a twin with another number of rounds is seen"


def test_probabilities_add_up_and_the_likelihood_never_falls(bitext: list[tuple[list[str], list[str]]]) -> None:
    values = []
    for rounds in range(1, 8):
        table = model_1(bitext, rounds)
        for e in {e for row in table.values() for e in row}:
            assert sum(row.get(e, 0) for row in table.values()) == pytest.approx(1)
        values.append(likelihood(bitext, table))
    assert values == sorted(values)


def test_the_translations_are_found() -> None:
    pairs = corpus()
    table = model_1([(words(p.target[0]), words(p.source[0])) for p in pairs])
    for pair in pairs:
        known = translations(pair.target[0], pair.source[0], table)
        assert known[1] == NOUNS[words(pair.target[0])[1]]
        assert known[3] == ADJECTIVES[words(pair.target[0])[3]]


def test_content_words_alone_are_switched_at_their_share() -> None:
    pairs = corpus()
    for share, number in ((0.5, 1), (1.0, 1)):
        for pair, made in zip(pairs, code_switched(pairs, share, 0), strict=True):
            before, after = pair.target[0].split(), made.source[0].split()
            changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
            assert before[0] == after[0]
            assert before[2] == after[2]
            assert len(changed) <= number + 1
            assert all(b.strip(".") in (*NOUNS.values(), *ADJECTIVES.values()) for _, b in changed)
            assert (made.target, made.id, made.source_language) == (pair.target, pair.id, "de")
    assert code_switched(pairs, 0.5, 0) == code_switched(pairs, 0.5, 0)


def test_a_copy_switches_nothing_into_another_language() -> None:
    same = [Pair(p.task, p.id, "en", "en", p.target, p.target) for p in corpus()]
    assert [pair.source for pair in code_switched(same, 1.0, 0)] == [pair.target for pair in same]


def test_a_script_without_blanks_is_split_into_letters_and_joined_again() -> None:
    assert words("红猫 is 2nd") == ["红", "猫", "is", "2nd"]
    table = {"红": {"red": 0.9, "cat": 0.1}, "色": {"red": 0.8}, "猫": {"cat": 0.9}}
    assert translations("red cat", "红色猫", table) == {0: "红色", 1: "猫"}

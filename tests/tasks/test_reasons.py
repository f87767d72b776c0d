"""The reason of an answer: the first of the five that holds, and the gain that they split."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.records import REASONS, Answer, Grade
from spillover.tasks.reasons import reason_of

CASES = [
    # score, ended, readable, language, expected, reason
    (1.0, True, True, "sw", "sw", "right"),
    (1.0, False, True, "sw", "sw", "right"),
    (1.0, True, True, "en", "sw", "right"),
    (0.0, False, True, "sw", "sw", "ran on"),
    (0.0, False, False, "en", "sw", "ran on"),
    (0.5, False, True, "sw", "sw", "ran on"),
    (0.0, True, False, "sw", "sw", "unreadable"),
    (0.0, True, False, "en", "sw", "unreadable"),
    (0.0, True, True, "en", "sw", "wrong language"),
    (0.5, True, True, "en", "sw", "wrong language"),
    (0.0, True, True, None, "sw", "wrong"),
    (0.0, True, True, "sw", "sw", "wrong"),
    (0.9, True, True, "sw", "sw", "wrong"),
    (0.0, True, True, "en", None, "wrong"),
    (0.0, True, True, None, None, "wrong"),
]


def answer(ended: bool) -> Answer:
    return Answer("1", "sums", "sw", ("18",), "Jibu ni 17", 4, ended)


@pytest.mark.parametrize(("score", "ended", "readable", "language", "expected", "reason"), CASES)
def test_the_first_reason_that_holds(
    score: float, ended: bool, readable: bool, language: str | None, expected: str | None, reason: str
) -> None:
    assert reason_of(answer(ended), Grade(score, readable), language, expected) == reason


def test_every_reason_occurs_and_only_right_answers_are_right() -> None:
    seen = set()
    for score, ended, readable, language, expected in product(
        (0.0, 0.4, 1.0), (True, False), (True, False), (None, "sw", "en"), (None, "sw")
    ):
        reason = reason_of(answer(ended), Grade(score, readable), language, expected)
        seen.add(reason)
        assert (reason == "right") == (score == 1)
    assert seen == set(REASONS)


outcomes = st.tuples(
    st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.booleans(), st.booleans(), st.sampled_from([None, "en"])
)


@given(st.lists(st.tuples(outcomes, outcomes), min_size=1, max_size=30))
def test_the_parts_sum_to_the_gain(items: list[tuple[tuple[float, bool, bool, str | None], ...]]) -> None:
    parts = dict.fromkeys(REASONS, 0.0)
    for arms in items:
        for sign, (score, ended, readable, language) in zip((1, -1), arms, strict=True):
            parts[reason_of(answer(ended), Grade(score, readable), language, "sw")] += sign * (1 - score) / len(items)
    gain = np.mean([arm[0] - reference[0] for reference, arm in items])
    assert parts["right"] == 0
    assert sum(parts.values()) == pytest.approx(gain)

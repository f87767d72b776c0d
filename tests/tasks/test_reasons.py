"""The reason of an answer: the first of the five that holds, and the gain that they split."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.records import REASONS, Answer, Grade
from spillover.tasks.reasons import reason_of

CASES = [
    # score, ended, readable, in the language, reason
    (1.0, True, True, True, "right"),
    (1.0, False, True, True, "right"),
    (1.0, True, True, False, "right"),
    (0.0, False, True, True, "ran on"),
    (0.0, False, False, False, "ran on"),
    (0.5, False, True, True, "ran on"),
    (0.0, True, False, True, "unreadable"),
    (0.0, True, False, False, "unreadable"),
    (0.0, True, True, False, "wrong language"),
    (0.5, True, True, False, "wrong language"),
    (0.0, True, True, True, "wrong"),
    (0.9, True, True, True, "wrong"),
]


def answer(ended: bool) -> Answer:
    return Answer("1", "sums", "sw", ("18",), "Jibu ni 17", 4, ended)


@pytest.mark.parametrize(("score", "ended", "readable", "in_language", "reason"), CASES)
def test_the_first_reason_that_holds(score: float, ended: bool, readable: bool, in_language: bool, reason: str) -> None:
    assert reason_of(answer(ended), Grade(score, readable), in_language) == reason


def test_every_reason_occurs_and_only_right_answers_are_right() -> None:
    seen = set()
    flags = (True, False)
    for score, ended, readable, in_language in product((0.0, 0.4, 1.0), flags, flags, flags):
        reason = reason_of(answer(ended), Grade(score, readable), in_language)
        seen.add(reason)
        assert (reason == "right") == (score == 1)
    assert seen == set(REASONS)


outcomes = st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.booleans(), st.booleans(), st.booleans())


@given(st.lists(st.tuples(outcomes, outcomes), min_size=1, max_size=30))
def test_the_parts_sum_to_the_gain(items: list[tuple[tuple[float, bool, bool, bool], ...]]) -> None:
    parts = dict.fromkeys(REASONS, 0.0)
    for arms in items:
        for sign, (score, ended, readable, in_language) in zip((1, -1), arms, strict=True):
            parts[reason_of(answer(ended), Grade(score, readable), in_language)] += sign * (1 - score) / len(items)
    gain = np.mean([arm[0] - reference[0] for reference, arm in items])
    assert parts["right"] == 0
    assert sum(parts.values()) == pytest.approx(gain)

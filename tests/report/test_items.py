"""Scores of the items browser: rounded as Python rounds, all at once."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.report.items import DIGITS, rounded

SCORES = st.floats(-5000, 0) | st.integers(-500_000, 0).map(lambda thousandths: thousandths / 1000)
"""Any log-probability, and often one in the middle of two rounded ones."""


def one_by_one(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    return [[round(score, DIGITS) for score in row] for row in rows]


@given(st.lists(st.lists(SCORES, min_size=2, max_size=5)))
def test_all_at_once_is_as_one_by_one(rows: list[list[float]]) -> None:
    assert rounded(rows) == one_by_one(rows)


def test_middles_are_rounded_as_python_does(monkeypatch: pytest.MonkeyPatch) -> None:
    middles = [[-place / 1000 - 0.005 for place in range(0, 1000, 10)]]
    assert rounded(middles) == one_by_one(middles)
    assert math.copysign(1, rounded([[-0.001, -1.0]])[0][0]) == math.copysign(1, round(-0.001, DIGITS))
    monkeypatch.setattr("spillover.report.items.TIE", 0.0)  # the broken twin: numpy's rounding alone
    assert rounded(middles) != one_by_one(middles)

"""Effects of switched-off neurons, against sums written out item by item."""

import sys
from functools import partial

import numpy as np
import pytest

from spillover.analysis.interpretability import deactivation as module
from spillover.analysis.interpretability.deactivation import DRAWS, Readings, deactivation, random_neurons
from spillover.records import Cell, Deactivation

ITEMS = 40
SIZES = np.random.default_rng(9).integers(20, 90, size=ITEMS)


def readings(seed: int, wrong: float = 0.3, more: float = 0.0) -> Readings:
    random = np.random.default_rng(seed)
    return Readings((random.random(ITEMS) >= wrong).astype(np.float64), SIZES * (2 + more) + random.normal(size=ITEMS))


def effect(wrong: float, more: float, same: bool = False) -> Deactivation:
    draws = [readings(0 if same else seed) for seed in range(2, 2 + DRAWS)]
    return deactivation(
        Cell("base", "sentiment", "th"), "lape", "th", 3, (readings(0), readings(1, wrong, more), draws), SIZES
    )


def check() -> None:
    harmed = effect(0.8, 1.0)
    plain, without = readings(0), readings(1, 0.8, 1.0)
    draws = [readings(seed) for seed in range(2, 2 + DRAWS)]
    change = sum(without.right - plain.right) / ITEMS
    beside = [sum(draw.right - plain.right) / ITEMS for draw in draws]
    assert harmed.accuracy.value == pytest.approx(change)
    assert harmed.accuracy_excess.value == pytest.approx(change - sum(beside) / DRAWS)
    bits = sum(without.bits - plain.bits) / sum(SIZES)
    random = [sum(draw.bits - plain.bits) / sum(SIZES) for draw in draws]
    assert harmed.bits.value == pytest.approx(bits)
    assert harmed.bits_excess.value == pytest.approx(bits - sum(random) / DRAWS)
    assert harmed.accuracy_p == harmed.bits_p == pytest.approx(1 / (DRAWS + 1))
    assert harmed.accuracy_excess.high < 0 < harmed.bits_excess.low


def test_equals_the_sums_written_out() -> None:
    check()


def test_neurons_that_do_nothing_are_within_their_null() -> None:
    nothing = effect(0.3, 0.0)
    assert nothing.bits_excess.low < 0 < nothing.bits_excess.high
    assert nothing.bits_p > 0.05
    assert nothing.accuracy_p > 0.05


def test_fails_where_the_draws_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin holds the neurons against the plain model in place of the draws."""
    monkeypatch.setattr(sys.modules[__name__], "effect", partial(effect, same=True))
    with pytest.raises(AssertionError):
        check()


def test_random_neurons_are_others_and_as_many_in_every_block() -> None:
    members = np.random.default_rng(0).random((6, 50)) < 0.1
    draws = [random_neurons(members, draw) for draw in range(DRAWS)]
    for chosen in draws:
        np.testing.assert_array_equal(chosen.sum(axis=1), members.sum(axis=1))
        assert not (chosen & members).any()
    assert len({chosen.tobytes() for chosen in draws}) == DRAWS
    assert random_neurons(np.ones((2, 4), dtype=bool), 0).all(), "no others are left: of all"


def test_the_interval_allows_for_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same draw again and again it is narrower than with different ones."""
    wide = effect(0.3, 0.0)
    monkeypatch.setattr(module, "resample", lambda n, count, seed=0: [np.ones((count, n))])
    still = effect(0.3, 0.0)
    assert still.bits_excess.low == still.bits_excess.high
    assert wide.bits_excess.low < still.bits_excess.low < wide.bits_excess.high

"""Bits per byte by language against sums by hand, and the paired bootstrap against a plain loop."""

from dataclasses import replace
from math import log

import numpy as np
import pytest

from spillover.analysis.statistics.forgetting import forgetting
from spillover.records import Forgetting, TextNLL

BASE = [
    TextNLL(f"{code} {place}", "sentiment", code, nats=float(20 + 7 * (place % 5)), bytes=30 + place)
    for code in ("de", "th")
    for place in range(40)
]
TUNED = [replace(text, nats=text.nats * (1.1 if text.language == "th" else 0.95)) for text in BASE]


def compared(base: list[TextNLL], tuned: list[TextNLL]) -> tuple[Forgetting, ...]:
    return forgetting({"base": base, "tuned": tuned}, [("base", "tuned")])


def test_the_values_are_sums_over_a_languages_texts() -> None:
    german, thai = compared(BASE, TUNED)
    assert [one.language for one in (german, thai)] == ["de", "th"]
    for one, factor in ((german, 0.95), (thai, 1.1)):
        own = [text for text in BASE if text.language == one.language]
        size, bits = sum(text.bytes for text in own), sum(text.nats for text in own) / log(2)
        assert (one.n, one.bytes) == (40, size)
        assert one.reference_bits.value == pytest.approx(bits / size)
        assert one.arm_bits.value == pytest.approx(factor * bits / size)
        assert one.difference.value == pytest.approx(one.arm_bits.value - one.reference_bits.value)
    assert german.difference.high < 0 < thai.difference.low


def test_the_interval_is_close_to_that_of_resampled_texts() -> None:
    """Wider, since it allows for a text that was not seen; but for 40 texts not much."""
    (german,) = compared(BASE[:40], TUNED[:40])
    random, draws = np.random.default_rng(1), []
    for _ in range(4000):
        chosen = random.integers(40, size=40)
        size = sum(BASE[place].bytes for place in chosen) * log(2)
        draws.append(sum(TUNED[place].nats - BASE[place].nats for place in chosen) / size)
    low, high = np.quantile(draws, [0.025, 0.975])
    assert german.difference.low < low < high < german.difference.high
    assert german.difference.high - german.difference.low < 1.4 * (high - low)


def test_the_arms_share_the_resampled_texts() -> None:
    """A constant ratio leaves the difference as certain as the base; unpaired it would be far less so."""
    (german,) = compared(BASE[:40], TUNED[:40])
    reach = german.reference_bits.high - german.reference_bits.low
    assert german.difference.high - german.difference.low == pytest.approx(0.05 * reach, rel=0.03)


def test_other_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        compared(BASE, TUNED[:-1])


def test_nothing_measured_is_nothing() -> None:
    assert compared([], []) == ()

"""Fertility against counts written out by hand, and its correlation with the gain against scipy."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from spillover.analysis.statistics.fertility import fertility, spearman
from spillover.records import Fertility

TEXTS = ["Der  Zug\nkam spät.", "Gut"]


def check() -> None:
    row = fertility("sentiment", "de", TEXTS, 9, 6, spaced=True)
    words = ["Der", "Zug", "kam", "spät.", "Gut"]
    assert row.per_word == 9 / len(words)
    assert row.per_character == 9 / (len(TEXTS[0]) + 3)
    assert row.per_byte == 9 / (len(TEXTS[0]) + 1 + 3), "ä has two bytes"
    assert row.premium == 1.5


def test_equals_counts_by_hand() -> None:
    check()


def test_fails_for_characters_in_place_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = fertility

    def broken(*rest: Any, **more: Any) -> Fertility:  # noqa: ANN401
        row = plain(*rest, **more)
        return replace(row, per_byte=row.per_character)

    monkeypatch.setitem(globals(), "fertility", broken)
    with pytest.raises(AssertionError):
        check()


def test_a_script_without_blanks_has_no_words_and_no_english_no_premium() -> None:
    row = fertility("sentiment", "th", ["ห้องสะอาดมาก"], 5, None, spaced=False)
    assert row.per_word is None
    assert row.premium is None
    assert row.per_byte == 5 / 36


@pytest.mark.parametrize("seed", range(3))
def test_the_correlation_is_scipys(seed: int) -> None:
    one, other = np.random.default_rng(seed).integers(6, size=(2, 12)).astype(float)
    rho, p = spearman(one, other)
    assert rho == pytest.approx(spearmanr(one, other).statistic)
    assert p == pytest.approx(spearmanr(one, other).pvalue, abs=0.03)

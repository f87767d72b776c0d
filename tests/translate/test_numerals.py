"""How a number is written never raises the flag `digits`; another number does."""

from collections.abc import Callable
from unicodedata import decimal, lookup

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillover.translate import checks
from spillover.translate.checks import lost_digits
from spillover.translate.numerals import Number, numbers

SCRIPTS = ("DIGIT", "FULLWIDTH DIGIT", "ARABIC-INDIC DIGIT", "DEVANAGARI DIGIT", "BENGALI DIGIT", "THAI DIGIT")
NAMES = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")


def grouped(sign: str, *sizes: int) -> Callable[[int], str]:
    """Return how digits are grouped: the last group first, the last size again and again."""

    def write(number: int) -> str:
        digits, groups = str(number), []
        for size in (*sizes, *[sizes[-1]] * 20):
            groups.append(digits[-size:])
            digits = digits[:-size]
            if not digits:
                return sign.join(reversed(groups))
        raise AssertionError

    return write


def in_myriads(number: int) -> str:
    parts = [(number // 10**8, "億"), (number // 10**4 % 10**4, "万"), (number % 10**4, "")]
    return "".join(f"{count}{word}" for count, word in parts if count)


STYLES: dict[str, Callable[[int], str]] = {
    "plain": str,
    "commas": grouped(",", 3),
    "points": grouped(".", 3),
    "apostrophes": grouped("’", 3),
    "narrow blanks": grouped("\u202f", 3),
    "lakh and crore": grouped(",", 3, 2),
    "ten thousands": in_myriads,
}


@settings(deadline=None)
@given(st.integers(10, 10**11), st.sampled_from(list(STYLES)), st.sampled_from(list(STYLES)), st.sampled_from(SCRIPTS))
def test_the_same_number_in_another_style(number: int, one: str, other: str, script: str) -> None:
    digits = str.maketrans({str(digit): lookup(f"{script} {name}") for digit, name in enumerate(NAMES)})
    assert [decimal(letter) for letter in "7".translate(digits)] == [7]
    assert not lost_digits(f"x {STYLES[one](number).translate(digits)} y", f"x {STYLES[other](number)} y")


@settings(deadline=None)
@given(st.integers(10, 10**9), st.integers(1, 9), st.sampled_from(list(STYLES)))
def test_another_number(number: int, change: int, style: str) -> None:
    assert lost_digits(f"x {STYLES[style](number + change)} y", f"x {number} y")


SAME = {
    "decimals": ("3,75 Prozent", "3.75 percent"),
    "Arabic marks": ("١٬٢٣٤٫٥", "1,234.5"),
    "a date": ("12.05.2024", "2024-05-12"),
    "a time": ("16.30 Uhr", "16:30"),
    "man": ("2500万人", "25 million people"),
    "lakh": ("25 lakh", "2,500,000"),
    "crore": ("१२ करोड़ लोग", "120 million people"),
    "thousand": ("15 Tausend", "15,000"),
    "million": ("12 миллионов", "12,000,000"),
    "yi": ("1亿2000万", "120,000,000"),
    "Thai": ("25 ล้านคน", "25 million people"),
}


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME)
def test_the_same_number_in_words_of_its_own(pair: tuple[str, str]) -> None:
    assert not lost_digits(*pair)


def test_the_laws_fail_for_numbers_read_digit_by_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [Number(frozenset(map(int, number.parts)), number.parts) for number in numbers("1,00,000")]  # type: ignore[arg-type]
    monkeypatch.setattr(checks, "numbers", lambda text: runs if "," in text else numbers(text))
    assert lost_digits("1,00,000", "100000")

"""The one normal form of texts: Unicode's own definition as oracle, and what no reader sees changes nothing."""

import re
import unicodedata

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from spillover.utils import text
from spillover.utils.text import is_empty, normal

IGNORABLE = (
    "00AD 034F 061C 115F-1160 17B4-17B5 180B-180F 200B-200F 202A-202E 2060-206F 3164 FE00-FE0F FEFF FFA0 FFF0-FFF8 "
    "1BCA0-1BCA3 1D173-1D17A E0000-E0FFF"
)
"""Default_Ignorable_Code_Point, as DerivedCoreProperties.txt of Unicode 16 lists it."""

LISTED = {
    code
    for span in IGNORABLE.split()
    for first, last in [(span.split("-") * 2)[:2]]
    for code in range(int(first, 16), int(last, 16) + 1)
}


def test_ignorable_is_what_unicode_lists() -> None:
    unseen = {code for code in range(0x110000) if text.UNSEEN.fullmatch(chr(code))}
    assert unseen == LISTED | {0x0640}


def test_a_gap_is_white_space_a_control_or_a_braille_cell_without_dots() -> None:
    gap = regex.compile(r"[\p{White_Space}\p{Cc}\N{BRAILLE PATTERN BLANK}]")
    characters = [chr(code) for code in range(0x3100)]
    gaps = {character for character in characters if normal(f"a{character}{character}b") == "a b"}
    assert gaps == {character for character in characters if gap.fullmatch(character)}
    assert not gap.search("".join(map(chr, (*range(0x3100, 0xD800), *range(0xE000, 0x110000)))))


@given(st.text(max_size=8), st.text(max_size=8), st.sampled_from([*sorted(LISTED)[:60], 0xE0100, 0x0640]))
def test_what_nobody_sees_changes_nothing(one: str, other: str, code: int) -> None:
    assert normal(one + chr(code) + other) == normal(one + other)


@given(st.text(max_size=12))
def test_a_normal_form_is_its_own(text: str) -> None:
    assert normal(normal(text)) == normal(text)
    assert normal(unicodedata.normalize("NFD", text)) == normal(text)


def test_every_character_has_a_form_of_its_own_kind() -> None:
    """Of those that Unicode assigns: a private or unassigned one has no other form."""
    for code in range(0x110000):
        if unicodedata.category(chr(code)) not in ("Cs", "Cn", "Co"):
            assert normal(normal(chr(code))) == normal(chr(code))


SAME = {
    "no-break space": ("a\u00a0b", "a b"),
    "ideographic space": ("日\u3000本", "日 本"),
    "line ends": ("a\r\n\u2028b", "a b"),
    "width and case": ("ＡＢＣ", "abc"),
    "sharp s": ("Straße", "STRASSE"),
    "grapheme joiner before an accent": ("e\u034f\u0301", "é"),
    "variation selector": ("puzzle.\ufe0f", "puzzle."),
    "tatweel": ("كتـــاب", "كتاب"),
    "tatweel in a presentation form": ("\ufe71", "\u064b"),
    "Hangul filler": ("가\u3164나", "가나"),
}


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME)
def test_what_reads_the_same_is_the_same(pair: tuple[str, str]) -> None:
    assert normal(pair[0]) == normal(pair[1])


@pytest.mark.parametrize(
    "text", ["", " \t\u00a0", "\u200b\u2060", "\u3164", "\u2800", "\ufeff\u0640", "\x00\x85", "\u200e"]
)
def test_nothing_to_read_is_empty(text: str) -> None:
    assert is_empty(text)


@pytest.mark.parametrize("text", ["?", "…", "0", "ا", "\u0301", "👍\ufe0f", "NA"])
def test_anything_to_read_is_not(text: str) -> None:
    assert not is_empty(text)


def test_the_oracle_fails_for_a_form_that_keeps_what_nobody_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "UNSEEN", re.compile("[\u200b-\u200d\u00ad]+"))
    uncached = normal.__wrapped__
    assert uncached(SAME["variation selector"][0]) != uncached(SAME["variation selector"][1])
    with pytest.raises(AssertionError):
        test_ignorable_is_what_unicode_lists()

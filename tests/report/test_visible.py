import unicodedata

import pytest

from spillover.report.visible import visible


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (" the", "␣the"),
        ("\n\n\t", "↵↵⇥"),
        ("\r", "<U+000D>"),
        ("\u00a0", "<U+00A0>"),
        ("\u202eabc", "<U+202E>abc"),
        ("ค\u0e35", "ค\u0e35"),
        ("\u0e35", "◌\u0e35"),
        ("\u0000", "<U+0000>"),
        ("<0xE0>", "<0xE0>"),
        ("", ""),
    ],
)
def test_nothing_of_a_token_is_hidden(token: str, shown: str) -> None:
    assert visible(token) == shown


def test_no_character_without_a_picture_is_left() -> None:
    everything = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x11000))))
    assert not [c for c in visible(everything) if unicodedata.category(c)[0] in "CZ"]

"""Helpers for error sentences."""

import pytest

from spillover.errors import first_line


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (ValueError("bad header\nat byte 3"), "bad header"),
        (OSError("\n  no such file  \n"), "no such file"),
        (StopIteration(), "StopIteration"),
        (ValueError(" \n"), "ValueError"),
        ("no mode de-en\nusage: apertium", "no mode de-en"),
        ("", ""),
    ],
)
def test_the_first_line_of_a_message(message: Exception | str, line: str) -> None:
    assert first_line(message) == line

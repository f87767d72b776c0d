"""How numbers and texts are written for people: in sentences, tables and on the page.

Files for other programs stay ASCII.
"""

import unicodedata
from collections.abc import Sequence
from math import isfinite, isnan
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # no import for `--help`, which loads this module and must not wait for NumPy
    from spillover.records import Estimate

MINUS = "−"
"""The minus of printed numbers."""


def minus(text: str) -> str:
    """Give a formatted number its true minus: `-0.051` is `−0.051`."""
    return text.replace("-", MINUS)


def ascii_minus(text: str) -> str:
    """Write the true minus as ASCII again, for other programs."""
    return text.replace(MINUS, "-")


def directed(markdown: str) -> str:
    """Mark a piece of Markdown that holds right-to-left writing, so that its letters decide its direction."""
    if any(unicodedata.bidirectional(character) in ("R", "AL") for character in markdown):
        return f'<span dir="auto">{markdown}</span>'
    return markdown


def is_right_to_left(text: str) -> bool:
    """Whether the first letter that has a direction reads from right to left, as `dir="auto"` decides."""
    directions = (unicodedata.bidirectional(character) for character in text)
    return next((direction for direction in directions if direction in ("L", "R", "AL")), "L") != "L"


def listed(names: Sequence[str]) -> str:
    """Write names as in a sentence: `a`, `a and b`, `a, b and c`; no name is an empty text."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def plural(count: int, noun: str) -> str:
    """Write a count with its regular noun: `1 language`, `2 languages`, `0 languages`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def percent(share: float) -> str:
    """Write a share as percent: 0.5 is `50.0`; nan is empty."""
    return "" if isnan(share) else minus(f"{100 * share:.1f}")


def signed(number: float, digits: int = 1) -> str:
    """Write a number with its sign: 0.5 is `+0.5`. What is written as zero has no sign, so −0.01 is `0.0`."""
    text = f"{number:+.{digits}f}"
    return text[1:] if float(text) == 0 else minus(text)


def points(difference: float) -> str:
    """Write a difference of shares in points, with its sign: −0.051 is `−5.1`."""
    return signed(100 * difference)


def with_interval(estimate: "Estimate | None", missing: str = MINUS) -> str:
    """Write a difference with its interval, `+5.2 [+3.1, +7.3]`, or `missing` where there is none."""
    if estimate is None:
        return missing
    return f"{points(estimate.value)} [{points(estimate.low)}, {points(estimate.high)}]"


def change_with_interval(change: "Estimate | None", digits: int = 1) -> str:
    """Write a change in its own unit with its interval, `+5.2 [+3.1, +7.3]`, or a minus where there is none.

    A change of one observation has no interval, and stands alone.
    """
    if change is None:
        return MINUS
    value, low, high = (signed(number, digits) for number in (change.value, change.low, change.high))
    return f"{value} [{low}, {high}]" if isfinite(change.low) else value


def nats_with_interval(change: "Estimate | None") -> str:
    """Write a change in nats with its interval, `+0.52 [+0.31, +0.73]`, or a minus where there is none."""
    return change_with_interval(change, digits=2)


def share_with_interval(share: "Estimate") -> str:
    """Write a share as percent with its interval: `80.0 [75.1, 84.2]`."""
    return f"{percent(share.value)} [{percent(share.low)}, {percent(share.high)}]"


def duration(seconds: float) -> str:
    """Write a time in a unit that one reads: `80 s`, `12 min`, `2 h 05 min`; nan is `unknown`."""
    if isnan(seconds):
        return "unknown"
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"


def minutes_and_seconds(seconds: float) -> str:
    """Write a time to the second: 59.7 is `1 min 00 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s"


def size(count: float) -> str:
    """Write a number of bytes: `1.2 MB`, `3.4 GB`; nan is `unknown`."""
    if isnan(count):
        return "unknown"
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"

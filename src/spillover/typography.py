"""How numbers are written for people: in sentences, tables and on the page. Files for other programs stay ASCII."""

from spillover.records import Estimate

MINUS = "−"
"""The minus of printed numbers."""


def minus(text: str) -> str:
    """Give a formatted number its true minus: `-0.051` is `−0.051`."""
    return text.replace("-", MINUS)


def ascii_minus(text: str) -> str:
    """Take it back, for other programs."""
    return text.replace(MINUS, "-")


def percent(share: float) -> str:
    """Write a share as percent: 0.5 is `50.0`; nan is empty."""
    return "" if share != share else minus(f"{100 * share:.1f}")


def points(difference: float) -> str:
    """Write a difference of shares in points, with its sign: −0.051 is `−5.1`, and 0 has none."""
    text = f"{100 * difference:+.1f}"
    return "0.0" if float(text) == 0 else minus(text)


def spread(estimate: Estimate | None, missing: str = MINUS) -> str:
    """Write a difference with its interval, `+5.2 [+3.1, +7.3]`, or `missing` where there is none."""
    if estimate is None:
        return missing
    return f"{points(estimate.value)} [{points(estimate.low)}, {points(estimate.high)}]"

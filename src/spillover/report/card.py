"""The verdict of a run as one picture to share: 1200 × 630 pixels, as social networks show links. Pure.

The picture is SVG with plain text elements. No engine that draws it breaks lines, so each text is fitted to its width
here, by a generous estimate: an engine may choose any font.
"""

import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import vl_convert
from jinja2 import Environment, StrictUndefined, Template

from spillover.languages import get_language
from spillover.records import Comparison, Findings, Summary
from spillover.utils.formatting import is_right_to_left, listed, plural, points

WIDTH, HEIGHT, MARGIN = 1200, 630, 60
"""Size of the picture, and its empty border, pixels."""

MAX_TASKS = 3
"""Most tasks with a column of their own."""

INKS = {"improved": "#0b6146", "harmed": "#93271a", "equivalent": "#3d4651", "inconclusive": "#6e4600"}
"""Verdict → color of its words; each has a contrast of at least 4.5 to 1 on white."""

FIRST, LAST = "\u2068", "\u2069"
"""Around a text whose own letters decide its direction (first strong isolate)."""


@dataclass(frozen=True, slots=True)
class Line:
    """A text that fits its width."""

    text: str
    """The text, cut with an ellipsis if it must be."""
    size: int
    """Height of the font, pixels."""
    x: int
    """Where it starts; where it ends, if it reads from right to left."""
    anchor: str
    """`start` or `end`: the end of the text that stands at x."""


@dataclass(frozen=True, slots=True)
class Column:
    """The verdict of one task."""

    task: Line
    """Name of the task."""
    number: Line
    """Mean gain in points."""
    interval: Line
    """Its interval."""
    verdict: Line
    """The word."""
    ink: str
    """Color of the number and the word."""


def card(findings: Findings) -> dict[str, str | bytes]:
    """Return path → content: the card as SVG and as PNG."""
    svg = draw_card(findings)
    return {"card.svg": svg, "card.png": vl_convert.svg_to_png(svg, scale=1.0)}


def draw_card(findings: Findings) -> str:
    """Return the card as SVG. Every text of the findings is untrusted, and escaped."""
    comparison, room = findings.comparisons[0], WIDTH - 2 * MARGIN
    shown = comparison.summaries[:MAX_TASKS]
    width = room // len(shown)
    return _template().render(
        width=WIDTH,
        height=HEIGHT,
        margin=MARGIN,
        title=fitted(findings.name, room, 48, 30),
        lead=fitted(_lead(findings), room, 26, 20),
        alarm=fitted(_alarm(findings), room, 24, 18),
        columns=[_column(summary, MARGIN + place * width, width - 40) for place, summary in enumerate(shown)],
        scope=fitted(_scope(comparison), room, 22, 17),
        languages=fitted(_languages(comparison, room), room, 22, 17),
        description=comparison.sentence,
    )


def fitted(text: str, width: int, size: int, smallest: int, x: int = MARGIN) -> Line:
    """Return a text in the largest font, from `size` down to `smallest`, in which it fits; cut if it fits in none."""
    text = " ".join(text.split())
    font = next((font for font in range(size, smallest, -1) if font * ems(text) <= width), smallest)
    if font * ems(text) > width:
        cut = next(end for end in range(len(text), -1, -1) if font * ems(text[:end] + "…") <= width)
        text = f"{text[:cut].rstrip()}…"
    turned = is_right_to_left(text)
    return Line(f"{FIRST}{text}{LAST}", font, x + width if turned else x, "end" if turned else "start")


def ems(text: str) -> float:
    """Return a width that the text does not exceed in a bold font without serifs, in heights of the font."""
    return sum(map(_em, text))


def _em(character: str) -> float:
    category = unicodedata.category(character)
    if category in ("Mn", "Cf"):  # drawn over other characters, or not at all
        return 0.0
    if unicodedata.east_asian_width(character) in ("W", "F") or character in "MW@%mw—…":
        return 1.02
    if ord(character) >= 0x0900:  # scripts of South and Southeast Asia are wide, and others may be
        return 0.6 if unicodedata.category(character)[0] in "PZS" else 1.0
    return 0.78 if category == "Lu" else 0.33 if character in " .,:;|!'iljI" else 0.65


def _lead(findings: Findings) -> str:
    setup = findings.setup
    return f"{setup.model}, tuned on {setup.mixture}" if setup.mixture else setup.model


def _alarm(findings: Findings) -> str:
    """Return what a reader must know beside the verdict; empty if there is nothing."""
    harmed = [gain.language for gain in findings.comparisons[0].gains if gain.verdict == "harmed"]
    names = [get_language(code).name for code in dict.fromkeys(harmed)]
    clauses = ["Test items were tuned on"] if findings.data.overlap else []
    clauses += ["The treatment did not take"] if findings.treatment and findings.treatment.took is False else []
    clauses += [f"Harm in {listed(names[:2] + [f'{len(names) - 2} more'] * (len(names) > 2))}"] if names else []
    return ". ".join(clauses)


def _column(summary: Summary, x: int, width: int) -> Column:
    estimate = summary.unseen or summary.overall
    low, high = points(estimate.low), points(estimate.high)
    return Column(
        task=fitted(summary.task, width, 26, 18, x),
        number=fitted(points(estimate.value), width, 84, 40, x),
        interval=fitted(f"points, 95% interval {low} to {high}", width, 22, 14, x),
        verdict=fitted(summary.verdict or "no verdict", width, 26, 18, x),
        ink=INKS.get(summary.verdict or "", INKS["equivalent"]),
    )


def _scope(comparison: Comparison) -> str:
    """Say what the numbers are, and how many tasks have no column."""
    more = len(comparison.summaries) - MAX_TASKS
    rest = f"; {plural(more, 'more task')} on the page" if more > 0 else ""
    return f"Mean change of the score, {comparison.arm} − {comparison.reference}{rest}."


def _languages(comparison: Comparison, width: int) -> str:
    """Name as many of the languages that the means are over as one line holds."""
    codes = list(dict.fromkeys(gain.language for gain in comparison.gains if gain.group == "unseen"))
    codes = codes or list(dict.fromkeys(gain.language for gain in comparison.gains))
    start = f"Over {plural(len(codes), 'language')}"
    tuned = any(gain.group == "tuned" for gain in comparison.gains)
    start += " not tuned on: " if tuned else ": "
    names = [get_language(code).name for code in codes]
    for count in range(len(names), 0, -1):
        text = start + listed([*names[:count], *([f"{len(names) - count} more"] if count < len(names) else [])])
        if 18 * ems(text) <= width:
            return f"{text}."
    return f"{start.rstrip(': ')}."


@cache
def _template() -> Template:
    text = files("spillover.report").joinpath("templates", "card.svg.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(text)

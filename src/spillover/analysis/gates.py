"""Gates: what a comparison must show for a build to pass, such as `unseen>=0` or `sentiment:worst>=-5`.

A gate is about the lower end of a 95% interval, in points: it holds only where the data show that it does. Knows
comparisons; what a broken gate ends in is the caller's.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from spillover.errors import SpilloverError, choices
from spillover.findings import Comparison, Gain, Summary
from spillover.languages import languages
from spillover.records import Estimate
from spillover.typography import minus, points

MEASURES = ("unseen", "tuned", "overall", "pivot", "worst")
"""Fields of a `Summary` that a gate may name; it may also name a language."""

_GRAMMAR = re.compile(r"(?:(?P<task>[^:<>=]+):)?(?P<measure>[^:<>=]+)>=(?P<points>[^<>=]+)")


@dataclass(frozen=True, slots=True)
class Gate:
    """A lower bound that must hold."""

    text: str
    """As the user wrote it."""
    task: str
    """Name of the task it is about; empty: every task."""
    measure: str
    """One of `MEASURES`, or a language's code."""
    bound: float
    """The lower end of the interval must be at least this; a share."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a gate in one task."""

    holds: bool
    """Whether the lower end reaches the bound; False where there is nothing to test."""
    sentence: str
    """The same with the numbers."""


def parse_gate(text: str, tasks: Collection[str]) -> Gate:
    """Read `[TASK:]MEASURE>=POINTS`; `tasks` are those that will be measured.

    Raises:
        SpilloverError: it does not fit the grammar, or names no task, measure or language.
    """
    where = f"--gate {text}"
    fits = _GRAMMAR.fullmatch("".join(text.split()))
    if not fits:
        raise SpilloverError(f"{where}: expected [TASK:]MEASURE>=POINTS, such as unseen>=0 or sentiment:worst>=-5")
    task, measure, points = fits["task"] or "", fits["measure"], fits["points"]
    if task and task not in tasks:
        raise SpilloverError(f"{where}: found task {task!r}; {choices(task, tasks)}")
    if measure not in MEASURES and measure not in languages():
        raise SpilloverError(
            f"{where}: found {measure!r}; {choices(measure, MEASURES)}, or a language's code, such as th"
        )
    try:
        bound = float(points) / 100
    except ValueError:
        bound = float("nan")
    if not -1 <= bound <= 1:
        raise SpilloverError(f"{where}: found {points!r}, expected points between -100 and 100")
    return Gate(text, task, measure, bound)


def check(gates: Iterable[Gate], comparison: Comparison) -> list[Outcome]:
    """Test each gate in each task it is about."""
    return [
        _outcome(gate, summary, comparison.gains)
        for gate in gates
        for summary in comparison.summaries
        if gate.task in ("", summary.task)
    ]


def _outcome(gate: Gate, summary: Summary, gains: Sequence[Gain]) -> Outcome:
    where = f"gate {gate.text}, {summary.task}"
    estimate = _estimate(gate.measure, summary, gains)
    if estimate is None:
        return Outcome(False, f"{where}: broken, since nothing measured is {gate.measure!r}")
    holds = estimate.low >= gate.bound
    relation, word = ("at least", "holds") if holds else ("below", "broken")
    bound = minus(f"{100 * gate.bound:g}")
    reason = f"the 95% interval begins at {points(estimate.low)}, {relation} {bound} points"
    return Outcome(holds, f"{where}: {word}, since {reason}")


def _estimate(measure: str, summary: Summary, gains: Sequence[Gain]) -> Estimate | None:
    if measure in MEASURES:
        found: Estimate | None = getattr(summary, measure)
        return found
    return next((g.difference for g in gains if (g.task, g.language) == (summary.task, measure)), None)

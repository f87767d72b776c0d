"""Gates: bounds that a comparison must reach for a build to pass, such as `unseen>=0` or `sentiment:worst>=-5`.

A gate tests the lower end of a 95% interval, in points.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from spillover.analysis.statistics.groups import group_of
from spillover.analysis.statistics.verdicts import FEWEST_ITEMS
from spillover.errors import SpilloverError, did_you_mean
from spillover.languages import from_code, known_languages, languages
from spillover.records import Comparison, Estimate, Gain, Summary
from spillover.utils.formatting import minus, points
from spillover.utils.paths import expanded

MEASURES = ("unseen", "tuned", "overall", "pivot", "worst")
"""Fields of a `Summary` that a gate may name; it may also name a language."""

RELATION = re.compile("(.*)(?:>=|≥)(.*)", re.DOTALL)
"""A gate's measure and its bound."""

EVERYWHERE = ("overall", "worst")
"""Measures that every task has; each of the others needs a language of its group."""


@dataclass(frozen=True, slots=True)
class Target:
    """A task that a gate may be about, and what will be measured in it."""

    name: str
    """The task's name, as results have it."""
    spelling: str
    """The task as the experiment lists it: its name, a path, or a family such as `harness:xnli_{language}`."""
    languages: tuple[str, ...]
    """Codes of the languages that will be measured."""
    measures: tuple[str, ...]
    """Those of `MEASURES` that will have a value."""


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
class GateOutcome:
    """Result of a gate in one task."""

    holds: bool
    """Whether the lower end reaches the bound; False where there is nothing to test."""
    sentence: str
    """The result with its numbers."""


def target(name: str, spelling: str, languages: Sequence[str], tuned_on: Collection[str], pivot: str) -> Target:
    """Return what gates may test in a task that is measured in `languages`."""
    present = {group_of(code, tuned_on, pivot) for code in languages}.union(EVERYWHERE)
    return Target(name, spelling, tuple(languages), tuple(measure for measure in MEASURES if measure in present))


def parse_gate(text: str, targets: Sequence[Target]) -> Gate:
    """Read `[TASK:]MEASURE>=POINTS`; TASK is a task's name, or the task as the experiment lists it.

    A measure holds no colon, so the last colon ends the task, whatever colons the task has.

    Raises:
        SpilloverError: it does not fit the grammar, or names what will not be measured.
    """
    where = f"--gate {text}"
    parts = RELATION.fullmatch(text)
    subject, number = (part.strip() for part in parts.groups()) if parts else ("", "")
    task, colon, measure = (part.strip() for part in subject.rpartition(":"))
    if not measure or bool(colon) != bool(task) or any(sign in measure for sign in "<>="):
        raise SpilloverError(f"{where}: expected [TASK:]MEASURE>=POINTS, such as unseen>=0 or sentiment:worst>=-5")
    tasks = _named(task, subject, targets, where)
    measure = measure if measure in MEASURES else from_code(measure) or measure
    _check_measured(measure, tasks, where)
    try:
        bound = float(number.replace("\N{MINUS SIGN}", "-")) / 100  # the report prints this minus
    except ValueError:
        bound = float("nan")
    if not -1 <= bound <= 1:
        raise SpilloverError(f"{where}: found {number!r}, expected points between -100 and 100")
    return Gate(text, tasks[0].name if task else "", measure, bound)


def _named(task: str, subject: str, targets: Sequence[Target], where: str) -> Sequence[Target]:
    """Return the tasks that a gate is about: the one it names, or all of them."""
    spellings = [spelling for target in targets for spelling in dict.fromkeys((target.name, target.spelling))]
    if subject in spellings and subject not in (*MEASURES, *languages()):
        raise SpilloverError(
            f"{where}: found a task without a measure, expected one after it, such as {subject}:{MEASURES[0]}>=0"
        )
    path = expanded(task)  # as in the experiment's list, where `~` and variables are replaced
    tasks = [target for target in targets if not task or target.name == task or target.spelling in (task, path)]
    if not tasks:
        raise SpilloverError(f"{where}: found task {task!r}; {did_you_mean(task, spellings)}")
    return tasks


def _check_measured(measure: str, tasks: Sequence[Target], where: str) -> None:
    """Refuse a measure that is none, or that a task the gate is about will not have."""
    if measure not in MEASURES and measure not in known_languages():
        raise SpilloverError(
            f"{where}: found {measure!r}; {did_you_mean(measure, MEASURES)}, or a language's code, such as th"
        )
    for task in tasks:
        if measure not in (*task.measures, *task.languages):
            raise SpilloverError(
                f"{where}: found {measure!r}, which task {task.name!r} will have no value of; "
                f"{did_you_mean(measure, (*task.measures, *task.languages))}"
            )


def check_gates(gates: Iterable[Gate], comparison: Comparison) -> list[GateOutcome]:
    """Test each gate in each task it is about."""
    return [
        _outcome(gate, summary, comparison.gains)
        for gate in gates
        for summary in comparison.summaries
        if gate.task in ("", summary.task)
    ]


def _outcome(gate: Gate, summary: Summary, gains: Sequence[Gain]) -> GateOutcome:
    where = f"gate {gate.text}, {summary.task}"
    measured = [gain for gain in gains if gain.task == summary.task]
    estimate = _estimate(gate.measure, summary, measured)
    if estimate is None:
        return GateOutcome(False, f"{where}: broken, since nothing measured is {gate.measure!r}")
    items = _items(gate.measure, summary, measured)
    if items < FEWEST_ITEMS:
        few = f"{items} item{'s' if items > 1 else ''}"
        return GateOutcome(False, f"{where}: broken, since it has {few}, and fewer than {FEWEST_ITEMS} show nothing")
    holds = estimate.low >= gate.bound
    relation, word = ("at least", "holds") if holds else ("below", "broken")
    bound = minus(f"{100 * gate.bound:g}")
    reason = f"the 95% interval begins at {points(estimate.low)}, {relation} {bound} points"
    return GateOutcome(holds, f"{where}: {word}, since {reason}")


def _estimate(measure: str, summary: Summary, gains: Sequence[Gain]) -> Estimate | None:
    if measure in MEASURES:
        estimate: Estimate | None = getattr(summary, measure)
        return estimate
    return next((gain.difference for gain in gains if gain.language == measure), None)


def _items(measure: str, summary: Summary, gains: Sequence[Gain]) -> int:
    """Return the fewest items of any language that a measure is about."""
    about = [gain.n for gain in gains if measure in ("overall", "worst", gain.language, gain.group)]
    return min(about, default=summary.n)

"""Verdicts: from an interval to a word, and from the word to a sentence. `docs/statistics.md` has the rules."""

from collections.abc import Sequence
from typing import get_args

from spillover.records import FALSE_ALARM_RATE, Estimate, Gain, Reason, Summary, Verdict
from spillover.utils.formatting import listed, points

FEWEST_ITEMS = 30
"""Fewest items for a verdict, a gate or a possible harm."""


ANSWERS: dict[Reason, str] = {
    "wrong": "that are wrong",
    "unreadable": "that cannot be read",
    "wrong language": "in the wrong language",
    "ran on": "without an end",
}
"""Reason for a lower score → how a sentence says it of answers."""


def verdict(difference: Estimate, items: int, margin: float, significant: bool = True) -> Verdict:
    """Say what a difference is; a missing significance alone never means "equivalent".

    A change that is surely smaller than the margin is equivalent, also if its sign is sure (Lakens et al. 2018).

    Args:
        difference: with its interval, as shares.
        items: how many items are behind it.
        margin: the smallest change that matters; differences within ± this count as equivalent.
        significant: whether a test, corrected for the number of tests, also excludes 0.
    """
    if items < FEWEST_ITEMS:
        return "inconclusive"
    if within(difference, margin):
        return "equivalent"
    if significant and difference.low > 0:
        return "improved"
    if significant and difference.high < 0:
        return "harmed"
    return "inconclusive"


def within(difference: Estimate, margin: float) -> bool:
    """Whether the whole interval of a difference lies within ± `margin`; both are shares."""
    return -margin <= difference.low and difference.high <= margin


def sentence(summary: Summary, languages: int, margin: float, changed: bool = True, tuned: bool = True) -> str:
    """Say a summary's verdict in one sentence.

    Args:
        summary: of one task.
        languages: number of unseen ones.
        margin: differences within ± this count as equivalent.
        changed: whether any item was fixed or broken in an unseen language.
        tuned: whether the run tuned anything, so that there may be languages tuned on.
    """
    if summary.unseen is None or summary.minimum_detectable is None:
        reason = "every language measured was tuned on or is the pivot"
        return f"{summary.task}: no verdict, since {reason}; over all of them {_interval(summary.overall)}."
    over = f"over {languages} language{'s' if languages > 1 else ''}{' not tuned on' if tuned else ''}"
    start = f"{summary.task}: {summary.verdict}"
    nothing = "" if changed else f"nothing changed in {summary.n} items"
    if summary.verdict == "equivalent":
        addition = nothing or _sure_sign(summary.unseen)
        end = f"; {addition}" if addition else ""
        return f"{start} within ±{100 * margin:g} points {over}, {_interval(summary.unseen)}{end}."
    if summary.verdict == "inconclusive":
        missed = f"with so few a mean change of up to {100 * summary.unseen.high:.1f} points could have been missed"
        power = f"a mean gain of {100 * summary.minimum_detectable:.1f} points would have been seen with 80% power"
        seen = f"{nothing}, and {missed}" if nothing else power
        few = f", but fewer than {FEWEST_ITEMS} items are given no verdict" if summary.n < FEWEST_ITEMS else ""
        return f"{start} {over}, {_interval(summary.unseen)}; {seen}{few}."
    return f"{start} {over}, {_interval(summary.unseen)}; {_moved(summary)}."


def headline(gains: Sequence[Gain], summaries: Sequence[Summary], tuned: bool = True) -> str:
    """Say the verdicts of all tasks in one sentence, with the languages harmed and the number of alarms.

    Harm is a language's verdict, corrected for the number of tasks and languages: if tuning does nothing, any is found
    in at most 2.5% of runs. Possible harm is not corrected, so the sentence says how many of those chance alone raises.
    """
    clauses, pivot = [], any(summary.pivot for summary in summaries)
    for word in (*get_args(Verdict), None):
        members = [s for s in summaries if s.verdict == word]
        tasks = [f"{s.task} ({points(s.unseen.value)} points)" if s.unseen else s.task for s in members]
        if tasks:
            clauses.append(f"{word or 'no verdict'} in {listed(tasks)}")
    over = "languages not tuned on" if tuned else "all languages but the pivot" if pivot else "all languages"
    return f"Over {over}: {', '.join(clauses)}{_harm(gains)}."


def _harm(gains: Sequence[Gain]) -> str:
    """Say how many languages are harmed beyond doubt, and how many more perhaps; empty if none."""
    harmed = sum(gain.verdict == "harmed" for gain in gains)
    alarms = sum(gain.possible_harm and gain.verdict != "harmed" for gain in gains)
    of = f"of {len(gains)} tasks × languages"
    shown = f"; harm in {harmed} {of}, corrected for their number" if harmed else ""
    chance = f"uncorrected; up to {FALSE_ALARM_RATE * len(gains):.1f} by chance"
    return shown + (f"; possible harm in {alarms}{' more' if harmed else f' {of}'} ({chance})" if alarms else "")


def _sure_sign(difference: Estimate) -> str:
    """Say that a change smaller than the margin is still a change; empty where its interval holds 0."""
    change = "gain" if difference.low > 0 else "loss" if difference.high < 0 else ""
    return f"a {change} is shown, but it is smaller than the margin" if change else ""


def _moved(summary: Summary) -> str:
    """Say which part of the gain's split moved: those whose interval excludes 0."""
    if summary.reasons:
        parts = {
            f"{'fewer' if row.part.value > 0 else 'more'} answers {ANSWERS[row.reason]}": row.part
            for row in summary.reasons
        }
        nothing = "no reason for lost answers beyond doubt"
    elif summary.discrimination is None or summary.label_prior is None:
        return "whether discrimination or the label prior moved is withheld, since the golds are unbalanced"
    else:
        parts = {"discrimination": summary.discrimination, "the label prior": summary.label_prior}
        nothing = "neither discrimination nor the label prior beyond doubt"
    moved = [f"{name} ({points(part.value)})" for name, part in parts.items() if part.low > 0 or part.high < 0]
    return f"what moved: {' and '.join(moved) or nothing}"


def _interval(estimate: Estimate) -> str:
    value, low, high = (points(number) for number in (estimate.value, estimate.low, estimate.high))
    return f"{value} points (95% interval {low} to {high})"

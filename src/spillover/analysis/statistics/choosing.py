"""Two faults of a model that accuracy hides: it guesses, or it chooses one label nearly always. Pure."""

from collections.abc import Iterable

from spillover.records import ArmMetrics, Gain

ALMOST_ALWAYS = 0.85
"""Least share of the items in which one label is chosen, from which on an arm counts as choosing nearly always that."""

BEYOND_GOLD = 0.2
"""How much larger than its share of right answers that share must be too."""

CHANCE_AUC = 0.5
"""AUC of scores that say nothing."""


def guesses(gain: Gain) -> bool:
    """Return whether neither accuracy nor AUC shows that the reference beats chance; False without an AUC."""
    choices = gain.reference.choices
    if not choices or not choices.auc or not gain.choices:
        return False
    return gain.reference.score.low <= gain.choices.chance and choices.auc.low <= CHANCE_AUC


def one_label(gain: Gain, arm: ArmMetrics) -> bool:
    """Return whether an arm, one of the gain's two, chooses one label in nearly all items."""
    if not arm.choices or not gain.choices:
        return False
    share, gold = max(zip(arm.choices.chosen, gain.choices.gold, strict=True))
    return share >= ALMOST_ALWAYS and share >= gold + BEYOND_GOLD


def collapsed(gain: Gain) -> bool:
    """Return whether the arm chooses one label in nearly all items, and the reference did not."""
    return one_label(gain, gain.arm) and not one_label(gain, gain.reference)


def guessed_tasks(gains: Iterable[Gain]) -> dict[str, list[Gain]]:
    """Return task → its gains, for the tasks at which the reference guesses in the pivot.

    If no task is measured in the pivot, all languages decide. A task that lacks the pivot beside tasks that have it
    says nothing: a model that guesses outside the pivot is what question translation is for.
    """
    tasks: dict[str, list[Gain]] = {}
    for gain in gains:
        tasks.setdefault(gain.task, []).append(gain)
    pivots = {task: [gain for gain in rows if gain.group == "pivot"] for task, rows in tasks.items()}
    decisive = pivots if any(pivots.values()) else tasks
    return {task: rows for task, rows in tasks.items() if decisive[task] and all(map(guesses, decisive[task]))}


def largest_share(arms: Iterable[ArmMetrics]) -> tuple[float, float]:
    """Return the smallest and the largest share of items in which the label chosen most is chosen, in [0, 1]."""
    shares = [max(arm.choices.chosen) for arm in arms if arm.choices]
    return min(shares), max(shares)

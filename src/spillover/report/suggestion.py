"""What is suggested, for a terminal: one sentence, and the best choices as a table. A suggestion in, texts out."""

from rich.console import Group, RenderableType
from rich.text import Text

from spillover.languages import get_language
from spillover.records import Candidate, Suggestion
from spillover.report.tables.table import Table, terminal
from spillover.utils.formatting import listed, points

MAX_SHOWN = 10
"""Choices in the table."""


def sentence(found: Suggestion) -> str:
    """Return which languages to tune on and how far that can be believed, or that it is not known."""
    aim, first = ", ".join(found.targets), found.proposals[0]
    if found.known and found.trial and first.predicted is not None:
        return (
            f"Tune on {_named(first)}: predicted mean gain in {aim} {points(first.predicted)} points. {_trial(found)}"
        )
    if not found.mixtures:
        why = "no mixture was measured"
    elif found.trial is None:
        why = f"{found.mixtures} mixture{'s were' if found.mixtures > 1 else ' was'} measured, too few to learn from"
    else:
        why = f"what was measured predicts no better than its mean. {_trial(found)}"
    best = ""
    if found.best is not None and found.best.measured is not None:
        best = f" Of those measured, {_named(found.best)} gained most: {points(found.best.measured)} points."
    return (
        f"Which languages help {aim} is not known: {why.removesuffix('.')}.{best} "
        f"By likeness alone, a guess, it would be {_named(first)}."
    )


def _trial(found: Suggestion) -> str:
    assert found.trial is not None
    return (
        f"Leaving out one of {found.mixtures} mixtures at a time, its gain is missed by {100 * found.trial.error:.1f} "
        f"points, and by {100 * found.trial.plain:.1f} if the others' mean is taken (p = {found.trial.p:.3f})."
    )


def table(found: Suggestion) -> Table:
    """Return the best choices: predicted and measured gain in points, and the likeness of the nearest language."""
    header = ("tune on", "predicted", "measured", *found.predictors)
    rows = [
        (
            "/".join(each.languages),
            *("" if value is None else points(value) for value in (each.predicted, each.measured)),
            *(f"{value:.2f}" for value in each.likeness),
        )
        for each in found.proposals[:MAX_SHOWN]
    ]
    caption = (
        f"Choices for {', '.join(found.targets)}: mean gain in points, and how like the nearest language tuned on is, "
        f"by each predictor; the first {len(rows)} of {len(found.proposals)}."
    )
    return Table(caption, header, tuple(rows))


def shown(found: Suggestion) -> RenderableType:
    """Return sentence and table for a terminal."""
    made = table(found)
    return Group(Text(sentence(found), "bold"), Text(), Text(made.caption), terminal(made))


def _named(proposal: Candidate) -> str:
    return listed([get_language(code).name for code in proposal.languages])

"""A suggestion for a terminal: one sentence, and the best candidates as a table. Pure."""

from rich.console import Group, RenderableType
from rich.text import Text

from spillover.languages import get_language
from spillover.records import Candidate, CrossValidation, Suggestion
from spillover.report.tables.table import Table, terminal
from spillover.utils.formatting import listed, plural, points

MAX_SHOWN = 10
"""Most candidates in the table."""


def sentence(suggestion: Suggestion) -> str:
    """Return the languages to tune on with the error of the prediction, or the reason why they are not known."""
    targets, first = ", ".join(suggestion.targets), suggestion.candidates[0]
    if suggestion.predictive and suggestion.validation and first.predicted is not None:
        return (
            f"Tune on {_named(first)}: predicted mean gain in {targets} {points(first.predicted)} points. "
            f"{_error(suggestion.validation, suggestion.mixtures)}"
        )
    best = ""
    if suggestion.best is not None and suggestion.best.measured is not None:
        gain = points(suggestion.best.measured)
        best = f" Of the measured mixtures, {_named(suggestion.best)} gained most: {gain} points."
    return (
        f"Which languages help {targets} is not known: {_reason(suggestion)}{best} "
        f"A guess, by likeness alone: {_named(first)}."
    )


def _reason(suggestion: Suggestion) -> str:
    """Return why the best languages are not known, as the end of a sentence."""
    if not suggestion.mixtures:
        return "no mixture was measured."
    if suggestion.validation is None:
        verb = "was" if suggestion.mixtures == 1 else "were"
        return f"{plural(suggestion.mixtures, 'mixture')} {verb} measured, too few to learn from."
    error = _error(suggestion.validation, suggestion.mixtures)
    return f"the measured mixtures predict no better than their mean. {error}"


def _error(validation: CrossValidation, mixtures: int) -> str:
    return (
        f"Error, leaving out one of {plural(mixtures, 'mixture')} at a time: {100 * validation.error:.1f} points; "
        f"{100 * validation.baseline:.1f} by the mean of the others (p = {validation.p:.3f})."
    )


def table(suggestion: Suggestion) -> Table:
    """Return the best candidates: predicted and measured gain in points, and the likeness of the nearest language."""
    header = ("tune on", "predicted", "measured", *suggestion.predictors)
    rows = [
        (
            "/".join(candidate.languages),
            *("" if gain is None else points(gain) for gain in (candidate.predicted, candidate.measured)),
            *(f"{value:.2f}" for value in candidate.similarities),
        )
        for candidate in suggestion.candidates[:MAX_SHOWN]
    ]
    caption = (
        f"Candidates for {', '.join(suggestion.targets)}, the first {len(rows)} of {len(suggestion.candidates)}: mean "
        "gain in points, and per predictor the likeness of the nearest language tuned on."
    )
    return Table(caption, header, tuple(rows))


def terminal_text(suggestion: Suggestion) -> RenderableType:
    """Return sentence and table for a terminal."""
    candidates = table(suggestion)
    return Group(Text(sentence(suggestion), "bold"), Text(), Text(candidates.caption), terminal(candidates))


def _named(candidate: Candidate) -> str:
    return listed([get_language(code).name for code in candidate.languages])

"""Which languages to tune on: candidates, their cross-validation, the suggestion."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """Languages to tune on, and what is known of them for the languages they are to help. Shares, means over those."""

    languages: tuple[str, ...]
    """Their codes."""
    predicted: float | None
    """Gain that the measured mixtures predict, in [-1, 1]; None where they predict nothing."""
    measured: float | None
    """Gain of that very mixture where it was measured, mean over seeds."""
    similarities: tuple[float, ...]
    """One a predictor: how like the nearest of them is to a language, in the predictor's own unit."""


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """How well measured mixtures predict one that was left out: of the mean gain over the targets."""

    error: float
    """Root mean square error of the prediction, as a share."""
    baseline: float
    """That of predicting the mean of the other mixtures."""
    p: float
    """How often mixtures dealt out at random predict as well, in (0, 1]."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Which languages to tune on."""

    targets: tuple[str, ...]
    """Codes of the languages that are to get better."""
    predictors: tuple[str, ...]
    """What two languages were compared by."""
    mixtures: int
    """Number of different mixtures measured."""
    validation: CrossValidation | None
    """What leaving one out says; None with too few mixtures."""
    predictive: bool
    """Whether the prediction is better than the mean."""
    best: Candidate | None
    """The measured mixture that gained most, of any number of languages."""
    candidates: tuple[Candidate, ...]
    """Every choice, the best first: by its predicted gain if that is known, else by likeness alone."""

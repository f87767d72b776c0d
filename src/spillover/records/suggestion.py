"""Which languages to tune on: candidates, their cross-validation, the suggestion."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """Languages to tune on, with their gains as shares. Gains are means over the target languages."""

    languages: tuple[str, ...]
    """Their codes."""
    predicted: float | None
    """Gain predicted from the measured mixtures, in [-1, 1]; None if they predict nothing."""
    measured: float | None
    """Measured gain of this mixture, mean over seeds; None if it was not measured."""
    similarities: tuple[float, ...]
    """One per predictor: similarity of the nearest tuned language to a target, in the predictor's unit."""


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """Leave-one-out cross-validation: how well mixtures predict another one's mean gain over the targets."""

    error: float
    """Root mean square error of the prediction, as a share."""
    baseline: float
    """Root mean square error of predicting the mean of the other mixtures, as a share."""
    p: float
    """Permutation p-value: how often permuted mixtures predict as well, in (0, 1]."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Which languages to tune on."""

    targets: tuple[str, ...]
    """Codes of the languages that are to get better."""
    predictors: tuple[str, ...]
    """Names of the similarities between languages."""
    mixtures: int
    """Number of different mixtures measured."""
    validation: CrossValidation | None
    """Cross-validation; None with too few mixtures."""
    predictive: bool
    """Whether the prediction is significantly better than the mean."""
    best: Candidate | None
    """The measured mixture that gained most, of any number of languages."""
    candidates: tuple[Candidate, ...]
    """All candidates, the best first: by predicted gain if `predictive`, else by similarity."""

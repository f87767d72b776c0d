"""Suggest languages to tune on: predict gains of mixtures from measured ones, and test whether that beats their mean.

The predicted gain of a language is its mean over the mixtures plus a ridge regression. Its features are the share of
each language in the mixture and the similarity of the nearest one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillover.analysis.statistics.pairing import pair_arms
from spillover.records import Candidate, CrossValidation, FinishedRun, Suggestion

Array = NDArray[np.float64]

MIN_MIXTURES = 5
"""Fewest mixtures for a prediction. With four, permuted mixtures seldom predict worse."""

RIDGES = (0.01, 0.1, 1.0, 10.0)
"""Penalties to choose from, relative to the variance of a group of features; the last all but predicts the mean."""

PERMUTATIONS = 999
"""Number of random permutations of the mixtures."""

ALPHA = 0.05
"""Level of the permutation test: the largest share of permutations that may predict as well."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Gains of mixtures: mean over the seeds of each."""

    mixtures: tuple[tuple[str, ...], ...]
    """(mixtures,) the codes of the languages tuned on."""
    languages: tuple[str, ...]
    """(languages,) the codes of the languages measured."""
    gains: Array
    """(mixtures, languages): tuned − base, as a share."""


@dataclass(frozen=True, slots=True)
class Similarity:
    """Similarity of every two languages, by one measure."""

    name: str
    """Name of the measure."""
    values: Array
    """(languages, languages): larger is more alike; the languages are those of all likenesses, in one order."""


def collect(runs: Sequence[FinishedRun], codes: Sequence[str]) -> Measured:
    """Return the gains of runs of one model, over the tasks and those of the languages that all of them measured.

    A run's mixture is all that it has seen but the pivot, which comes last.
    """
    by_run = [
        {
            (cell.task, cell.language): float(cell.difference.mean())
            for cell in pair_arms(run.reference, run.arm, names=run.arms)
        }
        for run in runs
    ]
    shared = [key for key in by_run[0] if all(key in differences for differences in by_run)] if by_run else []
    languages = tuple(dict.fromkeys(code for _, code in shared if code in codes))
    groups: dict[tuple[str, ...], list[list[float]]] = {}
    for run, differences in zip(runs, by_run, strict=True):
        means = [float(np.mean([differences[key] for key in shared if key[1] == code])) for code in languages]
        groups.setdefault(tuple(sorted(run.seen[:-1])), []).append(means)
    gains = np.array([np.mean(rows, axis=0) for rows in groups.values()]).reshape(len(groups), len(languages))
    return Measured(tuple(groups), languages, gains)


def suggest(
    measured: Measured,
    likenesses: Sequence[Similarity],
    codes: Sequence[str],
    targets: Sequence[str],
    choices: Sequence[tuple[str, ...]],
) -> Suggestion:
    """Order the choices of languages to tune on by what they should do for the targets.

    Args:
        measured: what mixtures gained; perhaps none.
        likenesses: cheap predictors.
        codes: the languages of the likenesses; all others named here are among them.
        targets: the languages that are to get better, measured in every mixture.
        choices: the languages to tune on, in every combination asked about.
    """
    space = _Space(likenesses, codes)
    columns = [measured.languages.index(code) for code in targets] if measured.mixtures else []
    results = measured.gains[:, columns].mean(axis=1) if columns else np.empty(0)
    near = np.stack([space.near(choice, targets).mean(axis=1) for choice in choices])
    validation, predicted = _predicted(space, measured, columns, targets, choices)
    predictive = validation is not None and validation.p < ALPHA and validation.error < validation.baseline
    gains = {frozenset(mixture): float(gain) for mixture, gain in zip(measured.mixtures, results, strict=True)}
    candidates = [
        Candidate(choice, value if predictive else None, gains.get(frozenset(choice)), tuple(similarities))
        for choice, value, similarities in zip(choices, predicted.tolist(), near.tolist(), strict=True)
    ]
    order = np.argsort(-(predicted if predictive else _standardized(near).sum(axis=1)), kind="stable")
    return Suggestion(
        targets=tuple(targets),
        predictors=tuple(likeness.name for likeness in likenesses),
        mixtures=len(measured.mixtures),
        validation=validation,
        predictive=predictive,
        best=_best(measured, results, space, targets) if columns else None,
        candidates=tuple(candidates[place] for place in order),
    )


def _predicted(
    space: "_Space",
    measured: Measured,
    columns: Sequence[int],
    targets: Sequence[str],
    choices: Sequence[tuple[str, ...]],
) -> tuple[CrossValidation | None, Array]:
    """Return the cross-validation of the prediction, and each choice's predicted mean gain of the targets.

    Fewer than `MIN_MIXTURES` mixtures predict nothing: the validation is None, and each gain is nan.
    """
    if len(measured.mixtures) < MIN_MIXTURES:
        return None, np.full(len(choices), np.nan)
    raw = space.features(measured.mixtures, measured.languages)
    scale = _scale(raw, space.groups)
    sample, features = raw / scale, space.features(choices, targets) / scale
    validation, ridge = _cross_validate(sample, measured.gains, columns)
    offsets = (features - sample.mean(axis=0)[columns]).mean(axis=1)
    predicted = (
        measured.gains[:, columns].mean(axis=1).mean() + (offsets @ _coefficients(sample, measured.gains, ridge))[:, 0]
    )
    return validation, predicted


def _best(measured: Measured, results: Array, space: "_Space", targets: Sequence[str]) -> Candidate:
    """Return the mixture that gained most."""
    place = int(results.argmax())
    mixture = measured.mixtures[place]
    near = space.near(mixture, targets).mean(axis=1)
    return Candidate(mixture, None, float(results[place]), tuple(near.tolist()))


class _Space:
    """Features of a mixture and a language."""

    def __init__(self, likenesses: Sequence[Similarity], codes: Sequence[str]) -> None:
        self.values = np.stack([each.values for each in likenesses])
        self.place = {code: index for index, code in enumerate(codes)}
        self.groups = [len(codes), *(1 for _ in likenesses)]

    def near(self, mixture: Sequence[str], languages: Sequence[str]) -> Array:
        """Return how like the nearest of a mixture is to each language, (likenesses, languages)."""
        members, others = ([self.place[code] for code in group] for group in (mixture, languages))
        result: Array = self.values[:, members][:, :, others].max(axis=1)
        return result

    def features(self, mixtures: Sequence[Sequence[str]], languages: Sequence[str]) -> Array:
        """Return the share of each language in the mixture, then `near`: (mixtures, languages, features)."""
        result = np.zeros((len(mixtures), len(languages), sum(self.groups)))
        for row, mixture in enumerate(mixtures):
            result[row, :, [self.place[code] for code in mixture]] = 1 / len(mixture)
            result[row, :, len(self.place) :] = self.near(mixture, languages).T
        return result


def _scale(sample: Array, groups: Sequence[int]) -> Array:
    """Return what to divide features by, so that each group varies as much over the mixtures as any other."""
    spread = (sample - sample.mean(axis=0)).var(axis=(0, 1))
    ends = np.cumsum(groups)
    sizes = [np.sqrt(spread[end - size : end].sum()) for size, end in zip(groups, ends, strict=True)]
    return np.repeat([size if size > 1e-9 else 1.0 for size in sizes], groups)


def _coefficients(sample: Array, gains: Array, ridge: float) -> Array:
    """Return the ridge regression of gains, (mixtures, languages, draws), on features, all centered by language."""
    flat = (sample - sample.mean(axis=0)).reshape(-1, sample.shape[2])
    centered = (gains - gains.mean(axis=0)).reshape(len(flat), -1)
    penalty = ridge * len(flat) * np.eye(flat.shape[1])
    result: Array = np.linalg.solve(flat.T @ flat + penalty, flat.T @ centered)
    return result


def leave_one_out_error(sample: Array, gains: Array, columns: Sequence[int], ridge: float, place: int) -> Array:
    """Return the error in one mixture's mean over the aims, predicted from the others, (draws,)."""
    rest = np.arange(len(sample)) != place
    offsets = (sample[place] - sample[rest].mean(axis=0))[columns].mean(axis=0)
    mean = gains[rest][:, columns].mean(axis=(0, 1))
    error: Array = mean + offsets @ _coefficients(sample[rest], gains[rest], ridge) - gains[place, columns].mean(axis=0)
    return error


def _squares(sample: Array, gains: Array, columns: Sequence[int]) -> Array:
    """Return the mean squared error over the mixtures, each left out once, with every ridge: (ridges, draws)."""
    errors = [
        [leave_one_out_error(sample, gains, columns, ridge, place) for place in range(len(sample))] for ridge in RIDGES
    ]
    result: Array = np.square(errors).mean(axis=1)
    return result


def _cross_validate(sample: Array, gains: Array, columns: Sequence[int]) -> tuple[CrossValidation, float]:
    """Predict every mixture from the others, and the same for mixtures dealt out at random; return the ridge too.

    The error is of a ridge that was chosen without the mixture left out. The deals choose theirs like the truth, so
    what choosing gains by chance, they gain too.
    """
    random, count = np.random.default_rng(0), len(sample)
    deals = [np.arange(count), *(random.permutation(count) for _ in range(PERMUTATIONS))]
    squares = _squares(sample, np.stack([gains[deal] for deal in deals], axis=2), columns)
    lowest = squares.min(axis=0)
    errors, plain = [], []
    for place in range(count):
        rest = np.arange(count) != place
        ridge = RIDGES[int(_squares(sample[rest], gains[rest][..., None], columns)[:, 0].argmin())]
        errors.append(leave_one_out_error(sample, gains[..., None], columns, ridge, place)[0])
        plain.append((gains[rest].mean(axis=0) - gains[place])[columns].mean())
    p = float((lowest <= lowest[0] * (1 + 1e-9)).mean())
    validation = CrossValidation(
        float(np.sqrt(np.mean(np.square(errors)))), float(np.sqrt(np.mean(np.square(plain)))), p
    )
    return validation, RIDGES[int(squares[:, 0].argmin())]


def _standardized(values: Array) -> Array:
    """Return columns with mean 0 and deviation 1; 0 where they are constant."""
    spread = values.std(axis=0)
    result: Array = (values - values.mean(axis=0)) / np.where(spread > 1e-9, spread, 1)
    return result

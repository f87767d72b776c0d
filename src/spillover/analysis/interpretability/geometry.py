"""Geometry of languages, per layer: principal components, and every metric with its null interval.

Layers are read one at a time, so memory does not grow with a model's depth.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import scipy
from numpy.typing import NDArray

from spillover.analysis.interpretability.alignment import Array, Indices, Pairings, States, shuffled
from spillover.errors import SpilloverError
from spillover.records import CONFIDENCE, Alignment, Geometry
from spillover.utils.formatting import plural

SHUFFLES = 200
"""Shuffles of the item pairing behind every null interval."""

MIN_ITEMS = 4
"""Fewest items: with 3 a debiased CKA is 0 / 0."""

PARTIAL = "-partial"
"""Suffix of a metric's name if text length is partialled out."""

Metric = Callable[[States, Pairings], Array]


@dataclass(frozen=True, slots=True)
class Sample:
    """The items that were traced, the same in every language and arm."""

    task: str
    """Name of the task."""
    arms: tuple[str, ...]
    """Names of the arms."""
    languages: tuple[str, ...]
    """Codes of the languages, two or more."""
    lengths: Array
    """(languages, items): the length of an item's text, in bytes of UTF-8."""
    contexts: tuple[Indices, ...]
    """The items, two or more, that share all of their text but the last field."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the residual stream, in every arm and language."""

    last: NDArray[np.float32]
    """(arms, languages, items, width): the last position of a prompt."""
    body_mean: NDArray[np.float32]
    """(arms, languages, items, width): the mean over an item's own tokens."""


def geometry(sample: Sample, layers: Iterable[Layer], metrics: Mapping[str, Metric]) -> Geometry:
    """Measure every metric between every two languages in every layer, raw and with text length partialled out.

    A metric that is nan throughout does not apply to the task and is left out. The null interval is the central 95%
    of the metric under 200 shuffles of the item pairing.

    Raises:
        SpilloverError: there are fewer than four items, or a state is not finite.
    """
    items = sample.lengths.shape[1]
    check_items(sample.task, items)
    pairings = shuffled(items, SHUFFLES)
    components, scores = [], []
    for number, layer in enumerate(layers):
        _check_finite(sample, number, layer)
        axes = principal_components(layer.body_mean)
        components.append(axes)
        scores.append([_measure(sample, layer, axes, arm, metrics, pairings) for arm in range(len(sample.arms))])
    # (layers, arms, metrics, value and null, a, b) → (metrics, value and null, arms, layers, a, b)
    summary = np.asarray(scores).transpose(2, 3, 1, 0, 4, 5)
    names = [name + suffix for name in metrics for suffix in ("", PARTIAL)]
    return Geometry(
        task=sample.task,
        arms=sample.arms,
        languages=sample.languages,
        items=items,
        alignments=tuple(
            Alignment(name, *parts) for name, parts in zip(names, summary, strict=True) if not np.isnan(parts[0]).all()
        ),
        components=np.stack(components, axis=1),
    )


def _measure(
    sample: Sample, layer: Layer, components: Array, arm: int, metrics: Mapping[str, Metric], pairings: Pairings
) -> Array:
    """Return each metric's value and null interval in one arm, (metrics, raw and partial; 3; languages, languages)."""
    raw = States(
        body_mean=layer.body_mean[arm].astype(np.float64),
        last=layer.last[arm].astype(np.float64),
        component=components[arm, :, :, 0],
        contexts=sample.contexts,
    )
    variants = (raw, partial_out_length(raw, sample.lengths))
    return np.stack([_interval(metric(states, pairings)) for metric in metrics.values() for states in variants])


def _interval(scores: Array) -> Array:
    """Return a metric's value for the true pairing and the ends of its interval over the shuffled ones."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(scores[1:], [tail, 1 - tail], axis=0)
    return np.stack([scores[0], low, high])


def principal_components(vectors: NDArray[np.floating]) -> Array:
    """Return the first two principal components' scores of (…, width) vectors, (…, 2): all on the same axes.

    X − mean = U S Vᵀ; the scores are the first two columns of U S. Each axis points where its
    largest loading is positive.
    """
    width = vectors.shape[-1]
    flat = vectors.reshape(-1, width).astype(np.float64)
    flat -= flat.mean(axis=0)
    if not flat.any():
        return np.zeros((*vectors.shape[:-1], 2))
    # A start of its own: else ARPACK's is random. Not constant, which centered columns are orthogonal to.
    start = np.random.default_rng(0).standard_normal(min(flat.shape))
    axes = scipy.sparse.linalg.svds(flat, k=2, v0=start, return_singular_vectors="vh")[2][::-1]
    axes *= np.sign(axes[range(2), np.abs(axes).argmax(axis=1)])[:, None]
    result: Array = (flat @ axes.T).reshape(*vectors.shape[:-1], 2)
    return result


def partial_out_length(states: States, lengths: Array) -> States:
    """Return states without what each language's text length explains of them linearly, feature by feature.

    lengths: (languages, items). With l the centered length, X becomes X − l · (lᵀX / lᵀl): means stay, so cosines keep
    their meaning. Pearson's r of the result is the semi-partial one: each language loses its own length.
    """
    centered = lengths - lengths.mean(axis=1, keepdims=True)
    size = (centered**2).sum(axis=1)
    unit = centered / np.sqrt(np.where(size > 0, size, 1))[:, None]

    def free(values: Array) -> Array:
        slope = np.einsum("ln,lnw->lw", unit, values, optimize=True)
        result: Array = values - unit[:, :, None] * slope[:, None, :]
        return result

    return replace(
        states,
        body_mean=free(states.body_mean),
        last=free(states.last),
        component=free(states.component[:, :, None])[:, :, 0],
    )


def check_items(task: str, items: int) -> None:
    """Refuse fewer items than any metric needs."""
    if items < MIN_ITEMS:
        raise SpilloverError(
            f"analyze.metrics: task {task!r} has {plural(items, 'item')} to compare languages by, expected at "
            f"least {MIN_ITEMS}; analyze.metrics = [] leaves the comparison out"
        )


def _check_finite(sample: Sample, number: int, layer: Layer) -> None:
    for states in (layer.last, layer.body_mean):
        for place in np.argwhere(~np.isfinite(states).all(axis=(2, 3)))[:1].tolist():
            arm, language = sample.arms[place[0]], sample.languages[place[1]]
            raise SpilloverError(
                f"traces/{arm}/{sample.task}/{language}: layer {number} holds a state that is not finite, expected "
                "numbers; half precision overflows in some models: try model.dtype = 'float32'"
            )

"""Geometry of languages, per layer: principal components, and every metric with its null interval.

Layers are read one at a time, so memory does not grow with a model's depth. Very many languages are compared with all
others in blocks, so the cosines of all items never are in memory at once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
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

BLOCK_BYTES = 1 << 28
"""Most bytes of the cosines of a block of languages with all languages; a block has at least one language."""

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


@dataclass(frozen=True, slots=True)
class MeasuredLayer:
    """The measurements of one layer."""

    components: Array
    """(arms, languages, items, 2): the first two principal components, with the same axes in all arms."""
    scores: Array
    """(arms, metrics, 3, languages a, languages b): value and null interval of each of `metric_names`."""


def geometry(sample: Sample, layers: Iterable[Layer], metrics: Mapping[str, Metric]) -> Geometry:
    """Measure every metric between every two languages in every layer, raw and with text length partialled out.

    A metric that is nan throughout does not apply to the task and is left out. The null interval is the central 95%
    of the metric under 200 shuffles of the item pairing.

    Raises:
        SpilloverError: there are fewer than four items, or a state is not finite.
    """
    measured = list(measure_layers(sample, layers, metrics))
    # (layers, arms, metrics, value and null, a, b) → (metrics, value and null, arms, layers, a, b)
    summary = np.asarray([layer.scores for layer in measured]).transpose(2, 3, 1, 0, 4, 5)
    return Geometry(
        task=sample.task,
        arms=sample.arms,
        languages=sample.languages,
        items=sample.lengths.shape[1],
        alignments=tuple(
            Alignment(name, *parts)
            for name, parts in zip(metric_names(metrics), summary, strict=True)
            if not np.isnan(parts[0]).all()
        ),
        components=np.stack([layer.components for layer in measured], axis=1),
    )


def metric_names(metrics: Iterable[str]) -> list[str]:
    """Return the names of the metrics in the order of `MeasuredLayer.scores`: each raw, then partial."""
    return [name + suffix for name in metrics for suffix in ("", PARTIAL)]


def measure_layers(sample: Sample, layers: Iterable[Layer], metrics: Mapping[str, Metric]) -> Iterator[MeasuredLayer]:
    """Yield the components and every metric of one layer after the other.

    Raises:
        SpilloverError: there are fewer than four items, or a state is not finite.
    """
    items = sample.lengths.shape[1]
    check_items(sample.task, items)
    pairings = shuffled(items, SHUFFLES)
    for number, layer in enumerate(layers):
        _check_finite(sample, number, layer)
        axes = principal_components(layer.body_mean)
        scores = [_measure(sample, layer, axes, arm, metrics, pairings) for arm in range(len(sample.arms))]
        yield MeasuredLayer(axes, np.stack(scores))


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
    scores = np.stack([_in_blocks(states, metrics, pairings) for states in variants], axis=1)
    result: Array = scores.reshape(-1, *scores.shape[2:])
    return result


def _in_blocks(states: States, metrics: Mapping[str, Metric], pairings: Pairings) -> Array:
    """Return each metric's value and null interval, (metrics, 3, languages, languages), block by block of languages."""
    languages, items, _ = states.body_mean.shape
    size = max(1, BLOCK_BYTES // (8 * languages * items**2))
    if size >= languages:
        return np.stack([_interval(metric(states, pairings)) for metric in metrics.values()])
    blocks = []
    for start in range(0, languages, size):
        block = replace(states, rows=slice(start, min(start + size, languages)))
        blocks.append(np.stack([_interval(_of_rows(metric, block, pairings)) for metric in metrics.values()]))
    return np.concatenate(blocks, axis=2)


def _of_rows(metric: Metric, block: States, pairings: Pairings) -> Array:
    """Return a metric of the block's rows. A user's own metric may compute all languages at once."""
    scores = metric(block, pairings)
    is_whole = scores.shape[1] == len(block.body_mean)
    return scores[:, block.rows] if is_whole else scores


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

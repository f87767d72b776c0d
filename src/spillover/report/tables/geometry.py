"""Similarity between languages, layer by layer, as tables and as rows for other programs.

Pure: geometry in, tables and rows out.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spillover.languages import ENGLISH, get_language
from spillover.records import Array, Findings, Geometry
from spillover.report.tables.table import Table
from spillover.utils.formatting import minus, plural

PARTIAL = "-partial"
"""Ending of a metric's name if text length is partialled out."""

COLUMNS = ("arm", "task", "metric", "layer", "a", "b", "value", "null_low", "null_high")
"""Columns of `geometry.csv`, which has a row per ordered pair of different languages."""

DIGITS = 6
"""Decimals of the numbers in `geometry.csv`."""


def rows(findings: Findings) -> Iterator[tuple[object, ...]]:
    """Yield the rows of `geometry.csv`. The pairs (a, b) and (b, a) differ for retrieval only: it has a direction."""
    for geometry in findings.internals.geometry:
        for alignment in geometry.alignments:
            parts = np.stack([alignment.value, alignment.null_low, alignment.null_high], axis=-1)
            for arm, layer, a, b in np.ndindex(parts.shape[:-1]):
                if a != b:
                    numbers = (round(number, DIGITS) for number in parts[arm, layer, a, b].tolist())
                    pair = (geometry.languages[a], geometry.languages[b])
                    yield (geometry.arms[arm], geometry.task, alignment.metric, layer, *pair, *numbers)


def geometry(findings: Findings) -> list[Table]:
    """Return per task the mean of every metric over the pairs of languages: a row per layer and arm, one for chance."""
    return [table for geometry in findings.internals.geometry for table in (*_means(geometry), *_pearson(geometry))]


def _means(geometry: Geometry) -> Iterator[Table]:
    for partial, suffix in ((False, ""), (True, ", text length partialled out")):
        alignments = [a for a in geometry.alignments if a.metric.endswith(PARTIAL) == partial]
        if not alignments:
            continue
        lines = [
            (str(layer), arm, *(three_decimals(over_pairs(a.value)[place, layer]) for a in alignments))
            for layer in range(geometry.components.shape[1])
            for place, arm in enumerate(geometry.arms)
        ]
        top = ("highest", "by chance", *(three_decimals(over_pairs(a.null_high).max()) for a in alignments))
        caption = (
            f"{geometry.task}{suffix}: mean over the pairs of {len(geometry.languages)} languages, "
            f"{plural(geometry.items, 'item')}. By chance: the upper end of the interval under shuffled pairings, mean "
            "over pairs, highest of all layers. Every pair and interval is in geometry.csv."
        )
        header = ("layer", "model", *(a.metric.removesuffix(PARTIAL) for a in alignments))
        yield Table(caption, header, (*lines, top), keys=2)


def _pearson(geometry: Geometry) -> Iterator[Table]:
    """Yield the paper's table: the other languages beside English, or beside the first one where it is not traced."""
    hub = geometry.languages.index(ENGLISH) if ENGLISH in geometry.languages else 0
    others = [place for place in range(len(geometry.languages)) if place != hub]
    for alignment in geometry.alignments:
        if alignment.metric.removesuffix(PARTIAL) != "pearson":
            continue
        lines = [
            (str(layer), arm, *(three_decimals(alignment.value[place, layer, hub, other]) for other in others))
            for layer in range(geometry.components.shape[1])
            for place, arm in enumerate(geometry.arms)
        ]
        suffix = ", text length partialled out" if alignment.metric.endswith(PARTIAL) else ""
        caption = (
            f"{geometry.task}{suffix}: Pearson correlation of the first principal component with that of "
            f"{get_language(geometry.languages[hub]).name}, as in the paper's table."
        )
        header = ("layer", "model", *(geometry.languages[other] for other in others))
        yield Table(caption, header, tuple(lines), keys=2)


def over_pairs(values: NDArray[np.floating[Any]]) -> Array:
    """Return the mean over the pairs of different languages; values: (…, languages, languages)."""
    apart = ~np.eye(values.shape[-1], dtype=bool)
    result: Array = values[..., apart].mean(axis=-1)
    return result


def three_decimals(value: float) -> str:
    """Write a number with three decimals: `0.831`, `−0.020`."""
    return minus(f"{value:.3f}")

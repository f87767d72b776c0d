"""Tables of how alike the languages are, layer by layer, and the same for other programs.

Pure: geometry in, tables and rows out. Knows neither files nor how a metric is computed.
"""

from collections.abc import Iterator

import numpy as np

from spillover.languages import get_language
from spillover.records import Array, Findings, Geometry
from spillover.report.tables.table import Table
from spillover.utils.formatting import minus

PARTIAL = "-partial"
"""What follows a metric's name where text length is partialled out."""

HUB = "en"
"""The language that the paper's table compares the others with; the first one where it was not traced."""

COLUMNS = ("arm", "task", "metric", "layer", "a", "b", "value", "null_low", "null_high")
"""Of `geometry.csv`, which has a row for every ordered pair of different languages."""

DIGITS = 6


def rows(findings: Findings) -> Iterator[tuple[object, ...]]:
    """Yield the rows of `geometry.csv`; only of retrieval do (a, b) and (b, a) differ, it has two directions."""
    for found in findings.inside.geometry:
        for alignment in found.alignments:
            parts = np.stack([alignment.value, alignment.null_low, alignment.null_high], axis=-1)
            for arm, layer, a, b in np.ndindex(parts.shape[:-1]):
                if a != b:
                    numbers = (round(number, DIGITS) for number in parts[arm, layer, a, b].tolist())
                    pair = (found.languages[a], found.languages[b])
                    yield (found.arms[arm], found.task, alignment.metric, layer, *pair, *numbers)


def geometry(findings: Findings) -> list[Table]:
    """Return for each task the mean of every metric over the pairs of languages, a row a layer, arm and chance."""
    return [table for found in findings.inside.geometry for table in (*_means(found), *_pearson(found))]


def _means(found: Geometry) -> Iterator[Table]:
    for partial, words in ((False, ""), (True, ", text length partialled out")):
        shown = [a for a in found.alignments if a.metric.endswith(PARTIAL) == partial]
        if not shown:
            continue
        lines = [
            (str(layer), arm, *(three_decimals(over_pairs(a.value)[place, layer]) for a in shown))
            for layer in range(found.components.shape[1])
            for place, arm in enumerate(found.arms)
        ]
        top = ("highest", "by chance", *(three_decimals(over_pairs(a.null_high).max()) for a in shown))
        caption = (
            f"{found.task}{words}: mean over the pairs of {len(found.languages)} languages, {found.items} items. By "
            "chance: the upper end of the interval under shuffled pairings, mean over pairs, highest of all layers. "
            "Every pair and interval is in geometry.csv."
        )
        header = ("layer", "model", *(a.metric.removesuffix(PARTIAL) for a in shown))
        yield Table(caption, header, (*lines, top), keys=2)


def _pearson(found: Geometry) -> Iterator[Table]:
    hub = found.languages.index(HUB) if HUB in found.languages else 0
    others = [place for place in range(len(found.languages)) if place != hub]
    for shown in found.alignments:
        if shown.metric.removesuffix(PARTIAL) != "pearson":
            continue
        lines = [
            (str(layer), arm, *(three_decimals(shown.value[place, layer, hub, other]) for other in others))
            for layer in range(found.components.shape[1])
            for place, arm in enumerate(found.arms)
        ]
        words = ", text length partialled out" if shown.metric.endswith(PARTIAL) else ""
        caption = (
            f"{found.task}{words}: Pearson correlation of the first principal component with that of "
            f"{get_language(found.languages[hub]).name}, as in the paper's table."
        )
        yield Table(caption, ("layer", "model", *(found.languages[other] for other in others)), tuple(lines), keys=2)


def over_pairs(values: Array) -> Array:
    """Return the mean of (…, languages, languages) over the pairs of different languages."""
    apart = ~np.eye(values.shape[-1], dtype=bool)
    result: Array = values[..., apart].mean(axis=-1)
    return result


def three_decimals(value: float) -> str:
    """Write a number with three digits: `0.831`, `−0.020`."""
    return minus(f"{value:.3f}")

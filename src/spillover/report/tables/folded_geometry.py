"""The geometry of very many languages as tables: means by layer, each language at the middle layer.

Pure: geometry in, tables, rows and Parquet files out.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from spillover.languages import get_language
from spillover.records import Array, Findings, FoldedGeometry
from spillover.report.tables.geometry import PARTIAL, three_decimals
from spillover.report.tables.table import Table
from spillover.utils.formatting import MINUS, plural

FIRST = "cka"
"""The metric of the table of languages, if it was measured."""

MEANS_COLUMNS = ("arm", "task", "metric", "layer", "beside", "value", "null_low", "null_high")
"""Columns of `geometry-means.csv`, which has a row per group of languages to compare with."""


def over_languages(values: NDArray[np.floating[Any]]) -> Array:
    """Return the mean over languages that have a number; values: (…, languages); nan if none has one."""
    present = ~np.isnan(values)
    counts = present.sum(axis=-1)
    sums = np.where(present, values, 0).sum(axis=-1, dtype=np.float64)
    result: Array = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return result


def means(findings: Findings) -> list[Table]:
    """Return per task the mean of every metric over all pairs: a row per layer and arm, one for chance."""
    return [table for geometry in findings.internals.folded_geometry for table in _means(geometry)]


def _means(geometry: FoldedGeometry) -> Iterator[Table]:
    for controlled, suffix in ((False, ""), (True, ", text length partialled out")):
        alignments = [a for a in geometry.alignments if a.metric.endswith(PARTIAL) == controlled]
        if not alignments:
            continue
        values = [over_languages(a.value[:, :, 0]) for a in alignments]  # (arms, layers) each; the first group is all
        lines = [
            (str(layer), arm, *(three_decimals(of_metric[place, layer]) for of_metric in values))
            for layer in range(geometry.centers.shape[1])
            for place, arm in enumerate(geometry.arms)
        ]
        chance = [over_languages(a.null_high[:, :, 0]).max() for a in alignments]
        top = ("highest", "by chance", *map(three_decimals, chance))
        caption = (
            f"{geometry.task}{suffix}: mean over the pairs of {len(geometry.languages)} languages, "
            f"{plural(geometry.items, 'item')}. By chance: the upper end of the interval under shuffled pairings, mean "
            "over pairs, highest of all layers. Every language and layer is in geometry-languages.parquet."
        )
        header = ("layer", "model", *(a.metric.removesuffix(PARTIAL) for a in alignments))
        yield Table(caption, header, (*lines, top), keys=2)


def means_rows(findings: Findings) -> Iterator[tuple[object, ...]]:
    """Yield the rows of `geometry-means.csv`: the mean over languages of each metric beside each group."""
    for geometry in findings.internals.folded_geometry:
        for alignment in geometry.alignments:
            parts = np.stack(
                [over_languages(part) for part in (alignment.value, alignment.null_low, alignment.null_high)], axis=-1
            )
            for arm, layer, group in np.ndindex(parts.shape[:-1]):
                key = (geometry.arms[arm], geometry.task, alignment.metric, layer, geometry.groups[group])
                yield (*key, *parts[arm, layer, group].tolist())


def languages(findings: Findings) -> list[Table]:
    """Return per task a row per language: one metric at the middle layer beside each group, in every arm."""
    return [_languages(geometry) for geometry in findings.internals.folded_geometry]


def _languages(geometry: FoldedGeometry) -> Table:
    layer = geometry.centers.shape[1] // 2
    alignment = next((a for a in geometry.alignments if a.metric == FIRST), geometry.alignments[0])
    header = ("language", *(f"{group}, {arm}" for group in geometry.groups for arm in geometry.arms))
    # (languages, groups × arms)
    numbers = alignment.value[:, layer].transpose(2, 1, 0).reshape(len(geometry.languages), -1)
    names = [get_language(code).name for code in geometry.languages]
    rows = [
        (name, *(MINUS if np.isnan(number) else three_decimals(number) for number in row))
        for name, row in zip(names, numbers, strict=True)
    ]
    in_full = [(code, *row.tolist()) for code, row in zip(geometry.languages, numbers, strict=True)]
    return Table(
        f"{geometry.task}: {alignment.metric} at layer {layer}, mean over the language's pairs with all other "
        f"languages, the pivot, its own family, and the languages tuned on. {MINUS}: no such pair. Every layer and "
        "metric is in geometry-languages.parquet.",
        header,
        tuple(rows),
        in_full=(header, tuple(in_full)),
    )


def language_file(findings: Findings) -> bytes:
    """Return `geometry-languages.parquet`: a row per arm, task, metric, layer and language, with nulls."""
    return _parquet(findings.internals.folded_geometry, _language_table)


def _language_table(geometry: FoldedGeometry) -> pa.Table:
    tables = []
    for alignment in geometry.alignments:
        arms, layers, _, count = alignment.value.shape
        keys = {
            "arm": _dictionary(geometry.arms, np.repeat(np.arange(arms), layers * count)),
            "task": _constant(geometry.task, arms * layers * count),
            "metric": _constant(alignment.metric, arms * layers * count),
            "layer": pa.array(np.tile(np.repeat(np.arange(layers), count), arms).astype(np.int16)),
            "language": _dictionary(geometry.languages, np.tile(np.arange(count), arms * layers)),
        }
        numbers = {
            f"{group}{suffix}": pa.array(part[:, :, place].ravel())
            for place, group in enumerate(geometry.groups)
            for suffix, part in (
                ("", alignment.value),
                ("_null_low", alignment.null_low),
                ("_null_high", alignment.null_high),
            )
        }
        tables.append(pa.table(keys | numbers))
    return pa.concat_tables(tables).unify_dictionaries()


def pair_file(findings: Findings) -> bytes:
    """Return `geometry-pairs.parquet`: a row per arm, task, layer and ordered pair, a column per metric.

    A column that a task lacks is empty there.
    """
    geometries = findings.internals.folded_geometry
    metrics = list(dict.fromkeys(alignment.metric for geometry in geometries for alignment in geometry.alignments))
    return _parquet(geometries, partial(_pair_table, metrics))


def _pair_table(metrics: Sequence[str], geometry: FoldedGeometry) -> pa.Table:
    arms, layers, count = len(geometry.arms), len(geometry.pair_layers), len(geometry.languages)
    a, b = np.nonzero(~np.eye(count, dtype=bool))
    numbers = np.array(geometry.pair_layers, dtype=np.int16)
    keys = {
        "arm": _dictionary(geometry.arms, np.repeat(np.arange(arms), layers * len(a))),
        "task": _constant(geometry.task, arms * layers * len(a)),
        "layer": pa.array(np.tile(np.repeat(numbers, len(a)), arms)),
        "a": _dictionary(geometry.languages, np.tile(a, arms * layers)),
        "b": _dictionary(geometry.languages, np.tile(b, arms * layers)),
    }
    empty = pa.nulls(arms * layers * len(a), pa.float32())
    measured = zip(geometry.alignments, geometry.pairs, strict=True)
    values = {alignment.metric: pa.array(pairs[:, :, a, b].ravel()) for alignment, pairs in measured}
    return pa.table(keys | {metric: values.get(metric, empty) for metric in metrics})


def _dictionary(words: tuple[str, ...], places: NDArray[np.intp]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(places.astype(np.int16)), pa.array(words))


def _constant(word: str, count: int) -> pa.DictionaryArray:
    return _dictionary((word,), np.zeros(count, dtype=np.intp))


def _parquet(geometries: Sequence[FoldedGeometry], table_of: Callable[[FoldedGeometry], pa.Table]) -> bytes:
    """Write the tables of several tasks one after the other. One at a time is in memory."""
    out, schema = io.BytesIO(), table_of(geometries[0]).schema
    words = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    with pq.ParquetWriter(out, schema, use_dictionary=words) as writer:  # numbers seldom repeat: theirs would be slow
        for geometry in geometries:
            writer.write_table(table_of(geometry))
    return out.getvalue()

"""Charts of very many languages beside each other: each language beside groups of others, a few languages in pairs."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from spillover.languages import get_language
from spillover.records import Findings, FoldedGeometry
from spillover.report.figures.charts import HEAT, Datum
from spillover.report.figures.figure import Plot
from spillover.report.figures.folding import FOLDED_ABOVE, extremes, folding
from spillover.report.figures.geometry_charts import (
    LAYER,
    METRIC,
    SCALE,
    caption,
    component_plot,
    curves,
    pair_cells,
    short,
    thousandths,
)
from spillover.report.tables.folded_geometry import over_languages
from spillover.report.tables.gains import GROUPS
from spillover.report.tables.geometry import three_decimals

BESIDE = "beside"
"""Parameter of the charts: the group of languages that each language is compared with."""

BESIDE_NAMES = {
    "all": "all other languages",
    "pivot": "the pivot",
    "family": "its own family",
    "tuned": "the languages tuned on",
}
"""Name of a group → its words on the page."""


def folded_reading(folded: Sequence[FoldedGeometry]) -> str:
    """Return the sentences that say what is folded, and where the rest is; nothing if nothing is folded."""
    if not folded:
        return ""
    layers = ", ".join(map(str, folded[0].pair_layers))
    return (
        f" With {len(folded[0].languages)} languages there are too many pairs to show. One chart has the mean of each "
        "language beside the others that you choose, by layer. The chart of pairs shows the pivot, the languages tuned "
        f"on, and those with the largest and the smallest gains, at layers {layers}. All languages and layers are in "
        "tables/geometry-languages.parquet, with their intervals by chance. All pairs of these layers are in "
        "tables/geometry-pairs.parquet. All pairs of all layers are in the run folder, in geometry. In the components, "
        "a small mark is here the mean of a language, and some have their code."
    )


def folded_plots(geometry: FoldedGeometry, findings: Findings, first: str, layer: int, file: str) -> Iterator[Plot]:
    """Yield the charts of one task: means by layer, each language by layer, pairs of a few languages, components."""
    names = [alignment.metric for alignment in geometry.alignments]
    start = first if first in names else names[0]
    gains = {g.language: g.difference.value for g in findings.comparisons[0].gains if g.task == geometry.task}
    yield _by_layer(geometry, start, file)
    ends = extremes({code: gains.get(code, 0.0) for code in geometry.languages})
    for arm in range(len(geometry.arms)):
        yield _by_language(geometry, arm, start, ends, file)
    groups = {g.language: g.group for g in findings.comparisons[0].gains}
    shown = _few(geometry, ends, groups)
    for arm in range(1, len(geometry.arms)):
        name = file if len(geometry.arms) == 2 else f"{file}-{geometry.arms[arm]}"
        yield _pairs(geometry, arm, start, shown, layer, name)
    for arm in range(len(geometry.arms)):
        yield _centers(geometry, arm, groups, {geometry.languages[place] for place in shown}, layer, file)


def _few(geometry: FoldedGeometry, ends: Collection[str], groups: Mapping[str, str]) -> list[int]:
    """Return the places of the languages shown in pairs: the pivot, the extremes, languages tuned on; 40 at most."""
    ranks = {"pivot": 0, "tuned": 2}
    ranked = [
        (1 if get_language(code).name in ends else ranks.get(groups.get(code, ""), 3), place)
        for place, code in enumerate(geometry.languages)
    ]
    return sorted(place for rank, place in sorted(ranked)[:FOLDED_ABOVE] if rank < 3)


def _by_layer(geometry: FoldedGeometry, start: str, file: str) -> Plot:
    rows: list[Datum] = []
    for alignment in geometry.alignments:
        means = over_languages(alignment.value[:, :, 0])
        bounds = (alignment.null_low, alignment.null_high)
        low, high = (over_languages(part[:, :, 0]).mean(axis=0) for part in bounds)
        layers = list(range(means.shape[1]))
        for arm, values in zip(geometry.arms, means, strict=True):
            numbers = {"value": short(values), "low": short(low), "high": short(high)}
            rows.append({"metric": alignment.metric, "arm": arm, "layers": layers, **numbers})
    of_start = next(a for a in geometry.alignments if a.metric == start)
    highest = "; ".join(
        f"{arm} {three_decimals(values.max())} at layer {values.argmax()}"
        for arm, values in zip(geometry.arms, over_languages(of_start.value[:, :, 0]), strict=True)
    )
    alt_text = f"{geometry.task}: mean over language pairs of {start} by layer. Highest: {highest}."
    depth = geometry.centers.shape[1]
    return Plot(f"metrics-{file}", f"{geometry.task}: by layer", alt_text, curves(rows, start, depth), rows=rows)


def _by_language(geometry: FoldedGeometry, arm: int, start: str, ends: Collection[str], file: str) -> Plot:
    values = np.stack(
        [alignment.value[arm] for alignment in geometry.alignments]
    )  # (metrics, layers, groups, languages)
    rows: list[Datum] = []
    for place, code in enumerate(geometry.languages):
        name = get_language(code).name
        row: Datum = {"language": name, "values": _nested(values[..., place].swapaxes(1, 2))}
        rows.append(row | {"extreme": name in ends} if ends else row)
    name = geometry.arms[arm]
    means = over_languages(values[[a.metric for a in geometry.alignments].index(start), :, 0])
    alt_text = (
        f"{geometry.task}, {name}: {start} of {len(geometry.languages)} languages with all others by layer. The mean "
        f"is highest at layer {means.argmax()}, {three_decimals(means.max())}."
    )
    params: Datum = {
        METRIC: start,
        BESIDE: BESIDE_NAMES[geometry.groups[0]],
        "names": [alignment.metric for alignment in geometry.alignments],
        "groups": [BESIDE_NAMES[group] for group in geometry.groups],
        "ends": [_ends(alignment.value) for alignment in geometry.alignments],
    }
    chart = _layer_cells(rows, geometry.centers.shape[1], params)
    return Plot(
        f"languages-{name}-{file}",
        f"{geometry.task}: each language, {name}",
        alt_text,
        chart,
        width=520,
        languages=len(geometry.languages) if ends else 0,
        rows=rows,
    )


def _layer_cells(rows: Sequence[Datum], depth: int, params: Datum) -> alt.LayerChart:
    """Draw a row per language and a column per layer; rows: language, values (metric, group, layer), extreme."""
    place, group = f"indexof(names, {METRIC})", f"indexof(groups, {BESIDE})"
    base = (
        folding(rows)
        .transform_calculate(layer=f"sequence({depth})", value=f"{place} < 0 ? [] : datum.values[{place}][{group}]")
        .transform_flatten(["layer", "value"])
        .transform_filter("isValid(datum.value)")
        .transform_calculate(shown=f"datum.value / {SCALE}")
    )
    edges = [alt.expr(f"{place} < 0 ? {side} : ends[{place}][{side}]") for side in (0, 1)]
    scale = alt.Scale(domainMin=edges[0], domainMax=edges[1], range=list(HEAT), clamp=True)
    legend = alt.Legend(title=None, orient="bottom", gradientLength=160, tickCount=5)
    plain = {"ticks": False, "domain": False}
    cells = base.mark_rect().encode(
        x=alt.X("layer:O", title="layer").axis(labelAngle=0, labelOverlap=True, **plain),
        y=alt.Y("language:N", sort=[row["language"] for row in rows], title=None).axis(labelLimit=130, **plain),
        color=alt.Color("shown:Q", legend=legend, scale=scale),
        tooltip=[
            alt.Tooltip("language:N"),
            alt.Tooltip("layer:O"),
            alt.Tooltip("shown:Q", title="value", format=".3f"),
        ],
    )
    parameters = [alt.param(name=name, value=value) for name, value in params.items()]
    title = caption(f"{METRIC} + ', beside ' + {BESIDE}", above=True)
    return alt.layer(cells, title).properties(height=18 * len(rows)).add_params(*parameters)


def _pairs(geometry: FoldedGeometry, arm: int, start: str, shown: Sequence[int], layer: int, file: str) -> Plot:
    values = geometry.pairs[..., shown, :][..., shown]
    symmetric = (values + values.swapaxes(-1, -2)) / 2  # retrieval has two directions: their mean
    codes = [geometry.languages[place] for place in shown]
    names = [get_language(code).name for code in codes]
    rows: list[Datum] = [
        {
            "row": codes[a],
            "column": codes[b],
            "pair": f"{names[a]}, {names[b]}",
            "arm": geometry.arms[0 if a > b else arm],
            "values": thousandths(symmetric[:, 0 if a > b else arm, :, a, b]),
        }
        for a in range(len(codes))
        for b in range(len(codes))
        if a != b
    ]
    depth = geometry.centers.shape[1]
    nearest = [int(np.abs(np.array(geometry.pair_layers) - place).argmin()) for place in range(depth)]
    params: Datum = {
        METRIC: start,
        LAYER: layer,
        "names": [alignment.metric for alignment in geometry.alignments],
        "ends": [_ends(of_metric) for of_metric in values],
        "nearest": nearest,
        "held": list(geometry.pair_layers),
    }
    alt_text = (
        f"{geometry.task}: heatmap of {start} between {len(codes)} of {len(geometry.languages)} languages at layer "
        f"{geometry.pair_layers[nearest[layer]]}."
    )
    chart = pair_cells(codes, params, f"nearest[{LAYER}]", f"held[nearest[{LAYER}]]")
    title = f"{geometry.task}: {geometry.arms[0]} below the diagonal, {geometry.arms[arm]} above"
    return Plot(f"pairs-{file}", title, alt_text, chart, rows=rows)


def _centers(
    geometry: FoldedGeometry, arm: int, groups: Mapping[str, str], named: Collection[str], layer: int, file: str
) -> Plot:
    scale = np.abs(geometry.centers).max(axis=(0, 2, 3), keepdims=True)
    places = geometry.centers[arm] / np.where(scale[0] > 0, scale[0], 1)  # (layers, languages, 2)
    rows: list[Datum] = []
    for place, code in enumerate(geometry.languages):
        mark = {"x": thousandths(places[:, place, 0]), "y": thousandths(places[:, place, 1])}
        names = {"language": get_language(code).name, "group": GROUPS[groups[code]]}
        rows += [{**names, "label": label, **mark} for label in ("", code) if not label or code in named]
    return component_plot(geometry, arm, layer, rows, file)


def _nested(values: NDArray[np.floating[Any]]) -> list[list[object]]:
    """Return (metrics, groups, layers) as thousandths; None for a group without a number.

    Equal numbers are one object. A million objects, as 200 languages have, would take 30 MB.
    """
    numbers, places = np.unique(np.rint(SCALE * np.nan_to_num(values)).astype(int), return_inverse=True)
    whole: list[list[object]] = numbers.astype(object)[places.reshape(values.shape)].tolist()
    for metric, group in np.argwhere(np.isnan(values).any(axis=2)).tolist():
        whole[metric][group] = None
    return whole


def _ends(values: NDArray[np.floating[Any]]) -> list[float]:
    """Return the ends of a metric's scale, whole tenths around its numbers."""
    return [float(np.floor(10 * np.nanmin(values)) / 10), float(np.ceil(10 * np.nanmax(values)) / 10)]

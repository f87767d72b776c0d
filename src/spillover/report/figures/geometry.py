"""Charts of the languages beside each other: metrics by layer, language × language, and principal components.

A row of a chart's data holds the numbers of all layers and metrics, in thousandths. The reader's choice of layer and
metric selects among them. So twenty languages take a few hundred kilobytes.
"""

import json
from collections.abc import Iterator, Sequence

import altair as alt
import numpy as np

from spillover.languages import get_language
from spillover.records import Array, Findings, Geometry
from spillover.report.figures.charts import BLUE, GRAY, HEAT, ORANGE, Datum, arms_of, dashes
from spillover.report.figures.figure import Control, Figure, Plot, slugs
from spillover.report.tables.gains import GROUPS
from spillover.report.tables.geometry import over_pairs, three_decimals

LAYER, METRIC = "layer", "metric"
"""Parameters of the charts."""

FIRST = "cka"
"""The metric that is shown first, if it was measured."""

POINTS = 20
"""Most items drawn per language."""

SCALE = 1000
"""Numbers in a chart's data are whole multiples of 1 / SCALE."""


def geometry(findings: Findings) -> Figure:
    """Show per task each metric by layer and between every two languages, and the first two components."""
    title = "Languages side by side"
    geometries = findings.internals.geometry
    if not geometries:
        return Figure(title, "", ())
    metrics = tuple(dict.fromkeys(a.metric for task in geometries for a in task.alignments))
    first = FIRST if FIRST in metrics else metrics[0]
    depth = geometries[0].components.shape[1]
    layer = depth // 2
    plots = []
    for task, file in zip(geometries, slugs([task.task for task in geometries]), strict=True):
        plots += [_by_layer(task, first, file), *_heatmaps(task, first, layer, file)]
        plots += [_components(task, findings, arm, layer, file) for arm in range(len(task.arms))]
    steps = tuple(f"{place} of {depth - 1} (depth {place / max(1, depth - 1):.2f})" for place in range(depth))
    return Figure(
        title,
        "How similarly the model represents the same item in two languages. The gray band is the metric when items are "
        "paired at random: a value inside it means nothing. A metric that ends in -partial has text length partialled "
        "out. In the components, a small mark is an item and a code is the mean of a language. All arms share "
        "their axes.",
        tuple(plots),
        controls=(
            Control(METRIC, "Metric", metrics, metrics.index(first)),
            Control(LAYER, "Layer", steps, layer, slider=True),
        ),
    )


def _by_layer(geometry: Geometry, first: str, file: str) -> Plot:
    rows: list[Datum] = []
    for alignment in geometry.alignments:
        means = over_pairs(alignment.value)
        low, high = (over_pairs(part).mean(axis=0) for part in (alignment.null_low, alignment.null_high))
        layers = list(range(means.shape[1]))
        for arm, values in zip(geometry.arms, means, strict=True):
            numbers = {"value": _short(values), "low": _short(low), "high": _short(high)}
            rows.append({"metric": alignment.metric, "arm": arm, "layers": layers, **numbers})
    depth = len(rows[0]["layers"])
    start = next(a for a in geometry.alignments if a.metric == _start_metric(geometry, first))
    ends = "; ".join(
        f"{arm} {three_decimals(values.max())} at layer {values.argmax()}"
        for arm, values in zip(geometry.arms, over_pairs(start.value), strict=True)
    )
    alt_text = f"{geometry.task}: mean over language pairs of {start.metric} by layer. Highest: {ends}."
    return Plot(f"metrics-{file}", f"{geometry.task}: by layer", alt_text, _curves(rows, first, depth))


def _curves(rows: Sequence[Datum], first: str, depth: int) -> alt.LayerChart:
    base = (
        alt.Chart(alt.InlineData(values=list(rows)))
        .transform_filter(f"datum.metric === {METRIC}")
        .transform_flatten(["layers", "value", "low", "high"], as_=["layer", "value", "low", "high"])
        .transform_calculate(depth=f"datum.layer / {max(1, depth - 1)}")
    )
    x = alt.X("layer:Q", title="layer").scale(domain=[0, depth - 1], nice=False).axis(grid=False, tickMinStep=1)
    title = "mean over language pairs"
    y = alt.Y("value:Q", title=title).scale(zero=False, nice=True).axis(tickCount=5)
    dash = alt.StrokeDash(
        "arm:N", legend=alt.Legend(title=None, orient="top", symbolType="stroke", symbolStrokeColor=GRAY)
    )
    tooltip = [
        alt.Tooltip("arm:N", title="model"),
        alt.Tooltip("layer:Q"),
        alt.Tooltip("depth:Q", title="relative depth", format=".2f"),
        alt.Tooltip("value:Q", format=".3f"),
        alt.Tooltip("low:Q", title="by chance, from", format=".3f"),
        alt.Tooltip("high:Q", title="by chance, to", format=".3f"),
    ]
    band = base.transform_filter(f"datum.arm === {json.dumps(arms_of(rows)[-1])}").mark_area(color=GRAY, opacity=0.3)
    band = band.encode(x=x, y=alt.Y("low:Q", title=title), y2="high:Q")
    lines = base.mark_line(strokeWidth=2, color=BLUE)
    lines = lines.encode(x=x, y=y, strokeDash=dash.scale(**dashes(arms_of(rows))), tooltip=tooltip)
    return (
        alt.layer(band, lines, _caption(METRIC)).properties(height=240).add_params(alt.param(name=METRIC, value=first))
    )


def _heatmaps(geometry: Geometry, first: str, layer: int, file: str) -> Iterator[Plot]:
    """Yield a heatmap per arm but the first, which is below the diagonal of each."""
    for place, arm in enumerate(geometry.arms[1:], start=1):
        name = file if len(geometry.arms) == 2 else f"{file}-{arm}"
        yield _heatmap(geometry, place, first, layer, name)


def _heatmap(geometry: Geometry, arm: int, first: str, layer: int, file: str) -> Plot:
    languages = len(geometry.languages)
    below = np.tril(np.ones((languages, languages), dtype=bool), -1)
    apart = ~np.eye(languages, dtype=bool)
    values = np.stack(
        [alignment.value for alignment in geometry.alignments]
    )  # (metrics, arms, layers, languages, languages)
    symmetric = (values + values.swapaxes(-1, -2)) / 2  # retrieval has two directions: their mean
    merged = np.where(below, symmetric[:, 0], symmetric[:, arm])[..., apart]
    rows = [
        {
            "row": geometry.languages[a],
            "column": geometry.languages[b],
            "pair": f"{get_language(geometry.languages[a]).name}, {get_language(geometry.languages[b]).name}",
            "arm": geometry.arms[0] if a > b else geometry.arms[arm],
            "values": _thousandths(merged[..., place]),
        }
        for place, (a, b) in enumerate(np.argwhere(apart).tolist())
    ]
    start = next(a for a in geometry.alignments if a.metric == _start_metric(geometry, first))
    names = [a.metric for a in geometry.alignments]
    ends = [[float(np.floor(10 * part.min()) / 10), float(np.ceil(10 * part.max()) / 10)] for part in merged]
    means = over_pairs(start.value)[:, layer]
    by_arm = "; ".join(f"{name} {three_decimals(mean)}" for name, mean in zip(geometry.arms, means, strict=True))
    alt_text = (
        f"{geometry.task}: heatmap of {start.metric} between {languages} languages at layer {layer}, "
        f"mean over pairs {by_arm}."
    )
    params = {METRIC: first, LAYER: layer, "names": names, "ends": ends}
    chart = _pairs(rows, geometry.languages, params)
    title = f"{geometry.task}: {geometry.arms[0]} below the diagonal, {geometry.arms[arm]} above"
    return Plot(f"pairs-{file}", title, alt_text, chart)


def _pairs(rows: Sequence[Datum], codes: Sequence[str], params: Datum) -> alt.LayerChart:
    place = f"indexof(names, {METRIC})"
    base = alt.Chart(alt.InlineData(values=list(rows))).transform_calculate(
        value=f"{place} < 0 ? null : datum.values[{place}][{LAYER}] / {SCALE}"
    )
    axis = alt.Axis(ticks=False, domain=False, labelAngle=0, labelOverlap=True)
    edges = [alt.expr(f"{place} < 0 ? {side} : ends[{place}][{side}]") for side in (0, 1)]
    scale = alt.Scale(domainMin=edges[0], domainMax=edges[1], range=list(HEAT), clamp=True)
    legend = alt.Legend(title=None, orient="bottom", gradientLength=160, tickCount=5)
    cells = base.mark_rect().encode(
        x=alt.X("column:N", sort=list(codes), title=None, axis=axis).scale(paddingInner=0.06),
        y=alt.Y("row:N", sort=list(codes), title=None, axis=axis).scale(paddingInner=0.06),
        color=alt.Color("value:Q", legend=legend, scale=scale),
        tooltip=[
            alt.Tooltip("pair:N", title="languages"),
            alt.Tooltip("arm:N", title="model"),
            alt.Tooltip("value:Q", format=".3f"),
        ],
    )
    parameters = [alt.param(name=name, value=value) for name, value in params.items()]
    title = _caption(f"{METRIC} + ', layer ' + {LAYER}", above=True)
    return alt.layer(cells, title).properties(height=18 * len(codes)).add_params(*parameters)


def _components(geometry: Geometry, findings: Findings, arm: int, layer: int, file: str) -> Plot:
    scale = np.abs(geometry.components).max(axis=(0, 2, 3), keepdims=True)
    places = geometry.components[arm] / np.where(scale[0] > 0, scale[0], 1)  # (layers, languages, items, 2)
    groups = {gain.language: gain.group for gain in findings.comparisons[0].gains}
    rows: list[Datum] = []
    for place, code in enumerate(geometry.languages):
        names = {"language": get_language(code).name, "group": GROUPS[groups[code]]}
        items = places[:, place, :POINTS]
        marks = [("", items[:, item]) for item in range(items.shape[1])]
        marks.append((code, places[:, place].mean(axis=1)))
        for label, mark in marks:
            rows.append({**names, "label": label, "x": _thousandths(mark[:, 0]), "y": _thousandths(mark[:, 1])})
    name = geometry.arms[arm]
    alt_text = (
        f"{geometry.task}: first two principal components of {len(geometry.languages)} languages in {name}, "
        f"layer {layer}."
    )
    return Plot(f"components-{name}-{file}", f"{geometry.task}: components, {name}", alt_text, _scatter(rows, layer))


def _scatter(rows: Sequence[Datum], layer: int) -> alt.LayerChart:
    base = alt.Chart(alt.InlineData(values=list(rows))).transform_calculate(
        across=f"datum.x[{LAYER}] / {SCALE}", up=f"datum.y[{LAYER}] / {SCALE}"
    )
    axis = alt.Axis(labels=False, ticks=False, grid=False)
    x, y = (
        channel(f"{field}:Q", title=title, axis=axis).scale(domain=[-1.05, 1.05], nice=False)
        for channel, field, title in ((alt.X, "across", "first component"), (alt.Y, "up", "second component"))
    )
    legend = alt.Legend(title=None, orient="top", symbolSize=60)
    domain = list(GROUPS.values())
    points = (
        base.transform_filter("datum.label === ''")
        .mark_point(filled=True, opacity=0.45, size=22)
        .encode(
            x=x,
            y=y,
            color=alt.Color("group:N", legend=legend).scale(domain=domain, range=[BLUE, ORANGE, GRAY]),
            shape=alt.Shape("group:N", legend=legend).scale(domain=domain, range=["circle", "diamond", "square"]),
            tooltip=[alt.Tooltip("language:N"), alt.Tooltip("group:N")],
        )
    )
    names = base.transform_filter("datum.label !== ''").mark_text(fontWeight="bold", fontSize=12)
    names = names.encode(x=x, y=y, text="label:N", tooltip=[alt.Tooltip("language:N")])
    return (
        alt.layer(points, names, _caption(f"'layer ' + {LAYER}"))
        .properties(height=300)
        .add_params(alt.param(name=LAYER, value=layer))
    )


def _caption(expression: str, above: bool = False) -> alt.Chart:
    """Write the reader's choice into the chart's top right corner, so that pictures show it too."""
    mark = {"align": "right", "baseline": "bottom" if above else "top", "dy": -5 if above else 5, "dx": -2}
    chart = alt.Chart(alt.InlineData(values=[{}])).transform_calculate(choice=expression).mark_text(fontSize=12, **mark)
    return chart.encode(x=alt.value(alt.expr("width")), y=alt.value(0), text="choice:N")


def _start_metric(geometry: Geometry, first: str) -> str:
    """Return the metric `first`, or another one if this task lacks it."""
    return first if first in [a.metric for a in geometry.alignments] else geometry.alignments[0].metric


def _thousandths(values: Array) -> object:
    """Return numbers as whole thousandths, the shortest form of three decimals."""
    return np.rint(SCALE * values).astype(int).tolist()


def _short(values: Array) -> list[float]:
    return [round(value, 3) for value in values.tolist()]

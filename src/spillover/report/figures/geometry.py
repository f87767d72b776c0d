"""Charts of the languages beside each other: metrics by layer, language × language, and principal components.

A row of a chart's data holds the numbers of all layers and metrics, in thousandths, and the reader's choice of layer
and metric looks them up: twenty languages take a few hundred kilobytes. Knows findings, but no page.
"""

from collections.abc import Sequence

import altair as alt
import numpy as np

from spillover.languages import get_language
from spillover.records import Array, Findings, Geometry
from spillover.report.figures.charts import BLUE, GRAY, HEAT, ORANGE, Datum
from spillover.report.figures.figure import Control, Figure, Plot, slugs
from spillover.report.tables.geometry import over_pairs, three_decimals
from spillover.report.tables.run import GROUPS

LAYER, METRIC = "layer", "metric"
"""Names of the charts' parameters."""

FIRST = "cka"
"""The metric shown first, if it was measured."""

POINTS = 20
"""Items drawn of each language."""

SCALE = 1000


def geometry(findings: Findings) -> Figure:
    """Show for every task each metric by layer, between every two languages, and the two components."""
    title = "Languages side by side"
    if not findings.inside.geometry:
        return Figure(title, "", ())
    metrics = tuple(dict.fromkeys(a.metric for found in findings.inside.geometry for a in found.alignments))
    first = FIRST if FIRST in metrics else metrics[0]
    depth = findings.inside.geometry[0].components.shape[1]
    layer = depth // 2
    plots = []
    for found, file in zip(
        findings.inside.geometry, slugs([found.task for found in findings.inside.geometry]), strict=True
    ):
        plots += [_by_layer(found, first, file), _heatmap(found, first, layer, file)]
        plots += [_components(found, findings, arm, layer, file) for arm in range(len(found.arms))]
    steps = tuple(f"{place} of {depth - 1} (depth {place / max(1, depth - 1):.2f})" for place in range(depth))
    return Figure(
        title,
        "How alike the model represents the same item in two languages. A metric means something where it leaves the "
        "gray band: what it is when items are paired at random. The metrics that end in -partial are the same after "
        "text length is partialled out. Components: every small mark is an item, every code the mean of a language, "
        "and base and tuned share their axes.",
        tuple(plots),
        controls=(
            Control(METRIC, "Metric", metrics, metrics.index(first)),
            Control(LAYER, "Layer", steps, layer, slider=True),
        ),
    )


def _by_layer(found: Geometry, first: str, file: str) -> Plot:
    rows: list[Datum] = []
    for shown in found.alignments:
        means = over_pairs(shown.value)
        low, high = (over_pairs(part).mean(axis=0) for part in (shown.null_low, shown.null_high))
        layers = list(range(means.shape[1]))
        for arm, own in zip(found.arms, means, strict=True):
            numbers = {"value": _short(own), "low": _short(low), "high": _short(high)}
            rows.append({"metric": shown.metric, "arm": arm, "layers": layers, **numbers})
    depth = len(rows[0]["layers"])
    start = next(a for a in found.alignments if a.metric == _shown(found, first))
    ends = "; ".join(
        f"{arm} {three_decimals(own.max())} at layer {own.argmax()}"
        for arm, own in zip(found.arms, over_pairs(start.value), strict=True)
    )
    words = f"{found.task}: mean over language pairs of {start.metric} by layer. Highest: {ends}."
    return Plot(f"metrics-{file}", f"{found.task}: by layer", words, _curves(rows, first, depth))


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
    told = [
        alt.Tooltip("arm:N", title="model"),
        alt.Tooltip("layer:Q"),
        alt.Tooltip("depth:Q", title="relative depth", format=".2f"),
        alt.Tooltip("value:Q", format=".3f"),
        alt.Tooltip("low:Q", title="by chance, from", format=".3f"),
        alt.Tooltip("high:Q", title="by chance, to", format=".3f"),
    ]
    band = base.transform_filter("datum.arm === 'tuned'").mark_area(color=GRAY, opacity=0.3)
    band = band.encode(x=x, y=alt.Y("low:Q", title=title), y2="high:Q")
    lines = base.mark_line(strokeWidth=2, color=BLUE)
    lines = lines.encode(
        x=x, y=y, strokeDash=dash.scale(domain=["base", "tuned"], range=[[4, 3], [1, 0]]), tooltip=told
    )
    return (
        alt.layer(band, lines, _caption(METRIC)).properties(height=240).add_params(alt.param(name=METRIC, value=first))
    )


def _heatmap(found: Geometry, first: str, layer: int, file: str) -> Plot:
    languages = len(found.languages)
    below = np.tril(np.ones((languages, languages), dtype=bool), -1)
    apart = ~np.eye(languages, dtype=bool)
    values = np.stack([shown.value for shown in found.alignments])  # (metrics, arms, layers, languages, languages)
    both = (values + values.swapaxes(-1, -2)) / 2  # of retrieval's two directions, the mean
    merged = np.where(below, both[:, 0], both[:, -1])[..., apart]
    rows = [
        {
            "row": found.languages[a],
            "column": found.languages[b],
            "pair": f"{get_language(found.languages[a]).name}, {get_language(found.languages[b]).name}",
            "arm": found.arms[0] if a > b else found.arms[-1],
            "values": _thousandths(merged[..., place]),
        }
        for place, (a, b) in enumerate(np.argwhere(apart).tolist())
    ]
    start = next(a for a in found.alignments if a.metric == _shown(found, first))
    names = [a.metric for a in found.alignments]
    ends = [[float(np.floor(10 * own.min()) / 10), float(np.ceil(10 * own.max()) / 10)] for own in merged]
    means = over_pairs(start.value)[:, layer]
    words = (
        f"{found.task}: heatmap of {start.metric} between {languages} languages at layer {layer}, mean over pairs "
        + ("; ".join(f"{arm} {three_decimals(mean)}" for arm, mean in zip(found.arms, means, strict=True)) + ".")
    )
    params = {METRIC: first, LAYER: layer, "names": names, "ends": ends}
    chart = _pairs(rows, found.languages, params)
    return Plot(f"pairs-{file}", f"{found.task}: base below the diagonal, tuned above", words, chart)


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
    known = [alt.param(name=name, value=value) for name, value in params.items()]
    title = _caption(f"{METRIC} + ', layer ' + {LAYER}", above=True)
    return alt.layer(cells, title).properties(height=18 * len(codes)).add_params(*known)


def _components(found: Geometry, findings: Findings, arm: int, layer: int, file: str) -> Plot:
    scale = np.abs(found.components).max(axis=(0, 2, 3), keepdims=True)
    places = found.components[arm] / np.where(scale[0] > 0, scale[0], 1)  # (layers, languages, items, 2)
    groups = {gain.language: gain.group for gain in findings.comparison.gains}
    rows: list[Datum] = []
    for place, code in enumerate(found.languages):
        named = {"language": get_language(code).name, "group": GROUPS[groups[code]]}
        own = places[:, place, :POINTS]
        marks = [("", own[:, item]) for item in range(own.shape[1])]
        marks.append((code, places[:, place].mean(axis=1)))
        for label, mark in marks:
            rows.append({**named, "label": label, "x": _thousandths(mark[:, 0]), "y": _thousandths(mark[:, 1])})
    name = found.arms[arm]
    words = (
        f"{found.task}: first two principal components of {len(found.languages)} languages in {name}, layer {layer}."
    )
    return Plot(f"components-{name}-{file}", f"{found.task}: components, {name}", words, _scatter(rows, layer))


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
    """Write what is shown in the chart's top right corner, where a picture too tells it."""
    mark = {"align": "right", "baseline": "bottom" if above else "top", "dy": -5 if above else 5, "dx": -2}
    chart = alt.Chart(alt.InlineData(values=[{}])).transform_calculate(shown=expression).mark_text(fontSize=12, **mark)
    return chart.encode(x=alt.value(alt.expr("width")), y=alt.value(0), text="shown:N")


def _shown(found: Geometry, first: str) -> str:
    """Return the metric shown first, or another where this task lacks it."""
    return first if first in [a.metric for a in found.alignments] else found.alignments[0].metric


def _thousandths(values: Array) -> object:
    """Return numbers as whole thousandths, the shortest way to write three digits."""
    return np.rint(SCALE * values).astype(int).tolist()


def _short(values: Array) -> list[float]:
    return [round(value, 3) for value in values.tolist()]

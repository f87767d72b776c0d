"""Charts of the geometry of languages: rows in, charts out.

A row of a chart's data holds the numbers of all layers and metrics, in thousandths. The reader's choice of layer and
metric selects among them. So twenty languages take a few hundred kilobytes.
"""

import json
from collections.abc import Sequence

import altair as alt
import numpy as np

from spillover.records import Array, FoldedGeometry, Geometry
from spillover.report.figures.charts import BLUE, GRAY, HEAT, ORANGE, Datum, arms_of, dashes
from spillover.report.figures.figure import Plot
from spillover.report.figures.folding import ROWS
from spillover.report.tables.gains import GROUPS

LAYER, METRIC = "layer", "metric"
"""Parameters of the charts."""

SCALE = 1000
"""Numbers in a chart's data are whole multiples of 1 / SCALE."""


def curves(rows: Sequence[Datum], first: str, depth: int) -> alt.LayerChart:
    """Draw metrics by layer with their null interval, a dash per arm; `first` is the metric that is shown first.

    rows: metric, arm, and layers, value, low, high: lists with a number per layer.
    """
    base = (
        alt.Chart(alt.NamedData(ROWS))
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
        alt.layer(band, lines, caption(METRIC)).properties(height=240).add_params(alt.param(name=METRIC, value=first))
    )


def pair_cells(codes: Sequence[str], params: Datum, layer: str = LAYER, shown: str = LAYER) -> alt.LayerChart:
    """Draw a metric between every two languages as colored cells.

    Its rows: row, column (codes), pair (their names), arm, and values: a list per metric with a number per layer, in
    thousandths. params: parameters of the chart, with `names` of the metrics and `ends` of their scales. layer,
    shown: the expressions for the place of the layer in these lists, and for its number.
    """
    place = f"indexof(names, {METRIC})"
    base = alt.Chart(alt.NamedData(ROWS)).transform_calculate(
        value=f"{place} < 0 ? null : datum.values[{place}][{layer}] / {SCALE}"
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
    title = caption(f"{METRIC} + ', layer ' + {shown}", above=True)
    return alt.layer(cells, title).properties(height=18 * len(codes)).add_params(*parameters)


def component_plot(geometry: Geometry | FoldedGeometry, arm: int, layer: int, rows: list[Datum], file: str) -> Plot:
    """Return the plot of an arm's principal components: points and, where there is a label, its text.

    layer: the layer that is shown first. rows: language, group, label, and x, y: lists with a number per layer, in
    thousandths of the largest. file: the task's part of the plot's file name.
    """
    name = geometry.arms[arm]
    alt_text = (
        f"{geometry.task}: first two principal components of {len(geometry.languages)} languages in {name}, "
        f"layer {layer}."
    )
    title = f"{geometry.task}: components, {name}"
    return Plot(f"components-{name}-{file}", title, alt_text, _scatter(layer), rows=rows)


def _scatter(layer: int) -> alt.LayerChart:
    base = alt.Chart(alt.NamedData(ROWS)).transform_calculate(
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
        alt.layer(points, names, caption(f"'layer ' + {LAYER}"))
        .properties(height=300)
        .add_params(alt.param(name=LAYER, value=layer))
    )


def caption(expression: str, above: bool = False) -> alt.Chart:
    """Write the reader's choice into the chart's top right corner, so that pictures show it too."""
    mark = {"align": "right", "baseline": "bottom" if above else "top", "dy": -5 if above else 5, "dx": -2}
    chart = alt.Chart(alt.InlineData(values=[{}])).transform_calculate(choice=expression).mark_text(fontSize=12, **mark)
    return chart.encode(x=alt.value(alt.expr("width")), y=alt.value(0), text="choice:N")


def thousandths(values: Array) -> object:
    """Return numbers as whole thousandths, the shortest form of three decimals."""
    return np.rint(SCALE * values).astype(int).tolist()


def short(values: Array) -> list[float]:
    """Return numbers with three decimals."""
    return [round(value, 3) for value in values.tolist()]

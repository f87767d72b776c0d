"""Rows to Vega-Lite charts (altair), one function per kind of chart. A caller sets the width.

The colors differ for readers with any color vision. Their contrast is at least 3 to 1 on white and on the page's dark
ground. No chart carries meaning by color alone.
"""

import json
from collections.abc import Sequence
from typing import Any

import altair as alt

from spillover.report.figures.folding import ROWS, folding

Datum = dict[str, Any]
"""One row of a chart's data."""

BLUE, ORANGE, GRAY, GREEN, PURPLE = "#2f7ec2", "#d1660f", "#7d8590", "#159a78", "#8f6bb8"
HEAT = ("#eef4fa", "#c3d9ee", "#8fb9de", "#4f8cc4", "#1c5590")
"""Colors from chance to 1. They are the same in light and dark mode, since a cell is its own ground."""
DARK_FROM = 0.84
"""Share of the way from chance to 1 above which a cell's number is white instead of black."""

DASHES = ((4, 3), (1, 0), (1, 2), (8, 3), (8, 3, 1, 3))
"""Dashes of the lines of the arms: the reference, then the others; repeated if there are more arms."""

LANGUAGE = "language"
"""Parameter of the charts that show one language at a time."""


def forest(
    rows: Sequence[Datum], groups: Sequence[str], domain: tuple[float, float], first: str, margin: float
) -> alt.LayerChart:
    """Draw differences with their intervals in the order of `rows`, with a zero line and a band of ± `margin`.

    rows: language, group, value, low, high (points), text (for the tooltip), and extreme where the chart folds
    (`folding`). The row of the language `first` is bold.
    """
    weight = alt.condition(f"datum.value === '{first}'", alt.value("bold"), alt.value("normal"))
    axis = alt.Axis(ticks=False, domain=False, labelLimit=130, labelFontWeight=weight)
    y = alt.Y("language:N", sort=[row["language"] for row in rows], title=None, axis=axis)
    title = "gain in points"
    x = alt.X("value:Q", title=title).scale(domain=domain, nice=True).axis(tickCount=6)
    legend = alt.Legend(title=None, orient="top", symbolSize=70)
    color = alt.Color("group:N", legend=legend).scale(domain=groups, range=[BLUE, ORANGE, GRAY])
    shape = alt.Shape("group:N", legend=legend).scale(domain=groups, range=["circle", "diamond", "square"])
    size = alt.condition(f"datum.language === '{first}'", alt.value(100), alt.value(60))
    tooltip = [
        alt.Tooltip("language:N"),
        alt.Tooltip("group:N"),
        alt.Tooltip("text:N", title="gain [95% interval]"),
    ]
    base = folding(rows).encode(y=y, color=color, tooltip=tooltip)
    zero = alt.Chart(_data([{"zero": 0}])).mark_rule(color=GRAY, strokeWidth=1).encode(x=alt.X("zero:Q", title=title))
    band = alt.Chart(_data([{"from": -margin, "to": margin}])).mark_rect(color=GRAY, opacity=0.15)
    band = band.encode(x=alt.X("from:Q", title=title), x2="to:Q")
    lines = base.mark_rule(strokeWidth=1.8).encode(x=alt.X("low:Q", title=title), x2="high:Q")
    dots = base.mark_point(filled=True, opacity=1).encode(x=x, shape=shape, size=size)
    return alt.layer(band, zero, lines, dots).properties(height=20 * len(rows))


def heatmap(rows: Sequence[Datum], chance: float) -> alt.LayerChart:
    """Draw shares as colored cells with their numbers: a row per language, a column per task and arm.

    rows: language, task, arm, column (`base 0`, `tuned 0`, `base 1`, …: the arm and the task's place), value in
    [0, 1], percent (the value as text), and extreme where the chart folds (`folding`). A task's name stands above its
    first two columns.
    """
    columns = list(dict.fromkeys(row["column"] for row in rows))
    first_rows = list({row["task"]: row for row in reversed(rows)}.values())  # one per task
    x = alt.X("column:N", sort=columns, title=None).scale(paddingInner=0.04)
    arms = x.axis(
        orient="top",
        labelAngle=0,
        labelExpr="slice(datum.label, 0, lastindexof(datum.label, ' '))",
        ticks=False,
        domain=False,
    )
    names = list(dict.fromkeys(row["language"] for row in rows))
    y = alt.Y("language:N", sort=names, title=None)
    legend = alt.Legend(title="accuracy", format="%", orient="bottom", gradientLength=160, tickCount=5)
    color = alt.Color("value:Q", legend=legend).scale(domain=[chance, 1], range=list(HEAT), clamp=True)
    tooltip = [
        alt.Tooltip("language:N"),
        alt.Tooltip("task:N"),
        alt.Tooltip("arm:N"),
        alt.Tooltip("percent:N", title="accuracy in percent"),
    ]
    base = folding(rows).encode(x=arms, y=y.axis(ticks=False, domain=False), tooltip=tooltip)
    dark = alt.datum.value > chance + DARK_FROM * (1 - chance)
    ink = alt.condition(dark, alt.value("#ffffff"), alt.value("#000000"))
    cells = base.mark_rect().encode(color=color)
    numbers = base.mark_text(fontSize=11).encode(text="percent:N", color=ink)
    heads = (
        alt.Chart(_data(first_rows))
        .mark_text(dy=-22, fontWeight="bold", fontSize=11, baseline="bottom", limit=120)
        .encode(x=alt.X("column:N", sort=columns, bandPosition=1), y=alt.value(0), text="task:N")
    )
    return alt.layer(cells, numbers, heads).properties(height=21 * len(names))


def probabilities(rows: Sequence[Datum], top: float) -> alt.LayerChart:
    """Draw two probabilities by layer with their bands: a color per word, a dash per arm.

    rows: language, arm, word (english or native), note (shown instead of curves), and layer, depth, value, low, high:
    lists with a number per layer, None if it is not measurable. `top` is the highest value of all languages' bands: all
    languages have one scale.
    """
    legend = alt.Legend(
        title=None,
        orient="top",
        symbolType="stroke",
        symbolStrokeWidth=3,
        symbolOpacity=1,
        labelExpr="datum.value === 'english' ? 'in English' : 'in the language'",
    )
    color = alt.Color("word:N", legend=legend).scale(domain=["english", "native"], range=[BLUE, ORANGE])
    y = alt.Y("value:Q", title="probability").scale(domain=[0, top], nice=True).axis(tickCount=5, format="~p")
    tooltip = [
        alt.Tooltip("word:N", title="answer"),
        alt.Tooltip("value:Q", title="probability", format=".2%"),
    ]
    last, arm = max(rows[0]["layer"]), json.dumps(arms_of(rows)[-1])
    note = (
        alt.Chart()
        .transform_filter(f"datum.note !== '' && datum.layer === 0 && datum.arm === {arm} && datum.word === 'native'")
        .mark_text(color=GRAY, baseline="middle")
        .encode(x=alt.datum(last / 2), y=alt.datum(top / 2), text="note:N")
    )
    return _curves(rows, y, tooltip, color, ["word:N"], [note]).properties(height=220)


def entropies(rows: Sequence[Datum], top: float) -> alt.LayerChart:
    """Draw the entropy by layer with its band, a dash per arm.

    rows: language, arm, and layer, depth, value, low, high: lists with a number per layer.
    """
    y = alt.Y("value:Q", title="entropy in bits").scale(domain=[0, top], nice=True).axis(tickCount=5)
    tooltip = [alt.Tooltip("value:Q", title="bits", format=".2f")]
    return _curves(rows, y, tooltip, alt.value(GREEN), [], []).properties(height=180)


def _curves(
    rows: Sequence[Datum],
    y: alt.Y,
    tooltip: list[alt.Tooltip],
    color: alt.Color | dict[str, Any],
    detail: list[str],
    notes: list[alt.Chart],
) -> alt.LayerChart:
    """Draw lines over their bands, and notes over both."""
    scale = alt.Scale(domain=[0, max(rows[0]["layer"])], nice=False)
    x = alt.X("layer:Q", title="layer", scale=scale).axis(grid=False, tickMinStep=1)
    dash = alt.StrokeDash("arm:N", legend=alt.Legend(title=None, orient="top", symbolStrokeColor=GRAY))
    dash = dash.scale(**dashes(arms_of(rows)))
    tooltip = [
        alt.Tooltip("language:N"),
        alt.Tooltip("arm:N", title="model"),
        alt.Tooltip("layer:Q"),
        alt.Tooltip("depth:Q", title="relative depth", format=".2f"),
        *tooltip,
        alt.Tooltip("low:Q", title="from", format=".3~g"),
        alt.Tooltip("high:Q", title="to", format=".3~g"),
    ]
    line = alt.Chart().mark_line(strokeWidth=2, invalid="break-paths-show-domains")
    line = line.encode(x=x, y=y, color=color, detail=detail, strokeDash=dash, tooltip=tooltip)
    band = alt.Chart().mark_area(opacity=0.13, invalid="break-paths-show-domains")
    band = band.encode(x=x, y=alt.Y("low:Q", title=y["title"]), y2="high:Q", color=color, detail=["arm:N", *detail])
    chart = alt.layer(band, line, *notes, data=alt.NamedData(ROWS))
    return chart.transform_flatten(["layer", "depth", "value", "low", "high"])


def arms_of(rows: Sequence[Datum]) -> list[str]:
    """Return the arms of a chart's rows, in their order."""
    return list(dict.fromkeys(row["arm"] for row in rows))


def dashes(arms: Sequence[str]) -> Datum:
    """Return domain and range of a scale that gives each arm a dash."""
    return {"domain": list(arms), "range": [list(DASHES[place % len(DASHES)]) for place in range(len(arms))]}


def neurons(rows: Sequence[Datum]) -> alt.LayerChart:
    """Draw counts by block as stacked bars, arms beside each other. rows: arm, layer, kind, count."""
    arms = arms_of(rows)
    strengths = [0.45 + 0.55 * place / max(1, len(arms) - 1) for place in range(len(arms))]
    legend = alt.Legend(title=None, orient="top")
    color = alt.Color("kind:N", legend=legend).scale(domain=["specific", "related"], range=[BLUE, ORANGE])
    opacity = alt.Opacity("arm:O", legend=legend).scale(domain=arms, range=strengths)
    tooltip = [alt.Tooltip("layer:O", title="block"), alt.Tooltip("arm:N", title="model"), "kind:N", "count:Q"]
    x = alt.X("layer:O", title="block").axis(labelAngle=0, labelOverlap=True, ticks=False)
    y = alt.Y("sum(count):Q", title="neurons").axis(tickCount=5)
    bars = (
        alt.Chart()
        .mark_bar()
        .encode(x=x, xOffset=alt.XOffset("arm:N", sort=arms), y=y, color=color, opacity=opacity, tooltip=tooltip)
    )
    return alt.layer(bars, data=alt.NamedData(ROWS)).properties(height=200)


def patches(rows: Sequence[Datum], top: float) -> alt.LayerChart:
    """Draw effects as colored cells: a row per language and way, a column per layer.

    rows: language, way, layer, depth, effect (nats), and extreme where the chart folds (`folding`). `top` is the
    largest absolute effect of all charts.
    """
    legend = alt.Legend(title="effect in nats", orient="bottom", gradientLength=160, tickCount=5)
    color = alt.Color("effect:Q", legend=legend)
    color = color.scale(domain=[-top, 0, top], range=[ORANGE, "#eef1f4", BLUE], interpolate="rgb")
    tooltip = ["language:N", alt.Tooltip("way:N", title="state"), "layer:O"]
    tooltip += [alt.Tooltip("depth:Q", title="relative depth"), alt.Tooltip("effect:Q", format="+.3f")]
    plain = {"ticks": False, "domain": False}
    x = alt.X("layer:O", title="layer").axis(labelAngle=0, labelOverlap=True, **plain)
    names = list(dict.fromkeys(row["language"] for row in rows))
    y = alt.Y("language:N", sort=names, title=None).axis(**plain)
    ways = list(dict.fromkeys(row["way"] for row in rows))
    offset = alt.YOffset("way:N", sort=ways)
    cells = folding(rows).mark_rect().encode(x=x, y=y, yOffset=offset, color=color, tooltip=tooltip)
    return alt.layer(cells).properties(height=24 * len(names))


def one_language(chart: alt.LayerChart, first: str) -> alt.LayerChart:
    """Show one language at a time: the value of the parameter `LANGUAGE`, which begins as `first`."""
    parameter = alt.param(name=LANGUAGE, value=first)
    return chart.transform_filter(f"datum.language === {LANGUAGE}").add_params(parameter)


def each_language(chart: alt.LayerChart, languages: Sequence[str]) -> alt.FacetChart:
    """Show every language in a small chart of its own, in the order of `languages`."""
    facet = alt.Facet("language:N", sort=list(languages), title=None)
    return chart.properties(width=150, height=110).facet(facet, columns=5)


def shares(rows: Sequence[Datum], arms: Sequence[str], parts: Sequence[str]) -> alt.LayerChart:
    """Draw stacked bars of shares that sum to 1: a bar per language and arm, the parts always in one order.

    rows: language, arm, reason (one of `parts`), from, to, middle (in [0, 1]), percent and label (texts).
    """
    names = list(dict.fromkeys(row["language"] for row in rows))
    y = alt.Y("language:N", sort=names, title=None).axis(ticks=False, domain=False, labelLimit=130)
    offset = alt.YOffset("arm:N", sort=list(arms))
    legend = alt.Legend(title=None, orient="top", symbolType="square")
    color = alt.Color("reason:N", sort=list(parts), legend=legend)
    color = color.scale(domain=list(parts), range=[GREEN, ORANGE, GRAY, PURPLE, BLUE])
    axis = alt.Axis(format="%", tickCount=5)
    tooltip = [alt.Tooltip(f"{name}:N") for name in ("language", "arm", "reason", "percent")]
    base = alt.Chart(_data(rows)).encode(y=y, yOffset=offset, tooltip=tooltip)
    x = alt.X("from:Q", title="share of answers", axis=axis).scale(domain=[0, 1])
    bars = base.mark_bar().encode(x=x, x2="to:Q", color=color)
    texts = base.mark_text(fontSize=10, color="#ffffff", fontWeight="bold").encode(x="middle:Q", text="label:N")
    return alt.layer(bars, texts).properties(height=16 * len(names) * len(arms) + 8)


def losses(steps: Sequence[Datum], epochs: Sequence[Datum]) -> alt.LayerChart:
    """Draw the training loss by optimizer step as a line, and held-out losses as joined dots.

    steps, epochs: step, loss (nats per target token), of (`training` or `held out`).
    """
    scale = alt.Scale(domain=["training", "held out"], range=[BLUE, ORANGE])
    color = alt.Color("of:N", legend=alt.Legend(title=None, orient="top"), scale=scale)
    x = alt.X("step:Q", title="optimizer step").axis(grid=False, tickMinStep=1)
    y = alt.Y("loss:Q", title="loss in nats per target token").scale(zero=False, nice=True).axis(tickCount=5)
    tooltip = [alt.Tooltip("of:N", title="loss"), alt.Tooltip("step:Q"), alt.Tooltip("loss:Q", format=".4f")]
    line = alt.Chart(_data(steps)).mark_line(strokeWidth=2).encode(x=x, y=y, color=color, tooltip=tooltip)
    point = {"size": 70, "filled": True, "opacity": 1}
    dots = alt.Chart(_data(epochs)).mark_line(strokeWidth=1, strokeDash=[2, 3], point=point)
    return alt.layer(line, dots.encode(x=x, y=y, color=color, tooltip=tooltip)).properties(height=240)


def _style(ground: str, ink: str, line: str) -> Datum:
    """Return a Vega-Lite configuration: colors and fonts of all that is not data."""
    text = {"labelColor": ink, "titleColor": ink, "titleFontWeight": "normal", "labelFontSize": 12}
    return {
        "background": ground,
        "font": "sans-serif",
        "padding": 4,
        "view": {"stroke": None},
        "axis": {**text, "gridColor": line, "domainColor": line, "tickColor": line, "titlePadding": 8},
        # A legend above a narrow plot reaches back over the names of the languages, not beyond the picture's edge.
        "legend": {**text, "titleFontSize": 11, "offset": 10, "layout": {"top": {"anchor": "end"}}},
        "header": {"labelColor": ink, "labelFontSize": 11},
        "title": {"color": ink, "subtitleColor": ink, "anchor": "start", "fontSize": 14, "offset": 12},
        "text": {"color": ink},
        "facet": {"spacing": 18},
    }


STYLES = {
    "picture": _style("#ffffff", "#2b323b", "#dfe3e8"),
    "light": _style("transparent", "#3d4651", "#dfe3e8"),
    "dark": _style("transparent", "#c3cbd5", "#333b45"),
}
"""Place of a chart → its style: a picture file, the page in light mode, the page in dark mode."""


def _data(rows: Sequence[Datum]) -> alt.InlineData:
    return alt.InlineData(values=list(rows))

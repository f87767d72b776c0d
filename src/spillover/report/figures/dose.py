"""The dose: translation and the endpoint after each number of steps. Pure: findings in, charts out."""

from collections.abc import Iterator, Sequence

import altair as alt

from spillover.records import Dose, Findings
from spillover.report.figures.charts import BLUE, ORANGE, Datum
from spillover.report.figures.figure import Figure, Plot
from spillover.utils.formatting import plural, with_interval

GROUPS = {"unseen": "never tuned on", "tuned": "tuned on"}
"""Group of languages, a field of `DosePoint` → its name in the chart."""


def dose(findings: Findings) -> Figure:
    """Return charts of chrF, loss and the change of accuracy by optimizer step; no chart without probes."""
    title, measured = "Dose", findings.dose
    if measured is None:
        return Figure(title, "", ())
    reading = (
        "Small evaluations during tuning. chrF and loss are of held-out pairs: do they still improve? Accuracy is the "
        "change in points since the first probe, on a few items of one task; a line is the 95% interval over items. "
        f"{measured.sentence}"
    )
    return Figure(title, reading.strip(), tuple(_plots(measured)))


def _plots(measured: Dose) -> Iterator[Plot]:
    first, last = measured.points[0], measured.points[-1]
    span = f"over {plural(last.step - first.step, 'step')}"
    for name, axis, digits in (("chrf", "chrF", 1), ("loss", "loss in nats per target token", 3)):
        values = [(point.step, getattr(point, name)) for point in measured.points]
        rows: list[Datum] = [
            {"step": step, "of": "held out", "value": value, "text": f"{value:.{digits}f}"}
            for step, value in values
            if value is not None
        ]
        if rows:
            start, end = rows[0]["text"], rows[-1]["text"]
            title = axis.split(" ")[0]
            alt_text = f"{title} of held-out pairs by step, from {start} to {end} {span}."
            yield Plot(f"dose-{name}", title, alt_text, _chart(rows, axis))
    rows = [
        {"step": point.step, "of": label, "text": with_interval(group.change)}
        | {end: round(100 * getattr(group.change, end), 3) for end in ("value", "low", "high")}
        for name, label in GROUPS.items()
        for point in measured.points
        if (group := getattr(point, name)) is not None
    ]
    if rows:
        ends = "; ".join(f"{row['of']}: {row['text']}" for row in rows if row["step"] == last.step)
        alt_text = f"Change of accuracy in points by step, {span}. At the last step, languages {ends}."
        yield Plot("dose-accuracy", "accuracy", alt_text, _chart(rows, "change of accuracy in points"))


def _chart(rows: Sequence[Datum], title: str) -> alt.LayerChart:
    """Draw values by step as joined dots, with an interval where a row has one.

    The second of two lines is dashed, with smaller dots and thinner intervals: both are seen where they coincide.

    rows: step, of (what the color means), value, text (value and interval), and low and high or none of them.
    """
    names = list(dict.fromkeys(row["of"] for row in rows))
    color = alt.Color("of:N", legend=alt.Legend(title=None, orient="top") if len(names) > 1 else None)
    color = color.scale(domain=names, range=[BLUE, ORANGE])
    x = alt.X("step:Q", title="optimizer step").axis(grid=False, tickMinStep=1)
    y = alt.Y("value:Q", title=title).scale(zero=False, nice=True).axis(tickCount=5)
    tooltip = [
        alt.Tooltip("step:Q"),
        alt.Tooltip("of:N", title="pairs or languages"),
        alt.Tooltip("text:N", title=title),
    ]
    base = alt.Chart().encode(x=x, color=color, tooltip=tooltip)
    dash = alt.StrokeDash("of:N", legend=None).scale(domain=names, range=[[1, 0], [5, 5]])
    size = alt.Size("of:N", legend=None).scale(domain=names, range=[110, 35] if len(names) > 1 else [50])
    width = alt.StrokeWidth("of:N", legend=None).scale(domain=names, range=[4, 1.5] if len(names) > 1 else [1])
    layers = [
        base.mark_line(strokeWidth=2).encode(y=y, strokeDash=dash),
        base.mark_point(filled=True, opacity=1).encode(y=y, size=size),
    ]
    if "low" in rows[0]:
        layers.insert(
            0, base.mark_rule(opacity=0.6).encode(y=alt.Y("low:Q", title=title), y2="high:Q", strokeWidth=width)
        )
    return alt.layer(*layers, data=alt.InlineData(values=list(rows))).properties(height=180)

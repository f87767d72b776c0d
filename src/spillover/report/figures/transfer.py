"""Figures of a sweep: who helps whom, and gain against the number of languages."""

import altair as alt

from spillover.languages import get_language
from spillover.records import SweepFindings, TransferMatrix
from spillover.report.figures.charts import BLUE, GRAY, ORANGE, Datum
from spillover.report.figures.figure import Figure, Plot, slugs
from spillover.report.tables.transfer import languages_compared, titled
from spillover.utils.formatting import plural, points, with_interval


def transfer(findings: SweepFindings) -> Figure:
    """Heatmap of each matrix: a row per language measured, a column per mixture, similar ones beside each other."""
    names = slugs([titled(matrix) for matrix in findings.matrices])
    plots = tuple(_heatmap(matrix, name) for matrix, name in zip(findings.matrices, names, strict=True))
    return Figure(
        "Who helps whom",
        "Each cell is the gain in points of a language (row) after tuning on a mixture (column), the mean over seeds. "
        "Blue gained, orange lost. A frame means that the language was tuned on or is the pivot. A pale number means "
        "that its interval includes zero. Similar rows and similar columns stand beside each other (average linkage), "
        "so blocks are groups.",
        plots,
    )


def _heatmap(matrix: TransferMatrix, name: str) -> Plot:
    rows: list[Datum] = [
        {
            "mixture": row.mixture,
            "language": get_language(code).name,
            "value": round(100 * gain.value, 3),
            "number": points(gain.value),
            "text": with_interval(gain),
            "seen": "tuned on or pivot" if code in row.seen else "not tuned on",
            "clear": gain.low > 0 or gain.high < 0,
        }
        for row in matrix.rows
        for code, gain in zip(matrix.languages, row.gains, strict=True)
    ]
    values = sorted(rows, key=lambda row: row["value"])
    ends = [f"{row['number']} in {row['language']} after {row['mixture']}" for row in (values[-1], values[0])]
    alt_text = (
        f"Heatmap of {titled(matrix)}: gains of {plural(len(matrix.rows), 'mixture')}. Largest {ends[0]}, "
        f"smallest {ends[1]}."
    )
    reach = max(1.0, *(abs(row["value"]) for row in rows))
    return Plot(f"transfer-{name}", titled(matrix), alt_text, _cells(rows, matrix, reach), width=64 * len(matrix.rows))


def _cells(rows: list[Datum], matrix: TransferMatrix, reach: float) -> alt.LayerChart:
    x_axis = alt.Axis(ticks=False, domain=False, labelAngle=-40, labelLimit=160, orient="top")
    x = alt.X("mixture:N", sort=[row.mixture for row in matrix.rows], title=None, axis=x_axis).scale(paddingInner=0.05)
    y_axis = alt.Axis(ticks=False, domain=False)
    names = [get_language(code).name for code in matrix.languages]
    y = alt.Y("language:N", sort=names, title=None, axis=y_axis).scale(paddingInner=0.1)
    legend = alt.Legend(title="gain in points", orient="bottom", gradientLength=160, tickCount=5)
    color = alt.Color("value:Q", legend=legend).scale(
        domain=[-reach, 0, reach], range=[ORANGE, "#f4f6f8", BLUE], interpolate="rgb"
    )
    tooltip = [
        alt.Tooltip("mixture:N", title="tuned on"),
        alt.Tooltip("language:N", title="measured in"),
        alt.Tooltip("text:N", title="gain [95% interval]"),
        alt.Tooltip("seen:N", title="language"),
    ]
    base = alt.Chart(alt.InlineData(values=rows)).encode(x=x, y=y, tooltip=tooltip)
    frame = alt.condition("datum.seen === 'tuned on or pivot'", alt.value("#14171c"), alt.value("transparent"))
    cells = base.mark_rect(strokeWidth=1.5).encode(color=color, stroke=frame)
    clear, open_ = (base.transform_filter(f"{sign}datum.clear").encode(text="number:N") for sign in ("", "!"))
    numbers = (
        clear.mark_text(fontSize=11, color="#000000", fontWeight="bold"),
        open_.mark_text(fontSize=11, color="#000000", opacity=0.6),
    )
    return alt.layer(cells, *numbers).properties(height=24 * len(matrix.languages))


def budget(findings: SweepFindings) -> Figure:
    """Gain in languages new to all mixtures against the number of languages tuned on."""
    matrices = [matrix for matrix in findings.matrices if matrix.new]
    names = slugs([titled(matrix) for matrix in matrices])
    return Figure(
        "How many languages it takes",
        "Each mark is a mixture: its mean gain in points over the languages that no mixture was tuned on, with its 95% "
        "interval. The line joins the means over the mixtures with the same number of languages.",
        tuple(_by_budget(matrix, name) for matrix, name in zip(matrices, names, strict=True)),
    )


def _by_budget(matrix: TransferMatrix, name: str) -> Plot:
    rows: list[Datum] = [
        {"budget": row.budget, "mixture": row.mixture, "text": with_interval(row.new)}
        | {end: round(100 * getattr(row.new, end), 3) for end in ("value", "low", "high")}
        for row in sorted(matrix.rows, key=lambda row: row.mixture)
        if row.new
    ]
    alt_text = (
        f"{titled(matrix)}: mean gain over {languages_compared(matrix)}, by number of languages tuned on: "
        + "; ".join(f"{row['mixture']} {row['text']}" for row in rows)
    )
    title = "mean gain in points"
    x = alt.X("budget:O", title="languages tuned on").axis(labelAngle=0)
    offset = alt.XOffset("mixture:N")
    tooltip = [
        alt.Tooltip("mixture:N", title="tuned on"),
        alt.Tooltip("text:N", title="gain [95% interval]"),
    ]
    base = alt.Chart(alt.InlineData(values=rows)).encode(x=x, xOffset=offset, tooltip=tooltip)
    zero = alt.Chart(alt.InlineData(values=[{"zero": 0}])).mark_rule(color=GRAY).encode(y=alt.Y("zero:Q", title=title))
    lines = base.mark_rule(color=BLUE, strokeWidth=1.8).encode(y=alt.Y("low:Q", title=title), y2="high:Q")
    dots = base.mark_point(filled=True, size=60, opacity=1, color=BLUE).encode(y=alt.Y("value:Q", title=title))
    names = base.mark_text(dx=5, dy=-4, align="left", fontSize=11, angle=320)
    names = names.encode(y=alt.Y("high:Q", title=title), text="mixture:N")
    means = alt.Chart(alt.InlineData(values=rows)).mark_line(color=ORANGE, strokeDash=[4, 3])
    means = means.encode(x=x, y=alt.Y("mean(value):Q", title=title))
    layers = alt.layer(zero, lines, means, dots, names).properties(height=280)
    return Plot(f"budget-{name}", titled(matrix), alt_text, layers, width=420)

"""The findings of a run as figures: charts with the words that explain them. Pure: findings in, charts out.

A chart is drawn twice: for the page, as wide as its place, and as a picture of fixed size. Languages have their English
names, since a machine may lack the fonts for their own names.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from math import ceil
from statistics import fmean
from typing import Any

import altair as alt

from spillover.languages import get_language
from spillover.records import Comparison, Estimate, Findings
from spillover.report.figures import charts
from spillover.report.figures.answers import answers
from spillover.report.figures.charts import Datum
from spillover.report.figures.dose import dose
from spillover.report.figures.figure import Figure, Plot, slugs
from spillover.report.figures.folding import ALL, EXTREMES, FEW, ROWS, extremes, gap, show
from spillover.report.figures.interpretability import lens, neurons, patches
from spillover.report.tables.gains import by_arm, by_task, group_names, metrics
from spillover.utils.formatting import percent, plural, points, with_interval

Spec = dict[str, Any]
"""A chart as Vega-Lite."""

MEAN = "Mean, {}"
"""Label of the forest plot's first row; the languages that the mean is over go in."""

BINS = 200
"""Most points of the training curve. If there are more steps, a point is the mean of several."""


def gains(findings: Findings) -> Figure:
    """Forest plots of the primary comparison: each language's gain with its interval, sorted, below their mean."""
    comparison = findings.comparisons[0]
    return Figure("Gain per language", _reading(comparison), tuple(_forests(comparison, group_names(findings))))


def comparisons(findings: Findings) -> Figure:
    """Forest plots of all other comparisons; no plot if there is only one comparison."""
    others = findings.comparisons[1:]
    names = slugs([f"{comparison.arm} {comparison.reference}" for comparison in others])
    plots = [
        plot
        for comparison, name in zip(others, names, strict=True)
        for plot in _forests(comparison, group_names(findings), name)
    ]
    reading = (
        "As above, for every other pair of arms. P-values are corrected for the number of tests of all comparisons."
    )
    return Figure("Other arms", reading, tuple(plots))


def _reading(comparison: Comparison) -> str:
    return (
        f"Each mark is the change in score from {comparison.reference} to {comparison.arm}, in points. Its line is the "
        "95% interval. Right of zero the language gained, left of zero it lost; a line across zero leaves both open. "
        f"A line inside the gray band (±{100 * comparison.margin:g} points) means a change too small to matter. The "
        "largest gain is on top."
    )


def _forests(comparison: Comparison, group_of: Mapping[str, str], pair: str = "") -> Iterator[Plot]:
    """Yield a forest plot per task. `pair` is the part of the files' names that tells comparisons apart."""
    first_row = MEAN.format(group_of["unseen"])
    margin = 100 * comparison.margin
    differences = [gain.difference for gain in comparison.gains]
    ends = [-margin, margin, *(100 * end for difference in differences for end in (difference.low, difference.high))]
    summaries = {summary.task: summary for summary in comparison.summaries}
    groups = by_task(comparison)
    for (task, members), name in zip(groups, slugs([task for task, _ in groups]), strict=True):
        ranked = sorted(members, key=lambda gain: gain.difference.value, reverse=True)
        rows = [_forest_row(get_language(g.language).name, group_of[g.group], g.difference) for g in ranked]
        ends_of = extremes({g.language: g.difference.value for g in ranked})
        mean = summaries[task].unseen
        if mean is not None:
            rows.insert(0, _forest_row(first_row, group_of["unseen"], mean))
        if ends_of:
            shown = {first_row, *ends_of}
            rows = [row | {"extreme": row["language"] in shown} for row in rows]
            rows.insert(len(rows) - EXTREMES, gap(len(ranked) - len(ends_of)))
        first, last = (
            f"{points(g.difference.value)} in {get_language(g.language).name}" for g in (ranked[0], ranked[-1])
        )
        title = f"{task}: {comparison.arm} − {comparison.reference}" if pair else task
        alt_text = (
            f"Forest plot of {title}: gain in points of {plural(len(ranked), 'language')}, from {first} to {last}."
        )
        chart = charts.forest(rows, list(group_of.values()), (min(ends), max(ends)), first_row, margin)
        file = f"gains-{pair}-{name}" if pair else f"gains-{name}"
        yield Plot(file, title, alt_text, chart, languages=len(ranked) if ends_of else 0, rows=rows)


def _forest_row(name: str, group: str, difference: Estimate) -> Datum:
    low, value, high = (round(100 * part, 3) for part in (difference.low, difference.value, difference.high))
    text = with_interval(difference)
    return {"language": name, "group": group, "low": low, "value": value, "high": high, "text": text}


def accuracy(findings: Findings) -> Figure:
    """Heatmap of scores: a row per language, a column per task and arm."""
    arms = by_arm(findings)
    groups = by_task(findings.comparisons[0])
    members = {name: dict(by_task(comparison)) for name, comparison in arms.items()}
    scores = {
        (task, arm): [metrics(gain, arm, comparison).score.value for gain in members[arm][task]]
        for task, _ in groups
        for arm, comparison in arms.items()
    }
    rows = [
        {
            "language": get_language(gain.language).name,
            "task": task,
            "arm": arm,
            "column": f"{arm} {number}",
            "value": round(scores[task, arm][place], 4),
            "percent": percent(scores[task, arm][place]),
        }
        for number, (task, gains) in enumerate(groups)
        for place, gain in enumerate(gains)
        for arm in arms
    ]
    changes: dict[str, list[float]] = {}
    for gain in findings.comparisons[0].gains:
        changes.setdefault(gain.language, []).append(gain.difference.value)
    if ends_of := extremes({code: fmean(values) for code, values in changes.items()}):
        rows = [row | {"extreme": row["language"] in ends_of} for row in rows]
    means = "; ".join(f"{task}: {' to '.join(percent(fmean(scores[task, arm])) for arm in arms)}" for task, _ in groups)
    alt_text = f"Heatmap of scores by language and task. Mean over languages in percent, {' to '.join(arms)}: {means}."
    chances = [gain.choices.chance if gain.choices else 0.0 for gain in findings.comparisons[0].gains]
    chart = charts.heatmap(rows, min(chances))
    width = 90 + 65 * len(arms) * len(groups)
    return Figure(
        "Accuracy",
        "Each cell is the mean score of the items in percent; for tasks with labels, the share answered right. Darker "
        "is better. The palest color is the accuracy of guessing in the task with the most labels, or 0 for answers.",
        (Plot("accuracy", "in percent", alt_text, chart, width, len(changes) if ends_of else 0, rows),),
    )


def training(findings: Findings) -> Figure:
    """Training loss by step, with the held-out losses."""
    losses, validation = findings.tuning.losses, findings.tuning.validation
    title = "Training"
    if not losses:
        return Figure(title, "", ())
    width = ceil(len(losses) / BINS)
    bins = [losses[start : start + width] for start in range(0, len(losses), width)]
    ends = accumulate(map(len, bins))
    steps = [
        {"step": end, "loss": round(fmean(part), 5), "of": "training"} for end, part in zip(ends, bins, strict=True)
    ]
    # Held-out losses are measured before the first step and after each epoch, so at even distances.
    gaps = max(1, len(validation) - 1)
    epochs = [
        {"step": round(len(losses) * place / gaps), "loss": round(loss, 5), "of": "held out"}
        for place, loss in enumerate(validation)
    ]
    alt_text = f"Training loss over {plural(len(losses), 'step')}, from {losses[0]:.3f} to {losses[-1]:.3f} nats."
    point = "one step" if width == 1 else f"the mean of {width} steps"
    reading = f"The line is the loss on the questions learned from. A point of it is {point}."
    if validation:
        alt_text += f" Held-out loss from {validation[0]:.3f} to {validation[-1]:.3f} nats."
        reading += (
            " The dots are the loss on held-out questions, before the first step and after each epoch. If they rise "
            "while the line falls, the model learns its examples by heart."
        )
    chart = charts.losses(steps, epochs)
    return Figure(title, reading, (Plot("training", "loss", alt_text, chart, width=640),))


FIGURES: dict[str, Callable[[Findings], Figure]] = {
    "gains": gains,
    "comparisons": comparisons,
    "accuracy": accuracy,
    "answers": answers,
    "lens": lens,
    "neurons": neurons,
    "patches": patches,
    "training": training,
    "dose": dose,
}
"""Name → figure, in the order of the page."""


def for_page(figure: Figure, plot: Plot) -> Spec:
    """Return a figure's chart as wide as its place. If it has languages, it shows the one that the reader chooses."""
    chart = charts.one_language(plot.chart, figure.first) if figure.languages else plot.chart
    chart = show(chart, FEW).properties(height=plot.height) if plot.languages else chart
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    return _with_rows(chart.properties(width="container", autosize=fit), plot)


def for_file(figure: Figure, plot: Plot, subtitle: str) -> Spec:
    """Return a figure's chart with a title and its own width. If it has languages, they stand beside each other."""
    title = alt.Title(f"{figure.title}: {plot.title}", subtitle=subtitle)
    if figure.languages:
        return _with_rows(charts.each_language(plot.chart, figure.languages).properties(title=title), plot)
    chart = show(plot.chart, ALL) if plot.languages else plot.chart
    return _with_rows(chart.properties(width=plot.width, title=title), plot)


def _with_rows(chart: alt.LayerChart | alt.FacetChart, plot: Plot) -> Spec:
    """Return the chart as Vega-Lite, with the rows that it does not hold."""
    spec: Spec = chart.to_dict(validate=False)  # a test validates them; it takes a tenth of a second per chart
    if plot.rows:
        spec.setdefault("datasets", {})[ROWS] = list(plot.rows)
    return spec

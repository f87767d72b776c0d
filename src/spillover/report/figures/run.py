"""What a run found, as figures: charts with the words that make them readable. Pure: findings in, charts out.

A chart comes twice: for the page, where it is as wide as its place, and as a picture of fixed size. Languages go by
their English names, since a machine may lack the fonts for their own.
"""

from collections.abc import Callable

import altair as alt

from spillover.languages import get_language
from spillover.records import Estimate, Findings
from spillover.report.figures import charts
from spillover.report.figures.charts import Datum
from spillover.report.figures.figure import Figure, Plot, mean, slugs
from spillover.report.figures.interpretability import lens, neurons, patches
from spillover.report.tables.run import GROUPS, by_task
from spillover.utils.formatting import percent, points, with_interval

MEAN = "Mean, not tuned on"
"""Name of the forest plot's first row."""

BINS = 200
"""Most points of the training curve; each is the mean of as many steps as it takes."""


def gains(findings: Findings) -> Figure:
    """Forest plot of every task: each language's gain with its interval, sorted, below their mean."""
    found = findings.comparison.gains
    margin = 100 * findings.comparison.margin
    ends = [-margin, margin, *(100 * end for gain in found for end in (gain.difference.low, gain.difference.high))]
    summaries = {summary.task: summary for summary in findings.comparison.summaries}
    plots = []
    groups = by_task(findings.comparison)
    for (task, members), name in zip(groups, slugs([task for task, _ in groups]), strict=True):
        own = sorted(members, key=lambda gain: gain.difference.value, reverse=True)
        rows = [_forest_row(get_language(gain.language).name, gain.group, gain.difference) for gain in own]
        mean = summaries[task].unseen
        if mean is not None:
            rows.insert(0, _forest_row(MEAN, "unseen", mean))
        first, last = (f"{points(g.difference.value)} in {get_language(g.language).name}" for g in (own[0], own[-1]))
        words = f"Forest plot of {task}: gain in points of {len(own)} languages, from {first} to {last}."
        chart = charts.forest(rows, list(GROUPS.values()), (min(ends), max(ends)), MEAN, margin)
        plots.append(Plot(f"gains-{name}", task, words, chart))
    return Figure(
        "Gain per language",
        "Each mark is the change in accuracy from base to tuned, in points, and its line the 95% interval: right of "
        "zero the language gained, left of zero it lost, and a line that crosses zero leaves both open. A line inside "
        f"the gray band (±{margin:g} points) changed too little to matter. The largest gain is on top.",
        tuple(plots),
    )


def _forest_row(name: str, group: str, difference: Estimate) -> Datum:
    low, value, high = (round(100 * part, 3) for part in (difference.low, difference.value, difference.high))
    text = with_interval(difference)
    return {"language": name, "group": GROUPS[group], "low": low, "value": value, "high": high, "text": text}


def accuracy(findings: Findings) -> Figure:
    """Heatmap of accuracy: a row a language, a column a task and arm."""
    groups = by_task(findings.comparison)
    rows = [
        {
            "language": get_language(gain.language).name,
            "task": gain.task,
            "arm": arm,
            "column": f"{arm} {place}",
            "value": round(performance.accuracy.value, 4),
            "percent": percent(performance.accuracy.value),
        }
        for place, (_, own) in enumerate(groups)
        for gain in own
        for arm, performance in (("base", gain.base), ("tuned", gain.tuned))
    ]
    means = "; ".join(
        f"{task}: {percent(mean(g.base.accuracy.value for g in own))} to "
        f"{percent(mean(g.tuned.accuracy.value for g in own))}"
        for task, own in groups
    )
    words = f"Heatmap of accuracy by language and task. Mean over languages in percent, base to tuned: {means}."
    chart = charts.heatmap(rows, min(gain.chance for _, own in groups for gain in own))
    return Figure(
        "Accuracy",
        "Each cell is the share of items answered right, in percent; the darker, the better. The palest color is the "
        "accuracy of guessing in the task with the most labels.",
        (Plot("accuracy", "in percent", words, chart, width=90 + 130 * len(groups)),),
    )


def training(findings: Findings) -> Figure:
    """Training loss by step, with the held-out losses."""
    losses, validation = findings.tuning.losses, findings.tuning.validation
    title = "Training"
    if not losses:
        return Figure(title, "", ())
    each = -(-len(losses) // BINS)
    steps = [
        {"step": start + len(part), "loss": round(mean(part), 5), "of": "training"}
        for start in range(0, len(losses), each)
        for part in [losses[start : start + each]]
    ]
    # Held out are measured before the first step and at the end of each epoch, so at even distances.
    gaps = max(1, len(validation) - 1)
    epochs = [
        {"step": round(len(losses) * place / gaps), "loss": round(loss, 5), "of": "held out"}
        for place, loss in enumerate(validation)
    ]
    held = f" Held-out loss from {validation[0]:.3f} to {validation[-1]:.3f} nats." if validation else ""
    words = f"Training loss over {len(losses)} steps, from {losses[0]:.3f} to {losses[-1]:.3f} nats.{held}"
    what = "one step" if each == 1 else f"the mean of {each} steps"
    reading = f"The line is the loss on the questions learned from, each point of it {what}. " + (
        "The dots are the loss on questions held out, before the first step and after each epoch: where they rise "
        "while the line falls, the model learns by heart."
    ) * bool(validation)
    chart = charts.losses(steps, epochs)
    return Figure(title, reading, (Plot("training", "loss", words, chart, width=640),))


FIGURES: dict[str, Callable[[Findings], Figure]] = {
    "gains": gains,
    "accuracy": accuracy,
    "lens": lens,
    "neurons": neurons,
    "patches": patches,
    "training": training,
}
"""Name → figure, in the order of the page."""


def for_page(figure: Figure, plot: Plot) -> alt.LayerChart:
    """Return a figure's chart as wide as its place, of one language if it has several: see `charts.LANGUAGE`."""
    chart = charts.one_language(plot.chart, figure.first) if figure.languages else plot.chart
    return chart.properties(width="container", autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))


def for_file(figure: Figure, plot: Plot, subtitle: str) -> alt.LayerChart | alt.FacetChart:
    """Return a figure's chart with a title and of its own width, its languages beside each other."""
    title = alt.Title(f"{figure.title}: {plot.title}", subtitle=subtitle)
    if figure.languages:
        return charts.each_language(plot.chart, figure.languages).properties(title=title)
    return plot.chart.properties(width=plot.width, title=title)

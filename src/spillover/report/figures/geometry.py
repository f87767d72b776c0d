"""Charts of the languages beside each other: metrics by layer, language × language, and principal components."""

from collections.abc import Iterator

import numpy as np

from spillover.languages import get_language
from spillover.records import Findings, FoldedGeometry, Geometry
from spillover.report.figures.charts import Datum
from spillover.report.figures.figure import Control, Figure, Plot, slugs
from spillover.report.figures.folded_geometry import BESIDE, BESIDE_NAMES, folded_plots, folded_reading
from spillover.report.figures.geometry_charts import (
    LAYER,
    METRIC,
    component_plot,
    curves,
    pair_cells,
    short,
    thousandths,
)
from spillover.report.tables.gains import GROUPS
from spillover.report.tables.geometry import over_pairs, three_decimals

FIRST = "cka"
"""The metric that is shown first, if it was measured."""

POINTS = 20
"""Most items drawn per language."""


def geometry(findings: Findings) -> Figure:
    """Show per task each metric by layer and between every two languages, and the first two components.

    A task of very many languages has each language beside groups of others instead.
    """
    title = "Languages side by side"
    geometries, folded = findings.internals.geometry, findings.internals.folded_geometry
    tasks: tuple[Geometry | FoldedGeometry, ...] = (*geometries, *folded)
    if not tasks:
        return Figure(title, "", ())
    metrics = tuple(dict.fromkeys(a.metric for task in tasks for a in task.alignments))
    first = FIRST if FIRST in metrics else metrics[0]
    depth = tasks[0].alignments[0].value.shape[1]
    layer = depth // 2
    files = slugs([task.task for task in tasks])
    plots = []
    for task, file in zip(geometries, files, strict=False):
        plots += [_by_layer(task, first, file), *_heatmaps(task, first, layer, file)]
        plots += [_components(task, findings, arm, layer, file) for arm in range(len(task.arms))]
    for many, file in zip(folded, files[len(geometries) :], strict=True):
        plots += folded_plots(many, findings, first, layer, file)
    steps = tuple(f"{place} of {depth - 1} (depth {place / max(1, depth - 1):.2f})" for place in range(depth))
    controls = [Control(METRIC, "Metric", metrics, metrics.index(first)), Control(LAYER, "Layer", steps, layer, True)]
    if folded:
        controls.insert(1, Control(BESIDE, "Beside", tuple(BESIDE_NAMES[group] for group in folded[0].groups), 0))
    return Figure(
        title,
        "How similarly the model represents the same item in two languages. The gray band is the metric when items are "
        "paired at random: a value inside it means nothing. A metric that ends in -partial has text length partialled "
        "out. In the components, a small mark is an item and a code is the mean of a language. All arms share "
        f"their axes.{folded_reading(folded)}",
        tuple(plots),
        controls=tuple(controls),
    )


def _by_layer(geometry: Geometry, first: str, file: str) -> Plot:
    rows: list[Datum] = []
    for alignment in geometry.alignments:
        means = over_pairs(alignment.value)
        low, high = (over_pairs(part).mean(axis=0) for part in (alignment.null_low, alignment.null_high))
        layers = list(range(means.shape[1]))
        for arm, values in zip(geometry.arms, means, strict=True):
            numbers = {"value": short(values), "low": short(low), "high": short(high)}
            rows.append({"metric": alignment.metric, "arm": arm, "layers": layers, **numbers})
    depth = len(rows[0]["layers"])
    start = next(a for a in geometry.alignments if a.metric == _start_metric(geometry, first))
    ends = "; ".join(
        f"{arm} {three_decimals(values.max())} at layer {values.argmax()}"
        for arm, values in zip(geometry.arms, over_pairs(start.value), strict=True)
    )
    alt_text = f"{geometry.task}: mean over language pairs of {start.metric} by layer. Highest: {ends}."
    return Plot(f"metrics-{file}", f"{geometry.task}: by layer", alt_text, curves(rows, first, depth), rows=rows)


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
            "values": thousandths(merged[..., place]),
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
    chart = pair_cells(geometry.languages, params)
    title = f"{geometry.task}: {geometry.arms[0]} below the diagonal, {geometry.arms[arm]} above"
    return Plot(f"pairs-{file}", title, alt_text, chart, rows=rows)


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
            rows.append({**names, "label": label, "x": thousandths(mark[:, 0]), "y": thousandths(mark[:, 1])})
    return component_plot(geometry, arm, layer, rows, file)


def _start_metric(geometry: Geometry, first: str) -> str:
    """Return the metric `first`, or another one if this task lacks it."""
    return first if first in [a.metric for a in geometry.alignments] else geometry.alignments[0].metric

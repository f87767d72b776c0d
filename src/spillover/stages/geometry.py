"""The geometry of a task's languages, computed from the traces of all its cells."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spillover.analysis.interpretability.folding import (
    FOLDED_ABOVE,
    GROUPS,
    group_members,
    over_groups,
    pair_layers,
)
from spillover.analysis.interpretability.geometry import (
    Layer,
    Metric,
    Sample,
    check_items,
    geometry,
    measure_layers,
    metric_names,
)
from spillover.analysis.statistics.clusters import shared_contexts
from spillover.plugins import METRICS, check_name, resolve
from spillover.records import Alignment, FoldedGeometry, Geometry, Item
from spillover.stages.items import Items
from spillover.store import Artifact, Store, read_arrays, read_layers, write_arrays
from spillover.tasks import open_task
from spillover.utils.progress import bar


def check_metrics(metrics: Sequence[str], items: Items) -> None:
    """Refuse unknown metrics, and too few items for a metric, before any work is done."""
    for name in metrics:
        check_name(METRICS, name, "analyze.metrics")
    for task, rows in _by_task(items).items() if metrics else ():
        check_items(task, len(next(iter(rows.values()))))


def compare_languages(
    store: Store,
    arms: Sequence[str],
    items: Items,
    metrics: Sequence[str],
    pivot: str,
    tuned_on: Collection[str],
) -> tuple[tuple[Geometry, ...], tuple[FoldedGeometry, ...]]:
    """Return the geometry of each task with 2 to 40 languages, and that of each task with more. Traces must exist.

    arms: their names. pivot, tuned_on: codes of languages that each of very many is compared with.
    """
    whole, folded = list[Geometry](), list[FoldedGeometry]()
    tasks = _by_task(items) if metrics else {}
    with bar("compare languages (tasks)", len(tasks)) as progress:
        for task, rows in tasks.items():
            traces = _Traces.of(store, tuple(arms), task, rows)
            if len(rows) > FOLDED_ABOVE:
                folded.append(_compare_many(store, traces, metrics, pivot, sorted(tuned_on)))
            else:
                whole.append(_compare(store, traces, metrics))
            progress.advance()
    return tuple(whole), tuple(folded)


@dataclass(frozen=True, slots=True)
class _Traces:
    """The traces of a task, and its items."""

    paths: Sequence[Sequence[Path]]
    """(arms, languages)"""
    keys: list[list[str]]
    """(arms, languages) keys of the traces."""
    sample: Sample
    """The items."""

    @classmethod
    def of(cls, store: Store, arms: tuple[str, ...], task: str, rows: Mapping[str, Sequence[Item]]) -> "_Traces":
        """Find the traces of a task. rows: language → items."""
        traces = [[store.linked(f"traces/{arm}/{task}/{language}.safetensors") for language in rows] for arm in arms]
        paths = [
            [trace.path / f"{language}.safetensors" for trace, language in zip(of_arm, rows, strict=True)]
            for of_arm in traces
        ]
        lengths = [[sum(len(text.encode()) for text in item.fields) for item in items] for items in rows.values()]
        contexts = shared_contexts(next(iter(rows.values())))
        sample = Sample(
            task, arms, tuple(rows), np.array(lengths, dtype=np.float64), tuple(np.array(group) for group in contexts)
        )
        return cls(paths, [[trace.key for trace in of_arm] for of_arm in traces], sample)

    def inputs(self, metrics: Sequence[str]) -> list[object]:
        """Return everything that the comparison depends on."""
        lengths = [[int(length) for length in row] for row in self.sample.lengths]
        contexts = [group.tolist() for group in self.sample.contexts]
        return [self.keys, list(self.sample.languages), lengths, contexts, list(metrics)]


def _compare(store: Store, traces: _Traces, metrics: Sequence[str]) -> Geometry:
    sample, name = traces.sample, f"{traces.sample.task}.safetensors"

    def write(folder: Path) -> None:
        made = geometry(sample, _layers(traces.paths), _resolved(metrics))
        tables = {a.metric: np.stack([a.value, a.null_low, a.null_high]) for a in made.alignments}
        write_arrays(folder / name, components=made.components, **tables)

    artifact = store.get_or_make("geometry", traces.inputs(metrics), f"geometry/{name}", write)
    arrays = read_arrays(artifact.path / name)
    return Geometry(
        task=sample.task,
        arms=sample.arms,
        languages=sample.languages,
        items=sample.lengths.shape[1],
        alignments=tuple(Alignment(metric, *arrays[metric]) for metric in metric_names(metrics) if metric in arrays),
        components=arrays["components"],
    )


MEANS, CENTERS = "means.safetensors", "centers"
"""The file of a folded geometry with each metric's means, and the array in it with the languages' centers."""


def _compare_many(
    store: Store, traces: _Traces, metrics: Sequence[str], pivot: str, tuned_on: Sequence[str]
) -> FoldedGeometry:
    """Compare very many languages. Every layer with all its pairs is a file of its own, so none is held in memory."""
    sample, names = traces.sample, metric_names(metrics)
    members = group_members(sample.languages, pivot, tuned_on)

    def write(folder: Path) -> None:
        means, centers = [], []
        for number, layer in enumerate(measure_layers(sample, _layers(traces.paths), _resolved(metrics))):
            tables = layer.scores.astype(np.float32).transpose(1, 2, 0, 3, 4)  # (metrics, 3, arms, a, b)
            write_arrays(folder / _layer_file(number), **dict(zip(names, tables, strict=True)))
            means.append(over_groups(layer.scores, members))
            centers.append(layer.components.mean(axis=2).astype(np.float32))
        # (layers, arms, metrics, 3, groups, languages) → (metrics, 3, arms, layers, groups, languages)
        of_metrics = np.stack(means).transpose(2, 3, 1, 0, 4, 5)
        present = {name: table for name, table in zip(names, of_metrics, strict=True) if not np.isnan(table).all()}
        write_arrays(folder / MEANS, **{CENTERS: np.stack(centers, axis=1)}, **present)

    inputs = [*traces.inputs(metrics), pivot, list(tuned_on)]
    artifact = store.get_or_make("folded-geometry", inputs, f"geometry/{sample.task}", write)
    return _folded(artifact, sample, names)


def _folded(artifact: Artifact, sample: Sample, names: Sequence[str]) -> FoldedGeometry:
    means = read_arrays(artifact.path / MEANS)
    layers, measured = pair_layers(means[CENTERS].shape[1]), [name for name in names if name in means]
    pairs = [read_arrays(artifact.path / _layer_file(layer)) for layer in layers]
    return FoldedGeometry(
        task=sample.task,
        arms=sample.arms,
        languages=sample.languages,
        items=sample.lengths.shape[1],
        groups=GROUPS,
        pair_layers=layers,
        alignments=tuple(Alignment(name, *means[name]) for name in measured),
        pairs=np.stack([np.stack([arrays[name][0] for arrays in pairs], axis=1) for name in measured]),  # without nulls
        centers=means[CENTERS],
    )


def _layer_file(layer: int) -> str:
    return f"layer-{layer:03}.safetensors"


def _resolved(metrics: Sequence[str]) -> dict[str, Metric]:
    return {metric: resolve(METRICS, metric, "analyze.metrics") for metric in metrics}


def _by_task(items: Items) -> dict[str, dict[str, Sequence[Item]]]:
    """Return task → language → items, of the tasks with two languages or more."""
    by_task: dict[str, dict[str, Sequence[Item]]] = defaultdict(dict)
    for (task, language), rows in items.items():
        by_task[open_task(task).name][language] = rows
    return {task: rows for task, rows in by_task.items() if len(rows) > 1}


def _layers(paths: Sequence[Sequence[Path]]) -> Iterator[Layer]:
    """Yield each layer of the traces, paths[arm][language], of all arms and languages together."""
    readers = [read_layers(path, name) for name in ("last", "body_mean") for of_arm in paths for path in of_arm]
    for states in zip(*readers, strict=True):
        arrays = np.stack(states).reshape(2, len(paths), len(paths[0]), *states[0].shape)
        yield Layer(last=arrays[0], body_mean=arrays[1])

"""The geometry of a task's languages, computed from the traces of all its cells."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from spillover.analysis.interpretability.geometry import PARTIAL, Layer, Sample, check_items, geometry
from spillover.analysis.statistics.clusters import shared_contexts
from spillover.plugins import METRICS, check_name, resolve
from spillover.records import Alignment, Geometry, Item
from spillover.stages.items import Items
from spillover.store import Store, read_arrays, read_layers, write_arrays
from spillover.tasks import open_task
from spillover.utils.progress import bar


def check_metrics(metrics: Sequence[str], items: Items) -> None:
    """Refuse unknown metrics, and too few items for a metric, before any work is done."""
    for name in metrics:
        check_name(METRICS, name, "analyze.metrics")
    for task, rows in _by_task(items).items() if metrics else ():
        check_items(task, len(next(iter(rows.values()))))


def compare_languages(store: Store, arms: Sequence[str], items: Items, metrics: Sequence[str]) -> list[Geometry]:
    """Return the geometry of each task with two or more languages, in the arms of these names. Traces must exist."""
    tasks = _by_task(items) if metrics else {}
    with bar("compare languages (tasks)", len(tasks)) as progress:
        geometries = []
        for task, rows in tasks.items():
            geometries.append(_compare(store, tuple(arms), task, rows, metrics))
            progress.advance()
        return geometries


def _compare(
    store: Store, arms: tuple[str, ...], task: str, rows: Mapping[str, Sequence[Item]], metrics: Sequence[str]
) -> Geometry:
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
    name = f"{task}.safetensors"

    def write(folder: Path) -> None:
        chosen = {metric: resolve(METRICS, metric, "analyze.metrics") for metric in metrics}
        made = geometry(sample, _layers(paths), chosen)
        tables = {a.metric: np.stack([a.value, a.null_low, a.null_high]) for a in made.alignments}
        write_arrays(folder / name, components=made.components, **tables)

    keys = [[trace.key for trace in of_arm] for of_arm in traces]
    artifact = store.get_or_make(
        "geometry", [keys, list(rows), lengths, contexts, list(metrics)], f"geometry/{name}", write
    )
    arrays = read_arrays(artifact.path / name)
    names = [metric + suffix for metric in metrics for suffix in ("", PARTIAL)]
    return Geometry(
        task=task,
        arms=arms,
        languages=sample.languages,
        items=len(lengths[0]),
        alignments=tuple(Alignment(metric, *arrays[metric]) for metric in names if metric in arrays),
        components=arrays["components"],
    )


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

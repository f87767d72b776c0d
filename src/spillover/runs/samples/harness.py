"""Files that lm-evaluation-harness writes with `--log_samples`: `samples_<task>_<time>.jsonl`, a row per document.

A file has every document once per filter. In tasks with choices, `resps` holds a log-probability per choice.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from spillover.errors import SpilloverError, did_you_mean
from spillover.records import Sample
from spillover.runs.samples.scores import read_score
from spillover.sources.files import TableRow, read_rows
from spillover.utils.formatting import listed
from spillover.utils.progress import notify

FILE = re.compile(r"samples_(?P<task>.+?)(?:_(?P<time>\d{4}-\d\d-\d\dT[\d.-]+))?\.jsonl(?:\.gz)?")
"""The name of a file: its task, and when it was made."""

MEANS = re.compile(r"results_\d{4}-\d\d-\d\dT[\d.-]+\.json")
"""The name of a file with means alone, which the harness always writes."""

COLUMNS = frozenset(["doc_id", "doc", "target", "resps", "filtered_resps"])
"""What every row has."""

ACCURACY = "acc"
"""The metric of the choice with the highest log-probability."""

CONTEXTS = ("passage", "flores_passage", "context", "article", "story", "premise")
"""Fields of documents that several of them share; the first that a document has counts."""

Row = Mapping[str, Any]


def matches(path: Path) -> bool:
    """Return whether a path is a folder of the harness's, or a file, by its name or its first row."""
    if path.is_dir():
        return any(FILE.fullmatch(file.name) or MEANS.fullmatch(file.name) for file in path.rglob("*.json*"))
    if MEANS.fullmatch(path.name):
        return True
    return ".jsonl" in path.suffixes and (_is_timed(path) or _first_row(path).keys() >= COLUMNS)


def read(path: Path, metric: str) -> list[Sample]:
    """Return the samples of a file, or of all tasks of a results folder: of each task its latest file.

    metric: name of the metric, perhaps with a filter behind a comma, as in the harness's own results
    (`exact_match,flexible-extract`); empty: accuracy by log-probability where there is one, else the first metric.

    Raises:
        SpilloverError: the folder has no samples, or those of several models; a file is not as the harness writes it.
    """
    if MEANS.fullmatch(path.name):
        raise SpilloverError(f"{path}: found means, expected the samples, which the harness writes with --log_samples")
    files = _latest(path) if path.is_dir() else {_task_of(path): path}
    return [sample for task, file in files.items() for sample in _of_file(file, task, metric)]


def label(path: Path) -> str:
    """Return what the name of a folder or a file says about its arm: `a` for `samples_a.jsonl`."""
    name = FILE.fullmatch(path.name)
    if path.is_dir():
        return path.name
    return name["task"] if name else path.name.partition(".")[0]


def _is_timed(path: Path) -> bool:
    name = FILE.fullmatch(path.name)
    return name is not None and name["time"] is not None


def _first_row(path: Path) -> Row:
    try:
        with path.open(encoding="utf-8") as file:
            row = json.loads(file.readline())
    except (OSError, ValueError):
        return {}
    return row if isinstance(row, dict) else {}


def _task_of(path: Path) -> str:
    """Return the task that a file's name says; a renamed file has none."""
    name = FILE.fullmatch(path.name)
    return name["task"] if name and name["time"] else "samples"


def _latest(folder: Path) -> dict[str, Path]:
    """Return task → its latest file."""
    files = sorted(file for file in folder.rglob("samples_*.jsonl*") if FILE.fullmatch(file.name))
    models = sorted({file.parent for file in files})
    if not files:
        raise SpilloverError(f"{folder}: found no samples, expected those that the harness writes with --log_samples")
    if len(models) > 1:
        names = ", ".join(str(model.relative_to(folder)) for model in models[:5])
        raise SpilloverError(
            f"{folder}: found samples in {len(models)} folders ({names}), expected those of one model; name one of them"
        )
    latest: dict[str, Path] = {}
    for file in files:  # by time within a task
        latest[_task_of(file)] = file
    if left := len(files) - len(latest):
        notify(f"{folder}: leaves out {left} older files of the same tasks")
    return latest


def _of_file(path: Path, task: str, metric: str) -> list[Sample]:
    rows = read_rows(path, "en")
    for row in rows:
        for column in sorted(COLUMNS):
            row.value(column)
    name, _, filter_name = metric.partition(",")
    filtered = _of_filter(path, rows, filter_name)
    name = name or _metric(filtered[0])
    samples = [replace(_sample(row, task, name), metric=_full_name(name, filtered[0])) for row in filtered]
    return _with_choices(samples, filtered) if name == ACCURACY else samples


def _full_name(metric: str, row: TableRow) -> str:
    """Return a metric with its filter, as the harness's own results name it."""
    return f"{metric},{row.cells.get('filter', 'none')}"


def _of_filter(path: Path, rows: Sequence[TableRow], name: str) -> list[TableRow]:
    """Return the rows of one filter: the one named, else the file's first."""
    filters = list(dict.fromkeys(str(row.cells.get("filter", "none")) for row in rows))
    if name and name not in filters:
        raise SpilloverError(f"--metric: {path}: found no filter {name!r}; {did_you_mean(name, filters)}")
    if len(filters) > 1 and not name:
        notify(f"{path.name}: found the filters {listed(filters)}; reads {filters[0]}. --metric NAME,FILTER names one")
    chosen = name or filters[0]
    return [row for row in rows if str(row.cells.get("filter", "none")) == chosen]


def _metric(row: TableRow) -> str:
    """Return the metric that is read by default: accuracy, else the first one that is a number."""
    names = _metrics(row)
    if not names:
        raise SpilloverError(f"{row.place}: found no metric with a score, expected one, such as {ACCURACY}")
    return ACCURACY if ACCURACY in names else names[0]


def _metrics(row: TableRow) -> list[str]:
    listed_names = row.cells.get("metrics")
    names = listed_names if isinstance(listed_names, list) else [n for n in row.cells if n not in COLUMNS]
    return [name for name in names if isinstance(row.cells.get(name), bool | int | float)]


def _sample(row: TableRow, task: str, metric: str) -> Sample:
    if metric not in row.cells:
        raise SpilloverError(f"--metric: {row.place}: found no {metric!r}; {did_you_mean(metric, _metrics(row))}")
    document, written = row.value("doc"), row.value("filtered_resps")
    fields = document if isinstance(document, dict) else {"document": document}
    texts = tuple(text for text in fields.values() if isinstance(text, str) and text.strip())
    answer = written[0] if isinstance(written, list) and written and isinstance(written[0], str) else ""
    return Sample(
        item=str(row.value("doc_id")),
        task=task,
        language="",
        score=read_score(row.cells[metric], f"{row.place}: {metric}"),
        digest=str(row.cells.get("doc_hash", "")),
        texts=texts,
        cluster=next((str(fields[name]) for name in CONTEXTS if fields.get(name)), ""),
        golds=(str(row.value("target")),),
        answer=answer,
    )


def _with_choices(samples: Sequence[Sample], rows: Sequence[TableRow]) -> list[Sample]:
    """Add the log-probabilities of the choices, if the choice with the highest one explains every accuracy.

    It does not where several choices are right, or where prompts differ instead of choices.
    """
    choices = [_choices(row.cells) for row in rows]
    for gold_of in GOLDS:
        golds = [gold_of(row.cells, names) for row, (names, _) in zip(rows, choices, strict=True)]
        pairs = list(zip(samples, choices, golds, strict=True))
        if all(gold is not None and float(_chosen(scores) == gold) == s.score for s, (_, scores), gold in pairs):
            return [
                replace(sample, labels=names, logprobs=scores, gold=gold or 0)
                for sample, (names, scores), gold in pairs
            ]
    return list(samples)


def _choices(row: Row) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Return the choices of a row with their log-probabilities, in nats; nothing where it has none of its own."""
    arguments, responses = row.get("arguments"), row["resps"]
    requests = list(arguments.values()) if isinstance(arguments, dict) else arguments
    try:
        names = tuple(str(request["arg_1"] if isinstance(request, dict) else request[1]) for request in requests or ())
        scores = tuple(float(response[0][0]) for response in responses)
    except (LookupError, TypeError, ValueError):  # answers in words
        return (), ()
    apart = len(set(names)) == len(names) == len(scores) > 1
    return (names, scores) if apart and all(map(math.isfinite, scores)) else ((), ())


def _chosen(scores: Sequence[float]) -> int:
    return scores.index(max(scores)) if scores else -1


def _numbered(row: Row, choices: Sequence[str]) -> int | None:
    """Return the right choice where `target` is its number."""
    target = str(row["target"])
    return int(target) if target.isdecimal() and int(target) < len(choices) else None


def _spelled(row: Row, choices: Sequence[str]) -> int | None:
    """Return the right choice where `target` is its text."""
    plain = [choice.strip() for choice in choices]
    target = str(row["target"]).strip()
    return plain.index(target) if target in plain else None


GOLDS: tuple[Callable[[Row, Sequence[str]], int | None], ...] = (_numbered, _spelled)
"""How `target` may name the right choice."""

"""Any file of rows: an item, its language and its score in each, as scripts and spreadsheets write them.

Instead of a score, a row may have the log-probability of every choice (`logprobs`, a list) and the index of the right
one (`gold`).
"""

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from spillover.errors import SpilloverError, did_you_mean
from spillover.records import Sample
from spillover.runs.samples.scores import read_score
from spillover.sources.files import ENDINGS, TableRow, ending, read_rows
from spillover.sources.table import id_column

ITEM = ("item", "doc_id")
"""Names of the column with an item's id, besides those that `sources` knows; the first that a file has counts."""

SCORE = ("correct", "is_correct", "score", "acc", "accuracy", "exact_match", "em", "f1")
"""Names of the column with the score."""

LANGUAGE = ("language", "lang", "locale")
"""Names of the column with the language."""

TASK = ("task", "subset", "dataset", "benchmark")
"""Names of the column with the task."""

TEXT = ("text", "question", "prompt", "input")
"""Names of the column with the item's text, for readers."""

ANSWER = ("answer", "prediction", "response", "output")
"""Names of the column with what the model wrote, for readers."""

TARGET = ("target", "expected", "reference")
"""Names of the column with the right answer, for readers."""

CLUSTER, LOGPROBS, GOLD = ("cluster",), "logprobs", "gold"
"""Columns with what several items share, with the choices' log-probabilities, and with the index of the right one."""


def matches(path: Path) -> bool:
    """Return whether a path is a file of rows, by the ending of its name."""
    return not path.is_dir() and ending(path) in ENDINGS


def label(path: Path) -> str:
    """Return the name of a file without its ending."""
    return path.name.partition(".")[0]


def read(path: Path, metric: str) -> list[Sample]:
    """Return the rows of a file. `metric` names the column of the score; empty: the first of `SCORE`.

    Raises:
        SpilloverError: the file cannot be read, has no column of ids or scores, or a score is not in [0, 1].
    """
    rows = read_rows(path, "en")
    columns = dict.fromkeys(column for row in rows for column in row.cells)
    id = _first(ITEM, columns) or id_column(rows, ())
    if id is None:
        raise SpilloverError(f"{path}: found no column with the items' ids; {did_you_mean('item', columns)}")
    if not metric and {LOGPROBS, GOLD} <= columns.keys():
        return [_with_choices(_sample(row, id, columns, 0.0), row) for row in rows]
    column = metric or _first(SCORE, columns)
    if column is None:
        names = ", ".join(SCORE)
        raise SpilloverError(f"{path}: found no column with a score, expected one of {names}, or --metric COLUMN")
    scores = [read_score(row.value(column), f"{row.place}: column {column!r}") for row in rows]
    return [_sample(row, id, columns, score) for row, score in zip(rows, scores, strict=True)]


def _first(names: Sequence[str], columns: Collection[str]) -> str | None:
    return next((name for name in names if name in columns), None)


def _sample(row: TableRow, id: str, columns: Collection[str], score: float) -> Sample:
    def cell(names: Sequence[str]) -> str:
        value = row.cells.get(_first(names, columns) or "")
        return "" if value is None else str(value).strip()

    text, target = cell(TEXT), cell(TARGET)
    return Sample(
        item=row.name(id),
        task=cell(TASK) or "samples",
        language=cell(LANGUAGE),
        score=score,
        texts=(text,) if text else (),
        cluster=cell(CLUSTER),
        golds=(target,) if target else (),
        answer=cell(ANSWER),
    )


def _with_choices(sample: Sample, row: TableRow) -> Sample:
    """Add the log-probabilities of the choices, and the score that they make."""
    written, gold = row.value(LOGPROBS), row.value(GOLD)
    try:
        numbers = json.loads(written) if isinstance(written, str) else written
        logprobs = tuple(float(number) for number in numbers)  # type: ignore[union-attr]
        index = int(str(gold))
    except (TypeError, ValueError):
        logprobs, index = (), 0
    if len(logprobs) < 2 or not all(map(math.isfinite, logprobs)) or not 0 <= index < len(logprobs):
        raise SpilloverError(
            f"{row.place}: found {LOGPROBS} {written!r:.80} and {GOLD} {gold!r:.20}, expected a list of two or more "
            "numbers, and the index of the right one"
        )
    right = logprobs.index(max(logprobs)) == index
    labels = tuple(f"choice {number}" for number in range(1, len(logprobs) + 1))
    return replace(sample, score=float(right), labels=labels, gold=index, logprobs=logprobs)

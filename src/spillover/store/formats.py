"""File formats of records, arrays and predictions: Parquet and safetensors.

A file that cannot be read is one sentence. A file that cannot be written is an `OSError`, whichever library writes it.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from spillover.errors import SpilloverError, as_os_error
from spillover.records import Length, Outcome, Prediction, Result
from spillover.store.stages import check_whole

Record = TypeVar("Record")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn the libraries' errors about a file that is cut off, damaged or gone into one sentence."""
    try:
        yield
    except (OSError, pa.ArrowException, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise SpilloverError(
            f"{path}: cannot read it: {error}; run the experiment again, which makes anew what is damaged"
        ) from error


def write_records(path: Path, kind: type[Any], records: Iterable[object]) -> None:
    """Write records of one type as Parquet, one column per field."""
    rows = list(records)
    columns = {field.name: [getattr(row, field.name) for row in rows] for field in fields(kind)}
    pq.write_table(pa.table(columns), path)


def read_records(path: Path, kind: type[Record]) -> list[Record]:
    """Read the records of a file by `write_records`."""
    names = fields(kind)  # type: ignore[arg-type] # the records are dataclasses
    listed = {field.name for field in names if get_origin(field.type) is tuple}
    with _reading(path):
        rows = _read_table(path).to_pylist()
        return [kind(**{k: tuple(v) if k in listed else v for k, v in row.items()}) for row in rows]


def _read_table(path: Path) -> pa.Table:
    """Read a file as `pyarrow.parquet.read_table` does, without the pandas that it imports."""
    with pq.ParquetFile(path) as file:
        return file.read()


Arrays = dict[str, np.ndarray[Any, Any]]
"""Name → array, as a safetensors file holds them."""


def write_arrays(path: Path, **arrays: np.ndarray[Any, Any]) -> None:
    """Write named arrays as safetensors."""
    # safetensors would silently write an array that is not contiguous in the order of memory
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    try:
        save_file(whole, path)
    except SafetensorError as error:
        raise as_os_error(error, path) from error


def read_arrays(path: Path, *names: str) -> Arrays:
    """Read the named arrays of a file by `write_arrays`; without names, all of them."""
    with _reading(path), safe_open(path, "numpy") as file:
        return {name: file.get_tensor(name) for name in names or file.keys()}


def read_layers(path: Path, name: str) -> Iterator[np.ndarray[Any, Any]]:
    """Yield an array of a file by `write_arrays`, (items, layers, …), one layer in memory at a time."""
    with _reading(path), safe_open(path, "numpy") as file:
        array = file.get_slice(name)
        for layer in range(array.get_shape()[1]):
            yield array[:, layer]


def read_layer(path: Path, name: str, layer: int) -> np.ndarray[Any, Any]:
    """Read one layer of an array of a file by `write_arrays`, (items, layers, …)."""
    with _reading(path), safe_open(path, "numpy") as file:
        array: np.ndarray[Any, Any] = file.get_slice(name)[:, layer]
        return array


LENGTHS: tuple[Length, ...] = get_args(Length)
"""Units in which lengths of choices are stored."""


def write_predictions(path: Path, predictions: Sequence[Prediction], labels: Sequence[str]) -> None:
    """Write a cell's predictions: id, gold, and per label a column of log-probabilities and one of them per token.

    Where the task asks for accuracy by length: also per label a column of its choice's characters, or bytes.
    labels: as many as the item with most of them has; the cells of an item with fewer are empty in the last columns.
    The scores of the content-free prompts stand once in the file's metadata, as `content_free`: a JSON list.
    """
    columns: dict[str, list[Any]] = {"id": [p.id for p in predictions], "gold": [p.gold for p in predictions]}
    for index, label in enumerate(labels):
        columns[f"logprob:{label}"] = [_at(p.logprobs, index) for p in predictions]
    if all(p.logprobs_per_token for p in predictions):
        for index, label in enumerate(labels):
            columns[f"normalized:{label}"] = [_at(p.logprobs_per_token, index) for p in predictions]
    for unit in LENGTHS if predictions else ():
        for index, label in enumerate(labels if unit in predictions[0].lengths else ()):
            columns[f"{unit}:{label}"] = [_at(p.lengths[unit], index) for p in predictions]
    content_free = json.dumps(predictions[0].content_free if predictions else ())
    pq.write_table(pa.table(columns, metadata={"content_free": content_free}), path)


def _at(scores: Sequence[float], index: int) -> float | None:
    return scores[index] if index < len(scores) else None


def read_arm(run: Path, arm: str) -> list[Result]:
    """Read the predictions and the outcomes of one arm, of every cell that a run folder links to.

    Raises:
        SpilloverError: a cell's file has changed since it was written.
    """
    scored, written = (sorted((run / kind / arm).glob("*/*.parquet")) for kind in ("predictions", "outcomes"))
    for file in (*scored, *written):
        check_whole(file)
    predictions = [row for file in scored for row in read_predictions(file, file.parent.name, file.stem)]
    return [*predictions, *(row for file in written for row in read_records(file, Outcome))]


def read_predictions(path: Path, task: str, language: str) -> list[Prediction]:
    """Read the predictions of a file by `write_predictions`."""
    with _reading(path):
        table = _read_table(path)
        content_free = tuple(json.loads(table.schema.metadata[b"content_free"]))
        return [
            Prediction(
                id=row["id"],
                task=task,
                language=language,
                gold=row["gold"],
                logprobs=_scores(row, "logprob:"),
                logprobs_per_token=_scores(row, "normalized:"),
                content_free=content_free,
                lengths={unit: values for unit in LENGTHS if (values := tuple(map(int, _scores(row, f"{unit}:"))))},
            )
            for row in table.to_pylist()
        ]


def _scores(row: dict[str, Any], kind: str) -> tuple[float, ...]:
    return tuple(value for name, value in row.items() if name.startswith(kind) and value is not None)

"""Logs of inspect: `.eval`, a zip archive with a JSON file per sample, and `.json`, one file with all of them."""

import hashlib
import json
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow as pa

from spillover.errors import SpilloverError, did_you_mean, first_line
from spillover.records import Sample
from spillover.runs.samples.scores import read_score

ARCHIVE = ".eval"
"""Ending of a log that is an archive."""

ZSTANDARD = 93
"""Number of a compression that Python's `zipfile` does not know before 3.14."""

LOCAL_HEADER = 30
"""Bytes of a zip entry's own header, before its name and its extra field."""

LANGUAGES = ("language", "lang", "locale")
"""Keys of a sample's metadata, or of the task's arguments, that name its language."""

Log = Mapping[str, Any]


def matches(path: Path) -> bool:
    """Return whether a path is a log, or a folder with archives."""
    if path.is_dir():
        return any(path.glob(f"*{ARCHIVE}"))
    if path.suffix == ".json":
        try:
            log = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return False
        return isinstance(log, dict) and {"eval", "plan"} <= log.keys()
    return path.suffix == ARCHIVE


def read(path: Path, metric: str) -> list[Sample]:
    """Return the samples of a log, or of all logs of a folder. Epochs of one sample are averaged.

    metric: name of the scorer, with a key behind a slash where its scores have several (`grader/style`); empty: the
    only one that there is.

    Raises:
        SpilloverError: a log is damaged, did not finish, or lacks the score.
    """
    logs = sorted(path.glob(f"*{ARCHIVE}")) if path.is_dir() else [path]
    return [sample for log in logs for sample in _of_log(log, metric)]


def label(path: Path) -> str:
    """Return the model of a log, or of the first log of a folder."""
    log = min(path.glob(f"*{ARCHIVE}")) if path.is_dir() else path
    return str(_opened(log)[0]["eval"].get("model", ""))


def _opened(path: Path) -> tuple[Log, list[Log]]:
    """Return a log's header and its samples; one sentence where it is none."""
    try:
        header, samples = _archive(path) if path.suffix == ARCHIVE else _object(path)
        _ = header["eval"]["task"], header["status"]
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise SpilloverError(f"{path}: cut off or not a log of inspect: {first_line(error)}") from error
    return header, samples


def _of_log(path: Path, metric: str) -> list[Sample]:
    header, samples = _opened(path)
    evaluation, status = header["eval"], header["status"]
    if status != "success":
        raise SpilloverError(f"{path}: found the status {status!r}, expected a log that ended with 'success'")
    epochs: dict[str, list[Sample]] = defaultdict(list)
    for number, log in enumerate(samples, 1):
        try:
            sample = _sample(log, evaluation, metric, f"{path}: sample {log['id']!r}")
        except (AttributeError, KeyError, TypeError) as error:
            raise SpilloverError(f"{path}: sample number {number}: not as inspect writes it: {error!r}") from error
        epochs[sample.item].append(sample)
    if not epochs:
        raise SpilloverError(f"{path}: found no samples, expected at least one")
    return [replace(rows[0], score=fmean(row.score for row in rows)) for rows in epochs.values()]


def _object(path: Path) -> tuple[Log, list[Log]]:
    log = json.loads(path.read_bytes())
    return log, log.get("samples") or []


def _archive(path: Path) -> tuple[Log, list[Log]]:
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if "header.json" not in entries:
            raise SpilloverError(f"{path}: found no header.json, expected a log that ended: this run was broken off")
        names = [name for name in entries if name.startswith("samples/") and name.endswith(".json")]
        samples = [json.loads(_content(path, archive, entries[name])) for name in names]
        return json.loads(_content(path, archive, entries["header.json"])), samples


def _content(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.compress_type != ZSTANDARD:
        return archive.read(entry)
    with path.open("rb") as file:
        file.seek(entry.header_offset)
        header = file.read(LOCAL_HEADER)
        lengths = (int.from_bytes(header[place : place + 2], "little") for place in (26, 28))
        file.seek(sum(lengths), 1)
        data = file.read(entry.compress_size)
    with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
        content: bytes = stream.read()
    return content


def _sample(log: Log, evaluation: Log, metric: str, where: str) -> Sample:
    about = {**(evaluation.get("task_args") or {}), **(log.get("metadata") or {})}
    target = log.get("target", "")
    texts = tuple(_texts(log.get("input", "")))
    content = json.dumps([log.get("input"), target], ensure_ascii=False, sort_keys=True)
    scorer, score = _score(log.get("scores") or {}, metric, where)
    return Sample(
        item=str(log["id"]),
        task=str(evaluation["task"]),
        language=next((str(about[key]) for key in LANGUAGES if about.get(key)), ""),
        score=read_score(score["value"], f"{where}: {scorer}"),
        metric=scorer,
        digest=hashlib.sha256(content.encode()).hexdigest(),
        texts=texts,
        golds=tuple(map(str, target)) if isinstance(target, list) else (str(target),),
        answer=str(score.get("answer") or ""),
    )


def _score(scores: Mapping[str, Log], metric: str, where: str) -> tuple[str, Log]:
    """Return the scorer's name and its score; a score of several keys is taken apart."""
    named: dict[str, Log] = {}
    for scorer, score in scores.items():
        value = score.get("value")
        keys = {f"{scorer}/{key}": part for key, part in value.items()} if isinstance(value, dict) else {scorer: value}
        named |= {name: {**score, "value": part} for name, part in keys.items()}
    if not named:
        raise SpilloverError(f"{where}: found no score, expected every sample scored")
    if not metric and len(named) > 1:
        raise SpilloverError(f"{where}: found several scores, expected --metric with one; {did_you_mean('', named)}")
    name = metric or next(iter(named))
    if name not in named:
        raise SpilloverError(f"--metric: {where}: found no score {name!r}; {did_you_mean(name, named)}")
    return name, named[name]


def _texts(content: object) -> Iterator[str]:
    """Yield the texts of a sample's input: a text, or messages of a chat."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for message in content:
            yield from _texts(message.get("content", message.get("text", "")) if isinstance(message, dict) else "")

"""Run folders: the only module that touches them.

A stage's results live under `runs/.stages/<kind>-<digest of its inputs>`, and a run folder links to them, so
experiments share what they agree on. A stage is written to a folder of another name, its marker last, and then
renamed: what has no marker does not exist. The marker holds the SHA-256 of each file, so a damaged stage is noticed and
made anew.

Knows files and records, but neither models nor what a stage means.
"""

import hashlib
import json
import os
import resource
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, get_origin

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from spillover.errors import SpilloverError
from spillover.findings import Cost
from spillover.launch import leads
from spillover.marker import MARKER, is_whole, mark, write_text
from spillover.progress import say
from spillover.records import Prediction

POLL = 0.2
"""Seconds between two looks at what another process makes."""

Record = TypeVar("Record")


def digest(*parts: object) -> str:
    """Return 16 hexadecimal digits that depend on every part; equal parts give equal digits on any machine."""
    canonical = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=_plain)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:  # noqa: ANN401 - what json hands over when it meets something it does not know
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, np.ndarray):
        return [value.dtype.str, value.shape, hashlib.sha256(value.tobytes()).hexdigest()]
    return {field.name: getattr(value, field.name) for field in fields(value)}


class UnmadeError(Exception):
    """Something asked a store that only looks for a stage that is not there."""


@dataclass(frozen=True)
class Stage:
    """A finished stage."""

    path: Path
    """Its folder."""

    @property
    def key(self) -> str:
        """Its name, which depends on all of its inputs: what a later stage's digest is made from."""
        return self.path.name

    @cached_property
    def marker(self) -> dict[str, Any]:
        """What was written when it finished: `seconds` it took, `peak_memory`, `files` with their SHA-256."""
        marker: dict[str, Any] = json.loads((self.path / MARKER).read_text(encoding="utf-8"))
        return marker


class Store:
    """One run folder and the stages it shares with the others."""

    def __init__(self, runs: Path, name: str) -> None:
        """Open `runs/name`, made on the first write."""
        if not name or name.startswith(".") or Path(name).name != name:
            raise SpilloverError(f"--name: found {name!r}, expected the name of a folder, without a path")
        self.stages = runs / ".stages"
        self.run = runs / name
        self.leads = leads()
        self._looks = False
        self._used: dict[str, Stage] = {}

    def within(self, folder: str) -> "Store":
        """Return the same store with its links in a folder of the run: for what a stage needs a second time."""
        inner = copy(self)
        inner.run = self.run / folder
        return inner

    def looking(self) -> "Store":
        """Return the same store in which `make` makes nothing: what is not there raises `UnmadeError`."""
        inner = copy(self)
        inner._looks = True
        return inner

    def make(
        self, kind: str, inputs: object, link: str, write: Callable[[Path], None], resumable: bool = False
    ) -> Stage:
        """Return the stage of these inputs, calling `write(folder)` first where no finished one exists.

        Args:
            kind: the stage's name.
            inputs: everything the result depends on, as JSON-like values and records.
            link: where in the run folder it appears; several kinds of stage may not share one.
            write: fills an empty folder. Killed half-way, it leaves nothing that is ever read.
            resumable: whether `write` instead goes on from what it left when it was killed. What is resumable is also
                made together by all processes of a launch; for the rest, all but the leading one wait.
        """
        path = self.stages / f"{kind}-{digest(inputs)}"
        if self._looks:
            if not is_whole(path):
                raise UnmadeError(kind)
            return Stage(path)
        if not self.leads:
            return self._follow(path, write, resumable)
        with _writing(path, f"stage {kind!r}"):
            self.stages.mkdir(parents=True, exist_ok=True)
            with self._lock(path):
                if not self._finished(path):
                    self._build(path, write, resumable)
            self._link(link, path)
        self._used[path.name] = Stage(path)
        return self._used[path.name]

    def _build(self, path: Path, write: Callable[[Path], None], resumable: bool) -> None:
        partial = path.with_suffix(".partial")
        if not resumable:
            shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(exist_ok=True)
        start = time.monotonic()
        try:
            write(partial)
        except BaseException as error:  # Ctrl-C too: what is half-written serves nobody who cannot go on from it
            if not resumable or isinstance(error, SpilloverError):  # nor does what would be refused again
                shutil.rmtree(partial, ignore_errors=True)
            raise
        seconds = round(time.monotonic() - start, 3)
        mark(partial, seconds=seconds, peak_memory=_peak_memory())
        shutil.rmtree(path, ignore_errors=True)
        partial.rename(path)
        self.log("made", stage=path.name, seconds=seconds)

    def _follow(self, path: Path, write: Callable[[Path], None], resumable: bool) -> Stage:
        """Wait until the process that leads has made a stage, taking part where it is made together."""
        waits = not resumable
        while not is_whole(path):
            if not waits and (partial := path.with_suffix(".partial")).exists():
                write(partial)
                waits = True
            time.sleep(POLL)
        return Stage(path)

    def _finished(self, path: Path) -> bool:
        if is_whole(path):
            return True
        if (path / MARKER).exists():
            say(f"{path}: damaged since it was written; making it again")
        return False

    @contextmanager
    def _lock(self, path: Path) -> Iterator[None]:
        """Hold a stage's lock, which dies with its process. Whoever waits is told for whom."""
        holder = path.with_suffix(".holder")
        lock = FileLock(path.with_suffix(".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            who = holder.read_text(encoding="utf-8") if holder.exists() else "another process"
            say(f"{path.name}: waiting for {who}")
            lock.acquire()
        try:
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
            yield
        finally:
            lock.release()

    def _link(self, link: str, target: Path) -> None:
        place = self.run / link
        place.parent.mkdir(parents=True, exist_ok=True)
        inside = target / place.name  # a link with a file's name leads to that file of the stage
        relative = os.path.relpath(inside if inside.exists() else target, place.parent)
        if place.is_symlink() and str(place.readlink()) == relative:
            return
        fresh = place.with_name(f".{place.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(relative)
        fresh.replace(place)

    def linked(self, link: str) -> Stage:
        """Return the stage that a link of the run folder leads to."""
        return Stage((self.run / link).resolve().parent)

    def replace(self, name: str, inputs: object, contents: Callable[[], Mapping[str, str | bytes]]) -> Path:
        """Return a folder of the run's own, made anew and as a whole unless it was made from these inputs already.

        A report is copied and sent, so it lives in the run folder itself. Its marker says what it was made from.
        """
        folder, key = self.run / name, digest(inputs)
        with _writing(folder, name):
            if not self._finished(folder) or Stage(folder).marker.get("inputs") != key:
                self._replace(folder, contents(), key)
        return folder

    def _replace(self, folder: Path, contents: Mapping[str, str | bytes], key: str) -> None:
        fresh, old = (folder.with_name(f".{folder.name}.{state}") for state in ("new", "old"))
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)
        for path, content in contents.items():
            place = fresh / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        mark(fresh, inputs=key)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
        shutil.rmtree(old, ignore_errors=True)

    def costs(self) -> tuple[Cost, ...]:
        """Return what each kind of stage this run used took to make, whichever run made it."""
        total: dict[str, Cost] = {}
        for stage in self._used.values():
            kind, marker = stage.path.name.rpartition("-")[0], stage.marker
            before = total.get(kind, Cost(kind, 0.0, 0))
            peak = max(before.peak_memory, int(marker.get("peak_memory", 0)))
            total[kind] = Cost(kind, before.seconds + float(marker["seconds"]), peak)
        return tuple(total.values())

    def log(self, event: str, **details: object) -> None:
        """Append a line to the run's log."""
        if not self.leads:
            return
        self.run.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": event, **details})
        with (self.run / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return what the run's log says of one kind of event, oldest first."""
        log, found = self.run / "log.jsonl", []
        for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
            with suppress(ValueError):  # a full disk leaves half a line
                found.append(json.loads(line))
        return [row for row in found if row["event"] == event]

    def save_new(self, name: str, text: str) -> Path:
        """Write a text file that a user will edit: one that is there already stays as it is."""
        path = self.run / name
        return path if path.exists() else self.save(name, text)

    def save(self, name: str, text: str) -> Path:
        """Write a text file of the run folder itself, atomically."""
        path = self.run / name
        if not self.leads:
            return path
        with _writing(path, name):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)
        return path


@contextmanager
def _writing(path: Path, what: str) -> Iterator[None]:
    """Turn the system's refusal to write `what` at `path` into one sentence."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error  # pyarrow's have no strerror
        raise SpilloverError(f"{error.filename or path}: cannot write {what}: {reason}") from error


def _peak_memory() -> int:
    """Return the most memory this process has held so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def stages_of(run: Path, kind: str) -> list[Stage]:
    """Return the stages of one kind that a run folder links to, each once."""
    links = [place for place in ((run / kind), *(run / kind).rglob("*")) if place.is_symlink()]
    ends = [link.resolve() for link in links]
    folders = sorted({end if end.is_dir() else end.parent for end in ends})
    return [Stage(folder) for folder in folders if (folder / MARKER).exists()]


def write_folder(folder: Path, contents: Mapping[str, str]) -> None:
    """Write a new folder of text files as a whole: beside its place first, so that nobody ever finds half of it.

    Raises:
        SpilloverError: the folder exists, or cannot be written.
    """
    if folder.exists():
        raise SpilloverError(f"{folder}: found something there, expected the name of a folder that does not exist")
    with _writing(folder, "the folder"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            made = Path(scratch) / folder.name
            made.mkdir()
            for name, text in contents.items():
                (made / name).write_text(text, encoding="utf-8")
            made.rename(folder)


def write_records(path: Path, kind: type[Any], records: Iterable[object]) -> None:
    """Write records of one type as Parquet, a column a field."""
    rows = list(records)
    columns = {field.name: [getattr(row, field.name) for row in rows] for field in fields(kind)}
    pq.write_table(pa.table(columns), path)


def read_records(path: Path, kind: type[Record]) -> list[Record]:
    """Read what `write_records` wrote."""
    names = fields(kind)  # type: ignore[arg-type] # the records are dataclasses
    rows = pq.read_table(path).to_pylist()
    listed = {field.name for field in names if get_origin(field.type) is tuple}
    return [kind(**{k: tuple(v) if k in listed else v for k, v in row.items()}) for row in rows]


Arrays = dict[str, np.ndarray[Any, Any]]
"""Name → array, as a safetensors file holds them."""


def write_arrays(path: Path, **arrays: np.ndarray[Any, Any]) -> None:
    """Write named arrays as safetensors."""
    # What is not contiguous, safetensors would write in the order of memory, without a word.
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


def read_arrays(path: Path) -> Arrays:
    """Read what `write_arrays` wrote."""
    arrays: Arrays = load_file(path)
    return arrays


def read_layers(path: Path, name: str) -> Iterator[np.ndarray[Any, Any]]:
    """Yield an array that `write_arrays` wrote, (items, layers, …), layer by layer, never the whole of it in memory."""
    with safe_open(path, "numpy") as file:
        array = file.get_slice(name)
        for layer in range(array.get_shape()[1]):
            yield array[:, layer]


def write_predictions(path: Path, predictions: Sequence[Prediction], labels: Sequence[str]) -> None:
    """Write a cell's predictions: id, gold, for each label a column of log-probabilities and one a token.

    The scores of the content-free prompt stand once in the file's metadata, as `content_free`: a JSON list.
    """
    columns: dict[str, list[Any]] = {"id": [p.id for p in predictions], "gold": [p.gold for p in predictions]}
    for index, label in enumerate(labels):
        columns[f"logprob:{label}"] = [p.scores[index] for p in predictions]
    if all(p.normalized for p in predictions):
        for index, label in enumerate(labels):
            columns[f"normalized:{label}"] = [p.normalized[index] for p in predictions]
    content_free = json.dumps(predictions[0].content_free if predictions else ())
    pq.write_table(pa.table(columns, metadata={"content_free": content_free}), path)


def read_arm(run: Path, arm: str) -> list[Prediction]:
    """Read every cell of one arm that a run folder links to."""
    files = sorted((run / "predictions" / arm).glob("*/*.parquet"))
    return [prediction for file in files for prediction in read_predictions(file, file.parent.name, file.stem)]


def read_predictions(path: Path, task: str, language: str) -> list[Prediction]:
    """Read what `write_predictions` wrote."""
    table = pq.read_table(path)
    content_free = tuple(json.loads(table.schema.metadata[b"content_free"]))
    return [
        Prediction(
            id=row["id"],
            task=task,
            language=language,
            gold=row["gold"],
            scores=tuple(value for name, value in row.items() if name.startswith("logprob:")),
            normalized=tuple(value for name, value in row.items() if name.startswith("normalized:")),
            content_free=content_free,
        )
        for row in table.to_pylist()
    ]

"""A run folder: links to artifacts, and the few files of the run itself.

One process at a time writes in a run folder, so it never mixes two runs. Other processes started on it wait.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from copy import copy
from pathlib import Path
from typing import Any

from spillover.errors import SpilloverError
from spillover.records import StageCost
from spillover.store.keys import digest
from spillover.store.locks import acquire
from spillover.store.stages import Artifact, Write, build, is_usable, wait_for_main_process
from spillover.store.writing import safe_join, write_files, writing
from spillover.utils.distributed import is_main_process
from spillover.utils.marker import MARKER, is_complete, write_marker, write_text
from spillover.utils.text import is_file_name


class MissingArtifactError(Exception):
    """A read-only store does not have the artifact."""


class Store:
    """One run folder, and the artifacts that it shares with other runs."""

    def __init__(self, runs: Path, name: str) -> None:
        """Open `runs/name`. The folder is made on the first write."""
        if not is_file_name(name):
            raise SpilloverError(f"--name: found {name!r}, expected the name of a folder, without a path")
        self.stages = runs / ".stages"
        self.run = self._locked_folder = runs / name
        self.is_main_process = is_main_process()
        self._is_read_only = False
        self._used: dict[str, Artifact] = {}
        self._locks: list[AbstractContextManager[object]] = []

    def subfolder(self, name: str) -> "Store":
        """Return this store with its links in a folder of the run, for artifacts that a stage needs a second time."""
        inner = copy(self)
        inner.run = self.run / name
        return inner

    def child_run(self, name: str) -> "Store":
        """Return the store of a run folder inside this one: a separate run, such as an experiment of a grid."""
        inner = Store(self.stages.parent, self.run.name)
        inner.run = inner._locked_folder = self.run / name
        return inner

    def read_only(self) -> "Store":
        """Return this store in a form that makes nothing: a missing artifact raises `MissingArtifactError`."""
        inner = copy(self)
        inner._is_read_only = True
        return inner

    def get_or_make(self, kind: str, inputs: object, link: str, write: Write, resumable: bool = False) -> Artifact:
        """Return the artifact of these inputs. If no finished one exists, `write(folder)` makes it first.

        Args:
            kind: the first part of the artifact's name, such as `trace`.
            inputs: everything the result depends on, as JSON-like values and records.
            link: path of the artifact's link in the run folder, such as `traces/base/sentiment/de.safetensors`. Two
                kinds may not share a link.
            write: fills an empty folder. A killed `write` leaves nothing that is ever read.
            resumable: if true, `write` resumes a killed attempt, and all launched processes take part. If false, only
                the main process writes and the others wait.

        Raises:
            MissingArtifactError: this store is read-only, and the artifact does not exist.
        """
        path = self.stages / f"{kind}-{digest(inputs)}"
        if self._is_read_only:
            if not is_complete(path):
                raise MissingArtifactError(kind)
            return Artifact(path)
        if not self.is_main_process:
            return wait_for_main_process(path, write, resumable)
        place = safe_join(self.run, link)
        with writing(path, f"stage {kind!r}"):
            self._lock()
            with acquire(path):
                if not is_usable(path):
                    self.log("made", stage=path.name, seconds=build(path, write, resumable))
            _link(place, path)
        self._used[path.name] = Artifact(path)
        return self._used[path.name]

    def linked(self, link: str) -> Artifact:
        """Return the artifact that a link of the run folder leads to."""
        return Artifact((self.run / link).resolve().parent)

    def replace(self, name: str, inputs: object, contents: Callable[[], Mapping[str, str | bytes]]) -> Path:
        """Return a folder inside the run folder; make it anew as a whole unless it was made from these inputs already.

        A report is copied and sent, so it lives in the run folder itself. Its marker names its inputs.
        """
        folder = safe_join(self.run, name)
        with writing(folder, name):
            self._lock()
            if not self.replaced(name, inputs):
                _replace(folder, contents(), digest(inputs))
        return folder

    def replaced(self, name: str, inputs: object) -> Path | None:
        """Return a folder that `replace` made from these inputs; None if there is none."""
        folder = safe_join(self.run, name)
        return folder if is_usable(folder) and Artifact(folder).marker.get("inputs") == digest(inputs) else None

    def costs(self) -> tuple[StageCost, ...]:
        """Return the cost of making the artifacts that this run used, per kind, whichever run made them."""
        total: dict[str, StageCost] = {}
        for artifact in self._used.values():
            kind, marker = artifact.key.rpartition("-")[0], artifact.marker
            before = total.get(kind, StageCost(kind, 0.0, 0))
            peak = max(before.peak_memory, int(marker.get("peak_memory", 0)))
            total[kind] = StageCost(kind, before.seconds + float(marker["seconds"]), peak)
        return tuple(total.values())

    def log(self, event: str, **details: object) -> None:
        """Append a line to the run's log."""
        if not self.is_main_process:
            return
        line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": event, **details})
        with writing(self.run / "log.jsonl", "the log"):
            self._lock()
            self.run.mkdir(parents=True, exist_ok=True)
            with (self.run / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(line + "\n")

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of the run's log about one event, oldest first."""
        log, rows = self.run / "log.jsonl", []
        for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
            with suppress(ValueError):  # a full disk leaves half a line
                rows.append(json.loads(line))
        return [row for row in rows if row["event"] == event]

    def save_new(self, name: str, text: str) -> Path:
        """Write a text file that a user will edit. An existing file stays as it is."""
        path = safe_join(self.run, name)
        return path if path.exists() else self.save(name, text)

    def save(self, name: str, text: str) -> Path:
        """Write a text file of the run folder itself, atomically."""
        path = safe_join(self.run, name)
        if not self.is_main_process:
            return path
        with writing(path, name):
            self._lock()
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)
        return path

    def close(self) -> None:
        """Let other processes into the run folder, at the latest when this process ends."""
        while self._locks:
            self._locks.pop().__exit__(None, None, None)

    def _lock(self) -> None:
        """Keep other processes out of the run folder until this store is closed."""
        if not self._locks:
            self.stages.mkdir(parents=True, exist_ok=True)
            name = "-".join(("run", *self._locked_folder.relative_to(self.stages.parent).parts))
            self._locks.append(acquire(self.stages / name, reentrant=True))


def artifacts_under(run: Path, folder: str) -> list[Artifact]:
    """Return the artifacts to which the links in one folder of a run lead, such as `traces`; each artifact once."""
    links = [place for place in (run / folder, *(run / folder).rglob("*")) if place.is_symlink()]
    targets = [link.resolve() for link in links]
    paths = sorted({target if target.is_dir() else target.parent for target in targets})
    return [Artifact(path) for path in paths if (path / MARKER).exists()]


def _link(place: Path, target: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    inside = target / place.name  # a link with a file's name leads to that file of the stage
    relative = os.path.relpath(inside if inside.exists() else target, place.parent)
    if place.is_symlink() and str(place.readlink()) == relative:
        return
    fresh = place.with_name(f".{place.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(relative)
    fresh.replace(place)


def _replace(folder: Path, contents: Mapping[str, str | bytes], key: str) -> None:
    fresh, old = (folder.with_name(f".{folder.name}.{state}") for state in ("new", "old"))
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh.mkdir(parents=True)
    write_files(fresh, contents)
    write_marker(fresh, inputs=key)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)

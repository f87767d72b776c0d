"""A run folder: links to stages, and the few files of its own.

One process at a time writes in it, so that it is always one run's; others that were started on it wait.
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
from spillover.store.stages import Artifact, Write, build, finished, wait_for_main_process
from spillover.store.writing import safe_join, write_files, writing
from spillover.utils.distributed import is_main_process
from spillover.utils.marker import MARKER, is_complete, write_marker, write_text
from spillover.utils.text import is_file_name


class MissingArtifactError(Exception):
    """Something asked a store that only looks for a stage that is not there."""


class Store:
    """One run folder and the stages it shares with the others."""

    def __init__(self, runs: Path, name: str) -> None:
        """Open `runs/name`, made on the first write."""
        if not is_file_name(name):
            raise SpilloverError(f"--name: found {name!r}, expected the name of a folder, without a path")
        self.stages = runs / ".stages"
        self.run = self._own = runs / name
        self.leads = is_main_process()
        self._looks = False
        self._used: dict[str, Artifact] = {}
        self._held: list[AbstractContextManager[object]] = []

    def within(self, folder: str) -> "Store":
        """Return the same store with its links in a folder of the run: for what a stage needs a second time."""
        inner = copy(self)
        inner.run = self.run / folder
        return inner

    def member(self, name: str) -> "Store":
        """Return the store of a run folder in this one, as the experiments of a grid have it: a run of its own."""
        inner = Store(self.stages.parent, self.run.name)
        inner.run = inner._own = self.run / name
        return inner

    def looking(self) -> "Store":
        """Return the same store in which `make` makes nothing: what is not there raises `UnmadeError`."""
        inner = copy(self)
        inner._looks = True
        return inner

    def make(self, kind: str, inputs: object, link: str, write: Write, resumable: bool = False) -> Artifact:
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
            if not is_complete(path):
                raise MissingArtifactError(kind)
            return Artifact(path)
        if not self.leads:
            return wait_for_main_process(path, write, resumable)
        place = safe_join(self.run, link)
        with writing(path, f"stage {kind!r}"):
            self._hold()
            with acquire(path):
                if not finished(path):
                    self.log("made", stage=path.name, seconds=build(path, write, resumable))
            _link(place, path)
        self._used[path.name] = Artifact(path)
        return self._used[path.name]

    def linked(self, link: str) -> Artifact:
        """Return the stage that a link of the run folder leads to."""
        return Artifact((self.run / link).resolve().parent)

    def replace(self, name: str, inputs: object, contents: Callable[[], Mapping[str, str | bytes]]) -> Path:
        """Return a folder of the run's own, made anew and as a whole unless it was made from these inputs already.

        A report is copied and sent, so it lives in the run folder itself. Its marker says what it was made from.
        """
        folder, key = safe_join(self.run, name), digest(inputs)
        with writing(folder, name):
            self._hold()
            if not finished(folder) or Artifact(folder).marker.get("inputs") != key:
                _replace(folder, contents(), key)
        return folder

    def costs(self) -> tuple[StageCost, ...]:
        """Return what each kind of stage this run used took to make, whichever run made it."""
        total: dict[str, StageCost] = {}
        for stage in self._used.values():
            kind, marker = stage.path.name.rpartition("-")[0], stage.marker
            before = total.get(kind, StageCost(kind, 0.0, 0))
            peak = max(before.peak_memory, int(marker.get("peak_memory", 0)))
            total[kind] = StageCost(kind, before.seconds + float(marker["seconds"]), peak)
        return tuple(total.values())

    def log(self, event: str, **details: object) -> None:
        """Append a line to the run's log."""
        if not self.leads:
            return
        line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": event, **details})
        with writing(self.run / "log.jsonl", "the log"):
            self._hold()
            self.run.mkdir(parents=True, exist_ok=True)
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
        path = safe_join(self.run, name)
        return path if path.exists() else self.save(name, text)

    def save(self, name: str, text: str) -> Path:
        """Write a text file of the run folder itself, atomically."""
        path = safe_join(self.run, name)
        if not self.leads:
            return path
        with writing(path, name):
            self._hold()
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)
        return path

    def close(self) -> None:
        """Let other processes into the run folder, at the latest when this process ends."""
        while self._held:
            self._held.pop().__exit__(None, None, None)

    def _hold(self) -> None:
        """Keep other processes out of the run folder until this store is closed."""
        if not self._held:
            self.stages.mkdir(parents=True, exist_ok=True)
            name = "-".join(("run", *self._own.relative_to(self.stages.parent).parts))
            self._held.append(acquire(self.stages / name, by_process=True))


def artifacts_under(run: Path, kind: str) -> list[Artifact]:
    """Return the stages of one kind that a run folder links to, each once."""
    links = [place for place in ((run / kind), *(run / kind).rglob("*")) if place.is_symlink()]
    ends = [link.resolve() for link in links]
    folders = sorted({end if end.is_dir() else end.parent for end in ends})
    return [Artifact(folder) for folder in folders if (folder / MARKER).exists()]


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

"""A run folder: links to artifacts, and the few files of the run itself.

One process at a time writes in a run folder, so it never mixes two runs. Other processes started on it wait.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from copy import copy
from pathlib import Path
from typing import Any

from spillover.errors import SpilloverError
from spillover.records import StageCost
from spillover.store.keys import digest
from spillover.store.locks import acquire
from spillover.store.mirror import STAGES, open_mirror
from spillover.store.stages import Artifact, Write, build, is_usable, partial_folder, wait_for_main_process
from spillover.store.writing import replace_link, safe_join, write_files, writing
from spillover.utils.distributed import is_main_process
from spillover.utils.marker import MARKER, is_complete, write_marker, write_text
from spillover.utils.text import is_file_name


class MissingArtifactError(Exception):
    """A read-only store does not have the artifact."""

    def __init__(self, partial: Path) -> None:
        """Keep the folder in which a killed attempt may have left a part of it."""
        self.partial = partial
        super().__init__(partial)


class Store:
    """One run folder, and the artifacts that it shares with other runs."""

    def __init__(self, runs: Path, name: str) -> None:
        """Open `runs/name`. The folder is made on the first write."""
        if not is_file_name(name):
            raise SpilloverError(f"--name: found {name!r}, expected the name of a folder, without a path")
        self.stages = runs / STAGES
        self.run = self._locked_folder = runs / name
        self.is_main_process = is_main_process()
        self._is_read_only = False
        self._used: dict[str, Artifact] = {}
        self._locks: list[AbstractContextManager[object]] = []
        self._mirror = open_mirror(runs)
        self._written: dict[str, None] = {}
        self._links: dict[str, str] = {}

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
            with acquire(path) if self._mirror else nullcontext():
                if not (is_complete(path) or self._pulled(path)):
                    raise MissingArtifactError(partial_folder(path))
            return Artifact(path)
        if not self.is_main_process:
            return wait_for_main_process(path, write, resumable)
        place = safe_join(self.run, link)
        with writing(path, f"stage {kind!r}"):
            self._lock()
            with acquire(path):
                if not (is_usable(path) or self._pulled(path)):
                    self.log("made", stage=path.name, seconds=build(path, write, resumable))
                if self._mirror:
                    self._mirror.push_artifact(path)
            replace_link(place, path)
        if self._mirror:
            target = os.path.relpath(place.resolve(), self.stages.resolve())
            self._links[place.relative_to(self._locked_folder).as_posix()] = target
        self._used[path.name] = Artifact(path)
        return self._used[path.name]

    def holds(self, kinds: Collection[str]) -> bool:
        """Return whether any run made an artifact of one of these kinds, here or at the address of the runs."""
        here = any(True for kind in kinds for _ in self.stages.glob(f"{kind}-*"))
        return here or (self._mirror is not None and self._mirror.holds(kinds))

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
        self._note(folder)
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
            threads = tuple(sorted({*before.threads, *marker.get("threads", ())}))
            total[kind] = StageCost(kind, before.seconds + float(marker["seconds"]), peak, threads)
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
        self._note(self.run / "log.jsonl")

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of the run's log about one event, oldest first."""
        log, rows = self.run / "log.jsonl", []
        for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
            with suppress(ValueError):  # a full disk leaves half a line
                rows.append(json.loads(line))
        return [row for row in rows if row["event"] == event]

    def text(self, name: str) -> str:
        """Return the content of a text file of the run folder, here or at the address; empty if there is none."""
        path = safe_join(self.run, name)
        if path.exists():
            return path.read_text(encoding="utf-8")
        place = path.relative_to(self.stages.parent).as_posix()
        return (self._mirror.remote.read(place) or b"").decode() if self._mirror else ""

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
        self._note(path)
        return path

    def push(self) -> None:
        """Copy what was written in the run folder to the address of the runs, if they have one.

        Artifacts are copied as soon as they are made.

        Raises:
            UnreachableError: the address cannot be reached. All of it is copied by the next call that succeeds.
        """
        if self._mirror and self.is_main_process and (self._written or self._links):
            self._mirror.push_run(self._name, list(self._written), self._links)
            self._written.clear()
            self._links.clear()

    def pull(self, folders: Iterable[str] | None = None, last: str = "") -> None:
        """Bring the run here that is at the address of the runs, if they have one.

        Args:
            folders: folders of links, such as `predictions`, whose artifacts are needed. None: all.
            last: the file to write last, which says that the others are here.

        Raises:
            UnreachableError: the address cannot be reached.
        """
        if self._mirror and self.is_main_process:
            with writing(self.run, "the copy of the run"):
                self._lock()
                self._mirror.pull_run(self._name, folders, last)

    def pull_children(self, names: Collection[str], folders: Iterable[str], last: str) -> None:
        """Bring the runs inside this one whose file `last` is at the address of the runs and not here.

        An object store is asked for these files many at a time.

        Args:
            names: names of the runs.
            folders: folders of links whose artifacts are needed.
            last: the file of a finished run, which is written last.

        Raises:
            UnreachableError: the address cannot be reached.
        """
        if not self._mirror:
            return
        missing = {f"{self._name}/{name}/{last}": name for name in names if not (self.run / name / last).exists()}
        for file in self._mirror.remote.read_many(list(missing)):
            with closing(self.child_run(missing[file])) as child:
                child.pull(folders, last)

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
            if self._mirror and not self._locked_folder.exists():  # another machine may have begun the run
                self._mirror.pull_run(self._name)

    @property
    def _name(self) -> str:
        """The path of the run folder in the folder of runs."""
        return self._locked_folder.relative_to(self.stages.parent).as_posix()

    def _note(self, path: Path) -> None:
        """Note that a file or folder of the run was written, the latest last."""
        top = path.relative_to(self._locked_folder).parts[0]
        self._written.pop(top, None)
        self._written[top] = None

    def _pulled(self, path: Path) -> bool:
        """Return whether an artifact that is not here was brought from the address of the runs."""
        return self._mirror is not None and self._mirror.pull_artifact(path)


def pull_all_runs(runs: Path) -> None:
    """Bring all runs here that are at the address of a folder of runs, those of grids among them."""
    mirror = open_mirror(runs)
    for name in mirror.run_names() if mirror else ():
        top, _, inner = name.partition("/")
        store = Store(runs, top)
        with closing(store.child_run(inner) if inner else store) as opened:
            opened.pull()


def artifacts_under(run: Path, folder: str) -> list[Artifact]:
    """Return the artifacts to which the links in one folder of a run lead, such as `traces`; each artifact once."""
    links = [place for place in (run / folder, *(run / folder).rglob("*")) if place.is_symlink()]
    targets = [link.resolve() for link in links]
    paths = sorted({target if target.is_dir() else target.parent for target in targets})
    return [Artifact(path) for path in paths if (path / MARKER).exists()]


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

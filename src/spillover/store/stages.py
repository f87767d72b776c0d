"""One artifact: a folder that is made as a whole, or does not exist.

One process makes it, or all processes of a launch together.
"""

import json
import resource
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from spillover.errors import SpilloverError
from spillover.utils.marker import MARKER, integrity_error, is_complete, write_marker
from spillover.utils.progress import notify
from spillover.utils.threads import pop_threads

POLL = 0.2
"""Seconds between two checks whether another process has finished an artifact."""

ATTEMPT = ".attempt"
"""File in a folder that can be resumed: the seconds of earlier attempts. It was written when this attempt began."""

Write = Callable[[Path], None]
"""Fills a folder."""


@dataclass(frozen=True)
class Artifact:
    """A finished result of a stage."""

    path: Path
    """Its folder."""

    @property
    def key(self) -> str:
        """Its folder's name, which depends on all of its inputs. Digests of later artifacts are made from it."""
        return self.path.name

    @cached_property
    def marker(self) -> dict[str, Any]:
        """Its marker: the `seconds` that it took, `peak_memory` in bytes, `files` with their SHA-256.

        `threads` are the different numbers of threads that computed it; none if no model was in memory.
        """
        marker: dict[str, Any] = json.loads((self.path / MARKER).read_text(encoding="utf-8"))
        return marker


def is_usable(path: Path) -> bool:
    """Return whether a folder is complete. If it was complete and is damaged, tell the user."""
    error = integrity_error(path)
    if error and (path / MARKER).exists():
        notify(f"{error}; making {path.name} again")
    return not error


def build(path: Path, write: Write, resumable: bool) -> float:
    """Make an artifact in a folder beside its path, rename it, and return the seconds. The caller holds its lock.

    The seconds are those of this attempt. The marker has those of the killed attempts that it resumes, too.
    """
    partial, start = partial_folder(path), time.monotonic()
    if not is_complete(partial):  # else it was killed between the marker and the renaming
        if not resumable:
            shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(exist_ok=True)
        earlier = _begin_attempt(partial) if resumable else 0.0
        try:
            write(partial)
            (partial / ATTEMPT).unlink(missing_ok=True)
            seconds = earlier + time.monotonic() - start
            threads = pop_threads(partial)
            write_marker(partial, seconds=round(seconds, 3), peak_memory=_peak_memory(), threads=threads)
        except BaseException as error:  # Ctrl-C too: a half-written folder is of use only if it can be resumed
            if not resumable or isinstance(error, SpilloverError):  # a refused attempt would be refused again
                shutil.rmtree(partial, ignore_errors=True)
            raise
    shutil.rmtree(path, ignore_errors=True)
    partial.rename(path)
    return round(time.monotonic() - start, 3)


def _begin_attempt(partial: Path) -> float:
    """Return the seconds that earlier attempts spent in a folder, and note them there for a later attempt.

    An attempt counts up to its newest file: what a killed process did after that is lost, and done again. Only times
    of files are compared, since the clock of the disk may be another machine's.
    """
    note, seconds = partial / ATTEMPT, 0.0
    try:
        begun, seconds = note.stat().st_mtime, float(note.read_text(encoding="utf-8"))
        newest = max(path.stat().st_mtime for path in partial.rglob("*"))
        seconds += max(0.0, newest - begun)
    except (OSError, ValueError):
        pass  # this is the first attempt, or the note was cut off
    note.write_text(str(seconds), encoding="utf-8")
    return seconds


def wait_for_main_process(path: Path, write: Write, resumable: bool) -> Artifact:
    """Wait until the main process has made an artifact; take part if it is resumable."""
    takes_part = resumable
    while not is_complete(path):
        if takes_part and (partial := partial_folder(path)).exists():
            write(partial)
            takes_part = False
        time.sleep(POLL)
    return Artifact(path)


def check_whole(path: Path) -> None:
    """Refuse a file or folder of a run that has changed since its stage wrote it.

    A file copied without its marker may as well be written by hand, so it passes.
    """
    place = path.resolve()
    folder = place if place.is_dir() else place.parent
    if (folder / MARKER).exists() and (error := integrity_error(folder)):
        raise SpilloverError(f"{path}: {error}; run the experiment again, which makes anew what is damaged")


def partial_folder(path: Path) -> Path:
    """Return the folder that a stage is written in before it is renamed to `path`."""
    return path.with_name(f"{path.name}.partial")


def _peak_memory() -> int:
    """Return the most memory this process has held so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

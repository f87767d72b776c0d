"""One stage: a folder that is made as a whole, or does not exist.

Knows how it is made, by one process or by several together; not how its key comes about, nor who links to it.
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

POLL = 0.2
"""Seconds between two looks at what another process makes."""

Write = Callable[[Path], None]
"""Fills a folder."""


@dataclass(frozen=True)
class Artifact:
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


def finished(path: Path) -> bool:
    """Return whether there is a whole stage; say so if there was one, and it was damaged."""
    found = integrity_error(path)
    if found and (path / MARKER).exists():
        notify(f"{found}; making {path.name} again")
    return not found


def build(path: Path, write: Write, resumable: bool) -> float:
    """Make a stage, beside its place first, and return the seconds that took. Whoever calls holds its lock."""
    partial, start = _partial(path), time.monotonic()
    if not is_complete(partial):  # else it was killed with nothing left to do but the renaming
        if not resumable:
            shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(exist_ok=True)
        try:
            write(partial)
            write_marker(partial, seconds=round(time.monotonic() - start, 3), peak_memory=_peak_memory())
        except BaseException as error:  # Ctrl-C too: what is half-written serves nobody who cannot go on from it
            if not resumable or isinstance(error, SpilloverError):  # nor does what would be refused again
                shutil.rmtree(partial, ignore_errors=True)
            raise
    shutil.rmtree(path, ignore_errors=True)
    partial.rename(path)
    return round(time.monotonic() - start, 3)


def wait_for_main_process(path: Path, write: Write, resumable: bool) -> Artifact:
    """Wait until the process that leads has made a stage, taking part where it is made together."""
    waits = not resumable
    while not is_complete(path):
        if not waits and (partial := _partial(path)).exists():
            write(partial)
            waits = True
        time.sleep(POLL)
    return Artifact(path)


def check_whole(path: Path) -> None:
    """Refuse a run folder's file or folder that is no longer what its stage wrote.

    What was copied without its marker cannot be told from what somebody wrote by hand, and is let through.
    """
    place = path.resolve()
    folder = place if place.is_dir() else place.parent
    if (folder / MARKER).exists() and (found := integrity_error(folder)):
        raise SpilloverError(f"{path}: {found}; run the experiment again, which makes anew what is damaged")


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")


def _peak_memory() -> int:
    """Return the most memory this process has held so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

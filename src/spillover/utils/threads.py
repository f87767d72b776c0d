"""The threads that runs on one machine share, so that together they use about as many as there are cores.

A process takes its threads once, before it computes, and holds them until it ends. They are noted in a file in the
user's cache, which the process locks. A lock ends with its process, so no note is ever stale; runs of other users are
not seen. Setting the number is up to the library that computes.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from spillover.utils.formatting import plural
from spillover.utils.marker import write_text
from spillover.utils.progress import notify

WORKERS = "SPILLOVER_WORKERS"
"""Variable with the number of processes that one command divides the cores among, of which this process is one."""

ATTEMPTS = ".threads"
"""File in a folder that is being made: the numbers of threads of the attempts so far, where they are more than one."""


@dataclass(frozen=True, slots=True)
class _Lease:
    """The threads of a process."""

    process: int
    """Number of the process; a forked one sees its parent's lease, and needs its own."""
    count: int
    """The number that the user chose; 0: as many as other runs leave."""
    threads: int
    """Number of its threads."""
    lock: FileLock | None
    """The lock that shows that the process lives; None where the cache cannot be written."""


_leases: list[_Lease] = []
"""The leases so far, the newest last. None is dropped: a forked process that drops its parent's would end its lock."""


def cores() -> frozenset[int]:
    """Return the numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def is_busy(threads: int) -> bool:
    """Return whether other processes leave fewer than `threads` cores, by the mean of the last minute."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] + threads > len(cores()) + 0.5


def threads_in_use() -> int:
    """Return the number of threads that this process computes with; 0 if it has not computed yet."""
    lease = _lease()
    return lease.threads if lease else 0


def take_threads(count: int, most: int) -> int:
    """Take the threads that this process computes with, and return their number.

    Args:
        count: the number that the user chose. It is taken, whatever other runs hold. 0: as many as they leave, at
            least one. A process that took threads for 0 keeps their number, so that its results are of one number.
        most: the largest number that is taken for 0.
    """
    workers = int(os.environ.get(WORKERS, "1"))
    lease, share = _lease(), min(most, max(1, len(cores()) // workers))
    if lease and lease.count == count:
        return lease.threads if count else min(share, lease.threads)
    folder, held = user_cache_path("spillover") / "threads", [0]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            held = list(_held(folder))
            threads = count or max(1, min(share, len(cores()) - sum(held)))
            lease = _Lease(os.getpid(), count, threads, _noted(folder, threads))
    except OSError:  # a cache that cannot be written: the process takes what it would take alone
        lease = _Lease(os.getpid(), count, count or share, None)
    _leases.append(lease)
    if lease.threads < (count or share):
        runs, all_cores = len(held) + 1, plural(len(cores()), "core")
        notify(f"{runs} runs share {all_cores}: this one uses {plural(lease.threads, 'thread')}")
    return lease.threads


def note_threads(folder: Path) -> None:
    """Note the threads of this attempt to make something in a folder. Tell the user if an earlier one had others."""
    earlier = _noted_in(folder)
    now = threads_in_use()
    if earlier and earlier[-1] != now:
        notify(
            f"This goes on with {plural(now, 'thread')}, and was begun with {earlier[-1]}: its last digits can differ "
            "from those of one number; model.threads fixes the number"
        )
    (folder / ATTEMPTS).write_text(json.dumps([*earlier, now]), encoding="utf-8")


def pop_threads(folder: Path) -> list[int]:
    """Return the different numbers of threads that made a folder, and remove the note of it."""
    noted = _noted_in(folder) or [threads_in_use()]
    (folder / ATTEMPTS).unlink(missing_ok=True)
    return sorted({number for number in noted if number})


def _noted_in(folder: Path) -> list[int]:
    try:
        return [int(number) for number in json.loads((folder / ATTEMPTS).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []  # nothing was noted, or the note was cut off


def _lease() -> _Lease | None:
    """Return the lease of this process."""
    return _leases[-1] if _leases and _leases[-1].process == os.getpid() else None


def _lock() -> FileLock | None:
    """Return the lock of this process."""
    lease = _lease()
    return lease.lock if lease else None


def _held(folder: Path) -> Iterator[int]:
    """Yield how many of this process's cores each other living process holds. Notes of dead ones are removed."""
    mine = _lock()
    for note in folder.glob(f"{socket.gethostname()}-*.json"):
        lock = FileLock(note.with_suffix(".lock"))
        if mine and mine.lock_file == lock.lock_file:
            continue
        try:
            with lock.acquire(timeout=0):
                note.unlink(missing_ok=True)
            note.with_suffix(".lock").unlink(missing_ok=True)
        except Timeout:
            with suppress(OSError, ValueError, KeyError, TypeError):
                table = json.loads(note.read_text(encoding="utf-8"))
                yield min(int(table["threads"]), len(cores().intersection(table["cores"])))


def _noted(folder: Path, threads: int) -> FileLock:
    """Note the threads of this process, and return its lock."""
    lock = _lock()
    if lock is None:
        lock = FileLock(folder / f"{socket.gethostname()}-{uuid4().hex}.lock", thread_local=False)
        lock.acquire(timeout=0)
    text = json.dumps({"threads": threads, "cores": sorted(cores()), "process": os.getpid()})
    write_text(Path(lock.lock_file).with_suffix(".json"), text)
    return lock

"""Locks between processes. Each dies with its process, so none is ever stale; who waits is told for whom.

Knows no stage and no run. On a file system without locks of its own, `filelock` makes do with files.
"""

import os
import socket
from contextlib import AbstractContextManager
from pathlib import Path

from filelock import FileLock, Timeout

from spillover.utils.progress import notify


def acquire(path: Path, by_process: bool = False) -> AbstractContextManager[object]:
    """Take the lock of `path`, in files beside it; it is given back with the context, or with the object returned.

    Args:
        path: what is locked. It need not exist.
        by_process: whether whoever holds it in this process may take it again; otherwise threads exclude one another.
    """
    holder = path.with_name(f"{path.name}.holder")
    lock = FileLock(path.with_name(f"{path.name}.lock"), is_singleton=by_process, thread_local=not by_process)
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        who = holder.read_text(encoding="utf-8") if holder.exists() else "another process"
        notify(f"{path.name}: waiting for {who}")
        held = lock.acquire()
    holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
    return held

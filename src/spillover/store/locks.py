"""Locks between processes. A lock ends with its process, so none is ever stale. A waiting process names the holder.

On a file system without locks, `filelock` uses files instead.
"""

import os
import socket
from contextlib import AbstractContextManager
from pathlib import Path

from filelock import FileLock, Timeout

from spillover.utils.progress import notify


def acquire(path: Path, reentrant: bool = False) -> AbstractContextManager[object]:
    """Take the lock of `path`, in files beside it. Leaving the returned context releases it.

    Args:
        path: the locked path. It need not exist.
        reentrant: if true, the holding process may take the lock again. If false, threads exclude each other too.
    """
    holder = path.with_name(f"{path.name}.holder")
    lock = FileLock(path.with_name(f"{path.name}.lock"), is_singleton=reentrant, thread_local=not reentrant)
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        who = holder.read_text(encoding="utf-8") if holder.exists() else "another process"
        notify(f"{path.name}: waiting for {who}")
        held = lock.acquire()
    holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
    return held

"""SHA-256 of a file's whole content, remembered as long as the file does not change; and one of this package.

Reading the whole file is the only way to tell two models apart: training, merging and editing all leave the size and
most bytes as they were. So that a large file is read once, its digest is kept in one SQLite file in the user's cache,
under its path, together with its size, inode, mtime and ctime. `XDG_CACHE_HOME` moves the cache; without a cache every
process reads the file again.
"""

import hashlib
import re
import sqlite3
import time
from contextlib import closing
from functools import cache
from importlib.resources import files
from pathlib import Path

from platformdirs import user_cache_path

from spillover.utils.progress import notify

SMALL = 1 << 22
"""Bytes up to which a file is always read again: that takes no longer than looking its digest up."""
LARGE = 1 << 31
"""Bytes from which a person is told that a file is being read: it takes seconds."""
SETTLED = 2.0
"""Seconds without a change before a digest is remembered: within one tick of the clock a change leaves no trace."""
PATIENCE = 10.0
"""Seconds to wait for another process that writes in the cache."""
SCHEMA = "CREATE TABLE IF NOT EXISTS digests (path TEXT PRIMARY KEY, state TEXT NOT NULL, sha256 TEXT NOT NULL)"
BLOB = re.compile(r".*/models--[^/]+/blobs/(?P<sha256>[0-9a-f]{64})")
"""Where the hub's client keeps a large file: under the SHA-256 of its content. Small files have names of 40 digits."""


def content_digest(path: Path) -> str:
    """Return the SHA-256 of a file's whole content, as 64 hexadecimal digits.

    A file in the hub's cache has its SHA-256 for a name, which the hub's client checked when it was downloaded.
    """
    real = path.resolve()
    if blob := BLOB.fullmatch(real.as_posix()):
        return blob["sha256"]
    if real.stat().st_size <= SMALL:
        return sha256_of(real)
    state = _state(real)
    if remembered := _remembered(real, state):
        return remembered
    if real.stat().st_size >= LARGE:
        notify(f"Reading {path.name} once, to know its content")
    sha256 = sha256_of(real)
    changed = max(real.stat().st_mtime, real.stat().st_ctime)
    if _state(real) == state and time.time() - changed >= SETTLED:
        _remember(real, state, sha256)
    return sha256


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, which is read now."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def package_digest() -> str:
    """Return a digest of the code and tables of this package, since a check may have changed."""
    root = Path(str(files("spillover")))
    sha = hashlib.sha256()
    for path in sorted(path for pattern in ("*.py", "*.toml") for path in root.rglob(pattern)):
        sha.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return sha.hexdigest()


def _state(path: Path) -> str:
    """Return what changes when a file does. No program can set ctime."""
    status = path.stat()
    return f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def _remembered(path: Path, state: str) -> str:
    """Return the digest of a file in this state; an empty text if it is not known."""
    try:
        with closing(_cached_digests()) as table:
            query = "SELECT sha256 FROM digests WHERE path = ? AND state = ?"
            row = table.execute(query, (str(path), state)).fetchone()
    except (sqlite3.Error, OSError):
        return ""
    return str(row[0]) if row else ""


def _remember(path: Path, state: str, sha256: str) -> None:
    try:
        with closing(_cached_digests()) as table, table:
            table.execute("INSERT OR REPLACE INTO digests VALUES (?, ?, ?)", (str(path), state, sha256))
    except (sqlite3.Error, OSError):
        return  # a cache that cannot be written costs time and nothing else


def _cached_digests() -> sqlite3.Connection:
    folder = user_cache_path("spillover")
    folder.mkdir(parents=True, exist_ok=True)
    table = sqlite3.connect(folder / "digests.sqlite", timeout=PATIENCE)
    table.execute(SCHEMA)
    return table

"""Marked folders: one that has no marker, or not the files its marker says, does not exist.

A marker is written last and holds the SHA-256 of every file. Knows files alone: neither stages nor checkpoints, and
nothing of a disk that forgets by itself what a large file held.
"""

import hashlib
import json
import os
from pathlib import Path

MARKER = "complete.json"

ALWAYS_HASH_BELOW = 1 << 22
"""Bytes up to which a file is read again whenever somebody asks. A larger one is, unless it is unchanged by its time:
traces are gigabytes, and a finished run should be found finished at once."""


def write_marker(folder: Path, **facts: object) -> None:
    """Write the marker of a folder that is complete: `facts`, the SHA-256 of every file, large ones' last change."""
    sums, changed = {}, {}
    for name, path in _files(folder).items():
        if path.stat().st_size > ALWAYS_HASH_BELOW:
            _flush(path)  # who is not read again has to be on the disk, not only on its way there
            changed[name] = path.stat().st_ctime_ns
        sums[name] = _sum(path)
    write_text(folder / MARKER, json.dumps({**facts, "files": sums, "changed": changed}, indent=1))


def is_complete(folder: Path) -> bool:
    """Return whether a folder has a marker and exactly the files that the marker says."""
    return not integrity_error(folder)


def integrity_error(folder: Path) -> str:
    """Return what keeps a folder from being whole, its file first; an empty text if nothing does."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        sums, changed = dict(marker["files"]), dict(marker.get("changed", {}))
    except FileNotFoundError:
        return f"{folder / MARKER}: not there"
    except (ValueError, KeyError, TypeError):
        return f"{folder / MARKER}: cannot be read"
    there = _files(folder)
    for name in sorted(sums.keys() | there.keys()):
        if name not in there:
            return f"{folder / name}: gone"
        if name not in sums:
            return f"{folder / name}: was not there when the folder was complete"
        # ctime, which no program can set back: compared for equality alone, so the clock may jump as it likes
        if there[name].stat().st_ctime_ns != changed.get(name) and _sum(there[name]) != sums[name]:
            return f"{folder / name}: damaged since it was written"
    return ""


def _files(folder: Path) -> dict[str, Path]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MARKER)
    return {path.relative_to(folder).as_posix(): path for path in found}


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Write a file under another name and rename it, so that nobody reads half of it; one process at a time."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise

"""Marked folders: a folder without a marker, or with other files than its marker lists, counts as missing.

A marker is written last and holds the SHA-256 of every file. Large files are trusted while their ctime is unchanged;
silent disk corruption of them is not detected.
"""

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from spillover.utils.digests import sha256_of

MARKER = "complete.json"

ALWAYS_HASH_BELOW = 1 << 22
"""Bytes. Files up to this size are re-hashed on every check; larger ones only if their ctime changed. Traces are
gigabytes, and a finished run should be recognized at once."""


def write_marker(folder: Path, **facts: object) -> None:
    """Write the marker of a complete folder: `facts`, the SHA-256 of every file, the ctime of large files."""
    sums, changed = {}, {}
    for name, path in _files(folder).items():
        if path.stat().st_size > ALWAYS_HASH_BELOW:
            _flush(path)  # a file that is not hashed again must be on the disk, not only in its cache
            changed[name] = path.stat().st_ctime_ns
        sums[name] = sha256_of(path)
    write_text(folder / MARKER, json.dumps({**facts, "files": sums, "changed": changed}, indent=1))


def is_complete(folder: Path) -> bool:
    """Return whether a folder has a marker and exactly the files that the marker lists."""
    return not integrity_error(folder)


def integrity_error(folder: Path) -> str:
    """Return the reason why a folder is not complete, its file first; an empty text if it is."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        sums, changed = dict(marker["files"]), dict(marker.get("changed", {}))
    except (FileNotFoundError, NotADirectoryError):  # a file may stand where a folder is expected
        return f"{folder / MARKER}: not there"
    except (ValueError, KeyError, TypeError):
        return f"{folder / MARKER}: cannot be read"
    files = _files(folder)
    for name in sorted(sums.keys() | files.keys()):
        if name not in files:
            return f"{folder / name}: gone"
        if name not in sums:
            return f"{folder / name}: was not there when the folder was complete"
        # no program can set ctime; it is compared for equality alone, since clocks jump
        if files[name].stat().st_ctime_ns != changed.get(name) and sha256_of(files[name]) != sums[name]:
            return f"{folder / name}: damaged since it was written"
    return ""


def _files(folder: Path) -> dict[str, Path]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MARKER)
    return {path.relative_to(folder).as_posix(): path for path in files}


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Write a file under another name, then rename it, so that nobody reads half of it. One process at a time."""
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


def keep_text(path: Path, text: str) -> None:
    """Write a file of a cache, in a folder that is made if there is none; do nothing if it cannot be written.

    Without a cache the same work is done again: that costs time and nothing else. Several processes may write one file:
    each writes in a folder of its own first.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent, ignore_cleanup_errors=True) as folder:
            fresh = Path(folder) / path.name
            write_text(fresh, text)
            fresh.replace(path)
    except OSError:
        return

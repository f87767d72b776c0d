"""Writing files: the system's refusals become one sentence, and no name leads out of its folder."""

import errno
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from spillover.errors import SpilloverError

REMEDIES = {
    errno.ENOSPC: "make room and run the same command again, which goes on from what is finished",
    errno.EDQUOT: "make room and run the same command again, which goes on from what is finished",
    errno.EFBIG: "raise the limit on the size of files and run the same command again",
    errno.EACCES: "expected a folder that may be written, such as another --runs DIR",
    errno.EPERM: "expected a folder that may be written, such as another --runs DIR",
    errno.EROFS: "expected a folder that may be written, such as another --runs DIR",
}
"""The system's error number → what the user can do about it."""


@contextmanager
def writing(path: Path, what: str) -> Iterator[None]:
    """Turn the system's refusal to write `what` at `path` into one sentence."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error  # pyarrow's have no strerror
        remedy = f"; {REMEDIES[error.errno]}" if error.errno in REMEDIES else ""
        raise SpilloverError(f"{error.filename or path}: cannot write {what}: {reason}{remedy}") from error


def safe_join(folder: Path, name: str) -> Path:
    """Return the path of `name` in a folder; refuse a name that leads out of the folder."""
    place, root = Path(os.path.normpath(folder / name)), Path(os.path.normpath(folder))
    if root not in place.parents:
        raise SpilloverError(f"{folder}: found the name {name!r}, expected one that stays within the folder")
    return place


def write_files(folder: Path, contents: Mapping[str, str | bytes]) -> None:
    """Write files by their names, which may have folders in them, into a folder."""
    for name, content in contents.items():
        place = safe_join(folder, name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))


@contextmanager
def new_folder(folder: Path, what: str) -> Iterator[Path]:
    """Yield a path beside `folder` for `what`; what is there in the end becomes `folder`. Nobody ever finds half of it.

    Raises:
        SpilloverError: the folder exists, or cannot be written.
    """
    if folder.exists():
        raise SpilloverError(f"{folder}: found something there, expected the name of a folder that does not exist")
    with writing(folder, what):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            made = Path(scratch) / folder.name
            yield made
            made.rename(folder)


def write_folder(folder: Path, contents: Mapping[str, str]) -> None:
    """Write a new folder of text files as a whole; refuse as `new_folder` does."""
    with new_folder(folder, "the folder") as made:
        made.mkdir()
        write_files(made, contents)


def replace_link(place: Path, target: Path) -> None:
    """Let a link lead to a folder, or to the file in it that has the link's name, by a relative path."""
    place.parent.mkdir(parents=True, exist_ok=True)
    inside = target / place.name
    relative = os.path.relpath(inside if inside.exists() else target, place.parent)
    if place.is_symlink() and str(place.readlink()) == relative:
        return
    fresh = place.with_name(f".{place.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(relative)
    fresh.replace(place)

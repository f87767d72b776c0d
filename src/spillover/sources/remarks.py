"""Remarks on how files were read, which are no faults: printed once, or gathered for `lint`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from spillover.utils.progress import notify

Remarks = Mapping[tuple[Path, str], str]
"""Folder and remark → the whole sentence."""

printed: dict[tuple[Path, str], str] = {}
"""The remarks that this process has printed."""

_gathered: ContextVar[dict[tuple[Path, str], str] | None] = ContextVar("gathered", default=None)


def remark(folder: Path, text: str, first: str = "") -> None:
    """Print a remark on a folder's files, on standard error and once per process; `first` is the first such file."""
    remarks = _gathered.get()
    sentence = f"{folder}: {text} (first: {first})" if first else f"{folder}: {text}"
    if remarks is not None:
        remarks.setdefault((folder, text), sentence)
    elif (folder, text) not in printed:
        printed[folder, text] = sentence
        notify(sentence)


@contextmanager
def gathering() -> Iterator[Remarks]:
    """Gather the remarks of the block, each once, instead of printing them."""
    remarks: dict[tuple[Path, str], str] = {}
    token = _gathered.set(remarks)
    try:
        yield remarks
    finally:
        _gathered.reset(token)

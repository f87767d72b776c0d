"""The one exception that a user sees: a clear sentence, exit status 2, no traceback; and helpers for its sentences."""

import errno
import os
import re
import shutil
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

MIN_FREE_BYTES = 1 << 20
"""Free bytes below which a disk counts as full."""


class SpilloverError(Exception):
    """An error in the user's input. Its sentence says where, what was found, what was expected, and the choices."""


class FollowerDone(Exception):  # noqa: N818 - nothing went wrong
    """A process that was launched with others has done its share: they share only the tuning."""


class UnreachableError(SpilloverError):
    """A place of data cannot be reached. All later requests to it would fail too."""


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return `choose from a, b, c`, preceded by the nearest choice if one is near."""
    names = list(choices)
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}choose from {', '.join(names)}"


def one_line(text: str) -> str:
    """Return a text on one line: line ends, control characters and halves of characters as Python writes them."""
    odd = {"Cc", "Cs", "Zl", "Zp"}
    return "".join(ascii(char)[1:-1] if unicodedata.category(char) in odd else char for char in text)


def first_line(message: BaseException | str) -> str:
    """Return the first line of a message. An exception without a message gives the name of its class."""
    return str(message).strip().partition("\n")[0].rstrip() or (
        "" if isinstance(message, str) else type(message).__name__
    )


def as_os_error(error: Exception, path: Path) -> OSError:
    """Turn a write error at `path` from safetensors or torch into the `OSError` behind it.

    safetensors reports an errno; torch does not, so the free space is checked.
    """
    number = re.search(r"os error (\d+)", str(error))
    full = shutil.disk_usage(path.parent).free < MIN_FREE_BYTES
    code = int(number[1]) if number else errno.ENOSPC if full else errno.EIO
    return OSError(code, os.strerror(code), str(path))

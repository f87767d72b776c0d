"""The one exception a user sees: a clear sentence, exit status 2, no traceback.

Knows nothing of where errors come from; `choices` is the one helper every message about an unknown name shares,
`visible` keeps a message on one line, `refusal` finds what the system said where a library does not tell.
"""

import errno
import os
import re
import shutil
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

MIN_FREE_BYTES = 1 << 20
"""Bytes left on a disk below which it counts as full."""


class SpilloverError(Exception):
    """Something is wrong with what the user gave us: says where, what was found, what was expected, the choices."""


class FollowerDone(Exception):  # noqa: N818 - nothing went wrong
    """A process that was launched together with others has done its share: tuning is all that they have in common."""


class UnreachableError(SpilloverError):
    """A place where data should be cannot be reached: whatever else is asked of it fails too."""


def did_you_mean(found: str, known: Iterable[str]) -> str:
    """Return `choose from a, b, c`, preceded by the nearest known name where one is near."""
    names = list(known)
    near = get_close_matches(found, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}choose from {', '.join(names)}"


def one_line(text: str) -> str:
    """Return a text on one line: line ends, control characters and halves of characters as Python writes them."""
    odd = {"Cc", "Cs", "Zl", "Zp"}
    return "".join(ascii(char)[1:-1] if unicodedata.category(char) in odd else char for char in text)


def as_os_error(error: Exception, path: Path) -> OSError:
    """Return the system's refusal to write at `path`, of which safetensors tells the number and torch nothing."""
    number = re.search(r"os error (\d+)", str(error))
    full = shutil.disk_usage(path.parent).free < MIN_FREE_BYTES
    code = int(number[1]) if number else errno.ENOSPC if full else errno.EIO
    return OSError(code, os.strerror(code), str(path))

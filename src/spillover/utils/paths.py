"""Paths as people write them: `~` and `$HOME` stand for folders, as they do in a shell."""

import os
import re
from pathlib import Path

KIND = re.compile(r"[a-z-]+:")
"""What may stand before a path: `folder:`, `paper:`, `hub:`, `harness:`."""


def expanded(text: str) -> str:
    """Return a path, or a path after its kind (`folder:~/data`), with `~` and environment variables replaced.

    A variable that the environment lacks stays as it is written, so that an error can name it.
    """
    kind = match[0] if (match := KIND.match(text)) else ""
    return kind + os.path.expanduser(os.path.expandvars(text.removeprefix(kind)))  # noqa: PTH111 - a hub id is no path


def expanded_path(text: str | Path) -> Path:
    """Return the path that an argument of the command line names."""
    return Path(expanded(str(text)))

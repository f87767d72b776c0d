"""Checkpoints that can be trusted: one counts only with its marker, which is written last.

The Trainer would take the newest folder there is, a torn one too, and crash on it. Knows nothing of what is inside.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from spillover.errors import as_os_error
from spillover.utils.marker import is_complete, write_marker


def path_of(folder: Path, step: int) -> Path:
    """Return where the Trainer puts the checkpoint of a step."""
    return folder / f"checkpoint-{step}"


def latest(folder: Path) -> Path | None:
    """Return the whole checkpoint of the latest step, or None."""
    known = sorted(folder.glob("checkpoint-*"), key=lambda path: -int(path.name.rpartition("-")[2]))
    return next((path for path in known if is_complete(path)), None)


def commit(folder: Path, step: int, best: int | None) -> None:
    """Mark the checkpoint of a step, and only then remove all others but the best step's."""
    write_marker(path_of(folder, step))
    for path in folder.glob("checkpoint-*"):
        if path not in (path_of(folder, step), path_of(folder, best or step)):
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def saving(folder: Path) -> Iterator[None]:
    """Turn what safetensors and torch say when they cannot write into `folder` into the system's own refusal."""
    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "inline_container" not in str(error):  # torch's writer of files
            raise
        raise as_os_error(error, folder) from error

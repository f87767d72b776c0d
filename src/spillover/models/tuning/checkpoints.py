"""Checkpoints of the Trainer: one counts only with its marker, which is written last.

The Trainer alone would resume from the newest folder, even from an incomplete one, and crash.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from spillover.errors import as_os_error
from spillover.utils.marker import is_complete, write_marker

FOLDER = "checkpoints"
"""Folder of all checkpoints, in the folder of the adapter."""

STATE = "trainer_state.json"
"""File of a checkpoint in which the Trainer counts its steps."""


def path_of(folder: Path, step: int) -> Path:
    """Return the folder that the Trainer writes the checkpoint of a step to."""
    return folder / f"checkpoint-{step}"


def latest(folder: Path) -> Path | None:
    """Return the complete checkpoint of the latest step, or None."""
    newest_first = sorted(folder.glob("checkpoint-*"), key=lambda path: -int(path.name.rpartition("-")[2]))
    return next((path for path in newest_first if is_complete(path)), None)


def learned_share(folder: Path, phases: int) -> float:
    """Return the share of the steps of a tuning that its checkpoints keep, in [0, 1); phases count alike.

    folder: of the adapter that is being made; it has a folder of checkpoints per phase. phases: their number.
    """
    shares: list[float] = []
    for of_phase in (folder / FOLDER).glob("*"):
        if checkpoint := latest(of_phase):
            state = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
            shares.append(state["global_step"] / state["max_steps"])
    return sum(shares) / phases


def commit(folder: Path, step: int, best: int | None) -> None:
    """Mark the checkpoint of a step as complete, and only then remove all others except that of the best step."""
    write_marker(path_of(folder, step))
    for path in folder.glob("checkpoint-*"):
        if path not in (path_of(folder, step), path_of(folder, best or step)):
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def saving(folder: Path) -> Iterator[None]:
    """Turn an error of safetensors or torch in writing to `folder` into the `OSError` behind it."""
    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "inline_container" not in str(error):  # torch's writer of files
            raise
        raise as_os_error(error, folder) from error

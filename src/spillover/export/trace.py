"""A run's traces in the formats of other programs that look inside models."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spillover.errors import SpilloverError
from spillover.experiment import load_experiment
from spillover.records import EXPERIMENT_FILE
from spillover.store import new_folder, read_arrays, write_arrays

States = NDArray[np.float32]

POSITIONS = ("last", "body_mean")
"""Arrays of a trace that are exported, each as a sequence of one position."""


def transformerlens(states: States) -> dict[str, States]:
    """Return states (items, layers, width) under TransformerLens's names, each (batch, pos, d_model) with one position.

    `blocks.l.hook_resid_pre` is what enters block l, `blocks.l.hook_resid_post` what leaves it. The states after the
    final norm are left out: TransformerLens has a hook before the norm's gain, and a trace has them after it.
    """
    blocks = states.shape[1] - 2
    pre = {f"blocks.{block}.hook_resid_pre": states[:, block, None] for block in range(blocks)}
    return pre | {f"blocks.{block}.hook_resid_post": states[:, block + 1, None] for block in range(blocks)}


FORMATS: Mapping[str, Callable[[States], dict[str, States]]] = {"transformerlens": transformerlens}
"""Name of a format → states (items, layers, width) → named arrays of a file."""


def export_trace(run: Path, folder: Path, format: str) -> list[str]:
    """Write a run's traces in a format of `FORMATS` to a new folder; return the files' paths within it.

    The files are POSITION/ARM/TASK/LANGUAGE.safetensors, for the positions `POSITIONS`. `index.json` lists them, with
    the ids of their items.

    Raises:
        SpilloverError: the run is not finished or has no traces, the folder exists, or it cannot be written.
    """
    traces = sorted((run / "traces").glob("*/*/*.safetensors"))
    if not (run / EXPERIMENT_FILE).is_file() or not traces:
        raise SpilloverError(
            f"{run}: found no traces, expected the folder of a finished run with analyze.limit above 0"
        )
    with new_folder(folder, "the traces") as made:
        cells = [cell for trace in traces for cell in _export_cell(trace, made, FORMATS[format])]
        index = {"format": format, "model": load_experiment(run / EXPERIMENT_FILE).model.name, "cells": cells}
        (made / "index.json").write_text(json.dumps(index, ensure_ascii=False, indent=1), encoding="utf-8")
    return [str(cell["file"]) for cell in cells]


def _export_cell(
    trace: Path, folder: Path, convert: Callable[[States], dict[str, States]]
) -> Iterator[dict[str, object]]:
    arm, task, language = trace.parts[-3], trace.parts[-2], trace.stem
    ids = [bytes(row).rstrip(b"\0").decode() for row in read_arrays(trace, "ids")["ids"]]
    for position in POSITIONS:
        path = Path(position, arm, task, trace.name)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_arrays(folder / path, **convert(read_arrays(trace, position)[position]))
        yield {
            "file": path.as_posix(),
            "position": position,
            "arm": arm,
            "task": task,
            "language": language,
            "ids": ids,
        }

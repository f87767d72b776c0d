"""The traces of cells: hidden states of every layer, for lenses, patches and geometry."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spillover.records import Cell, Item, Prompt
from spillover.stages.arms import Arm, as_text, of_prompts
from spillover.store import Arrays, Artifact, Store, read_arrays, write_arrays
from spillover.tasks import ChoiceTask
from spillover.utils.progress import Bar


@dataclass(frozen=True, slots=True)
class CellTrace:
    """A traced cell."""

    task: ChoiceTask
    """The task."""
    cell: Cell
    """The cell. Its task is named by the task's file, not by the experiment."""
    rows: Sequence[Item]
    """The traced items: the same ids in the same order in every language of a task."""
    artifact: Artifact
    """The stored trace."""

    @property
    def path(self) -> Path:
        """Its file."""
        return self.artifact.path / f"{self.cell.language}.safetensors"

    def load(self, *names: str) -> Arrays:
        """Read these arrays of the trace, named as the fields of `Trace`. A whole trace may be gigabytes."""
        return read_arrays(self.path, *names)


def lens_prompt(task: ChoiceTask, item: Item) -> Prompt:
    """Return an item's prompt for tracing: native exemplars; as choices the English answers, then the native ones.

    The exemplars' labels are native: English on the way to a native answer is then the model's own.
    """
    both = (*task.choices("english", item.language), *task.choices("native", item.language))
    return replace(task.prompt(item, "native"), choices=both)


def trace_cell(store: Store, arm: Arm, task: ChoiceTask, cell: Cell, rows: Sequence[Item], progress: Bar) -> CellTrace:
    """Return the trace of a cell, traced first if there is none.

    Its file holds the fields of `models.tracing.trace.Trace` and `ids`: the items' ids as UTF-8, (items, bytes), padded
    with zeros.
    """
    prompts = [lens_prompt(task, item) for item in rows]
    cell, name = replace(cell, task=task.name), f"{cell.language}.safetensors"

    def write(folder: Path) -> None:
        from spillover.models.tracing.trace import trace

        states = trace(arm.reader, prompts, progress.advance)
        arrays = {field: np.asarray(getattr(states, field)) for field in states.__slots__}
        ids = np.array([item.id.encode() for item in rows])
        write_arrays(folder / name, **arrays, ids=ids.view(np.uint8).reshape(len(rows), -1))

    spelled = as_text(arm.experiment, of_prompts(prompts))
    inputs = [arm.key, cell.language, prompts, [item.id for item in rows], *spelled]
    with progress.counting(len(rows)):
        return CellTrace(
            task, cell, rows, store.get_or_make("trace", inputs, f"traces/{cell.arm}/{cell.task}/{name}", write)
        )

"""What work took in earlier runs: time and disk a unit, by model and part of a run.

Read from what run folders lead to, whole stages alone; no model is loaded. What no run has recorded is left out, not
guessed.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open

from spillover.errors import SpilloverError
from spillover.experiment import Experiment, ModelConfig, load_experiment
from spillover.store import Stage, stages_of
from spillover.typography import duration, size

LATEST = 50
"""Run folders that are asked, the latest first."""

KINDS = {
    "tune": ("adapter",),
    "evaluate": ("predictions",),
    "analyze": ("traces", "lenses", "readings", "patches", "geometry"),
    "texts": ("bits-per-byte",),
}
"""Part of a run → the kinds of stages that it leaves; those of the first kind tell how much work it was."""

UNITS = {"tune": "examples", "evaluate": "items", "analyze": "items traced", "texts": "texts"}
"""Part of a run → what its work is counted in: an example in each epoch, an item in each arm."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What work took: a unit of it, or all. Both are nan where no run tells."""

    seconds: float
    """Time."""
    bytes: float
    """Disk."""

    def times(self, work: float) -> "Rate":
        """Return what as many units take."""
        return Rate(work * self.seconds, work * self.bytes)

    def __add__(self, other: "Rate") -> "Rate":
        """Return what both take."""
        return Rate(self.seconds + other.seconds, self.bytes + other.bytes)

    @property
    def known(self) -> bool:
        """Whether any run tells."""
        return self.seconds == self.seconds

    def __str__(self) -> str:
        """Return both in words."""
        return f"about {duration(self.seconds)} and {size(self.bytes)}" if self.known else "time and disk unknown"


UNKNOWN = Rate(float("nan"), float("nan"))
"""What a unit takes that no earlier run has recorded."""


def recorded(runs: Path) -> dict[tuple[ModelConfig, str], Rate]:
    """Return (model, part of a run) → what a unit of work took in the latest runs, those of grids among them."""
    totals: defaultdict[tuple[ModelConfig, str], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for stage, model, part, epochs in {found for run in _latest(runs) for found in _stages(*run)}:
        try:
            work, seconds = _units(stage) * epochs, float(stage.marker["seconds"])
        except (OSError, ValueError, KeyError, SafetensorError):
            continue  # damaged: it is made again, and tells nothing
        taken = sum(file.stat().st_size for file in stage.path.rglob("*") if file.is_file())
        totals[model, part] = [sum(pair) for pair in zip(totals[model, part], (work, seconds, taken), strict=True)]
    return {place: Rate(seconds, taken).times(1 / work) for place, (work, seconds, taken) in totals.items() if work}


def _latest(runs: Path) -> Iterator[tuple[Path, Experiment]]:
    """Yield run folders and their experiments."""
    files = [*runs.glob("*/experiment.toml"), *runs.glob("*/*/experiment.toml")]
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)[:LATEST]:
        try:
            yield file.parent, load_experiment(file)
        except SpilloverError:
            continue  # of an older version, say: it tells nothing


def _stages(run: Path, one: Experiment) -> Iterator[tuple[Stage, ModelConfig, str, float]]:
    """Yield what a run folder leads to: a stage, its model, its part of the run, how often its units were gone over."""
    for part, kinds in KINDS.items():
        epochs = one.tune.epochs if part == "tune" else 1.0
        yield from ((stage, one.model, part, epochs) for kind in kinds for stage in stages_of(run, kind))


def _units(stage: Stage) -> float:
    """Return the examples or items in a stage of a kind that tells; 0 for the others."""
    kind = stage.key.rpartition("-")[0]
    if kind == "adapter":
        return float(json.loads((stage.path / "history.json").read_text(encoding="utf-8"))["examples"])
    if kind == "traces":
        return sum(map(_traced, stage.path.glob("*.safetensors")))
    tells = kind in {kinds[0] for kinds in KINDS.values()}
    return sum(int(pq.read_metadata(file).num_rows) for file in stage.path.glob("*.parquet")) if tells else 0


def _traced(file: Path) -> int:
    with safe_open(file, "numpy") as arrays:
        return int(arrays.get_slice("last").get_shape()[0])

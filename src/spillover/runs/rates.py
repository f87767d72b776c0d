"""What work took in earlier runs: time and disk a unit, by model and part of a run.

Read from what run folders lead to, whole stages alone; no model is loaded. What no run has recorded is left out, not
guessed.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open

from spillover.errors import SpilloverError
from spillover.experiment import Experiment, ModelConfig, load_experiment
from spillover.store import Artifact, artifacts_under
from spillover.utils.formatting import duration, size

MAX_RUNS = 50
"""Run folders that are asked, the latest first."""


@dataclass(frozen=True, slots=True)
class UnitCost:
    """What work took: a unit of it, or all. Both are nan where no run tells."""

    seconds: float
    """Time."""
    bytes: float
    """Disk."""

    def times(self, work: float) -> "UnitCost":
        """Return what as many units take."""
        return UnitCost(work * self.seconds, work * self.bytes)

    def __add__(self, other: "UnitCost") -> "UnitCost":
        """Return what both take."""
        return UnitCost(self.seconds + other.seconds, self.bytes + other.bytes)

    @property
    def known(self) -> bool:
        """Whether any run tells."""
        return self.seconds == self.seconds

    def __str__(self) -> str:
        """Return both in words."""
        return f"about {duration(self.seconds)} and {size(self.bytes)}" if self.known else "time and disk unknown"


UNKNOWN = UnitCost(float("nan"), float("nan"))
"""What a unit takes that no earlier run has recorded."""


def _examples(stage: Artifact) -> float:
    return float(json.loads((stage.path / "history.json").read_text(encoding="utf-8"))["examples"])


def _rows(stage: Artifact) -> float:
    return sum(int(pq.read_metadata(file).num_rows) for file in stage.path.glob("*.parquet"))


def _traced(stage: Artifact) -> float:
    found = 0
    for file in stage.path.glob("*.safetensors"):
        with safe_open(file, "numpy") as arrays:
            found += arrays.get_slice("last").get_shape()[0]
    return found


@dataclass(frozen=True, slots=True)
class Workload:
    """A part of a run: what one forecasts."""

    unit: str
    """What its work is counted in: an example in each epoch, an item in each arm."""
    count: Callable[[Artifact], float]
    """How many units a stage of the first kind was."""
    kinds: tuple[str, ...]
    """The kinds of stages that it leaves; the first tells how much work it was."""


WORKLOADS = {
    "tune": Workload("examples", _examples, ("adapter",)),
    "evaluate": Workload("items", _rows, ("predictions",)),
    "analyze": Workload("items traced", _traced, ("traces", "lenses", "readings", "patches", "geometry")),
    "texts": Workload("texts", _rows, ("bits-per-byte",)),
}
"""Its name → part of a run."""


def measured_costs(runs: Path) -> dict[tuple[ModelConfig, str], UnitCost]:
    """Return (model, part of a run) → what a unit of work took in the latest runs, those of grids among them."""
    totals: defaultdict[tuple[ModelConfig, str], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for stage, model, part, times in {found for run in _latest(runs) for found in _stages(*run)}:
        try:
            work, seconds = times * WORKLOADS[part].count(stage) if times else 0.0, float(stage.marker["seconds"])
        except (OSError, ValueError, KeyError, SafetensorError):
            continue  # damaged: it is made again, and tells nothing
        taken = sum(file.stat().st_size for file in stage.path.rglob("*") if file.is_file())
        totals[model, part] = [sum(pair) for pair in zip(totals[model, part], (work, seconds, taken), strict=True)]
    return {place: UnitCost(seconds, taken).times(1 / work) for place, (work, seconds, taken) in totals.items() if work}


def _latest(runs: Path) -> Iterator[tuple[Path, Experiment]]:
    """Yield run folders and their experiments."""
    files = [*runs.glob("*/experiment.toml"), *runs.glob("*/*/experiment.toml")]
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)[:MAX_RUNS]:
        try:
            yield file.parent, load_experiment(file)
        except SpilloverError:
            continue  # of an older version, say: it tells nothing


def _stages(run: Path, one: Experiment) -> Iterator[tuple[Artifact, ModelConfig, str, float]]:
    """Yield what a run folder leads to: a stage, its model, its part, how often its units count (0: another's do)."""
    for name, part in WORKLOADS.items():
        for kind in part.kinds:
            tells = kind == part.kinds[0]
            times = (one.tune.epochs if name == "tune" else 1.0) if tells else 0.0
            yield from ((stage, one.model, name, times) for stage in artifacts_under(run, kind))

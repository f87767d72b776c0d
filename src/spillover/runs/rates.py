"""Unit costs from earlier runs: time and disk per example or item, per model and workload.

They are averages over the complete artifacts of the latest runs. Workloads that no run has recorded are left out;
`estimates` has first estimates for them.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open

from spillover.errors import SpilloverError
from spillover.experiment import Experiment, ModelConfig, load_experiment
from spillover.records import EXPERIMENT_FILE
from spillover.runs.status import run_folders
from spillover.store import Artifact, artifacts_under
from spillover.utils.formatting import duration, size

MAX_RUNS = 50
"""Number of run folders that are read, the latest first."""


@dataclass(frozen=True, slots=True)
class UnitCost:
    """Time and disk of one unit of work, or of many. Both are nan where nothing is known of them."""

    seconds: float
    """Time in seconds."""
    bytes: float
    """Disk space in bytes."""
    estimated: bool = False
    """Whether some of it is a first estimate, which no run has recorded."""

    def times(self, work: float) -> "UnitCost":
        """Return the cost of this many units."""
        return replace(self, seconds=work * self.seconds, bytes=work * self.bytes)

    def __add__(self, other: "UnitCost") -> "UnitCost":
        """Return the cost of both."""
        estimated = self.estimated or other.estimated
        return UnitCost(self.seconds + other.seconds, self.bytes + other.bytes, estimated)

    @property
    def known(self) -> bool:
        """Whether anything is known of the cost."""
        return not math.isnan(self.seconds)

    def __str__(self) -> str:
        """Return both in words; `roughly` marks a first estimate."""
        word = "roughly" if self.estimated else "about"
        return f"{word} {duration(self.seconds)} and {size(self.bytes)}" if self.known else "time and disk unknown"


UNKNOWN = UnitCost(math.nan, math.nan)
"""The cost of work of which nothing is known."""


def _examples(artifact: Artifact) -> float:
    """Return the examples of an epoch; of a mixture with phases, all that was drawn."""
    history = json.loads((artifact.path / "history.json").read_text(encoding="utf-8"))
    return float(sum(part["drawn"] for part in history.get("parts", ())) or history["examples"])


def _rows(artifact: Artifact) -> float:
    return sum(int(pq.read_metadata(file).num_rows) for file in artifact.path.glob("*.parquet"))


def _traced(artifact: Artifact) -> float:
    return _length(artifact, "last")


def _read_items(artifact: Artifact) -> float:
    return _length(artifact, "right")


def _length(artifact: Artifact, name: str) -> float:
    """Return the number of items in an array of this name, whose first axis they are."""
    items = 0
    for file in artifact.path.glob("*.safetensors"):
        with safe_open(file, "numpy") as arrays:
            items += arrays.get_slice(name).get_shape()[0]
    return items


@dataclass(frozen=True, slots=True)
class Workload:
    """A part of a run whose cost is forecast."""

    unit: str
    """The unit of its work: an example each time that it is learned, an item per arm."""
    count: Callable[[Artifact], float]
    """Counts the units of an artifact in the first of the folders."""
    folders: tuple[str, ...]
    """The folders of a run with its artifacts. All cost time and disk; the first alone counts the units."""


WORKLOADS = {
    "tune": Workload("examples", _examples, ("adapter",)),
    "evaluate": Workload("items", _rows, ("predictions",)),
    "analyze": Workload(
        "items traced", _traced, ("traces", "lenses", "readings", "patches", "geometry", "explorer", "answer-activity")
    ),
    "deactivate": Workload("items read with neurons on and off", _read_items, ("deactivations",)),
    "answers": Workload("items answered in words", _rows, ("answers",)),
    "texts": Workload("texts", _rows, ("bits-per-byte",)),
}
"""Name of a part of a run → its workload."""


@dataclass(frozen=True, slots=True)
class _Usage:
    """One artifact that runs use. Runs that share an artifact have equal usages, so it counts once."""

    artifact: Artifact
    model: ModelConfig
    workload: str
    """A name of `WORKLOADS`."""
    repeats: float
    """Multiplier of the artifact's units; 0 if artifacts of another folder count them."""

    def units(self) -> float:
        return self.repeats * WORKLOADS[self.workload].count(self.artifact) if self.repeats else 0.0

    def cost(self) -> UnitCost:
        files = (file for file in self.artifact.path.rglob("*") if file.is_file())
        return UnitCost(float(self.artifact.marker["seconds"]), sum(file.stat().st_size for file in files))


@dataclass(slots=True)
class _Total:
    """A sum over artifacts."""

    units: float = 0.0
    cost: UnitCost = UnitCost(0.0, 0.0)


def measured_costs(runs: Path) -> dict[tuple[ModelConfig, str], UnitCost]:
    """Return (model, name of a workload) → the mean cost per unit in the latest runs, those of grids among them."""
    totals: dict[tuple[ModelConfig, str], _Total] = {}
    for usage in {usage for folder, experiment in _latest(runs) for usage in _usages(folder, experiment)}:
        try:
            units, cost = usage.units(), usage.cost()
        except (OSError, ValueError, KeyError, SafetensorError):
            continue  # a damaged artifact will be made again
        total = totals.setdefault((usage.model, usage.workload), _Total())
        total.units += units
        total.cost += cost
    return {place: total.cost.times(1 / total.units) for place, total in totals.items() if total.units}


def _latest(runs: Path) -> Iterator[tuple[Path, Experiment]]:
    """Yield run folders and their experiments."""
    files = (folder / EXPERIMENT_FILE for folder in run_folders(runs))
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)[:MAX_RUNS]:
        try:
            yield file.parent, load_experiment(file)
        except SpilloverError:
            continue  # it may be of another version


def _usages(run: Path, experiment: Experiment) -> Iterator[_Usage]:
    """Yield the artifacts that a run folder links to."""
    for name, workload in WORKLOADS.items():
        for folder in workload.folders:
            passes = experiment.tune.epochs if name == "tune" and not experiment.mixture.phases else 1.0
            repeats = passes if folder == workload.folders[0] else 0.0
            for artifact in artifacts_under(run, folder):
                yield _Usage(artifact, experiment.model, name, repeats)

"""What a sweep will take: its work in units, times what such a unit took in earlier runs of the same model.

Reads markers and tables' sizes, no model. Where nothing was recorded it says so instead of guessing.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq

from spillover.cells import measured
from spillover.errors import SpilloverError
from spillover.experiment import Experiment, load_experiment
from spillover.languages import languages
from spillover.material import ASKED
from spillover.sources import open_source
from spillover.store import Stage, digest
from spillover.sweep.grid import Trial
from spillover.sweep.plan import base_key, tune_key
from spillover.tasks import open_task

LATEST = 50
"""Run folders that are asked what things took, the latest first."""

UNITS = {"adapter": "examples", "predictions": "items", "trace": "items traced", "bits-per-byte": "texts"}
"""Kind of stage → in what its work is counted; an example counts as often as there are epochs."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is left to do of one kind of stage with one model."""

    model: str
    """Name of the model."""
    kind: str
    """Kind of stage."""
    stages: int
    """How many different ones there are, each made once."""
    asked: int
    """How often experiments ask for one."""
    units: float
    """How much work they are, in the kind's units; nan where the data could not be read."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What a unit of work took, over all that was found."""

    seconds: float
    """Time."""
    bytes: float
    """Disk."""
    stages: int
    """How many stages it was taken from."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The work of a sweep."""

    work: tuple[Work, ...]
    """One a model and kind of stage."""
    problem: str
    """Why some of the data cannot be read; empty where all can."""


def forecast(trials: Sequence[Trial]) -> Forecast:
    """Return the work of these experiments, what several share counted once."""
    counts = _Counts()
    made: dict[tuple[str, str], dict[str, float]] = {}
    asked: dict[tuple[str, str], int] = {}
    for trial in trials:
        for kind, key, units in _stages(trial.experiment, counts):
            place = (trial.experiment.model.name, kind)
            made.setdefault(place, {})[key] = units
            asked[place] = asked.get(place, 0) + 1
    works = (Work(*place, len(own), asked[place], sum(own.values())) for place, own in made.items())
    return Forecast(tuple(works), counts.problem)


class _Counts:
    """How many questions and items there are, each source read once; the first reason why one could not be."""

    def __init__(self) -> None:
        self._known: dict[str, dict[tuple[str, str], float]] = {}
        self.problem = ""

    def items(self, one: Experiment) -> dict[tuple[str, str], float]:
        """Return (task, language) → items; of all languages and unknown many where they cannot be read."""
        key = digest(one.questions.source, one.questions.columns, one.evaluate)
        if key not in self._known:
            try:
                self._known[key] = {cell: float(len(rows)) for cell, rows in measured(one).items()}
            except SpilloverError as error:
                self.problem = self.problem or str(error)
                codes = languages() if one.evaluate.languages == "all" else one.evaluate.languages
                self._known[key] = {(task, code): float("nan") for task in one.evaluate.tasks for code in codes}
        return self._known[key]

    def questions(self, one: Experiment) -> float:
        """Return how many questions there are in English, unknown where they cannot be read."""
        asked = one.questions
        key = digest(asked)
        if key not in self._known:
            try:
                source = open_source(asked.source, asked.columns, "questions.source")
                found = islice(source.questions(open_task(asked.task, "questions.task"), ASKED), asked.limit or None)
                self._known[key] = {("", ""): float(sum(1 for _ in found))}
            except SpilloverError as error:
                self.problem = self.problem or str(error)
                self._known[key] = {("", ""): float("nan")}
        return self._known[key]["", ""]


def _stages(one: Experiment, counts: _Counts) -> Iterator[tuple[str, str, float]]:
    """Yield (kind, digest of what it depends on, units of work) of every stage that costs something."""
    sizes, asked = one.mixture.sizes, counts.questions(one)
    examples = sum(min(asked, sizes.get(code, asked)) for code in one.translate.to)
    tuned = digest(tune_key(one))
    yield "adapter", tuned, examples * one.tune.epochs
    narrow = one.evaluate.model_dump(exclude={"tasks", "languages"})
    for arm in (digest(base_key(one)[:3]), tuned):
        for (task, code), items in counts.items(one).items():
            yield "predictions", digest(arm, narrow, task, code), items
            for kind, limit in (("trace", one.analyze.limit), ("bits-per-byte", one.analyze.texts)):
                if limit:
                    yield kind, digest(arm, narrow, task, code, limit), min(items, limit)


def recorded(runs: Path) -> dict[tuple[str, str], Rate]:
    """Return (model, kind) → what a unit took in the latest runs, those of grids among them."""
    places = [*runs.glob("*/experiment.toml"), *runs.glob("*/*/experiment.toml")]
    places.sort(key=lambda place: place.stat().st_mtime, reverse=True)
    found: dict[tuple[str, str], dict[str, tuple[float, float, float]]] = {}
    for place in places[:LATEST]:
        try:
            one = load_experiment(place)
        except SpilloverError:
            continue  # of an older version, say: it tells nothing
        for kind, stage, units in _recorded(place.parent, one):
            size = sum(file.stat().st_size for file in stage.path.rglob("*") if file.is_file())
            own = found.setdefault((one.model.name, kind), {})
            own[stage.key] = (float(stage.marker["seconds"]), float(size), units)
    rates = {}
    for key, own in found.items():
        seconds, size, units = (sum(part) for part in zip(*own.values(), strict=True))
        rates[key] = Rate(seconds / units, size / units, len(own))
    return rates


RECORDED: dict[str, tuple[str, Callable[[Path, Experiment], float]]] = {
    "adapter": (
        "adapter/history.json",
        lambda file, one: float(json.loads(file.read_text("utf-8"))["examples"]) * one.tune.epochs,
    ),
    "predictions": ("predictions/*/*/*.parquet", lambda file, one: pq.read_metadata(file).num_rows),
    "trace": ("traces/*/*/*.safetensors", lambda file, one: one.analyze.limit),
    "bits-per-byte": ("bits-per-byte/*/*/*.parquet", lambda file, one: pq.read_metadata(file).num_rows),
}
"""Kind of stage → where a run folder leads to it, and how many units of work it was."""


def _recorded(run: Path, one: Experiment) -> Iterator[tuple[str, Stage, float]]:
    """Yield (kind, stage, units of work) of what a run folder leads to, whole stages alone."""
    for kind, (pattern, count) in RECORDED.items():
        for link in run.glob(pattern):
            file = link.resolve()
            try:
                stage, units = Stage(file.parent), count(file, one)
                if "seconds" in stage.marker and units:
                    yield kind, stage, units
            except (OSError, ValueError, KeyError):
                continue  # not there, or damaged: it is made again, and tells nothing

"""The amount of work of a sweep. Artifacts that experiments share count once. Data are read, models are not."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from spillover.errors import SpilloverError
from spillover.experiment import Experiment, ModelConfig, load_experiment
from spillover.languages import languages
from spillover.records import EXPERIMENT_FILE
from spillover.stages.build import expected_examples
from spillover.stages.deactivate import readings_per_item
from spillover.stages.inputs import Inputs
from spillover.store import digest
from spillover.sweep.grid import Trial
from spillover.sweep.plan import base_key, tune_key


@dataclass(frozen=True, slots=True)
class Work:
    """The work left in one part of the runs with one model."""

    model: ModelConfig
    """The model."""
    part: str
    """Part of a run, one of `spillover.runs.rates.WORKLOADS`."""
    artifacts: int
    """Number of different artifacts that are missing, each made once."""
    requests: int
    """Number of times that experiments need one of them."""
    units: float
    """Amount of work, in the part's units; nan if the data cannot be read."""


@dataclass(frozen=True, slots=True)
class SweepForecast:
    """The work of a sweep."""

    work: tuple[Work, ...]
    """One per model and part of a run."""
    problem: str
    """The reason why some of the data cannot be read; empty if all can."""

    @property
    def parts(self) -> dict[ModelConfig, list[str]]:
        """The parts of runs that are left, per model."""
        left = [work for work in self.work if work.units]
        return {work.model: [other.part for other in left if other.model == work.model] for work in left}


LINKS = {"tune": (".",), "evaluate": ("predictions", "answers"), "analyze": ("traces",), "texts": ("bits-per-byte",)}
"""Part of a run → the folders of a run whose links show that its artifacts exist. Of `deactivate` they do not show it:
a cell has many."""


def forecast_sweep(
    trials: Sequence[Trial], finished: Sequence[Trial] = (), folder: Path = Path("runs")
) -> SweepForecast:
    """Return the work left. Artifacts that several experiments share count once; those that exist do not count.

    Args:
        trials: the experiments that are not finished.
        finished: those that are.
        folder: the grid's run folder, whose links say what exists of the others. Their content is not checked.
    """
    counts, made = _Counts(), set[tuple[ModelConfig, str, str]]()
    for trial in finished:
        made |= {(trial.experiment.model, part, key) for part, key, _, _ in _artifacts(trial.experiment, counts)}
    for trial in trials:
        made |= {(trial.experiment.model, part, key) for part, key in _made(trial, folder, counts)}
    units: dict[tuple[ModelConfig, str], dict[str, float]] = {}
    requests: Counter[tuple[ModelConfig, str]] = Counter()
    for trial in trials:
        for part, key, amount, _ in _artifacts(trial.experiment, counts):
            place = (trial.experiment.model, part)
            requests[place] += 1
            missing = units.setdefault(place, {})
            if (*place, key) not in made:
                missing[key] = amount
    works = (Work(*place, len(by_key), requests[place], sum(by_key.values())) for place, by_key in units.items())
    return SweepForecast(tuple(works), counts.problem)


def _made(trial: Trial, folder: Path, counts: "_Counts") -> Iterator[tuple[str, str]]:
    """Yield (part of a run, digest of the inputs) of the artifacts of an unfinished experiment that exist.

    The base model may have been measured in a folder that experiments share. The experiment's own folder counts only
    if it was made from the same keys.
    """
    experiment, file = trial.experiment, folder / trial.name / EXPERIMENT_FILE
    places = [folder / f".base-{digest('base', base_key(experiment))}"]
    with suppress(SpilloverError):  # a file of another version
        if file.is_file() and digest(load_experiment(file)) == digest(experiment):
            places.append(file.parent)
    for part, key, _, link in _artifacts(experiment, counts) if any(place.is_dir() for place in places) else ():
        if any(True for place in places for name in LINKS.get(part, ()) for _ in place.glob(f"{name}/{link}")):
            yield part, key


class _Counts:
    """Numbers of questions and items, each source read once, and the first reason why one cannot be read."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[tuple[str, str], float]] = {}
        self.problem = ""

    def items(self, experiment: Experiment) -> dict[tuple[str, str], float]:
        """Return (task, language) → number of items; all languages with nan if they cannot be read."""
        key = digest(
            experiment.questions.source, experiment.questions.columns, experiment.questions.classes, experiment.evaluate
        )
        if key not in self._counts:
            try:
                with experiment.registered():
                    self._counts[key] = {cell: float(len(rows)) for cell, rows in Inputs(experiment).items.items()}
            except SpilloverError as error:
                self.problem = self.problem or str(error)
                wanted = experiment.evaluate.languages
                codes = languages() if isinstance(wanted, str) else wanted
                self._counts[key] = {(task, code): math.nan for task in experiment.evaluate.tasks for code in codes}
        return self._counts[key]

    def questions(self, experiment: Experiment) -> float:
        """Return the number of questions; nan if they cannot be read."""
        key = digest(experiment.questions)
        if key not in self._counts:
            try:
                self._counts[key] = {("", ""): float(len(Inputs(experiment).questions))}
            except SpilloverError as error:
                self.problem = self.problem or str(error)
                self._counts[key] = {("", ""): math.nan}
        return self._counts[key]["", ""]


def _artifacts(experiment: Experiment, counts: _Counts) -> Iterator[tuple[str, str, float, str]]:
    """Yield every artifact that takes time: part of a run, digest of the inputs, units of work, pattern of its link.

    The pattern is relative to the folders of `LINKS`.
    """
    tuned = digest(tune_key(experiment))
    phases = expected_examples(experiment, counts.questions(experiment))
    yield "tune", tuned, sum(examples * epochs for examples, epochs in phases), "adapter"
    narrow = experiment.evaluate.model_dump(exclude={"tasks", "languages"})
    items_in = counts.items(experiment)
    names = [next(iter(experiment.all_arms)), next((n for n, arm in experiment.all_arms.items() if arm.tuned), "tuned")]
    for name, arm in zip(names, (digest(base_key(experiment)[:3]), tuned), strict=True):
        for (task, code), items in items_in.items():
            link = f"{name}/{Path(task).stem}/{code}.*"
            yield "evaluate", digest(arm, narrow, task, code), items, link
            compared = [language for other, language in items_in if other == task]
            times = readings_per_item(experiment, compared)
            if times and experiment.analyze.limit:
                # in comparison with other languages, other neurons are a language's
                key = digest(arm, narrow, task, code, compared, experiment.analyze)
                yield "deactivate", key, times * min(items, experiment.analyze.limit), link
            for part, limit in (("analyze", experiment.analyze.limit), ("texts", experiment.analyze.texts)):
                if limit:
                    yield part, digest(arm, narrow, task, code, limit), min(items, limit), link

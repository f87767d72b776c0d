"""The amount of work of a sweep. Artifacts that experiments share count once. Data are read, models are not."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from spillover.errors import SpilloverError
from spillover.experiment import Experiment, ModelConfig
from spillover.languages import languages
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
    """Number of different artifacts, each made once."""
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
        return {work.model: [other.part for other in self.work if other.model == work.model] for work in self.work}


def forecast_sweep(trials: Sequence[Trial]) -> SweepForecast:
    """Return the work of these experiments. Artifacts that several share count once."""
    counts = _Counts()
    units: dict[tuple[ModelConfig, str], dict[str, float]] = {}
    requests: Counter[tuple[ModelConfig, str]] = Counter()
    for trial in trials:
        for part, key, amount in _artifacts(trial.experiment, counts):
            place = (trial.experiment.model, part)
            units.setdefault(place, {})[key] = amount
            requests[place] += 1
    works = (Work(*place, len(by_key), requests[place], sum(by_key.values())) for place, by_key in units.items())
    return SweepForecast(tuple(works), counts.problem)


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


def _artifacts(experiment: Experiment, counts: _Counts) -> Iterator[tuple[str, str, float]]:
    """Yield (part of a run, digest of the inputs, units of work) of every artifact that takes time."""
    sizes, questions = experiment.mixture.sizes, counts.questions(experiment)
    examples = sum(min(questions, sizes.get(code, questions)) for code in experiment.translate.to)
    tuned = digest(tune_key(experiment))
    yield "tune", tuned, examples * experiment.tune.epochs
    narrow = experiment.evaluate.model_dump(exclude={"tasks", "languages"})
    items_in = counts.items(experiment)
    for arm in (digest(base_key(experiment)[:3]), tuned):
        for (task, code), items in items_in.items():
            yield "evaluate", digest(arm, narrow, task, code), items
            compared = [language for name, language in items_in if name == task]
            times = readings_per_item(experiment, compared)
            if times and experiment.analyze.limit:
                # in comparison with other languages, other neurons are a language's
                key = digest(arm, narrow, task, code, compared, experiment.analyze)
                yield "deactivate", key, times * min(items, experiment.analyze.limit)
            for part, limit in (("analyze", experiment.analyze.limit), ("texts", experiment.analyze.texts)):
                if limit:
                    yield part, digest(arm, narrow, task, code, limit), min(items, limit)

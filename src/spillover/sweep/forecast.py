"""How much work a sweep is, what its experiments share counted once. Reads data, no model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from spillover.errors import SpilloverError
from spillover.experiment import Experiment, ModelConfig
from spillover.languages import languages
from spillover.stages.inputs import Inputs
from spillover.store import digest
from spillover.sweep.grid import Trial
from spillover.sweep.plan import base_key, tune_key


@dataclass(frozen=True, slots=True)
class Work:
    """What is left to do of one part of the runs with one model."""

    model: ModelConfig
    """The model."""
    part: str
    """Part of a run, one of `spillover.runs.rates.WORKLOADS`."""
    stages: int
    """How many different stages that is, each made once."""
    asked: int
    """How often experiments ask for one."""
    units: float
    """How much work they are, in the part's units; nan where the data could not be read."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The work of a sweep."""

    work: tuple[Work, ...]
    """One a model and part."""
    problem: str
    """Why some of the data cannot be read; empty where all can."""


def forecast(trials: Sequence[Trial]) -> Forecast:
    """Return the work of these experiments, what several share counted once."""
    counts = _Counts()
    made: dict[tuple[ModelConfig, str], dict[str, float]] = {}
    asked: dict[tuple[ModelConfig, str], int] = {}
    for trial in trials:
        for part, key, units in _stages(trial.experiment, counts):
            place = (trial.experiment.model, part)
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
        key = digest(one.questions.source, one.questions.columns, one.questions.classes, one.evaluate)
        if key not in self._known:
            try:
                with one.registered():
                    self._known[key] = {cell: float(len(rows)) for cell, rows in Inputs(one).items.items()}
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
                self._known[key] = {("", ""): float(len(Inputs(one).questions))}
            except SpilloverError as error:
                self.problem = self.problem or str(error)
                self._known[key] = {("", ""): float("nan")}
        return self._known[key]["", ""]


def _stages(one: Experiment, counts: _Counts) -> Iterator[tuple[str, str, float]]:
    """Yield (part, digest of what it depends on, units of work) of every stage that costs something."""
    sizes, asked = one.mixture.sizes, counts.questions(one)
    examples = sum(min(asked, sizes.get(code, asked)) for code in one.translate.to)
    tuned = digest(tune_key(one))
    yield "tune", tuned, examples * one.tune.epochs
    narrow = one.evaluate.model_dump(exclude={"tasks", "languages"})
    for arm in (digest(base_key(one)[:3]), tuned):
        for (task, code), items in counts.items(one).items():
            yield "evaluate", digest(arm, narrow, task, code), items
            for part, limit in (("analyze", one.analyze.limit), ("texts", one.analyze.texts)):
                if limit:
                    yield part, digest(arm, narrow, task, code, limit), min(items, limit)

"""From a grid's experiments to tasks: what is done once for several of them, and in which order. Runs nothing.

What may be shared is told from the experiments alone, before any data is read; the stages themselves are keyed by their
content, so two tasks that make the same still make it once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spillover.experiment import Experiment
from spillover.store import digest
from spillover.sweep.grid import Trial

STEPS = {"translate": 0, "base": 1, "run": 2, "tune": 3}
"""What a task does → its rank among those of one model: what many wait for first, and an experiment to its end before
the next begins."""


@dataclass(frozen=True, slots=True)
class SweepTask:
    """A piece of work for one worker."""

    step: str
    """A name of `STEPS`."""
    key: str
    """Digest of what it depends on."""
    name: str
    """Name of the experiment on whose behalf it is done."""
    experiment: Experiment
    """That experiment, or as much of it as this task needs."""
    serves: tuple[str, ...]
    """Names of all experiments that need it."""
    needs: tuple[str, ...]
    """Keys of the tasks to be done before."""
    runs: Path
    """Where run folders go, absolute."""
    grid: str
    """Name of the grid's folder among them."""
    home: Path
    """Folder that relative paths of the experiment start from."""


def plan(trials: Sequence[Trial], runs: Path, grid: str) -> list[SweepTask]:
    """Return the tasks of these experiments, each after those it needs, one model's before the next's.

    A language is translated once, a base model measured once, an adapter tuned once, whatever number of experiments
    agree on it; where a translation or a base model is one experiment's alone, its run does it.
    """
    models = list(dict.fromkeys(trial.experiment.model for trial in trials))
    found: dict[str, tuple[str, str, Experiment, tuple[str, ...]]] = {}
    serves: dict[str, list[str]] = {}
    for trial in trials:
        for step, key, experiment, needs in _steps(trial.experiment):
            found.setdefault(key, (step, trial.name, experiment, needs))
            serves.setdefault(key, []).append(trial.name)
    kept = {key for key, (step, *_) in found.items() if step in ("run", "tune") or len(serves[key]) > 1}
    tasks = [
        SweepTask(
            *(step, key, name, experiment),
            serves=tuple(serves[key]),
            needs=tuple(need for need in needs if need in kept),
            runs=runs.absolute(),
            grid=grid,
            home=Path.cwd(),
        )
        for key, (step, name, experiment, needs) in found.items()
        if key in kept
    ]
    return sorted(tasks, key=lambda task: (models.index(task.experiment.model), STEPS[task.step]))


def _steps(one: Experiment) -> list[tuple[str, str, Experiment, tuple[str, ...]]]:
    """Return (step, key, experiment, keys needed) of one experiment."""
    found: list[tuple[str, str, Experiment, tuple[str, ...]]] = []
    for code in one.translate.to:
        alone = one.model_copy(update={"translate": one.translate.model_copy(update={"to": (code,)})})
        found.append(("translate", digest("translate", *_pairs_key(one, code)), alone, ()))
    pairs = tuple(key for _, key, _, _ in found)
    base = digest("base", base_key(one))
    tuned = digest("tune", tune_key(one))
    found.append(("base", base, one, ()))
    found.append(("tune", tuned, one, pairs))
    found.append(("run", digest("run", one), one, (*pairs, base, tuned)))
    return found


def _pairs_key(experiment: Experiment, code: str) -> list[object]:
    translate = experiment.translate
    engine = [translate.translator, translate.model, translate.endpoint, translate.budget]
    return [experiment.questions, engine, experiment.mixture.pivot, code]


def base_key(one: Experiment) -> list[object]:
    """Return what the measurement of the base model depends on."""
    return [one.model, one.questions.source, one.questions.columns, one.questions.classes, one.evaluate, one.analyze]


def tune_key(one: Experiment) -> list[object]:
    """Return what an adapter depends on."""
    return [one.seed, one.model, one.questions, one.translate, one.mixture, one.tune]

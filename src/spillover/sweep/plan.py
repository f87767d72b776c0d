"""The tasks of a grid: work that experiments share is one task, and comes first.

Tasks that several experiments share are found from their configuration alone, before any data is read. If that guess is
wrong, a task waits for a lock; results stay correct, since artifacts are keyed by content.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spillover.experiment import Experiment
from spillover.store import address_of, digest
from spillover.sweep.grid import Trial
from spillover.utils.hub import Revisions, revisions, works_offline

STEPS = {"translate": 0, "base": 1, "run": 2, "tune": 3}
"""Step of a task → its priority within a model: shared work first; then one experiment is finished before the next."""


@dataclass(frozen=True, slots=True)
class SweepTask:
    """Work for one worker."""

    step: str
    """A name of `STEPS`."""
    key: str
    """Digest of the task's inputs."""
    name: str
    """Name of the first experiment that needs it. A crash fails this experiment alone."""
    experiment: Experiment
    """That experiment, or the part of it that this task needs."""
    serves: tuple[str, ...]
    """Names of all experiments that need it."""
    needs: tuple[str, ...]
    """Keys of the tasks to do before."""
    runs: Path
    """Absolute path of the folder of runs."""
    address: str
    """Address that the folder of runs is a copy of; empty if it is no copy. A worker elsewhere has its own copy."""
    grid: str
    """Name of the grid's folder in it."""
    home: Path
    """Folder that relative paths of the experiment start from."""
    revisions: Revisions
    """Commits that the grid's lock pins."""
    offline: bool
    """Whether the worker works without the hub."""


def plan_tasks(trials: Sequence[Trial], runs: Path, grid: str) -> list[SweepTask]:
    """Return the tasks of these experiments, each after those that it needs, one model after the other.

    A language is translated once, a base model measured once, an adapter tuned once, however many experiments need it.
    A translation or base model that one experiment needs is part of that experiment's run.
    """
    ranks = {model: rank for rank, model in enumerate(dict.fromkeys(trial.experiment.model for trial in trials))}
    steps: dict[str, tuple[str, str, Experiment, tuple[str, ...]]] = {}
    serves: dict[str, list[str]] = {}
    for trial in trials:
        for step, key, experiment, needs in _steps(trial.experiment):
            steps.setdefault(key, (step, trial.name, experiment, needs))
            serves.setdefault(key, []).append(trial.name)
    address, home, commits, offline = address_of(runs), Path.cwd(), dict(revisions()), works_offline()
    keys = {key for key, (step, *_) in steps.items() if step in ("run", "tune") or len(serves[key]) > 1}
    tasks = [
        SweepTask(
            *(step, key, name, experiment),
            serves=tuple(serves[key]),
            needs=tuple(need for need in needs if need in keys),
            runs=runs.absolute(),
            address=address,
            grid=grid,
            home=home,
            revisions=commits,
            offline=offline,
        )
        for key, (step, name, experiment, needs) in steps.items()
        if key in keys
    ]
    return sorted(tasks, key=lambda task: (ranks[task.experiment.model], STEPS[task.step]))


def _steps(experiment: Experiment) -> list[tuple[str, str, Experiment, tuple[str, ...]]]:
    """Return (step, key, experiment, keys needed) of one experiment."""
    steps: list[tuple[str, str, Experiment, tuple[str, ...]]] = []
    for code in experiment.translate.to if experiment.tunes else ():
        alone = experiment.model_copy(update={"translate": experiment.translate.model_copy(update={"to": (code,)})})
        steps.append(("translate", digest("translate", *_pairs_key(experiment, code)), alone, ()))
    pairs = tuple(key for _, key, _, _ in steps)
    base = digest("base", base_key(experiment))
    tuned = digest("tune", tune_key(experiment))
    steps.append(("base", base, experiment, ()))
    if experiment.tunes:
        steps.append(("tune", tuned, experiment, pairs))
    needed = (*pairs, base, tuned) if experiment.tunes else (base,)
    steps.append(("run", digest("run", experiment), experiment, needed))
    return steps


def _pairs_key(experiment: Experiment, code: str) -> list[object]:
    translate = experiment.translate
    engine = [translate.translator, translate.model, translate.endpoint, translate.budget]
    return [experiment.questions, engine, experiment.mixture.pivot, code]


def base_key(experiment: Experiment) -> list[object]:
    """Return the inputs of the base model's measurement."""
    return [
        experiment.model,
        experiment.questions.source,
        experiment.questions.columns,
        experiment.questions.classes,
        experiment.evaluate,
        experiment.analyze,
        *list(experiment.arms.items())[:1],
    ]


def tune_key(experiment: Experiment) -> list[object]:
    """Return the inputs of an adapter."""
    return [
        experiment.seed,
        experiment.model,
        experiment.questions,
        experiment.translate,
        experiment.mixture,
        experiment.tune,
    ]

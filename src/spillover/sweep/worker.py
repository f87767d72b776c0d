"""A worker's job: one task in a separate process, maybe on another machine, with its output in the run folder."""

import os
from collections.abc import Callable, Sequence
from contextlib import closing, redirect_stderr, redirect_stdout
from json import JSONDecodeError, dumps, loads
from pathlib import Path
from typing import TYPE_CHECKING

from spillover.errors import SpilloverError
from spillover.experiment import Experiment
from spillover.records import PRECISION_FILE
from spillover.store import Artifact, Store, digest, open_runs
from spillover.sweep.plan import SweepTask
from spillover.sweep.schedule import TaskOutcome
from spillover.utils.hub import pinned, revisions, work_offline
from spillover.utils.precision import auto_means

if TYPE_CHECKING:
    from spillover.pipeline import Run

DONE = "done.json"
"""Last file that a finished experiment writes in its run folder."""

REPORTED = ("predictions", "outcomes", "adapter")
"""Folders of a run whose artifacts the report of a grid reads. Larger ones, such as `traces`, stay at the address."""

OUTPUT = "output.txt"
"""File of the run folder with a worker's standard output and errors."""


def steps() -> "dict[str, Callable[[Run], object]]":
    """Return step of a task → its function of a run."""
    from spillover.pipeline import STAGES, Run

    return {
        "translate": STAGES["translate"],
        "base": Run.measure_base,
        "tune": STAGES["tune"],
        "run": Run.complete,
    }


def run_task(task: SweepTask) -> TaskOutcome:
    """Do a task. Every error becomes a sentence in the outcome."""
    from spillover.models.load import set_num_threads
    from spillover.pipeline import Run  # with the statistics, it takes longest to load

    os.chdir(task.home)
    if task.offline:
        work_offline()
    store = open_store(task)
    store.run.mkdir(parents=True, exist_ok=True)
    with (store.run / OUTPUT).open("a", encoding="utf-8") as out, redirect_stdout(out), redirect_stderr(out):
        try:
            set_num_threads(task.experiment.model.threads)
            with pinned(task.revisions), auto_means(grid_dtype(task)):
                steps()[task.step](Run(task.experiment, store))
                if task.step == "run":
                    finish(store, task.experiment)
            store.push()
        except SpilloverError as error:
            store.log("failed", step=task.step, error=str(error))
            return TaskOutcome(str(error), refused=True)
        except Exception as error:  # a bug, or too little memory: the other experiments go on
            import traceback

            traceback.print_exc()
            store.log("failed", step=task.step, error=repr(error))
            return TaskOutcome(f"{type(error).__name__}: {error}; see {store.run / OUTPUT}")
        finally:
            store.close()
    return TaskOutcome()


def grid_dtype(task: SweepTask) -> str:
    """Return the dtype that `auto` stands for in all experiments of the grid: the one of the first worker.

    Without it, a grid that goes on on another kind of machine would compare results of two precisions.
    """
    from spillover.stages.arms import auto_dtype

    with closing(Store(_runs(task), task.grid)) as store:
        if not store.text(PRECISION_FILE) and (dtype := auto_dtype(task.experiment)):
            store.save_new(PRECISION_FILE, dtype)
            store.push()
        return store.text(PRECISION_FILE)


def open_store(task: SweepTask) -> Store:
    """Open an experiment's run folder inside the grid's.

    A shared task has a separate folder, since one process at a time writes in a run folder.
    """
    name = task.name if task.step in ("tune", "run") else f".{task.step}-{task.key}"
    return Store(_runs(task), task.grid).child_run(name)


def _runs(task: SweepTask) -> Path:
    return open_runs(task.address) if task.address else task.runs


def finish(store: Store, experiment: Experiment) -> None:
    """Mark an experiment as finished, with the revisions that are pinned here."""
    store.save(DONE, dumps({"experiment": _done_key(experiment)}))


def pull_finished(store: Store, names: Sequence[str]) -> None:
    """Bring those experiments of a grid here that another machine finished, if the runs are at an address."""
    store.pull_children(names, REPORTED, DONE)


def is_finished(store: Store, experiment: Experiment) -> bool:
    """Return whether the run folder holds this very experiment, finished with the revisions that are pinned here."""
    try:
        marker = loads((store.run / DONE).read_text(encoding="utf-8"))
        return bool(marker["experiment"] == _done_key(experiment))
    except (OSError, JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        return False


def _done_key(experiment: Experiment) -> str:
    return digest(experiment, revisions()) if revisions() else digest(experiment)


def report_key(store: Store) -> str:
    """Return the digest of a finished experiment's results, from its report's marker.

    Raises:
        SpilloverError: the report is missing or damaged.
    """
    folder = store.run / "report"
    try:
        return str(Artifact(folder).marker["inputs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpilloverError(
            f"{folder}: found no report, though the experiment is finished; remove {store.run} and sweep again"
        ) from error

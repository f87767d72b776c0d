"""What a worker does: one task, its output into the run folder. Runs in a process of its own, on whatever machine."""

import os
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from json import JSONDecodeError, dumps, loads

from spillover.errors import SpilloverError
from spillover.experiment import Experiment
from spillover.pipeline import STAGES, Run
from spillover.store import Artifact, Store, digest
from spillover.sweep.plan import SweepTask
from spillover.sweep.schedule import TaskOutcome

DONE = "done.json"
"""What a finished experiment leaves in its run folder, last."""

WORK: dict[str, Callable[[Run], object]] = {
    "translate": STAGES["translate"],
    "base": Run.measure_base,
    "tune": STAGES["tune"],
    "run": Run.complete,
}
"""Step of a task → what it makes of a run."""

OUTPUT = "output.txt"
"""What a worker would have printed."""


def run_task(task: SweepTask) -> TaskOutcome:
    """Do a task. Whatever goes wrong becomes a sentence."""
    from spillover.models.load import set_num_threads

    os.chdir(task.home)
    store = open_store(task)
    store.run.mkdir(parents=True, exist_ok=True)
    with (store.run / OUTPUT).open("a", encoding="utf-8") as out, redirect_stdout(out), redirect_stderr(out):
        try:
            set_num_threads(task.experiment.model.threads)
            WORK[task.step](Run(task.experiment, store))
            if task.step == "run":
                finish(store, task.experiment)
        except SpilloverError as error:
            store.log("failed", step=task.step, error=str(error))
            return TaskOutcome(str(error), refused=True)
        except Exception as error:  # a bug, or memory that ran out: the other experiments have a right to go on
            import traceback

            traceback.print_exc()
            store.log("failed", step=task.step, error=repr(error))
            return TaskOutcome(f"{type(error).__name__}: {error}; see {store.run / OUTPUT}")
        finally:
            store.close()
    return TaskOutcome()


def open_store(task: SweepTask) -> Store:
    """Open an experiment's run folder, which stands in the grid's; stages are shared with all runs.

    What several experiments share is made in a folder of its own: a run folder is one process's at a time.
    """
    name = task.name if task.step in ("tune", "run") else f".{task.step}-{task.key}"
    return Store(task.runs, task.grid).child_run(name)


def finish(store: Store, experiment: Experiment) -> None:
    """Mark an experiment as finished."""
    store.save(DONE, dumps({"experiment": digest(experiment)}))


def is_finished(store: Store, experiment: Experiment) -> bool:
    """Return whether the run folder is that of this very experiment, finished."""
    try:
        found = loads((store.run / DONE).read_text(encoding="utf-8"))
        return bool(found["experiment"] == digest(experiment))
    except (OSError, JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        return False


def report_key(store: Store) -> str:
    """Return a digest of all that a finished experiment found, as its report's marker has it.

    Raises:
        SpilloverError: the report is gone, or damaged.
    """
    folder = store.run / "report"
    try:
        return str(Artifact(folder).marker["inputs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpilloverError(
            f"{folder}: found no report, though the experiment is finished; remove {store.run} and sweep again"
        ) from error

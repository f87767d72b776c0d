"""Stand-ins for workers, and for what they do: it takes no time, and leaves in the run folder what was asked."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from spillover.sweep.plan import SweepTask
from spillover.sweep.resources import Resources
from spillover.sweep.schedule import Schedule, TaskOutcome
from spillover.sweep.worker import finish, open_store


def note(task: SweepTask) -> None:
    """Leave a line that says which process did which step of what, and when it began."""
    store = open_store(task)
    store.run.mkdir(parents=True, exist_ok=True)
    with (task.runs / "notes.txt").open("a", encoding="utf-8") as notes:
        notes.write(f"{task.step} {task.name} {task.key} {os.getpid()}\n")


def instant(task: SweepTask) -> TaskOutcome:
    """Do nothing, and finish."""
    note(task)
    if task.step == "run":
        finish(open_store(task), task.experiment)
    return TaskOutcome()


def slow(task: SweepTask) -> TaskOutcome:
    """The same, after a while."""
    time.sleep(0.5)
    return instant(task)


def placed(task: SweepTask) -> TaskOutcome:
    """The same, and leave a line: the node's process, the GPUs that the task sees, when it began and ended."""
    begun = time.time()
    outcome = slow(task)
    with (task.runs / "places.txt").open("a", encoding="utf-8") as places:
        places.write(f"{os.getppid()} {os.environ.get('CUDA_VISIBLE_DEVICES')} {begun} {time.time()}\n")
    return outcome


def deadly(task: SweepTask) -> TaskOutcome:
    """Be killed once where seed 1 is run."""
    if task.step == "run" and task.experiment.seed == 1:
        note(task)
        os.kill(os.getpid(), signal.SIGKILL)
    return instant(task)


def refusing(task: SweepTask) -> TaskOutcome:
    """Refuse to tune on German."""
    note(task)
    if task.step == "tune" and "de" in task.experiment.translate.to:
        return TaskOutcome("translate.to: found 'de'", refused=True)
    return instant(task)


def inline(schedule: Schedule, resources: Resources, work: Callable[[SweepTask], TaskOutcome]) -> None:
    """Do a schedule's tasks in this process, one after the other: an executor whose workers need no start."""
    while task := schedule.next():
        schedule.ended(task, work(task))


def notes(runs: Path) -> list[list[str]]:
    """Return what was noted: step, experiment, key, process."""
    return [line.split() for line in (runs / "notes.txt").read_text("utf-8").splitlines()]

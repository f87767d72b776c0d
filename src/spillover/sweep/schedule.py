"""The schedule of a sweep: experiments queued, running, done and failed, and the next task."""

import heapq
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from spillover.sweep.plan import SweepTask

State = Literal["queued", "running", "done", "failed"]


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """How a task ended."""

    error: str = ""
    """The error; empty if there was none."""
    refused: bool = False
    """Whether the experiment itself was refused. All experiments that need the task then fail alike."""


@dataclass(slots=True)
class ExperimentRow:
    """One experiment of the live table."""

    name: str
    """Its name."""
    state: State = "queued"
    """Its state."""
    step: str = ""
    """The step under way; empty if there is none."""
    error: str = ""
    """Why it failed."""
    done_before: bool = False
    """Whether it was finished before this sweep began."""
    seconds: float = 0.0
    """Time that workers spent on its tasks."""


@dataclass(slots=True)
class Schedule:
    """The experiments of a sweep, and their tasks left to do."""

    rows: dict[str, ExperimentRow]
    """Name → experiment, in the grid's order."""
    tasks: Sequence[SweepTask]
    """The tasks in order of priority."""
    changed: Callable[[ExperimentRow], None] = lambda row: None
    """Called with every experiment that begins another step or ends."""
    _unmet: dict[str, int] = field(default_factory=dict)
    _waiting: dict[str, list[int]] = field(default_factory=dict)
    _ready: list[int] = field(default_factory=list)
    _begun: dict[str, float] = field(default_factory=dict)
    """Key of a task in flight → when it began."""

    def __post_init__(self) -> None:
        for place, task in enumerate(self.tasks):
            self._unmet[task.key] = len(task.needs)
            for need in task.needs:
                self._waiting.setdefault(need, []).append(place)
            if not task.needs:
                self._ready.append(place)  # in order, so a heap

    @property
    def open(self) -> bool:
        """Whether a task is left to do or under way."""
        return bool(self._ready or self._begun)

    def count(self, state: State) -> int:
        """Return how many experiments are in a state."""
        return sum(row.state == state for row in self.rows.values())

    def next(self) -> SweepTask | None:
        """Begin and return the first task that can begin now; None if all tasks wait for others."""
        while self._ready:
            task = self.tasks[heapq.heappop(self._ready)]
            wanted = [self.rows[name] for name in task.serves if self.rows[name].state != "failed"]
            if not wanted:
                self._release(task)
                continue
            self._begun[task.key] = time.monotonic()
            row = self.rows[task.name]
            if row.state != "failed":
                row.state, row.step = "running", task.step
                self.changed(row)
            return task
        return None

    def ended(self, task: SweepTask, outcome: TaskOutcome) -> None:
        """Record the end of a task.

        If an experiment was refused, all experiments that need the task fail. If a worker crashed, only the experiment
        that it was running fails; others redo the shared step.
        """
        first = self.rows[task.name]
        first.seconds += time.monotonic() - self._begun.pop(task.key)
        if first.state == "running" and first.step == task.step:
            first.step = ""
        if outcome.error:
            for name in task.serves if outcome.refused else (first.name,):
                row = self.rows[name]
                if row.state not in ("done", "failed"):
                    row.state, row.step, row.error = "failed", "", outcome.error
                    self.changed(row)
        elif task.step == "run":
            first.state = "done"
            self.changed(first)
        self._release(task)

    def _release(self, task: SweepTask) -> None:
        for place in self._waiting.pop(task.key, ()):
            key = self.tasks[place].key
            self._unmet[key] -= 1
            if not self._unmet[key]:
                heapq.heappush(self._ready, place)

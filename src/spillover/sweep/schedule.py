"""What of a sweep is queued, running, done and failed, and what is next. Knows neither workers nor what a task does."""

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
    """What went wrong; empty where nothing did."""
    refused: bool = False
    """Whether the experiment itself was refused, so that the same would happen to all that need this task."""


@dataclass(slots=True)
class ExperimentRow:
    """One experiment as it is shown."""

    name: str
    """Its name."""
    state: State = "queued"
    """Where it stands."""
    step: str = ""
    """What is being done for it; empty where nothing is."""
    error: str = ""
    """Why it failed."""
    kept: bool = False
    """Whether it was finished before this sweep began."""
    seconds: float = 0.0
    """Time that workers spent on its tasks."""


@dataclass(slots=True)
class Schedule:
    """The experiments of a sweep, and the tasks that are left of them."""

    rows: dict[str, ExperimentRow]
    """Name → how it stands, in the grid's order."""
    tasks: Sequence[SweepTask]
    """What is to be done, the first first."""
    changed: Callable[[ExperimentRow], None] = lambda row: None
    """Told of every experiment that begins another step or ends."""
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
        """Whether anything is left to do or under way."""
        return bool(self._ready or self._begun)

    def count(self, state: State) -> int:
        """Return how many experiments are in a state."""
        return sum(row.state == state for row in self.rows.values())

    def next(self) -> SweepTask | None:
        """Return the first task that can begin now, which counts as begun; None where all wait for others."""
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
        """Take note of how a task ended.

        Where an experiment was refused, all that need the task fail. Where a worker died, or stumbled, the one fails on
        whose behalf it worked; the others do what is missing themselves.
        """
        own = self.rows[task.name]
        own.seconds += time.monotonic() - self._begun.pop(task.key)
        if own.state == "running" and own.step == task.step:
            own.step = ""
        if outcome.error:
            for name in task.serves if outcome.refused else (own.name,):
                row = self.rows[name]
                if row.state not in ("done", "failed"):
                    row.state, row.step, row.error = "failed", "", outcome.error
                    self.changed(row)
        elif task.step == "run":
            own.state = "done"
            self.changed(own)
        self._release(task)

    def _release(self, task: SweepTask) -> None:
        for place in self._waiting.pop(task.key, ()):
            key = self.tasks[place].key
            self._unmet[key] -= 1
            if not self._unmet[key]:
                heapq.heappush(self._ready, place)

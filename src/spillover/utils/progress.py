"""What a run tells while it works, on standard error: bars on a terminal, else lines, or JSON for machines.

A terminal gets a bar with an estimate of the time left. Anything else gets a line every 30 seconds and one at the end.
With `--json-progress` each line is a JSON object.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Event, Thread

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from spillover.utils.distributed import is_main_process
from spillover.utils.formatting import duration

console = Console(stderr=True, highlight=False, emoji=False, quiet=not is_main_process())

PERIODS = {"text": 30.0, "json": 1.0}
"""Format of lines → seconds between two lines of one bar."""

WINDOW = 120.0
"""Seconds over which the recent rate is estimated: some steps take half a minute."""

_as_json = False


def report_as_json(chosen: bool) -> None:
    """Write JSON objects from now on, or texts and bars again."""
    global _as_json
    _as_json = chosen


def live() -> bool:
    """Return whether bars and tables are drawn that change in place: on a terminal, unless JSON is asked for."""
    return console.is_terminal and not _as_json


@dataclass(slots=True)
class Bar:
    """A bar that counts finished work and may carry a note, such as a loss."""

    _progress: Progress
    _task: TaskID

    @property
    def _done(self) -> float:
        return self._progress.tasks[self._task].completed

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Count `amount` more as done."""
        self._progress.update(self._task, advance=amount, note=note)

    @contextmanager
    def counting(self, amount: float) -> Iterator[None]:
        """Count `amount` in total for the block, including the part that the block counts itself."""
        end = self._done + amount
        yield
        self.advance(end - self._done)


class _Speed(ProgressColumn):
    """Work per second."""

    def render(self, task: Task) -> Text:
        """Render the speed, once there is one."""
        return Text(_rate(task.speed), style="progress.data.speed")


def _rate(per_second: float | None) -> str:
    """Return a rate in words: seconds each where one takes longer than a second; empty if there is none yet."""
    if not per_second:
        return ""
    return f"{per_second:,.1f}/s" if per_second >= 1 else f"{1 / per_second:,.1f} s each"


@contextmanager
def bar(what: str, total: float) -> Iterator[Bar]:
    """Show the progress of a block: as a bar on a terminal, else as lines.

    Args:
        what: what is done, and the unit that is counted: `evaluate (items)`.
        total: amount of all of it, in that unit.
    """
    if live():
        columns = (
            TextColumn("{task.description:<28}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            _Speed(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=console, speed_estimate_period=WINDOW) as progress:
            yield Bar(progress, progress.add_task(what, total=total, note=""))
        return
    progress = Progress(console=console, disable=True, speed_estimate_period=WINDOW)
    number = progress.add_task(what, total=total, note="")
    with _repeated(partial(_tell, progress.tasks[number]), PERIODS["json" if _as_json else "text"]):
        yield Bar(progress, number)


def no_bar() -> Bar:
    """Return a bar that nobody sees."""
    progress = Progress(disable=True)
    return Bar(progress, progress.add_task("", total=None, note=""))


def notify(text: str, event: str = "note", **fields: object) -> None:
    """Print one line on standard error."""
    console.print(as_line(text, event, **fields), markup=False, soft_wrap=True)


def as_line(text: str, event: str, **fields: object) -> str:
    """Return the line that reports an event: its text, or an object with the event, the text and further fields."""
    return json.dumps({"event": event, "text": text, **fields}) if _as_json else text


@contextmanager
def _repeated(tell: Callable[[str], None], period: float) -> Iterator[None]:
    """Tell the state of the block's work every `period` seconds, from a thread, and once more at the end."""
    ended = Event()

    def repeat() -> None:
        while not ended.wait(period):
            tell("progress")

    thread = Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        tell("end")


def _tell(task: Task, event: str) -> None:
    """Print the state of a bar's work: what, done of all, and the recent rate with the time left.

    In the end the rate is the mean, and the time is the time taken.
    """
    done, total, taken = task.completed, task.total or 0, task.elapsed or 0.0
    ended = event == "end"
    rate, left = (done / taken if taken else None, 0.0) if ended else (task.speed, task.time_remaining)
    time = duration(taken) if ended else "time left unknown" if left is None else f"{duration(left)} left"
    parts = f"{done:,.0f} of {total:,.0f}", _rate(rate), str(task.fields["note"]), time
    notify(
        f"{task.description}: {', '.join(part for part in parts if part)}",
        event,
        stage=task.description,
        done=done,
        total=total,
        rate=rate,
        seconds=round(taken, 3),
        left=left,
        note=task.fields["note"],
    )

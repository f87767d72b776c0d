"""Progress bars with an estimate of the time left, on standard error."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

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

console = Console(stderr=True, highlight=False, quiet=not is_main_process())


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
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="progress.data.speed")


@contextmanager
def bar(what: str, total: float) -> Iterator[Bar]:
    """Show a bar during the block. Without a terminal only its last state is printed."""
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        _Speed(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as progress:
        yield Bar(progress, progress.add_task(what, total=total, note=""))


def no_bar() -> Bar:
    """Return a bar that nobody sees."""
    progress = Progress(disable=True)
    return Bar(progress, progress.add_task("", total=None, note=""))


def notify(text: str) -> None:
    """Print one line on standard error."""
    console.print(text, markup=False, soft_wrap=True)

"""A sweep for people: its plan, a live table while it runs, what became of it. Knows neither tasks nor workers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from spillover.experiment import ModelConfig
from spillover.runs.rates import UNKNOWN, WORKLOADS, UnitCost
from spillover.sweep.forecast import Forecast, Work
from spillover.sweep.schedule import ExperimentRow, Schedule, State
from spillover.utils.formatting import duration, size
from spillover.utils.progress import console, notify

MAX_SHOWN = 16
"""Experiments that the live table shows: those under way, those that failed, the next ones."""

STYLES: dict[State, str] = {"running": "bold", "failed": "red", "queued": "dim", "done": "green"}
"""State → how it is shown; in the order in which experiments are."""


def planned(forecast: Forecast, rates: Mapping[tuple[ModelConfig, str], UnitCost], workers: int) -> RenderableType:
    """Return what a sweep will do: per model and part how much, shared how often, how long, how large."""
    shown = Table(box=None, pad_edge=False)
    for name, side in PLAN.items():
        shown.add_column(name, justify=side)
    takes = UnitCost(0, 0)
    for work in forecast.work:
        own = rates.get((work.model, work.part), UNKNOWN).times(work.units)
        shown.add_row(*_planned(work, own))
        takes += own
    total = f"In all: time {duration(takes.seconds)}, disk {size(takes.bytes)}"
    if takes.known and workers > 1:
        total += f"; with {workers} workers at best {duration(takes.seconds / workers)}"
    notes = [f"{total}. Translating and drawing are not counted."]
    if not takes.known:
        notes.append("Unknown is what no earlier run of that model has recorded, or what cannot be counted yet.")
    if forecast.problem:
        notes.append(f"Not all of the data can be read here: {forecast.problem}.")
    return Group(shown, *(Text(note) for note in notes))


PLAN: dict[str, Literal["left", "right"]] = {
    "model": "left",
    "part": "left",
    "asked for": "right",
    "made once": "right",
    "work": "right",
    "time": "right",
    "disk": "right",
}
"""Column of the plan → its side."""


def _planned(work: Work, takes: UnitCost) -> tuple[str, ...]:
    amount = "unknown" if work.units != work.units else f"{work.units:,.0f} {WORKLOADS[work.part].unit}"
    counts = f"{work.asked:,}", f"{work.stages:,}", amount
    return escape(work.model.name), work.part, *counts, duration(takes.seconds), size(takes.bytes)


@contextmanager
def watched(board: Schedule) -> Iterator[None]:
    """Show where a board stands while the block runs; without a terminal, a line for each experiment that ends."""
    if not console.is_terminal:
        board.changed = _tell
        yield
        return
    with Live(get_renderable=lambda: table(board), console=console, refresh_per_second=2):
        yield


def table(board: Schedule) -> Table:
    """Return the live table: a line of counts, and the experiments that matter now."""
    counts = ", ".join(f"{board.count(state)} {state}" for state in ("queued", "running", "done", "failed"))
    shown = Table("experiment", "state", "minutes", box=None, pad_edge=False, title=counts, title_justify="left")
    order = list(STYLES)
    rows = sorted(board.rows.values(), key=lambda row: order.index(row.state))
    for row in rows[:MAX_SHOWN]:
        state = f"{row.state}: {row.step}" if row.step else "done before" if row.kept else row.state
        shown.add_row(Text(row.name), Text(state, STYLES[row.state]), f"{row.seconds / 60:.1f}" if row.seconds else "")
    if len(rows) > MAX_SHOWN:
        shown.add_row(Text(f"and {len(rows) - MAX_SHOWN} more", "dim"))
    return shown


def failures(rows: Sequence[ExperimentRow]) -> list[str]:
    """Return a line for each experiment that failed, with the reason."""
    return [f"{row.name}: {row.error}" for row in rows if row.state == "failed"]


def _tell(row: ExperimentRow) -> None:
    if row.state in ("done", "failed"):
        notify(f"{row.state}: {row.name} ({row.seconds:.0f} s){f': {row.error}' if row.error else ''}")

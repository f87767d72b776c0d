"""A sweep on the terminal: its plan, a live table while it runs, its failures at the end."""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from spillover.experiment import ModelConfig
from spillover.runs.estimates import FIRST_ESTIMATE
from spillover.runs.rates import UNKNOWN, WORKLOADS, UnitCost
from spillover.sweep.forecast import SweepForecast, Work
from spillover.sweep.schedule import ExperimentRow, Schedule, State
from spillover.utils.formatting import duration, size
from spillover.utils.progress import Bar, bar, console, live, notify

MAX_SHOWN = 16
"""Number of experiments in the live table: running ones first, then failed ones, then the next."""

STYLES: dict[State, str] = {"running": "bold", "failed": "red", "queued": "dim", "done": "green"}
"""State → its style; experiments are listed in the order of these states."""


def planned(forecast: SweepForecast, costs: Mapping[tuple[ModelConfig, str], UnitCost], workers: int) -> RenderableType:
    """Return the table of a sweep's work: amount, sharing, time and disk per model and part of a run."""
    shown = Table(box=None, pad_edge=False)
    for name, side in PLAN.items():
        shown.add_column(name, justify=side)
    total_cost = UnitCost(0, 0)
    for work in forecast.work:
        cost = costs.get((work.model, work.part), UNKNOWN).times(work.units) if work.units else UnitCost(0, 0)
        shown.add_row(*_planned(work, cost))
        total_cost += cost
    total = f"In all: time {duration(total_cost.seconds)}, disk {size(total_cost.bytes)}"
    if total_cost.known and workers > 1:
        total += f"; with {workers} workers at best {duration(total_cost.seconds / workers)}"
    notes = [f"{total}. Translating and drawing are not counted."]
    if total_cost.estimated:
        notes.append(f"Parts that no earlier run of that model has recorded are {FIRST_ESTIMATE}.")
    if not total_cost.known:
        notes.append("Unknown: the model is not on this machine (spillover fetch GRID), or the data cannot be counted.")
    if forecast.problem:
        notes.append(f"Not all of the data can be read here: {forecast.problem}.")
    return Group(shown, *(Text(note) for note in notes))


PLAN: dict[str, Literal["left", "right"]] = {
    "model": "left",
    "part": "left",
    "asked for": "right",
    "missing": "right",
    "work": "right",
    "time": "right",
    "disk": "right",
}
"""Column of the plan → its side."""


def _planned(work: Work, cost: UnitCost) -> tuple[str, ...]:
    amount = "unknown" if math.isnan(work.units) else f"{work.units:,.0f} {WORKLOADS[work.part].unit}"
    counts = f"{work.requests:,}", f"{work.artifacts:,}", amount
    return escape(work.model.name), work.part, *counts, duration(cost.seconds), size(cost.bytes)


@contextmanager
def watched(schedule: Schedule) -> Iterator[None]:
    """Show a schedule while the block runs.

    Without a terminal, print a line per experiment that ends, and the progress of all of them.
    """
    if not live():
        left = sum(row.state == "queued" for row in schedule.rows.values())
        with bar("sweep (experiments)", left) as progress:
            schedule.changed = partial(_tell, progress)
            yield
        return
    with Live(get_renderable=lambda: table(schedule), console=console, refresh_per_second=2):
        yield


def table(schedule: Schedule) -> Table:
    """Return the live table: a line of counts, and the experiments that matter now."""
    counts = ", ".join(f"{schedule.count(state)} {state}" for state in ("queued", "running", "done", "failed"))
    shown = Table("experiment", "state", "minutes", box=None, pad_edge=False, title=counts, title_justify="left")
    order = list(STYLES)
    rows = sorted(schedule.rows.values(), key=lambda row: order.index(row.state))
    for row in rows[:MAX_SHOWN]:
        state = f"{row.state}: {row.step}" if row.step else "done before" if row.done_before else row.state
        shown.add_row(Text(row.name), Text(state, STYLES[row.state]), f"{row.seconds / 60:.1f}" if row.seconds else "")
    if len(rows) > MAX_SHOWN:
        shown.add_row(Text(f"and {len(rows) - MAX_SHOWN} more", "dim"))
    return shown


def failures(rows: Sequence[ExperimentRow]) -> list[str]:
    """Return one line per failed experiment, with the reason."""
    return [f"{row.name}: {row.error}" for row in rows if row.state == "failed"]


def compared(file: Path) -> RenderableType:
    """Return the table of a grid's settings, from its CSV file."""
    header, *rows = csv.reader(file.read_text("utf-8").splitlines())
    shown = Table(*header, box=None, pad_edge=False)
    for row in rows:
        shown.add_row(*map(escape, row))
    return shown


def _tell(progress: Bar, row: ExperimentRow) -> None:
    if row.state in ("done", "failed"):
        progress.advance()
        text = f"{row.state}: {row.name} ({row.seconds:.0f} s){f': {row.error}' if row.error else ''}"
        notify(text, "experiment", name=row.name, state=row.state, seconds=round(row.seconds, 3), error=row.error)

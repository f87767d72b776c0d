"""A grid of experiments: planned, run by an executor, reported as a whole.

What is finished is not touched again; what several experiments share is made once, and kept for the next sweep.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from spillover.plugins import EXECUTORS, resolve
from spillover.records import ExperimentStatus, SweepFindings
from spillover.store import Store
from spillover.sweep.display import watched
from spillover.sweep.grid import Trial, load_grid
from spillover.sweep.plan import SweepTask, plan
from spillover.sweep.resources import Resources
from spillover.sweep.schedule import ExperimentRow, Schedule, TaskOutcome
from spillover.sweep.worker import is_finished, report_key, run_task

__all__ = ["Resources", "Schedule", "Trial", "load_grid", "open_board", "report", "sweep"]


def open_board(trials: Sequence[Trial], runs: Path, grid: str) -> Schedule:
    """Return where these experiments stand, and what is left to do."""
    store = Store(runs, grid)
    kept = {trial.name for trial in trials if is_finished(store.child_run(trial.name), trial.experiment)}
    rows = {
        trial.name: ExperimentRow(trial.name, "done", kept=True) if trial.name in kept else ExperimentRow(trial.name)
        for trial in trials
    }
    return Schedule(rows, plan([trial for trial in trials if trial.name not in kept], runs, grid))


def sweep(
    board: Schedule, executor: str, means: Resources, work: Callable[[SweepTask], TaskOutcome] = run_task
) -> None:
    """Do what is left to do; a failed experiment stops no other.

    Args:
        board: where the experiments stand; it is told of all that happens.
        executor: a name of `EXECUTORS`, or a function of one's own.
        means: workers and what they have.
        work: what a worker does with a task.
    """
    run = resolve(EXECUTORS, executor, "--executor")
    if board.open:
        with watched(board):
            run(board, means, work)


def report(trials: Sequence[Trial], board: Schedule, runs: Path, grid: str, file: str) -> Path:
    """Write the grid's report from the experiments that are done; return its folder. `file` is the grid's TOML."""
    from spillover.report import code_digest

    store = Store(runs, grid)
    done = [trial for trial in trials if board.rows[trial.name].state == "done"]
    standings = tuple(ExperimentStatus(row.name, row.state, row.error) for row in board.rows.values())
    made_from = [report_key(store.child_run(trial.name)) for trial in done]

    def contents() -> dict[str, str | bytes]:
        from spillover.analysis.statistics.transfer import transfers
        from spillover.report.grid import render
        from spillover.runs.read import read_run, registered

        folders = {trial: store.child_run(trial.name).run for trial in done}
        with registered(folders.values()):
            runs = [read_run(folder, trial.setting) for trial, folder in folders.items()]
            return render(SweepFindings(grid, standings, transfers(runs) if runs else (), file))

    return store.replace("report", [made_from, standings, file, code_digest()], contents)

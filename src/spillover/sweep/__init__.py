"""A grid of experiments: planned, run by an executor, reported as a whole.

Finished experiments are left alone. Shared artifacts are made once, and remain for the next sweep.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from spillover.experiment import AnalyzeConfig, Experiment, ReportConfig, TuneConfig
from spillover.plugins import EXECUTORS, resolve
from spillover.records import ExperimentStatus, SweepFindings
from spillover.store import Store, digest
from spillover.sweep.display import watched
from spillover.sweep.grid import Trial, load_grid
from spillover.sweep.plan import SweepTask, plan_tasks
from spillover.sweep.resources import Resources
from spillover.sweep.schedule import ExperimentRow, Schedule, TaskOutcome
from spillover.sweep.worker import is_finished, pull_finished, report_key, run_task

__all__ = ["Resources", "Schedule", "Trial", "experiments_to_fetch", "load_grid", "open_schedule", "report", "sweep"]


def experiments_to_fetch(file: Path, overrides: Sequence[str] = ()) -> list[Experiment]:
    """Return the experiments of a grid, those once that need the same models and data; of an experiment file, its one.

    Raises:
        SpilloverError: the file is no grid.
    """
    alike = {"seed": 0, "tune": TuneConfig(), "analyze": AnalyzeConfig(), "report": ReportConfig()}
    trials = load_grid(file, overrides)
    return list({digest(trial.experiment.model_copy(update=alike)): trial.experiment for trial in trials}.values())


def open_schedule(trials: Sequence[Trial], runs: Path, grid: str) -> Schedule:
    """Return the state of these experiments, and the tasks left to do."""
    store = Store(runs, grid)
    pull_finished(store, [trial.name for trial in trials])
    finished = {trial.name for trial in trials if is_finished(store.child_run(trial.name), trial.experiment)}
    rows = {
        trial.name: ExperimentRow(trial.name, "done", done_before=True)
        if trial.name in finished
        else ExperimentRow(trial.name)
        for trial in trials
    }
    return Schedule(rows, plan_tasks([trial for trial in trials if trial.name not in finished], runs, grid))


def sweep(
    schedule: Schedule, executor: str, resources: Resources, work: Callable[[SweepTask], TaskOutcome] = run_task
) -> None:
    """Do the tasks left to do. A failed experiment stops no other.

    Args:
        schedule: the experiments and their tasks. It is updated as tasks end.
        executor: a name of `EXECUTORS`, or `package.module:function`.
        resources: the workers and their GPUs.
        work: does one task in a worker.
    """
    run = resolve(EXECUTORS, executor, "--executor")
    if schedule.open:
        with watched(schedule):
            run(schedule, resources, work)


def report(trials: Sequence[Trial], schedule: Schedule, runs: Path, grid: str, file: str) -> Path:
    """Write the grid's report from its finished experiments; return its folder. `file` is the grid's TOML."""
    from spillover.report import code_digest

    store = Store(runs, grid)
    done = [trial for trial in trials if schedule.rows[trial.name].state == "done"]
    pull_finished(store, [trial.name for trial in done])  # a worker on another machine left them at the address
    standings = tuple(ExperimentStatus(row.name, row.state, row.error) for row in schedule.rows.values())
    report_keys = [report_key(store.child_run(trial.name)) for trial in done]

    def contents() -> dict[str, str | bytes]:
        from spillover.analysis.statistics.transfer import transfers
        from spillover.report.grid import render
        from spillover.runs.read import mention_precisions, read_run, registered

        folders = {trial: store.child_run(trial.name).run for trial in done}
        with registered(folders.values()):
            runs = [read_run(folder, trial.setting) for trial, folder in folders.items()]
            mention_precisions(runs)
            return render(SweepFindings(grid, standings, transfers(runs) if runs else (), file))

    folder = store.replace("report", [report_keys, standings, file, code_digest()], contents)
    store.push()
    return folder

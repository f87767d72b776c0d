"""What a sweep costs beside its work: 1,000 experiments whose stages take no time, or a known one.

Writes a JSON file and, beside it, a table. No model is loaded. Measured are the overhead of an experiment, by the clock
and in processor time, the memory of the process that schedules, how well 1, 2 and 4 workers share tasks of 20 ms, and
how long a finished grid takes to say so. Processor time hardly depends on what else the machine does.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from saving import add_out, save
from spillover import sweep as grids
from spillover.experiment import dump_experiment
from spillover.records import Prediction
from spillover.store import Store, write_predictions
from spillover.sweep.grid import Trial
from spillover.sweep.local_executor import local
from spillover.sweep.plan import SweepTask
from spillover.sweep.resources import Resources
from spillover.sweep.schedule import ExperimentRow, TaskOutcome
from spillover.sweep.worker import finish, open_store
from spillover.utils.environment import machine
from spillover.utils.marker import write_marker

MIXTURES = (["zh"], ["de"], ["zh", "de"], ["es", "sw"])
LANGUAGES = ("en", "th", "is")
ITEMS = 20
KNOWN = 0.02
"""Seconds that a task of known length takes."""
EACH = {
    "ms_each": "seconds",
    "driver_ms_each": "driver_processor_seconds",
    "workers_ms_each": "workers_processor_seconds",
}
"""Milliseconds of one experiment → seconds of all."""


def instant(task: SweepTask) -> TaskOutcome:
    """Take no time, and finish."""
    if task.step == "run":
        store = open_store(task)
        store.run.mkdir(parents=True, exist_ok=True)
        finish(store, task.experiment)
    return TaskOutcome()


def known(task: SweepTask) -> TaskOutcome:
    """Take a known time."""
    time.sleep(KNOWN)
    return instant(task)


def write_run(store: Store, trial: Trial) -> None:
    """Write a finished run folder with tiny predictions, as much of it as a grid's report reads."""
    run = store.run
    run.mkdir(parents=True, exist_ok=True)
    (run / "experiment.toml").write_text(dump_experiment(trial.experiment), encoding="utf-8")
    (run / "provenance.json").write_text("{}", encoding="utf-8")
    random = np.random.default_rng(trial.experiment.seed)
    for arm in ("base", "tuned"):
        for code in LANGUAGES:
            scores = -random.exponential(size=(1 if arm == "base" else 2, ITEMS, 2))[-1]
            rows = [Prediction(str(i), "sentiment", code, i % 2, tuple(row)) for i, row in enumerate(scores.tolist())]
            place = run / "predictions" / arm / "sentiment" / f"{code}.parquet"
            place.parent.mkdir(parents=True, exist_ok=True)
            write_predictions(place, rows, ("positive", "negative"))
    (run / "report").mkdir(exist_ok=True)
    (run / "report" / "index.html").write_text("", encoding="utf-8")
    write_marker(run / "report", inputs=trial.name)
    finish(store, trial.experiment)


def resident() -> float:
    """Return the memory this process holds now, in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return round(pages * 4096 / 1e6, 1)


def grid_file(folder: Path, experiments: int) -> Path:
    """Write a grid of as many experiments."""
    seeds = range(experiments // len(MIXTURES))
    text = (
        f"seed = {list(seeds)}\n[translate]\nto = {json.dumps(MIXTURES)}\n"
        f'[evaluate]\ntasks = ["sentiment"]\nlanguages = {json.dumps(LANGUAGES)}\n'
    )
    path = folder / "scale.toml"
    path.write_text(text, encoding="utf-8")
    return path


def swept(folder: Path, experiments: int, workers: int, work: Callable[[SweepTask], TaskOutcome]) -> dict[str, float]:
    """Sweep a fresh grid; return the seconds, those of each experiment, and the memory as it goes."""
    runs = folder / f"{work.__name__}-{workers}"
    runs.mkdir()
    memory: dict[int, float] = {}
    start, driver, others = time.perf_counter(), time.process_time(), processor_seconds_of_children()
    trials = grids.load_grid(grid_file(folder, experiments))
    board = grids.open_schedule(trials, runs, "scale")
    planned = time.process_time() - driver
    done = count(1)

    def watch(row: ExperimentRow) -> None:
        if row.state == "done" and (place := next(done)) in (experiments // 10, experiments // 2, experiments):
            memory[place] = resident()

    board.changed = watch
    local(board, Resources(workers=workers), work)
    seconds = time.perf_counter() - start
    assert board.count("done") == experiments, "not all were done"
    numbers = {
        "tasks": len(board.tasks),
        "seconds": seconds,
        "plan_processor_seconds": planned,
        "driver_processor_seconds": time.process_time() - driver,
        "workers_processor_seconds": processor_seconds_of_children() - others,
    }
    rounded = {name: round(number, 2) for name, number in numbers.items()}
    return rounded | {f"driver_mb_after_{place}": megabytes for place, megabytes in memory.items()}


def processor_seconds_of_children() -> float:
    """Return the processor time of all processes that this one started and that ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def command(*arguments: object) -> float:
    """Return the seconds that `spillover` takes, in a process of its own."""
    code = "from spillover.cli import main; main()"
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)
    return round(time.perf_counter() - start, 2)


def resumed(folder: Path, experiments: int) -> dict[str, float]:
    """Time the command on a finished grid: when it draws the grid's report, and when that is there too."""
    path, runs = grid_file(folder, experiments), folder / "resumed"
    for trial in grids.load_grid(path):
        write_run(Store(runs, "scale").subfolder(trial.name), trial)
    drawing, again = (command("sweep", path, "--runs", runs) for _ in range(2))
    return {"with_report_seconds": drawing, "seconds": again, "start_seconds": command("--help")}


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return the results as Markdown."""
    columns = "workers", "seconds", "an experiment", "scheduling (processor)", "workers (processor)", "efficiency"
    lines = ["# What a sweep costs beside its work\n", f"| | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    for name, rows in (("stages of no time", results["instant"]), ("two tasks of 20 ms each", results["known"])):
        for workers, found in rows.items():
            share = f"{100 * found['efficiency']:.0f}%" if "efficiency" in found else ""
            costs = (f"{found[key]} ms" for key in ("ms_each", "driver_ms_each", "workers_ms_each"))
            lines.append(f"| {name} | {workers} | {found['seconds']} | {' | '.join(costs)} | {share} |")
    lines += ["", "| | |", "|---|---|"]
    first = next(iter(results["instant"].values()))
    lines += [f"| {name.replace('_', ' ')} | {value} |" for name, value in first.items() if "driver_mb" in name]
    lines += [f"| finished grid: {name.replace('_', ' ')} | {value} |" for name, value in results["resume"].items()]
    lines += [f"| {name} | {value} |" for name, value in results["machine"].items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run all and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=1000, help="%(default)s")
    parser.add_argument("--known", type=int, default=200, help="experiments with tasks of 20 ms (%(default)s)")
    parser.add_argument("--finished", type=int, default=1000, help="experiments of the finished grid (%(default)s)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="%(default)s")
    add_out(parser, "scale")
    asked = parser.parse_args()
    results: dict[str, dict[str, Any]] = {"instant": {}, "known": {}}
    with TemporaryDirectory() as name:
        for workers in asked.workers:
            for work, experiments in ((instant, asked.experiments), (known, asked.known)):
                found = swept(Path(name), experiments, workers, work)
                for key, seconds in EACH.items():
                    found[key] = round(1000 * found[seconds] / experiments, 2)
                if work is known:
                    found["efficiency"] = round(found["tasks"] * KNOWN / (found["seconds"] * workers), 3)
                results[work.__name__][str(workers)] = found
        results["resume"] = resumed(Path(name), asked.finished)
    counts = {"experiments": asked.experiments, "of the finished grid": asked.finished}
    results["machine"] = dict(machine()) | counts | {"date": date.today().isoformat()}
    save(asked.out, results, table(results))


if __name__ == "__main__":
    main()

"""Plan and board: what is shared is done once and before what needs it, whoever fails."""

import gc
import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from spillover import sweep as grids
from spillover.sweep.grid import Trial, load_grid
from spillover.sweep.plan import STEPS, SweepTask, plan_tasks
from spillover.sweep.schedule import ExperimentRow, Schedule, TaskOutcome

GRID = """
seed = [0, 1]
[model]
name = ["big", "small"]
[translate]
to = [["zh"], ["zh", "de"], ["sw"]]
[evaluate]
labels = ["english", "native"]
"""


@pytest.fixture
def trials(tmp_path: Path) -> list[Trial]:
    path = tmp_path / "grid.toml"
    path.write_text(GRID, encoding="utf-8")
    return load_grid(path)


@pytest.fixture
def tasks(trials: list[Trial], tmp_path: Path) -> list[SweepTask]:
    return plan_tasks(trials, tmp_path, "grid")


def board_of(trials: list[Trial], tasks: list[SweepTask]) -> Schedule:
    return Schedule({trial.name: ExperimentRow(trial.name) for trial in trials}, tasks)


def count(tasks: list[SweepTask]) -> dict[str, int]:
    return {step: sum(task.step == step for task in tasks) for step in STEPS}


def test_what_experiments_share_is_one_task(tasks: list[SweepTask]):
    # 2 seeds × 2 models × 3 mixtures × 2 kinds of labels; labels share an adapter, seeds and mixtures a base model
    assert count(tasks) == {"translate": 3, "base": 2 * 2, "tune": 2 * 2 * 3, "run": 24}
    assert len({task.key for task in tasks}) == len(tasks)
    (zh,) = (task for task in tasks if task.step == "translate" and task.experiment.translate.to == ("zh",))
    assert len(zh.serves) == 16


def test_one_model_comes_after_the_other(tasks: list[SweepTask]):
    models = [task.experiment.model.name for task in tasks]
    assert models == sorted(models)


def test_what_is_one_experiments_own_is_done_by_its_run(tmp_path: Path, trials: list[Trial]):
    assert count(plan_tasks(trials[:1], tmp_path, "grid")) == {"translate": 0, "base": 0, "tune": 1, "run": 1}


@pytest.mark.parametrize("seed", range(5))
def test_whatever_ends_first_everything_is_done_once_and_in_order(
    trials: list[Trial], tasks: list[SweepTask], seed: int
):
    board, order = board_of(trials, tasks), random.Random(seed)
    flying: list[SweepTask] = []
    done: list[str] = []
    while board.open:
        while len(flying) < 3 and (task := board.next()):
            assert all(need in done for need in task.needs)
            flying.append(task)
        task = flying.pop(order.randrange(len(flying)))
        done.append(task.key)
        board.ended(task, TaskOutcome())
    assert sorted(done) == sorted(task.key for task in tasks)
    assert board.count("done") == 24


def drive(board: Schedule, fails: dict[str, TaskOutcome]) -> list[str]:
    """Do all tasks one after the other; `fails` says by key which end how. Return the keys of what was done."""
    done = []
    while task := board.next():
        done.append(task.key)
        board.ended(task, fails.get(task.key, TaskOutcome()))
    assert not board.open
    return done


def test_what_is_refused_fails_all_that_need_it_and_nothing_else(trials: list[Trial], tasks: list[SweepTask]):
    board = board_of(trials, tasks)
    tune = next(task for task in tasks if task.step == "tune")
    done = drive(board, {tune.key: TaskOutcome("no", refused=True)})
    assert {row.name for row in board.rows.values() if row.state == "failed"} == set(tune.serves)
    assert board.count("done") == 24 - len(tune.serves) == 22
    assert len(done) == len(tasks) - 2  # their runs are not begun


def test_where_a_worker_dies_one_experiment_fails_and_the_others_go_on(trials: list[Trial], tasks: list[SweepTask]):
    for task in tasks:
        board = board_of(trials, tasks)
        done = drive(board, {task.key: TaskOutcome("died")})
        assert [(row.name, row.error) for row in board.rows.values() if row.state == "failed"] == [(task.name, "died")]
        assert board.count("done") == 23
        assert len(done) >= len(tasks) - 2


def test_what_nobody_needs_any_more_is_not_done(trials: list[Trial], tasks: list[SweepTask]):
    board = board_of(trials, tasks)
    shared = {task.key: TaskOutcome("no", refused=True) for task in tasks if task.step == "base"}
    done = drive(board, shared)
    assert board.count("failed") == 24
    assert set(shared) <= set(done)
    steps = {task.key: task.step for task in tasks}
    assert not [key for key in done if steps[key] in ("tune", "run")]


# Ten thousand experiments cost each what ten do


def calls(work: Callable[[], object]) -> int:
    """Return how many functions are called, and generators resumed."""
    number = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal number
        number += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return number


def calls_per_experiment(folder: Path, seeds: int, watch: bool) -> float:
    """Plan and drive a grid of two models, two mixtures and as many seeds; count per experiment."""
    path = folder / "grid.toml"
    grid = f'seed = {list(range(seeds))}\n[model]\nname = ["a", "b"]\n[translate]\nto = [["zh"], ["de"]]\n'
    path.write_text(grid, encoding="utf-8")
    trials = load_grid(path)
    board = Schedule({}, ())

    def count_done(row: ExperimentRow) -> None:
        board.count("done")

    def work() -> None:
        nonlocal board
        board = grids.open_schedule(trials, folder / "runs", "grid")
        if watch:
            board.changed = count_done
        drive(board, {})

    return calls(work) / len(trials)


@pytest.mark.parametrize("watch", [False, True], ids=["as it is", "a twin that counts all rows at every change"])
def test_the_operations_per_experiment_do_not_grow(tmp_path: Path, watch: bool):
    few, many = (calls_per_experiment(tmp_path, seeds, watch) for seeds in (10, 80))
    assert (many <= few * 1.02) is not watch, (few, many)


def test_a_driver_holds_no_more_after_many_experiments(tmp_path: Path):
    path = tmp_path / "grid.toml"
    path.write_text(f"seed = {list(range(200))}", encoding="utf-8")
    board = grids.open_schedule(load_grid(path), tmp_path, "grid")
    alive: list[int] = []

    def watch(row: ExperimentRow) -> None:
        if row.state == "done" and row.name in ("seed=20", "seed=199"):
            gc.collect()
            alive.append(len(gc.get_objects()))

    board.changed = watch
    drive(board, {})
    first, last = alive
    assert last <= first + 10

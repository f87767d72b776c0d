"""Executors on stand-ins that take no time: all is done, by processes that last; who dies stops nobody else."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from instant import deadly, instant, notes, refusing, slow
from spillover import sweep as grids
from spillover.sweep import Resources, Schedule, Trial, load_grid
from spillover.sweep.local_executor import DIED

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

GRID = 'seed = [0, 1, 2]\n[translate]\nto = [["zh"], ["de"]]\n'


@pytest.fixture
def trials(tmp_path: Path) -> list[Trial]:
    path = tmp_path / "grid.toml"
    path.write_text(GRID, encoding="utf-8")
    return load_grid(path)


def states(board: Schedule) -> dict[str, str]:
    return {row.name: row.state for row in board.rows.values()}


def test_two_workers_do_everything_once(trials: list[Trial], tmp_path: Path):
    board = grids.open_schedule(trials, tmp_path, "grid")
    grids.sweep(board, "local", Resources(workers=2), instant)
    assert set(states(board).values()) == {"done"}
    done = notes(tmp_path)
    assert len(done) == len({key for _, _, key, _ in done}) == len(board.tasks)
    assert len({process for *_, process in done}) == 2


def test_again_it_does_only_what_is_missing(trials: list[Trial], tmp_path: Path):
    grids.sweep(grids.open_schedule(trials[:4], tmp_path, "grid"), "local", Resources(), instant)
    before = len(notes(tmp_path))
    board = grids.open_schedule(trials, tmp_path, "grid")
    assert [row.done_before for row in board.rows.values()] == [True] * 4 + [False] * 2
    grids.sweep(board, "local", Resources(), instant)
    assert {name for _, name, _, _ in notes(tmp_path)[before:]} == {trial.name for trial in trials[4:]}
    assert not grids.open_schedule(trials, tmp_path, "grid").open


def test_another_experiment_under_the_same_name_is_done_again(trials: list[Trial], tmp_path: Path):
    grids.sweep(grids.open_schedule(trials, tmp_path, "grid"), "local", Resources(), instant)
    path = tmp_path / "grid.toml"
    path.write_text(GRID + "[tune]\nepochs = 7\n", encoding="utf-8")
    assert grids.open_schedule(load_grid(path), tmp_path, "grid").count("queued") == 6


@pytest.mark.parametrize("content", ["", "[]", '{"experiment": 3}', "null", "{"])
def test_a_damaged_marker_is_none(trials: list[Trial], tmp_path: Path, content: str):
    grids.sweep(grids.open_schedule(trials[:1], tmp_path, "grid"), "local", Resources(), instant)
    (tmp_path / "grid" / trials[0].name / "done.json").write_text(content, encoding="utf-8")
    assert grids.open_schedule(trials[:1], tmp_path, "grid").count("done") == 0


def test_a_killed_worker_fails_its_experiment_and_no_other(trials: list[Trial], tmp_path: Path):
    board = grids.open_schedule(trials, tmp_path, "grid")
    grids.sweep(board, "local", Resources(workers=2), deadly)
    failed = [row for row in board.rows.values() if row.state == "failed"]
    assert {row.name for row in failed} == {"seed=1,to=zh", "seed=1,to=de"}
    assert {row.error for row in failed} == {DIED}
    assert board.count("done") == 4
    again = grids.open_schedule(trials, tmp_path, "grid")
    grids.sweep(again, "local", Resources(), instant)
    assert again.count("done") == 6


def test_what_is_refused_stops_no_other(trials: list[Trial], tmp_path: Path):
    board = grids.open_schedule(trials, tmp_path, "grid")
    grids.sweep(board, "local", Resources(), refusing)
    assert {name for name, state in states(board).items() if state == "failed"} == {f"seed={k},to=de" for k in range(3)}


def drive(trials: list[Trial], runs: Path) -> None:
    grids.sweep(grids.open_schedule(trials, runs, "grid"), "local", Resources(), slow)


def test_workers_end_with_the_sweep_that_is_killed(trials: list[Trial], tmp_path: Path):
    driver = multiprocessing.get_context("spawn").Process(target=drive, args=(trials, tmp_path))
    driver.start()
    while not (tmp_path / "notes.txt").exists():
        assert driver.is_alive()
        time.sleep(0.05)
    worker = int(notes(tmp_path)[0][-1])
    assert driver.pid is not None
    os.kill(driver.pid, signal.SIGKILL)
    driver.join()
    for _ in range(600):
        if not Path(f"/proc/{worker}").exists() or "State:\tZ" in Path(f"/proc/{worker}/status").read_text("utf-8"):
            return
        time.sleep(0.05)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker went on without its sweep")


@pytest.fixture
def cluster(ray_on_loopback: None) -> Iterator["Cluster"]:
    """A head without room for tasks, and two nodes with room for one each, on loopback."""
    from ray.cluster_utils import Cluster

    with ExitStack() as stack:
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "node_ip_address": "127.0.0.1"})
        stack.callback(made.shutdown)
        yield made


def test_a_node_that_is_removed_loses_nothing(cluster: "Cluster", trials: list[Trial], tmp_path: Path):
    nodes = [cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1") for _ in range(2)]
    board = grids.open_schedule(trials, tmp_path, "grid")

    def remove() -> None:
        while not (tmp_path / "notes.txt").exists() or len({line[-1] for line in notes(tmp_path)}) < 2:
            time.sleep(0.05)
        cluster.remove_node(nodes[0], allow_graceful=False)

    remover = Thread(target=remove, daemon=True)
    remover.start()
    grids.sweep(board, "ray", Resources(workers=2, address=cluster.address), slow)
    remover.join(timeout=60)
    assert not remover.is_alive(), "the grid ended before both nodes worked"
    assert set(states(board).values()) == {"done"}
    assert not grids.open_schedule(trials, tmp_path, "grid").open

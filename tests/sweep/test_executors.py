"""Executors on stand-ins that take no time: all is done, by processes that last; who dies stops nobody else."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import combinations
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instant import deadly, instant, notes, placed, refusing, slow
from spillover import sweep as grids
from spillover.errors import SpilloverError
from spillover.sweep import Resources, Schedule, Trial, load_grid, ray_executor
from spillover.sweep.local_executor import DIED, share_gpus, visible_gpus

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


def test_all_gpus_of_a_task_are_on_one_node_and_its_own(cluster: "Cluster", trials: list[Trial], tmp_path: Path):
    """On two nodes of three GPUs, two tasks of two GPUs have room, not three."""
    for _ in range(2):
        cluster.add_node(num_cpus=4, num_gpus=3, node_ip_address="127.0.0.1")
    board = grids.open_schedule(trials[:4], tmp_path, "grid")
    grids.sweep(board, "ray", Resources(address=cluster.address, gpus=2), placed)
    assert set(states(board).values()) == {"done"}
    rows = [line.split() for line in (tmp_path / "places.txt").read_text("utf-8").splitlines()]
    places = [(node, set(gpus.split(",")), float(begun), float(ended)) for node, gpus, begun, ended in rows]
    assert all(len(gpus) == 2 for _, gpus, _, _ in places)
    assert len({node for node, *_ in places}) == 2
    for (node, gpus, begun, ended), (other, others, later, end) in combinations(places, 2):
        if node == other and begun < end and later < ended:
            assert not gpus & others
    assert 1 < max(sum(begun <= row[2] < ended for row in places) for _, _, begun, ended in places) + 1 <= 3


class Head:
    """A real head of a Ray cluster, on loopback, with room for one task."""

    def __init__(self, folder: Path) -> None:
        self.output, self.port = folder / "head", free_port()
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = ["--num-cpus=1", "--include-dashboard=false", "--block", "--object-store-memory=80000000"]
        command = [str(Path(sys.executable).with_name("ray")), "start", "--head", f"--port={self.port}", *options]
        with self.output.open("w", encoding="utf-8") as output:
            self.process = subprocess.Popen(
                [*command, "--node-ip-address=127.0.0.1"], stdout=output, stderr=output, start_new_session=True
            )
        deadline = time.monotonic() + 120
        while "Ray runtime started" not in self.output.read_text("utf-8"):
            assert self.process.poll() is None and time.monotonic() < deadline, self.output.read_text("utf-8")
            time.sleep(0.2)

    def kill(self) -> None:
        """Kill it and all processes that it started, as a machine that loses its power would."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def heads() -> Iterator[list[Head]]:
    """The head that a test left, if one did: a start takes ten seconds."""
    made: list[Head] = []
    yield made
    for head in made:
        head.kill()


@pytest.fixture
def head(
    ray_on_loopback: None,
    heads: list[Head],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Head:
    """A head. Processes that are connected to it notice within seconds, not a minute, that it died."""
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "3")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    if not heads or heads[0].process.poll() is not None:
        heads[:] = [Head(tmp_path_factory.mktemp("head"))]
    return heads[0]


@pytest.mark.slow
def test_a_head_that_dies_and_comes_back_loses_nothing(
    head: Head, trials: list[Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    said: list[str] = []
    monkeypatch.setattr(ray_executor, "notify", said.append)
    monkeypatch.setattr(ray_executor, "PAUSE", 1.0)
    board = grids.open_schedule(trials[:2], tmp_path, "grid")

    def restart() -> None:
        while not (tmp_path / "notes.txt").exists():
            time.sleep(0.05)
        head.kill()
        head.start()

    starter = Thread(target=restart, daemon=True)
    starter.start()
    grids.sweep(board, "ray", Resources(address=f"127.0.0.1:{head.port}"), slow)
    starter.join(timeout=60)
    assert set(states(board).values()) == {"done"}
    assert [line.partition(" the cluster")[0] for line in said] == ["Ray: lost", "Ray: connected to"]
    done = [key for _, _, key, _ in notes(tmp_path)]
    assert set(done) == {task.key for task in board.tasks}
    assert len(done) <= len(board.tasks) + 1, "only what was under way is done again"


@pytest.mark.slow
def test_a_head_that_stays_away_is_one_sentence(
    head: Head, trials: list[Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ray_executor, "PATIENCE", 0.0)
    monkeypatch.setattr(ray_executor, "notify", lambda line: None)
    board = grids.open_schedule(trials[:2], tmp_path, "grid")

    def kill() -> None:
        while not (tmp_path / "notes.txt").exists():
            time.sleep(0.05)
        head.kill()

    Thread(target=kill, daemon=True).start()
    with pytest.raises(SpilloverError, match=r"--on: lost the cluster of 127.0.0.1:.* the same command goes on"):
        grids.sweep(board, "ray", Resources(address=f"127.0.0.1:{head.port}"), slow)
    again = grids.open_schedule(trials[:2], tmp_path, "grid")
    grids.sweep(again, "local", Resources(), instant)
    assert again.count("done") == 2


# GPUs of the machine


@given(workers=st.integers(1, 40), gpus=st.sampled_from([0.1, 0.2, 0.25, 0.3, 1 / 3, 0.4, 0.5, 0.7, 1, 2, 3]))
def test_no_gpu_has_more_workers_than_room(workers: int, gpus: float):
    shares = share_gpus(workers, gpus, [])
    load = Counter(name for names in shares for name in names)
    assert len(shares) == workers
    assert all(len(set(names)) == max(1, gpus) for names in shares)
    assert all(count * min(gpus, 1) <= 1 + 1e-6 for count in load.values())
    names = [f"GPU-{place}" for place in range(len(load))]
    assert {name for row in share_gpus(workers, gpus, names) for name in row} == set(names)
    if len(names) > 1:
        with pytest.raises(SpilloverError, match=r"--gpus: found .* choose fewer --workers"):
            share_gpus(workers, gpus, names[1:])


def test_the_gpus_of_a_job_are_shared_out_and_no_others(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5, 6,7")
    assert share_gpus(2, 2, visible_gpus()) == [["4", "5"], ["6", "7"]]


def test_a_part_of_a_gpu_beside_whole_ones_is_refused():
    with pytest.raises(SpilloverError, match=r"--gpus: found 1.5, expected a whole number, or a part of one"):
        Resources(gpus=1.5)

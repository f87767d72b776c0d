"""Processes on one machine share its cores: real processes, on a machine that is said to have eight."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spillover.utils import threads

CODE = """
import sys
from spillover.utils import threads
threads.cores = lambda: frozenset(range(int(sys.argv[1])))
print(*(threads.take_threads(int(count), int(most)) for count, most in zip(sys.argv[2::2], sys.argv[3::2])), flush=True)
sys.stdin.read()
"""
CORES = 8

Start = Callable[..., tuple[subprocess.Popen, list[int]]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a process, which takes threads for each (count, most) and lives until killed."""
    processes: list[subprocess.Popen] = []

    def started(*numbers: int, cores: int = CORES, **variables: str) -> tuple[subprocess.Popen, list[int]]:
        process = subprocess.Popen(
            [sys.executable, "-c", CODE, str(cores), *map(str, numbers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)} | variables,
        )
        processes.append(process)
        return process, [int(word) for word in process.stdout.readline().split()]

    yield started
    for process in processes:
        ended(process)


def ended(process: subprocess.Popen) -> str:
    """Kill a process; return what it said on standard error."""
    if process.poll() is None:
        process.kill()
        return process.communicate()[1]
    return ""


def test_a_run_takes_what_others_leave_and_at_least_one(start: Start) -> None:
    """And what a killed one held is free at once."""
    first, taken = start(3, CORES)
    assert taken == [3], "the number that the user chose"
    second, taken = start(0, CORES)
    assert taken == [5], "the rest"
    third, taken = start(0, CORES)
    assert taken == [1]
    assert ended(third).strip() == "3 runs share 8 cores: this one uses 1 thread"
    assert ended(first) == "", "a run that gets what it asks for says nothing"
    assert ended(second).strip() == "2 runs share 8 cores: this one uses 5 threads"
    last, taken = start(0, CORES, 0, CORES)
    assert taken == [8, 8], "alone, and it keeps them"
    assert ended(last) == ""


def test_a_chosen_number_is_taken_whatever_others_hold(start: Start) -> None:
    start(0, CORES)
    assert start(6, CORES)[1] == [6]
    assert start(6, CORES, 0, CORES, 2, CORES)[1] == [6, 1, 2], "an experiment after another in one process"


def test_a_library_that_wants_fewer_gets_fewer(start: Start) -> None:
    assert start(0, 2)[1] == [2]
    assert start(0, CORES)[1] == [6]


def test_workers_of_a_command_divide_the_cores(start: Start) -> None:
    """Whichever of them begins first: each has the same number."""
    assert [start(0, CORES, SPILLOVER_WORKERS="3")[1] for _ in range(3)] == [[2], [2], [2]]


def test_only_cores_that_both_may_use_are_shared(start: Start) -> None:
    start(0, CORES, cores=2)
    assert start(0, CORES)[1] == [6]


def test_without_a_cache_a_run_takes_all(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert start(0, CORES, XDG_CACHE_HOME=str(tmp_path / "file"))[1] == [8]
    assert start(0, CORES)[1] == [8]


def test_notes_of_ended_runs_do_not_pile_up(start: Start, tmp_path: Path) -> None:
    for _ in range(3):
        ended(start(0, CORES)[0])
    names = [path.name for path in (tmp_path / "spillover" / "threads").iterdir()]
    assert len([name for name in names if name.endswith(".json")]) == 1, names


def test_a_tuning_that_goes_on_with_another_number_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    for number in (2, 2, 1):
        monkeypatch.setattr(threads, "threads_in_use", lambda number=number: number)
        threads.note_threads(tmp_path)
        said = capfd.readouterr().err
        assert said.startswith("This goes on with 1 thread, and was begun with 2: ") == (number == 1), said
    assert threads.pop_threads(tmp_path) == [1, 2]
    assert not list(tmp_path.iterdir())
    assert threads.pop_threads(tmp_path) == [1]
    (tmp_path / threads.ATTEMPTS).write_text(json.dumps("cut"))
    threads.note_threads(tmp_path)
    assert threads.pop_threads(tmp_path) == [1], "a note that was cut off counts as none"

"""One run of a small experiment for all tests of the commands."""

from collections.abc import Callable
from pathlib import Path

import pytest

from calls import Call
from small_run import SmallRun, run_stages, write_corpus, write_experiment


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run."""
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="session")
def experiment(place: Path, tiny: Callable[[str], Path]) -> Path:
    return write_experiment(place / "small.toml", tiny("llama"), write_corpus(place / "corpus"))


@pytest.fixture(scope="session")
def small_runs() -> list[SmallRun]:
    """The run, once there is one: `call` is a fixture of single tests, so no fixture of the session can make it."""
    return []


@pytest.fixture
def small_run(small_runs: list[SmallRun], call: Call, place: Path, experiment: Path) -> SmallRun:
    if not small_runs:
        small_runs.append(run_stages(call, experiment, place / "runs"))
    return small_runs[0]


@pytest.fixture
def whole(small_run: SmallRun) -> Path:
    """The folder of the run, with every stage made."""
    ended = small_run.steps["run"].ended
    assert ended.status == 0, ended.err
    return small_run.folder

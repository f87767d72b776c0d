"""A sweep is killed on one machine and ends on another, which has nothing but the address of the runs."""

import json
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import tomli_w

from killing import Point, move_cache, run
from spillover.sweep import load_grid
from spillover.utils.marker import MARKER


@pytest.fixture(scope="module")
def grid(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two experiments that share a base model, of two cells each."""
    table = {
        "model": {"name": str(tiny("llama")), "dtype": "float32", "threads": 1},
        "questions": {"limit": 10},
        "translate": {"to": [["de"], ["de", "zh"]]},
        "tune": {"epochs": 1, "learning_rate": 1e-2, "translations": 0},
        "evaluate": {"tasks": ["sentiment"], "languages": ["en", "sw"], "limit": 6},
        "analyze": {"limit": 0, "texts": 0},
    }
    path = tmp_path_factory.mktemp("grids") / "small.toml"
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    return path


def sweep(grid: Path, runs: str, home: Path, point: Point | None = None) -> int:
    """Sweep on a machine: a process with a cache of its own."""
    home.mkdir(exist_ok=True)
    command = ["sweep", str(grid), "--runs", runs, "--executor", "instant:inline"]
    return run(command, home, point, partial(move_cache, home / "cache"))


def copy_of(home: Path) -> Path:
    """Return the machine's copy of the runs."""
    (folder,) = (home / "cache" / "spillover" / "runs").iterdir()
    return folder


def events(runs: Path) -> Counter[str]:
    """Return the lines of all logs in a folder of runs."""
    return Counter(line for log in runs.glob("small/*/log.jsonl") for line in log.read_text("utf-8").splitlines())


def made(lines: Counter[str]) -> list[str]:
    """Return the artifacts that lines of a log say were made, each as often as it was."""
    rows = map(json.loads, lines.elements())
    return sorted(event["stage"] for event in rows if event["event"] == "made")


def artifacts(runs: Path) -> set[str]:
    return {path.parent.name for path in runs.glob(f".stages/*/{MARKER}") if not path.parent.suffix}


def tables(runs: Path) -> dict[str, bytes]:
    """Return the tables of the grid and of its experiments, but for what they cost."""
    paths = [path for folder in ("report", "*/report") for path in runs.glob(f"small/{folder}/tables/*")]
    return {path.relative_to(runs).as_posix(): path.read_bytes() for path in paths if path.stem != "cost"}


def test_another_machine_does_only_what_is_missing(grid: Path, tmp_path: Path) -> None:
    unbroken = tmp_path / "unbroken"
    assert sweep(grid, str(unbroken / "runs"), unbroken) == 0, (unbroken / "output").read_text()
    remote = tmp_path / "remote"
    point = Point("evaluate", "written", r"/predictions-\w+\.partial/\w+\.parquet$", torn=True, nth=5)
    assert sweep(grid, f"file://{remote}", tmp_path / "a", point) == -signal.SIGKILL
    shutil.rmtree(tmp_path / "a")  # the machine is gone, and with it all that was not pushed
    before, events_before = artifacts(remote), events(remote)
    finished = {path.parent.name for path in remote.glob("small/*/done.json")}
    assert len(finished) == 1, "the point is in the second experiment"

    assert sweep(grid, f"file://{remote}", tmp_path / "b") == 0, (tmp_path / "b" / "output").read_text()
    here = copy_of(tmp_path / "b")
    assert artifacts(remote) == artifacts(unbroken / "runs")
    assert made(events(here) - events_before) == sorted(artifacts(remote) - before)
    assert tables(here) == tables(unbroken / "runs")
    assert {trial.name for trial in load_grid(grid)} == {path.parent.name for path in remote.glob("small/*/done.json")}

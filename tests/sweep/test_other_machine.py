"""A sweep is killed on one machine and ends on another, which has nothing but the address of the runs."""

import json
import shutil
import signal
import tomllib
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import tomli_w

from killing import Point, go_to_machine, run
from spillover.sweep import load_grid
from spillover.utils.marker import MARKER

DIFFERENT = "have weights of different precision"
"""A part of the sentence that warns."""


@pytest.fixture(scope="module")
def grid(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two experiments that share a base model, of two cells each."""
    table = {
        "model": {"name": str(tiny("llama")), "dtype": "auto", "threads": 1},
        "questions": {"limit": 10},
        "translate": {"to": [["de"], ["de", "zh"]]},
        "tune": {"epochs": 1, "learning_rate": 1e-2, "translations": 0},
        "evaluate": {"tasks": ["sentiment"], "languages": ["en", "sw"], "limit": 6},
        "analyze": {"limit": 0, "texts": 0},
    }
    path = tmp_path_factory.mktemp("grids") / "small.toml"
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    return path


def sweep(grid: Path, runs: str, home: Path, dtype: str, point: Point | None = None) -> int:
    """Sweep on a machine: a process with a cache of its own, on which `auto` stands for a dtype."""
    home.mkdir(exist_ok=True)
    command = ["sweep", str(grid), "--runs", runs, "--executor", "instant:inline"]
    return run(command, home, point, partial(go_to_machine, home / "cache", dtype))


def output(home: Path) -> str:
    """Return what a machine printed, and its workers, without the ends of lines."""
    files = [home / "output", *home.glob("cache/spillover/runs/*/small/*/output.txt")]
    return " ".join(" ".join(file.read_text("utf-8").split()) for file in files)


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


def test_another_machine_does_only_what_is_missing_in_the_precision_of_the_first(grid: Path, tmp_path: Path) -> None:
    unbroken = tmp_path / "unbroken"
    assert sweep(grid, str(unbroken / "runs"), unbroken, "float32") == 0, output(unbroken)
    remote = tmp_path / "remote"
    point = Point("evaluate", "written", r"/predictions-\w+\.partial/\w+\.parquet$", torn=True, nth=5)
    assert sweep(grid, f"file://{remote}", tmp_path / "a", "float32", point) == -signal.SIGKILL
    shutil.rmtree(tmp_path / "a")  # the machine is gone, and with it all that was not pushed
    before, events_before = artifacts(remote), events(remote)
    finished = {path.parent.name for path in remote.glob("small/*/done.json")}
    assert len(finished) == 1, "the point is in the second experiment"
    other = shutil.copytree(remote, tmp_path / "other")
    (other / "small" / "precision.txt").unlink()

    assert sweep(grid, f"file://{remote}", tmp_path / "b", "bfloat16") == 0, output(tmp_path / "b")
    here, said = copy_of(tmp_path / "b"), output(tmp_path / "b")
    assert artifacts(remote) == artifacts(unbroken / "runs")
    assert made(events(here) - events_before) == sorted(artifacts(remote) - before)
    assert tables(here) == tables(unbroken / "runs")
    assert {trial.name for trial in load_grid(grid)} == {path.parent.name for path in remote.glob("small/*/done.json")}
    assert "auto is float32 in this run, as on the machine where it began; here it would be bfloat16" in said
    assert DIFFERENT not in said

    # where the model is in another folder, experiments are others, but their results are the same
    table = tomllib.loads(grid.read_text("utf-8"))
    moved = shutil.copytree(table["model"]["name"], tmp_path / "moved")
    elsewhere = tmp_path / "small.toml"
    elsewhere.write_text(tomli_w.dumps(table | {"model": table["model"] | {"name": str(moved)}}), encoding="utf-8")
    events_before = events(remote)
    assert sweep(elsewhere, f"file://{remote}", tmp_path / "d", "float32") == 0, output(tmp_path / "d")
    assert made(events(copy_of(tmp_path / "d")) - events_before) == []
    assert artifacts(remote) == artifacts(unbroken / "runs")

    # the twin: without the precision of the first machine, two precisions would be compared, which is said
    assert sweep(grid, f"file://{other}", tmp_path / "c", "bfloat16") == 0, output(tmp_path / "c")
    assert not artifacts(other) <= artifacts(unbroken / "runs")
    assert DIFFERENT in output(tmp_path / "c")

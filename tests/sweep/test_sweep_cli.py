"""A small grid through the real command line, on a tiny random model: every executor finds what single runs find."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w

from calls import Call, run
from spillover.experiment import dump_experiment
from spillover.sweep import load_grid


@pytest.fixture(scope="module")
def grid(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = {
        "seed": [0, 1],
        "model": {"name": str(tiny("llama")), "dtype": "float32", "threads": 1},
        "questions": {"limit": 16},
        "translate": {"to": [["de"], ["de", "zh"]]},
        "tune": {"epochs": 1, "learning_rate": 1e-2, "translations": 0},
        "evaluate": {"tasks": ["sentiment"], "languages": ["en", "de", "sw"], "limit": 8},
        "analyze": {"limit": 0, "texts": 0},
    }
    path = tmp_path_factory.mktemp("grids") / "small.toml"
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def swept(grid: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of runs that a sweep with two workers left."""
    runs = tmp_path_factory.mktemp("runs")
    assert run("sweep", grid, "--runs", runs, "--workers", "2") == 0
    return runs


def changes(runs: Path) -> dict[Path, int]:
    """Return when each file was written last, but for those that say who has a folder now."""
    return {path: path.stat().st_mtime_ns for path in runs.rglob("*") if path.suffix not in (".lock", ".holder")}


def predictions(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob("predictions/*/*/*.parquet"))
    }


def test_a_dry_run_plans_and_writes_nothing(call: Call, grid: Path, tmp_path: Path) -> None:
    ended = call("sweep", grid, "--runs", tmp_path / "runs", "--dry-run", "--set", "model.name=gone/away")
    assert ended.status == 0, ended.err
    words = " ".join(ended.out.split())
    assert "small: 4 experiments, 0 of them finished." in words
    assert "gone/away tune 4 4 96 examples unknown unknown" in words  # (16 + 32) × 2 seeds
    assert "gone/away evaluate 24 15 120 items unknown unknown" in words  # 3 of the base model, 3 of each adapter
    assert not (tmp_path / "runs").exists()


def test_the_plan_takes_its_times_from_earlier_runs(call: Call, grid: Path, swept: Path) -> None:
    ended = call("sweep", grid, "--runs", swept, "--dry-run", "--set", "seed=[0, 1, 2]")
    assert ended.status == 0, ended.err
    assert "small: 6 experiments, 4 of them finished." in ended.out
    assert "unknown" not in ended.out
    assert "evaluate 12 6 48 items" in " ".join(ended.out.split()), "the base model is measured already"
    ended = call("sweep", grid, "--runs", swept, "--dry-run", "--set", "questions.source=folder:nowhere")
    assert "Not all of the data can be read here: " in ended.out


def test_what_is_shared_was_made_once(swept: Path, grid: Path) -> None:
    kinds = Counter(path.name.rpartition("-")[0] for path in (swept / ".stages").glob("*-*/"))
    predictions = 3 + 4 * 3
    for_each = {"examples": 4, "adapter": 4, "first_prompts": 4}
    assert kinds == {"questions": 1, "pairs": 2, "predictions": predictions, "fertility": 1} | for_each
    for trial in load_grid(grid):
        folder = swept / "small" / trial.name
        assert (folder / "experiment.toml").read_text("utf-8") == dump_experiment(trial.experiment)
        assert (folder / "report" / "index.html").is_file()
    page = (swept / "small" / "report" / "index.html").read_text("utf-8")
    assert "seed%3D1%2Cto%3Dde%2Bzh/report/index.html" in page


@pytest.mark.usefixtures("one_thread")
def test_a_single_run_finds_the_same_to_the_last_bit(call: Call, grid: Path, swept: Path, tmp_path: Path) -> None:
    one = ("--set", "seed=1", "--set", 'translate.to=["de", "zh"]')
    ended = call("run", grid, "--runs", tmp_path, "--name", "one", *one)
    assert ended.status == 0, ended.err
    found = predictions(tmp_path / "one")
    assert len(found) == 6
    assert found == predictions(swept / "small" / "seed=1,to=de+zh")
    assert found != predictions(swept / "small" / "seed=0,to=de+zh")


def test_a_finished_grid_is_not_touched(call: Call, grid: Path, swept: Path) -> None:
    before = changes(swept)
    ended = call("sweep", grid, "--runs", swept)
    assert ended.status == 0, ended.err
    assert "4 experiments, 4 of them finished." in ended.out
    assert changes(swept) == before


@pytest.mark.usefixtures("one_thread", "without_pictures")
def test_a_failed_experiment_stops_no_other_and_is_told(
    call: Call, grid: Path, swept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(swept)
    targets, one = 'tune.targets=[["nothing"], ["q_proj", "v_proj"]]', 'translate.to=[["de", "zh"]]'
    options = ("--name", "other", "--executor", "instant:inline", "--set", targets, "--set", one)
    ended = call("sweep", grid, "--runs", swept, *options)
    assert ended.status == 1
    assert "seed=1,to=de+zh,targets=nothing: tune.targets: found ['nothing']" in ended.err
    assert "q_proj+v_proj: " not in ended.err
    page = (swept / "other" / "report" / "index.html").read_text("utf-8")
    assert "2 finished, 2 failed" in page


def test_an_unknown_executor_is_refused_before_anything_is_written(call: Call, grid: Path, tmp_path: Path) -> None:
    ended = call("sweep", grid, "--runs", tmp_path / "runs", "--executor", "rayy")
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert "--executor: found 'rayy', expected a known name" in ended.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("ray_on_loopback")
def test_ray_finds_the_same_to_the_last_bit(call: Call, grid: Path, swept: Path, tmp_path: Path) -> None:
    one = ("--set", "seed=[1]", "--set", 'translate.to=[["de", "zh"]]')
    ended = call("sweep", grid, "--runs", tmp_path, "--executor", "ray", "--workers", "1", *one)
    assert ended.status == 0, ended.err
    assert predictions(tmp_path / "small" / "seed=1,to=de+zh") == predictions(swept / "small" / "seed=1,to=de+zh")

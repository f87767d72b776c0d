"""Tuning killed with SIGKILL and run again, through the real command line: it ends as if nothing had happened."""

import json
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import tomli_w
import torch
from safetensors.torch import load_file

import killing
from killing import die_in_tuning
from spillover.models.tuning import checkpoints
from spillover.utils.marker import MARKER, is_complete, write_marker


@pytest.fixture(scope="module")
def experiment(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs of five steps, with dropout: checkpoints of steps 3, 5, 6, 9 and 10."""
    table = {
        "model": {"name": str(tiny("llama")), "dtype": "float32"},
        "questions": {"limit": 25},
        "translate": {"to": ["de"]},
        "tune": {
            "epochs": 2,
            "batch": 4,
            "learning_rate": 1e-2,
            "dropout": 0.3,
            "validation_share": 0.2,
            "translations": 0,
        },
    }
    path = tmp_path_factory.mktemp("resume") / "small.toml"
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    return path


def run(experiment: Path, runs: Path, how: str = "not", step: int = -1) -> int:
    arguments = ["tune", str(experiment), "--runs", str(runs)]
    status = killing.run(arguments, runs, prepare=partial(die_in_tuning, how, step))
    assert status in (0, -signal.SIGKILL), (runs / "output").read_text(encoding="utf-8")
    return status


@pytest.fixture(scope="module")
def unbroken(experiment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("unbroken")
    assert run(experiment, runs) == 0
    return runs / "small" / "adapter"


def begun(runs: Path) -> Path:
    (found,) = runs.glob(".stages/adapter-*.partial/checkpoints/0")
    return found


def steps(folder: Path) -> dict[int, bool]:
    """Return the steps that have a checkpoint, and whether it is whole."""
    return {int(path.name.rpartition("-")[2]): is_complete(path) for path in folder.glob("checkpoint-*")}


def assert_same(found: Path, expected: Path) -> None:
    weights, others = (load_file(folder / "adapter_model.safetensors") for folder in (found, expected))
    assert weights.keys() == others.keys()
    for name, weight in weights.items():
        assert torch.allclose(weight, others[name], rtol=0, atol=1e-6), name
    histories = [json.loads((folder / "history.json").read_text(encoding="utf-8")) for folder in (found, expected)]
    assert len(histories[0]["losses"]) == 10
    assert len(histories[0]["validation"]) == 3
    for key, values in histories[0].items():
        assert values == pytest.approx(histories[1][key], rel=1e-6), key


def test_killed_again_and_again_it_ends_with_the_adapter_of_an_unbroken_run(
    experiment: Path, unbroken: Path, tmp_path: Path
) -> None:
    """Before the first checkpoint, within an epoch, right after one began, and while a checkpoint is written."""
    for how, step, left in (
        ("in step", 2, {}),
        ("in step", 4, {3: True}),
        ("in step", 6, {5: True}),
        ("before the marker of", 9, {5: True, 6: True, 9: False}),
    ):
        assert run(experiment, tmp_path, how, step) == -signal.SIGKILL
        found = steps(begun(tmp_path)) if left else {}
        assert {at: whole for at, whole in found.items() if at in left} == left
        assert max(found, default=0) == max(left, default=0)
    assert run(experiment, tmp_path) == 0
    assert_same(tmp_path / "small" / "adapter", unbroken)
    assert not list(tmp_path.rglob("checkpoint*"))
    assert not list(tmp_path.glob(".stages/*.partial"))


def test_killed_after_its_last_checkpoint_it_learns_no_step_more(
    experiment: Path, unbroken: Path, tmp_path: Path
) -> None:
    assert run(experiment, tmp_path, "after the marker of", 10) == -signal.SIGKILL
    assert run(experiment, tmp_path) == 0
    assert_same(tmp_path / "small" / "adapter", unbroken)


def test_without_the_generators_state_it_ends_with_another(experiment: Path, unbroken: Path, tmp_path: Path) -> None:
    """So the dropout is in what the tests above compare."""
    assert run(experiment, tmp_path, "in step", 4) == -signal.SIGKILL
    assert run(experiment, tmp_path, "without its generator's state") == 0
    with pytest.raises(AssertionError):
        assert_same(tmp_path / "small" / "adapter", unbroken)


def checkpoint(folder: Path, step: int) -> Path:
    place = checkpoints.path_of(folder, step)
    place.mkdir(parents=True)
    (place / "weights").write_text(str(step), encoding="utf-8")
    return place


def test_the_newest_whole_checkpoint_counts(tmp_path: Path) -> None:
    assert checkpoints.latest(tmp_path) is None
    for step in (9, 10, 100):
        write_marker(checkpoint(tmp_path, step))
    assert checkpoints.latest(tmp_path) == checkpoints.path_of(tmp_path, 100)  # by number, not by name
    (checkpoints.path_of(tmp_path, 100) / "weights").write_text("torn", encoding="utf-8")
    assert checkpoints.latest(tmp_path) == checkpoints.path_of(tmp_path, 10)
    (checkpoints.path_of(tmp_path, 10) / MARKER).unlink()
    assert checkpoints.latest(tmp_path) == checkpoints.path_of(tmp_path, 9)
    (checkpoints.path_of(tmp_path, 9) / "more").touch()
    assert checkpoints.latest(tmp_path) is None


def test_sealing_keeps_the_new_and_the_best_alone(tmp_path: Path) -> None:
    for step in (5, 10, 15, 30):
        checkpoint(tmp_path, step)
    checkpoints.commit(tmp_path, 15, best=5)
    assert steps(tmp_path) == {5: False, 15: True}
    checkpoint(tmp_path, 20)
    checkpoints.commit(tmp_path, 20, best=None)
    assert steps(tmp_path) == {20: True}

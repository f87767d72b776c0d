"""Tuning by two processes that `accelerate launch` starts: they learn what one learns, and one of them writes."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w
import torch
from safetensors.torch import load_file

RUNNER = """
import os, sys
from spillover import cli
from spillover.models.tuning import trainer

trainer.MICRO_BATCH_TOKENS = 64
if (twin := sys.argv.pop(1)) == "one share":
    parts = trainer.TargetTrainer.micro_batches
    def micro_batches(self, inputs):
        kind, own = type(self.args), type(self.args).process_index
        kind.process_index = 0
        try:
            return list(parts(self, inputs))
        finally:
            kind.process_index = own
    trainer.TargetTrainer.micro_batches = micro_batches
cli.main()
"""


@pytest.fixture(scope="module")
def experiment(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Steps of five examples, so the shares of two processes differ; the last one holds a single example."""
    table = {
        "model": {"name": str(tiny("llama")), "dtype": "float32"},
        "questions": {"limit": 20},
        "translate": {"to": ["de"]},
        "tune": {"epochs": 2, "batch": 5, "learning_rate": 1e-2, "validation_share": 0.2, "translations": 2},
    }
    path = tmp_path_factory.mktemp("processes") / "small.toml"
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    return path


def tune(experiment: Path, runs: Path, processes: int, twin: str = "none") -> tuple[Path, str]:
    """Run the command line; return the adapter's folder and what was printed."""
    script = runs / "launched.py"
    script.write_text(RUNNER, encoding="utf-8")
    launch = ["-m", "accelerate.commands.launch", "--num_processes", str(processes), "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", str(free_port())]
    launch += ["--multi_gpu"] if processes > 1 else ["--cpu"]  # with --cpu it starts one process, whatever the number
    done = subprocess.run(
        [sys.executable, *launch, str(script), twin, "tune", str(experiment), "--runs", str(runs)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return runs / "small" / "adapter", done.stdout


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def alone(experiment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tune(experiment, tmp_path_factory.mktemp("alone"), 1)[0]


def assert_same(found: Path, expected: Path) -> None:
    histories = [json.loads((folder / "history.json").read_text(encoding="utf-8")) for folder in (found, expected)]
    assert len(histories[0]["losses"]) == 8
    for key in ("losses", "validation"):
        assert histories[0][key] == pytest.approx(histories[1][key], rel=1e-5)
    weights, others = (load_file(folder / "adapter_model.safetensors") for folder in (found, expected))
    for name, weight in weights.items():
        assert torch.allclose(weight, others[name], atol=1e-4), name


def test_two_processes_learn_what_one_learns_and_one_of_them_writes(
    experiment: Path, alone: Path, tmp_path: Path
) -> None:
    found, printed = tune(experiment, tmp_path, 2)
    assert_same(found, alone)
    assert printed.split() == [str(found)]
    events = [json.loads(line) for line in (tmp_path / "small" / "log.jsonl").read_text("utf-8").splitlines()]
    kinds = [event["stage"].rpartition("-")[0] for event in events if event["event"] == "made"]
    assert kinds == ["questions", "pairs", "examples", "adapter"]
    assert not list(tmp_path.glob(".stages/*.partial"))


def test_two_processes_that_take_the_same_share_do_not(experiment: Path, alone: Path, tmp_path: Path) -> None:
    found, _ = tune(experiment, tmp_path, 2, "one share")
    with pytest.raises(AssertionError):
        assert_same(found, alone)

"""Tuning by two processes that `accelerate launch` starts: they learn what one learns, and one of them writes."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from safetensors.torch import load_file

from calls import run
from killing import child
from spillover.models.tuning import trainer

RUNNER = """
from spillover import cli
from spillover.models.tuning import trainer

trainer.MICRO_BATCH_TOKENS = 64
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


def launch(experiment: Path, runs: Path) -> tuple[Path, str]:
    """Tune in two processes of `accelerate launch`; return the adapter's folder and what was printed."""
    script = runs / "launched.py"
    script.write_text(RUNNER, encoding="utf-8")
    options = ["--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    options += ["--main_process_port", str(free_port()), "--multi_gpu"]  # with --cpu it starts one process alone
    command = [sys.executable, "-m", "accelerate.commands.launch", *options, str(script)]
    done = subprocess.run(
        [*command, "tune", str(experiment), "--runs", str(runs)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return runs / "small" / "adapter", done.stdout


def fork(experiment: Path, runs: Path, prepare: Callable[[], None] | None = None) -> Path:
    """Tune in two processes that are forked ready, and otherwise as launched; return the adapter's folder.

    `prepare` is called in each of them first.
    """
    runs.mkdir()
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    command = ["tune", str(experiment), "--runs", str(runs)]
    processes = [child(share, place | {"RANK": rank, "LOCAL_RANK": rank}, command, runs, prepare) for rank in "01"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0, 0], [path.read_text() for path in runs.glob("output-*")]
    return runs / "small" / "adapter"


def share(place: dict[str, str], command: list[str], runs: Path, prepare: Callable[[], None] | None) -> None:
    """Be one of two processes, in a child."""
    output = os.open(runs / f"output-{place['RANK']}", os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ |= place
    torch.set_num_threads(1)
    trainer.MICRO_BATCH_TOKENS = 64
    if prepare:
        prepare()
    sys.exit(run(*command))


def take_the_first_share() -> None:
    """Let each process learn what the first one learns."""
    parts = trainer.TargetTrainer.micro_batches

    def micro_batches(self: Any, inputs: Any) -> Any:  # noqa: ANN401
        kind, own = type(self.args), type(self.args).process_index
        setattr(kind, "process_index", 0)  # noqa: B010
        try:
            return list(parts(self, inputs))
        finally:
            setattr(kind, "process_index", own)  # noqa: B010

    setattr(trainer.TargetTrainer, "micro_batches", micro_batches)  # noqa: B010


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def alone(experiment: Path, tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    """The adapter that this process makes alone."""
    runs = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "MICRO_BATCH_TOKENS", 64)
        assert run("tune", experiment, "--runs", runs) == 0
    return runs / "small" / "adapter"


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
    found, printed = launch(experiment, tmp_path)
    assert_same(found, alone)
    assert printed.split() == [str(found)]
    events = [json.loads(line) for line in (tmp_path / "small" / "log.jsonl").read_text("utf-8").splitlines()]
    kinds = [event["stage"].rpartition("-")[0] for event in events if event["event"] == "made"]
    assert kinds == ["questions", "pairs", "examples", "adapter"]
    assert not list(tmp_path.glob(".stages/*.partial"))


def test_two_processes_that_take_the_same_share_do_not(experiment: Path, alone: Path, tmp_path: Path) -> None:
    assert_same(fork(experiment, tmp_path / "shares"), alone)
    found = fork(experiment, tmp_path / "one share", take_the_first_share)
    with pytest.raises(AssertionError):
        assert_same(found, alone)

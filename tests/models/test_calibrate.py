"""The measurement of a machine: what a block computes, what is measured of it, and that it is remembered."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import accumulate
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch
from torch import Tensor

from spillover.experiment import ModelConfig
from spillover.models import calibrate, speed
from spillover.models.calibrate import fastest, narrowed, passed
from spillover.models.shape import ModelShape
from spillover.models.speed import Speed, machine_speed
from spillover.utils import precision

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE = ModelShape(layers=3, width=12, inner=20, queries=16, keys=8, head=4, vocabulary=50)


def naive(state: Tensor, weights: dict[str, Tensor], head: int) -> Tensor:
    """Return one block's states (tokens, width), token by token and head by head."""

    def norm(row: Tensor) -> Tensor:
        return row / (row.square().mean() + torch.finfo(row.dtype).eps).sqrt()

    normed = [norm(row) for row in state]
    queries, keys, values = ([weights[f"{name}_proj"] @ row for row in normed] for name in "qkv")
    groups = len(queries[0]) // len(keys[0])
    rows = []
    for place, row in enumerate(state):
        parts = []
        for number in range(len(queries[0]) // head):
            own, shared = (slice(n * head, (n + 1) * head) for n in (number, number // groups))
            logits = torch.stack([queries[place][own] @ keys[n][shared] / head**0.5 for n in range(place + 1)])
            parts.append(sum(p * values[n][shared] for n, p in enumerate(logits.softmax(0))))
        row = row + weights["o_proj"] @ torch.cat(parts)
        inside = norm(row)
        gate = weights["gate_proj"] @ inside
        rows.append(row + weights["down_proj"] @ (gate * gate.sigmoid() * (weights["up_proj"] @ inside)))
    return torch.stack(rows)


def test_a_block_computes_what_a_naive_loop_does() -> None:
    torch.manual_seed(0)
    weights = {name: torch.randn(out, size).double() for name, (size, out) in SHAPE.maps.items()}
    states = torch.randn(2, 5, SHAPE.width).double()
    expected = torch.stack([naive(row, weights, SHAPE.head) for row in states])
    assert torch.allclose(passed(states, weights, SHAPE), expected, atol=1e-10)
    broken = weights | {"gate_proj": weights["up_proj"]}
    assert not torch.allclose(passed(states, broken, SHAPE), expected, atol=1e-3)


def test_a_wide_block_is_measured_as_a_narrower_one_of_its_proportions() -> None:
    wide = ModelShape(layers=80, width=8192, inner=28672, queries=8192, keys=1024, head=128, vocabulary=128_256)
    small = narrowed(wide, 1 << 26)
    assert small.block == pytest.approx(1 << 26, rel=0.05)
    assert small.inner / small.width == pytest.approx(wide.inner / wide.width, rel=0.01)
    assert small.queries // small.keys == wide.queries // wide.keys
    assert narrowed(SHAPE, 1 << 26) == SHAPE


@pytest.mark.parametrize(("busy", "seconds"), [((9, 9, 9), 2), ((4, 1, 3), 1)])
def test_the_fastest_repetition_counts(
    busy: tuple[float, ...], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its processor time, if that is less: then it waited for others."""

    def clock(*parts: float) -> Iterator[float]:
        return accumulate(part for length in parts for part in (1, length))

    clocks = {"perf_counter": clock(5, 2, 3), "process_time": clock(*busy), "monotonic": iter([0, 0.1, 0.2, 0.9])}
    for name, values in clocks.items():
        monkeypatch.setattr(time, name, values.__next__)
    assert fastest(lambda: None) == seconds


def test_a_model_with_twice_the_layers_takes_twice_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "fastest", lambda work: (work(), 1.0)[1])
    monkeypatch.setattr(calibrate, "MOST_WEIGHTS", SHAPE.block)  # one block is measured for all
    once, twice = (calibrate.measure(replace(SHAPE, layers=layers), "float32", 1) for layers in (3, 6))
    assert (twice.read, twice.learn) == (2 * once.read, 2 * once.learn)
    assert twice.write - once.write == 3 / 8, "a step of eight texts in three blocks; the choice takes what it took"
    assert twice.unembed == once.unembed


def test_a_measurement_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> None:
    """The second forecast starts no process, and another number of threads is measured anew."""
    monkeypatch.setattr(speed, "user_cache_path", lambda name: tmp_path / name)
    monkeypatch.setattr(speed, "is_busy", lambda threads: False)
    model = ModelConfig(name="tiny", threads=1)
    measured = machine_speed(model, SHAPE)
    assert measured is not None
    assert 0 < measured.read < measured.learn
    assert min(measured.write, measured.unembed) > 0
    assert "Measuring how fast this machine computes tiny (about ten seconds, once)" in capfd.readouterr().err
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    assert machine_speed(model, SHAPE) == measured
    assert capfd.readouterr().err == ""
    assert machine_speed(model.model_copy(update={"threads": 2}), SHAPE) is None
    assert "The speed of this machine cannot be measured: " in capfd.readouterr().err
    (file,) = (tmp_path / "spillover" / "speeds").iterdir()
    assert Speed(**json.loads(file.read_text(encoding="utf-8"))) == measured
    file.write_text("{", encoding="utf-8")
    assert machine_speed(model, SHAPE) is None, "half a file counts as none"


def test_on_a_busy_machine_one_thread_is_measured_until_it_is_less_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    requests = []

    def answer(command: list[str], input: str, **_: object) -> CompletedProcess:
        requests.append(json.loads(input))
        return CompletedProcess(command, 0, json.dumps(asdict(Speed(8.0, 16.0, 24.0, 32.0))), "")

    monkeypatch.setattr(speed, "user_cache_path", lambda name: tmp_path / name)
    monkeypatch.setattr(speed, "is_busy", lambda threads: True)
    monkeypatch.setattr(subprocess, "run", answer)
    assert machine_speed(ModelConfig(name="tiny", threads=5), SHAPE) == Speed(2.0, 4.0, 6.0, 8.0)
    assert requests[0]["threads"] == 1
    assert "and again when other processes compute less" in capfd.readouterr().err
    assert machine_speed(ModelConfig(name="tiny", threads=5), SHAPE) == Speed(2.0, 4.0, 6.0, 8.0)
    assert len(requests) == 1
    monkeypatch.setattr(speed, "is_busy", lambda threads: False)
    assert machine_speed(ModelConfig(name="tiny", threads=5), SHAPE) == Speed(8.0, 16.0, 24.0, 32.0)
    assert requests[1]["threads"] == 5
    monkeypatch.setattr(speed, "is_busy", lambda threads: True)
    assert machine_speed(ModelConfig(name="tiny", threads=5), SHAPE) == Speed(8.0, 16.0, 24.0, 32.0)
    assert len(requests) == 2
    with precision.auto_means("float16"):
        machine_speed(ModelConfig(name="tiny", threads=5), SHAPE)
    assert [request["dtype"] for request in requests] == ["auto", "auto", "float16"], "as the run is computed"

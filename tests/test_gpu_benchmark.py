"""The benchmark for a GPU, in a tiny shape on this processor: every part runs, and one that fails stops no other."""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from places import ROOT
from spillover.errors import SpilloverError

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.skipif(torch.cuda.is_available(), reason="no CPU")]


@pytest.fixture(scope="module")
def bench() -> Iterator[SimpleNamespace]:
    """The modules of the benchmark, which are scripts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield SimpleNamespace(**{name: import_module(name) for name in ("by_sglang", "gpu", "gpu_parts", "shapes")})


@pytest.mark.parametrize("part", ["scoring", "tuning", "tuning by TRL", "generation", "tracing"])
def test_a_part_has_numbers(part: str, bench: SimpleNamespace) -> None:
    numbers = bench.gpu_parts.PARTS[part](bench.shapes.SHAPES["toy"])
    assert numbers
    assert all(math.isfinite(value) and value > 0 for value in numbers.values())


def test_float32_is_exact_and_bfloat16_is_not(bench: SimpleNamespace) -> None:
    numbers = bench.gpu_parts.exactness(bench.shapes.SHAPES["toy"])
    assert numbers["largest difference in float32"] < 1e-4 < numbers["largest difference in bfloat16"]


def test_what_is_not_there_says_so(bench: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.gpu_parts, "find_spec", lambda name: None)
    for name in ("vllm", "sglang"):
        with pytest.raises(SystemExit, match=f"^{name} is not installed$"):
            bench.gpu_parts.PARTS[{"vllm": "scoring by vLLM", "sglang": "scoring by SGLang"}[name]](
                bench.shapes.SHAPES["toy"]
            )
    with pytest.raises(SpilloverError, match="found 'nf4', which needs a GPU"):
        bench.gpu_parts.nf4(bench.shapes.SHAPES["toy"])


class StandIn:
    """vLLM's `LLM` as far as the part uses it; every token has the same probability."""

    def __init__(self, model: str, load_format: str, **options: object) -> None:
        assert (Path(model) / "config.json").is_file()
        assert (Path(model) / "tokenizer.json").is_file()
        assert load_format == "dummy"
        assert options["enable_prefix_caching"] is True

    def generate(self, prompts: list[Any], parameters: list[Any], **options: object) -> list[SimpleNamespace]:
        steps = [{p.allowed_token_ids[0]: SimpleNamespace(logprob=-math.log(2048))} for p in parameters]
        return [SimpleNamespace(outputs=[SimpleNamespace(logprobs=[step])]) for step in steps]


def test_vllm_scores_the_same_items(bench: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("vllm")
    package.LLM, package.SamplingParams = StandIn, lambda **options: SimpleNamespace(**options)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", package)
    monkeypatch.setattr(bench.gpu_parts, "find_spec", lambda name: object())
    assert bench.gpu_parts.vllm(bench.shapes.SHAPES["toy"])["items per second"] > 0


class SglangStandIn:
    """SGLang's `Engine` as far as the part uses it; a token's log-probability depends on it and on its context."""

    closed = 0

    def __init__(self, model_path: str, load_format: str, dtype: str) -> None:
        assert (Path(model_path) / "config.json").is_file()
        assert (Path(model_path) / "tokenizer.json").is_file()
        assert (load_format, dtype) == ("dummy", "bfloat16")

    def generate(
        self,
        input_ids: list[list[int]],
        sampling_params: dict[str, int],
        return_logprob: bool,
        logprob_start_len: int,
        token_ids_logprob: list[list[int]],
    ) -> list[dict[str, Any]]:
        assert sampling_params == {"max_new_tokens": 1, "temperature": 0}
        assert return_logprob
        assert logprob_start_len == -1
        assert len({tuple(ids) for ids in input_ids}) == len(input_ids)  # no context is read twice
        return [
            {"meta_info": {"output_token_ids_logprobs": [[(log_p(ids, token), token, None) for token in tokens]]}}
            for ids, tokens in zip(input_ids, token_ids_logprob, strict=True)
        ]

    def shutdown(self) -> None:
        SglangStandIn.closed += 1


def log_p(context: Sequence[int], token: int) -> float:
    return -10 - (31 * sum(context) + 7 * token) % 13


def test_sglang_scores_the_same_items(bench: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("sglang")
    package.Engine = SglangStandIn  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sglang", package)
    monkeypatch.setattr(bench.gpu_parts, "find_spec", lambda name: object())
    assert bench.gpu_parts.sglang(bench.shapes.SHAPES["toy"])["items per second"] > 0
    assert SglangStandIn.closed == 1


@pytest.mark.parametrize("is_broken", [False, True])
def test_sglang_answers_belong_to_their_steps(is_broken: bool, bench: SimpleNamespace, tmp_path: Path) -> None:
    """The twin mixes up the order of the steps."""
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}", "utf-8")
    engine = bench.by_sglang.SglangEngine(None, SglangStandIn(str(tmp_path), "dummy", "bfloat16"), None)
    steps = [((1, 2), 5), ((1, 2, 5), 6), ((1, 2), 7), ((3,), 5)]
    values = engine.log_probabilities(sorted(steps) if is_broken else steps)
    assert (values == [log_p(*step) for step in steps]) is not is_broken


@pytest.mark.parametrize(
    ("code", "limit", "failure"),
    [
        ("print('a line'); print('{\"x\": 2}')", 20, ""),
        ("import sys; sys.exit('it broke')", 20, "it broke"),
        ("import os; os._exit(3)", 20, "exit status 3"),
        ("import time; time.sleep(60)", 0.5, "not done in 0 s"),
        ("", 0, "no time was left"),
    ],
)
def test_a_part_that_fails_is_a_row(code: str, limit: float, failure: str, bench: SimpleNamespace) -> None:
    outcome = bench.gpu.run("tuning", "toy", [sys.executable, "-c", code], limit)
    assert outcome.failure == failure
    assert outcome.numbers == ({} if failure else {"x": 2})


def test_the_command_goes_on_after_a_failure(
    bench: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["gpu.py", "--toy", "--parts", "scoring by vLLM", "nf4", "--out", str(tmp_path / "gpu.json")]
    )
    outcomes = iter([bench.gpu.Outcome("nf4", "toy", 1.0, {"items per second": 3.0})])
    plain = bench.gpu.run

    def run(part: str, *rest: Any) -> Any:  # noqa: ANN401
        return next(outcomes) if part == "nf4" else plain(part, *rest)

    monkeypatch.setattr(bench.gpu, "run", run)
    bench.gpu.main()
    first, second = json.loads((tmp_path / "gpu.json").read_text("utf-8"))["rows"]
    assert first["failure"] == "vllm is not installed"
    assert second["numbers"] == {"items per second": 3.0}
    page = (tmp_path / "gpu.md").read_text("utf-8")
    assert "| scoring by vLLM | toy | " in page
    assert "vllm is not installed" in page


def test_a_child_prints_its_numbers(
    bench: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(bench.gpu.PARTS, "nf4", lambda shape: {"items": shape.items})
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--of", "nf4", "toy"])
    bench.gpu.main()
    assert json.loads(capsys.readouterr().out) == {"items": 4}


def test_the_plan_is_of_known_parts_and_fits_ten_minutes(bench: SimpleNamespace) -> None:
    assert {part for part, _ in bench.gpu.PLAN} == set(bench.gpu.PARTS)
    assert {shape for _, shape in bench.gpu.PLAN} == set(bench.shapes.SHAPES)
    assert len(set(bench.gpu.PLAN)) == len(bench.gpu.PLAN)
    assert bench.gpu.TOTAL < 600


def test_the_table_has_the_ratio_to_the_rival(bench: SimpleNamespace) -> None:
    rows = [
        bench.gpu.Outcome(part, "1B", 1.0, {"rate": rate}) for part, rate in (("tuning", 6.0), ("tuning by TRL", 2.0))
    ]
    assert "| tuning | 1B | 1 | rate 6 | 3.00 (tuning by TRL) |" in bench.gpu.tables(rows)
    assert "| tuning by TRL | 1B | 1 | rate 2 |  |" in bench.gpu.tables(rows)
    assert "| tuning | 1B | 1 | rate 6 |  |" in bench.gpu.tables(rows[:1])


def test_shapes_have_the_sizes_that_they_are_named_by(bench: SimpleNamespace) -> None:
    """Counted on no device, without the embedding that some of them share."""
    from transformers import AutoModelForCausalLM

    for name, (low, high) in {
        "1B": (1.2, 1.3),
        "1B with windows": (0.9, 1.1),
        "7B": (7.5, 7.7),
        "14B": (14.6, 14.9),
    }.items():
        with torch.device("meta"):
            network = AutoModelForCausalLM.from_config(bench.shapes.config(bench.shapes.SHAPES[name]))
        assert low < sum(weight.numel() for weight in network.parameters()) / 1e9 < high, name

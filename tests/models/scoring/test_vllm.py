"""Scoring by vLLM against our own scorer: a stand-in for vLLM computes what its documentation says, with transformers.

No GPU and no vLLM were at hand: what is tested is which requests are made and what is made of the answers.
"""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from calls import Call
from spillover.errors import SpilloverError
from spillover.experiment import TuneConfig
from spillover.models.inference.prefix import PrefixReader
from spillover.models.load import load
from spillover.models.scoring import vllm as module
from spillover.models.scoring.score import score
from spillover.models.scoring.vllm import check_vllm, open_engine
from spillover.models.scoring.vllm import score as score_by_vllm
from spillover.records import Prediction, Prompt
from spillover.sources import open_source
from spillover.tasks import open_task

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass
class SamplingParams:
    max_tokens: int
    temperature: float
    logprobs: int
    allowed_token_ids: list[int]
    detokenize: bool


@dataclass
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str


@dataclass
class LLM:
    """vLLM's, as documented: a token's log-probability is taken before all others are forbidden."""

    model: str
    dtype: str
    options: dict[str, Any] = field(default_factory=dict)
    masks_first: bool = False
    shift: int = 0
    asked: int = 0
    networks: dict[int, Any] = field(default_factory=dict)

    def generate(
        self,
        prompts: list[dict[str, list[int]]],
        sampling_params: list[SamplingParams],
        lora_request: LoRARequest | None,
        use_tqdm: bool,
    ) -> list[SimpleNamespace]:
        import torch

        number = lora_request.lora_int_id if lora_request else 0
        if number not in self.networks:
            adapter = Path(lora_request.lora_path) if lora_request else None
            self.networks[number] = load(self.model, self.dtype, adapter=adapter).network
        found = []
        for prompt, parameters in zip(prompts, sampling_params, strict=True):
            assert (parameters.max_tokens, parameters.logprobs, len(parameters.allowed_token_ids)) == (1, 0, 1)
            (token,) = parameters.allowed_token_ids
            ids = prompt["prompt_token_ids"][: len(prompt["prompt_token_ids"]) - self.shift]
            with torch.inference_mode():
                logits = self.networks[number](torch.tensor([ids])).logits[0, -1].float()
            value = 0.0 if self.masks_first else float(logits.log_softmax(0)[token])
            step = {token: SimpleNamespace(logprob=value)}
            found.append(SimpleNamespace(outputs=[SimpleNamespace(logprobs=[step], token_ids=[token])]))
        self.asked += len(prompts)
        return found


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """vLLM, installed; what is put here changes what its `LLM` does."""
    changed: dict[str, Any] = {}

    def make(model: str, dtype: str, **options: Any) -> LLM:  # noqa: ANN401
        changed["made"] = LLM(model, dtype, options, **{k: v for k, v in changed.items() if k != "made"})
        return changed["made"]

    package, lora, request = (ModuleType(name) for name in ("vllm", "vllm.lora", "vllm.lora.request"))
    package.LLM, package.SamplingParams, request.LoRARequest = make, SamplingParams, LoRARequest  # type: ignore[attr-defined]
    for each in (package, lora, request):
        monkeypatch.setitem(sys.modules, each.__name__, each)
    module.open_llm.cache_clear()
    return changed


@pytest.fixture
def model(tiny: Callable[[str], Path]) -> str:
    return str(tiny("llama"))


@pytest.fixture
def prompts() -> list[Prompt]:
    """Labels of several tokens that begin alike, in two languages."""
    task, source = open_task("entailment"), open_source("starter", {}, "test")
    items = [item for code in ("en", "th") for item in source.items(task, code)[:2]]
    return [task.prompt(item, "native") for item in items]


@pytest.fixture
def adapter(model: str, tmp_path: Path) -> Path:
    import torch

    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(model), config).save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.mark.parametrize("scoring", ["exact", "constrained", "first-token"])
def test_scores_are_those_of_transformers(
    vllm: dict[str, Any], model: str, prompts: list[Prompt], scoring: str
) -> None:
    if scoring == "first-token":
        prompts = prompts[:2]  # a blank and a Thai letter are several tokens here, so no token begins a Thai label
    expected = score(PrefixReader(load(model, "float32")), prompts, scoring)
    told: list[int] = []
    found = score_by_vllm(open_engine(model, "float32", "none", None, 4), prompts, scoring, advance=told.append)
    assert [len(row) for row in found.choices] == [3] * len(prompts)
    for mine, other in zip(found.choices, expected.choices, strict=True):
        assert mine == pytest.approx(other, abs=1e-4)
    for mine, other in zip(found.logprobs_per_token, expected.logprobs_per_token, strict=True):
        assert mine == pytest.approx(other, abs=1e-4)
    assert sum(told) == len(prompts)
    assert vllm["made"].options["enable_prefix_caching"] is True
    assert vllm["made"].options["logprobs_mode"] == "raw_logprobs"


def test_both_arms_share_the_weights_and_another_adapter_has_another_number(
    vllm: dict[str, Any], model: str, prompts: list[Prompt], adapter: Path
) -> None:
    base, tuned = (open_engine(model, "float32", "none", each, 4) for each in (None, adapter))
    assert base.llm is tuned.llm
    expected = score(PrefixReader(load(model, "float32", adapter=adapter)), prompts)
    found = score_by_vllm(tuned, prompts)
    for mine, other in zip(found.choices, expected.choices, strict=True):
        assert mine == pytest.approx(other, abs=1e-4)
    assert found.choices != score_by_vllm(base, prompts).choices
    numbers = {module.lora_request(place).lora_int_id for place in (adapter, adapter.parent / "other")}
    assert len(numbers) == 2
    assert min(numbers) > 0
    assert vllm["made"].options["max_lora_rank"] == 8


def test_a_context_that_lost_its_last_token_is_noticed(vllm: dict[str, Any], model: str, prompts: list[Prompt]) -> None:
    """A broken twin: the tolerance above tells it from the real one."""
    expected = score(PrefixReader(load(model, "float32")), prompts)
    vllm["shift"] = 1
    found = score_by_vllm(open_engine(model, "float32", "none", None, 4), prompts)
    pairs = zip(found.choices, expected.choices, strict=True)
    assert max(abs(a - b) for mine, theirs in pairs for a, b in zip(mine, theirs, strict=True)) > 0.01


def test_log_probabilities_after_masking_are_refused(vllm: dict[str, Any], model: str, prompts: list[Prompt]) -> None:
    vllm["masks_first"] = True
    with pytest.raises(SpilloverError, match=r"a probability of \d\.00 together, expected at most 1; use 'transf"):
        score_by_vllm(open_engine(model, "float32", "none", None, 4), prompts)


def test_no_step_is_asked_twice(vllm: dict[str, Any], model: str) -> None:
    prompt = Prompt((), "One two three:", (" a b\n\n", " a c\n\n", " a b\n\n"))
    scores = score_by_vllm(open_engine(model, "float32", "none", None, 4), [prompt]).choices[0]
    assert scores[0] == scores[2] != scores[1]
    steps = {tuple(load(model, "float32").tokenize([prompt.body + choice])[0]) for choice in prompt.choices}
    assert vllm["made"].asked < sum(map(len, steps))
    assert all(math.isfinite(value) for value in scores)


def test_without_vllm_or_a_gpu_the_option_explains_itself(monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(
        SpilloverError, match=r"'vllm' needs the package vllm and a GPU, which this machine lacks; 'transformers' gives"
    ):
        check_vllm("none", False, TuneConfig())
    monkeypatch.setattr(module, "find_spec", lambda name: object())
    with pytest.raises(SpilloverError, match=r"'vllm' needs a GPU, which"):
        check_vllm("none", False, TuneConfig())
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    check_vllm("none", False, TuneConfig())
    with pytest.raises(SpilloverError, match=r"model.quantize: found 'nf4', expected 'none' with evaluate.engine"):
        check_vllm("nf4", False, TuneConfig())
    with pytest.raises(SpilloverError, match=r"evaluate.merged: found True, expected False with evaluate.engine"):
        check_vllm("none", True, TuneConfig())


@pytest.fixture
def asked(model: str, tmp_path: Path) -> list[str]:
    (tmp_path / "e.toml").write_text(
        f'[model]\nname = "{model}"\ndtype = "float32"\n[questions]\nlimit = 8\n[translate]\nto = ["de"]\n'
        '[tune]\nepochs = 1\ntranslations = 0\n[evaluate]\ntasks = ["sentiment"]\nlanguages = ["en"]\nlimit = 2\n'
    )
    return ["evaluate", str(tmp_path / "e.toml"), "--runs", str(tmp_path / "runs")]


def test_it_is_refused_before_anything_is_tuned(
    call: Call, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    ended = call(*asked, "--set", "evaluate.engine=vllm")
    assert ended.status == 2
    assert "evaluate.engine: 'vllm' needs" in ended.err
    assert not (tmp_path / "runs").exists()


def test_an_experiment_is_scored_with_it(
    call: Call, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vllm: dict[str, Any]
) -> None:
    monkeypatch.setattr(module, "check_vllm", lambda *settings: None)
    for engine in ("transformers", "vllm"):
        ended = call(*asked, "--set", f"evaluate.engine={engine}", "--name", engine)
        assert ended.status == 0, ended.err
    from spillover.store import read_arm

    for arm in ("base", "tuned"):
        one, other = (read_arm(tmp_path / "runs" / engine, arm) for engine in ("transformers", "vllm"))
        for mine, theirs in zip(one, other, strict=True):
            assert isinstance(mine, Prediction)
            assert isinstance(theirs, Prediction)
            assert mine.logprobs == pytest.approx(theirs.logprobs, abs=1e-4)
            assert mine.content_free == pytest.approx(theirs.content_free, abs=1e-4)
    assert vllm["made"].asked > 0

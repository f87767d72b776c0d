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
from spillover.models.inference.encode import encode
from spillover.models.inference.prefix import PrefixReader
from spillover.models.load import load
from spillover.models.model import Model
from spillover.models.scoring import vllm as module
from spillover.models.scoring.score import score, whole_choices
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
    allowed_token_ids: list[int] | None = None
    detokenize: bool = False
    prompt_logprobs: int | None = None


@dataclass
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str


BLOCK = 16
"""Tokens of a block of vLLM's prefix cache."""


@dataclass
class LLM:
    """vLLM's, as documented: a token's log-probability is taken before all others are forbidden.

    As vLLM's issue 42019 says, `prompt_logprobs` of tokens in the prefix cache are what an earlier request left in the
    buffer. A token that is written has no such fault: its state is computed in its own request.
    """

    model: str
    dtype: str
    options: dict[str, Any] = field(default_factory=dict)
    masks_first: bool = False
    shift: int = 0
    asked: int = 0
    networks: dict[int, Any] = field(default_factory=dict)
    cached: set[tuple[int, ...]] = field(default_factory=set)
    buffer: dict[int, float] = field(default_factory=dict)
    prompts_asked: int = 0

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
            ids = prompt["prompt_token_ids"][: len(prompt["prompt_token_ids"]) - self.shift]
            with torch.inference_mode():
                logprobs = self.networks[number](torch.tensor([ids])).logits[0].float().log_softmax(1)
            (token,) = parameters.allowed_token_ids or [int(logprobs[-1].argmax())]
            assert (parameters.max_tokens, parameters.logprobs) == (1, 0)
            value = 0.0 if self.masks_first else float(logprobs[-1, token])
            step = {token: SimpleNamespace(logprob=value)}
            of_prompt = self.of_prompt(ids, logprobs) if parameters.prompt_logprobs is not None else None
            output = SimpleNamespace(logprobs=[step], token_ids=[token])
            found.append(SimpleNamespace(outputs=[output], prompt_logprobs=of_prompt))
        self.asked += len(prompts)
        return found

    def of_prompt(self, ids: list[int], logprobs: Any) -> list[dict[int, SimpleNamespace] | None]:  # noqa: ANN401
        """Return the log-probability of each token of a prompt after the first; stale ones where it is cached."""
        self.prompts_asked += 1
        blocks = [tuple(ids[:end]) for end in range(BLOCK, len(ids) + 1, BLOCK)]
        hit = max((len(block) for block in blocks if block in self.cached), default=0)
        for place in range(max(1, hit), len(ids)):
            self.buffer[place] = float(logprobs[place - 1, ids[place]])
        self.cached.update(blocks)
        return [None, *({ids[at]: SimpleNamespace(logprob=self.buffer[at])} for at in range(1, len(ids)))]


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


def by_prompt_logprobs(llm: LLM, model: Model, prompts: list[Prompt]) -> list[tuple[float, ...]]:
    """Score as lm-evaluation-harness does: one request per choice, and the log-probabilities of its prompt."""
    parameters = SamplingParams(max_tokens=1, temperature=0, logprobs=0, prompt_logprobs=1)
    rows = []
    for prompt in prompts:
        queries = whole_choices(encode(model, [prompt], "error")[0])
        tokens = [[*query.tokens, query.targets[-1][1]] for query in queries]
        requests = [{"prompt_token_ids": ids} for ids in tokens]
        answers = llm.generate(requests, [parameters] * len(tokens), None, use_tqdm=False)
        rows.append(
            tuple(
                math.fsum(answer.prompt_logprobs[at + 1][token].logprob for at, token in query.targets)
                for query, answer in zip(queries, answers, strict=True)
            )
        )
    return rows


def test_the_order_of_requests_changes_no_score(vllm: dict[str, Any], model: str) -> None:
    """VLLM's issue 42019 is about `prompt_logprobs`, which are never requested; scores by them are the broken twin."""
    labels = (" " + "a b c d e f g " * 4 + "\n\n", " " + "a b c d e f g " * 4 + "h\n\n")
    prompts = [Prompt((), f"{name} is late:", labels) for name in ("One", "Two", "Six")]
    prompts += prompts[:1]
    expected = score(PrefixReader(load(model, "float32")), prompts).choices
    largest = {}
    for name, order in {"in order": [0, 1, 2, 3], "reversed": [3, 2, 1, 0]}.items():
        module.open_llm.cache_clear()
        engine = open_engine(model, "float32", "none", None, 4)
        ours = score_by_vllm(engine, [prompts[place] for place in order]).choices
        assert engine.llm.prompts_asked == 0
        theirs = by_prompt_logprobs(engine.llm, engine.model, [prompts[place] for place in order])
        for mine, place in zip(ours, order, strict=True):
            assert mine == pytest.approx(expected[place], abs=1e-4)
        pairs = zip(theirs, order, strict=True)
        largest[name] = [max(abs(a - b) for a, b in zip(row, expected[at], strict=True)) for row, at in pairs]
    assert max(map(max, largest.values())) > 0.01
    assert largest["in order"] != largest["reversed"][::-1]


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
    check_vllm("none", False, TuneConfig(), "auto")
    for device_map, shown in (("sequential", "'sequential'"), ({"model": 0}, "a table")):
        with pytest.raises(SpilloverError, match=rf"^model.device_map: found {shown}, expected 'none' or 'auto' with"):
            check_vllm("none", False, TuneConfig(), device_map)


def test_on_several_gpus_each_layer_is_divided_among_all(
    vllm: dict[str, Any], model: str, prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    for device_map, devices in (("none", 1), ("auto", 4)):
        score_by_vllm(open_engine(model, "float32", "none", None, 4, device_map=device_map), prompts[:1])
        assert vllm["made"].options["tensor_parallel_size"] == devices


def test_what_vllm_cannot_load_is_one_sentence(
    vllm: dict[str, Any], model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**options: object) -> None:
        raise ValueError("Total number of attention heads (4) must be divisible by\ntensor parallel size (3).")

    monkeypatch.setattr(sys.modules["vllm"], "LLM", lambda model, **options: refuse(**options))
    expected = r"^evaluate.engine: vLLM cannot load '.*': ValueError: Total number .* heads \(4\) .* size \(3\)"
    with pytest.raises(SpilloverError, match=expected):
        open_engine(model, "float32", "none", None, 4)


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

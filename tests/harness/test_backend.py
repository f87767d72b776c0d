"""The backend against the harness's own `hf`: every answer to every request, of every output type."""

import json
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lm_eval
import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, BloomConfig

import spillover.harness  # noqa: F401 - what a user writes before simple_evaluate
from local_tasks import CONFIGS
from spillover.errors import SpilloverError
from spillover.harness import backend as module
from spillover.harness.backend import SpilloverLM
from spillover.models.scoring.continuations import Request

pytestmark = pytest.mark.usefixtures("one_thread")
SCORED = [name for name, (_, config) in CONFIGS.items() if config["output_type"] != "generate_until"]


def evaluated(model: str | HFLM, tasks: list[str], folder: Path, **arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = lm_eval.simple_evaluate(
        model=model,
        model_args=arguments,
        tasks=tasks,
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        log_samples=True,
        bootstrap_iters=0,
        random_seed=0,
        fewshot_random_seed=0,
    )
    return found


def answers(found: dict[str, Any], task: str) -> list[list[Any]]:
    return [sample["resps"] for sample in sorted(found["samples"][task], key=lambda sample: sample["doc_id"])]


def assert_same(ours: dict[str, Any], theirs: dict[str, Any], tasks: list[str]) -> None:
    for task in tasks:
        for found, expected in zip(answers(ours, task), answers(theirs, task), strict=True):
            for (mine,), (other,) in zip(found, expected, strict=True):
                if isinstance(other, tuple):
                    # whole texts of a hundred tokens sum to more than a thousand nats, where float32 ends at 1e-4
                    assert mine[0] == pytest.approx(other[0], abs=1e-4, rel=5e-7)
                    assert mine[1] == other[1]
                else:
                    assert mine == pytest.approx(other, abs=1e-4)
        numbers = {key: value for key, value in theirs["results"][task].items() if isinstance(value, float)}
        assert {key: ours["results"][task][key] for key in numbers} == pytest.approx(numbers, rel=1e-4)


@pytest.fixture(scope="module", params=["llama", "gemma3", "gpt_neox"])
def model(request: pytest.FixtureRequest, tiny: Callable[[str], Path]) -> str:
    return str(tiny(request.param))


@pytest.fixture(scope="module")
def llama(tiny: Callable[[str], Path]) -> str:
    return str(tiny("llama"))


def test_equals_hf(model: str, task_folder: Path) -> None:
    """All at once, as the harness asks: requests of several tasks are pending together."""
    tasks = list(CONFIGS)
    ours, theirs = (
        evaluated(name, tasks, task_folder, pretrained=model, dtype="float32", device="cpu")
        for name in ("spillover", "hf")
    )
    assert_same(ours, theirs, tasks)
    assert ours["results"]["tiny_belebele"]["acc_norm,none"] == theirs["results"]["tiny_belebele"]["acc_norm,none"]


def test_the_shared_scorer_is_what_answers(llama: str, task_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A twin that must fail: requests that lost their first token."""
    whole = SpilloverLM.to_request

    def cut(lm: SpilloverLM, *request: Any) -> Request:  # noqa: ANN401
        found = whole(lm, *request)
        return Request(found.tokens[1:], found.start - 1) if found.start > 1 else found

    expected = evaluated("hf", ["tiny_xcopa"], task_folder, pretrained=llama, device="cpu")
    monkeypatch.setattr(SpilloverLM, "to_request", cut)
    found = evaluated("spillover", ["tiny_xcopa"], task_folder, pretrained=llama, device="cpu")
    with pytest.raises(AssertionError):
        assert_same(found, expected, ["tiny_xcopa"])


def test_with_an_adapter(llama: str, task_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    tuned = get_peft_model(
        AutoModelForCausalLM.from_pretrained(llama), LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)
    )
    tuned.save_pretrained(tmp_path)
    ours = evaluated("spillover", SCORED, task_folder, pretrained=llama, adapter=str(tmp_path), device="cpu")
    theirs = evaluated("hf", SCORED, task_folder, pretrained=llama, peft=str(tmp_path), device="cpu")
    assert_same(ours, theirs, SCORED)
    plain = evaluated("hf", ["tiny_xcopa"], task_folder, pretrained=llama, device="cpu")
    assert answers(ours, "tiny_xcopa") != answers(plain, "tiny_xcopa")


def test_what_does_not_fit_loses_its_beginning(llama: str, task_folder: Path) -> None:
    tasks = ["tiny_belebele", "tiny_xcopa"]
    ours, theirs = (
        evaluated(name, tasks, task_folder, pretrained=llama, device="cpu", max_length=64)
        for name in ("spillover", "hf")
    )
    assert_same(ours, theirs, tasks)


def test_a_model_that_cannot_share_is_left_to_hf(
    llama: str, task_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(llama)
    config = BloomConfig(vocab_size=len(tokenizer), hidden_size=32, n_layer=2, n_head=4, initializer_range=0.5)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    monkeypatch.setattr(module, "score_continuations", None)
    ours, theirs = (
        evaluated(name, ["tiny_xcopa"], task_folder, pretrained=str(tmp_path), device="cpu")
        for name in ("spillover", "hf")
    )
    assert_same(ours, theirs, ["tiny_xcopa"])


# --- texts ------------------------------------------------------------------------------------------------------------

UNTIL = [
    {"until": ["\n"], "max_gen_toks": 12},
    {"until": ["е", "ing", "：", "。"], "max_gen_toks": 20, "do_sample": False},
    {"until": "a", "max_gen_toks": 7, "temperature": 0.0},
    {"until": [], "max_new_tokens": 9},
    {"until": ["zz", "z", "zzz", "</s>"], "max_gen_toks": 9, "do_sample": False, "temperature": 0},
]
TEXTS = ("Review: ok\nFeeling:", "Review: ok\nFeeling: good", "Rezension: 这部电影很好。\n", "รีวิว: ", "</s> in a text")


def text_requests(kinds: Sequence[dict[str, Any]] = UNTIL) -> list[Instance]:
    """Contexts with shots before them, each with every way to end a text; some requests are there twice."""
    shots = "Review: The room was clean.\nFeeling: good\n\nReview: Der Zug kam zu spät.\nFeeling: bad\n\n" * 2
    asked = [(shots + text, dict(kind)) for kind in kinds for text in (*TEXTS, TEXTS[0])]
    return [Instance("generate_until", {}, arguments, number) for number, arguments in enumerate(asked)]


def both(model: str, requests: list[Instance], options: Mapping[str, Any] = {}) -> tuple[list[str], list[str]]:
    ours, theirs = (kind(model, device="cpu", dtype="float32", **options) for kind in (SpilloverLM, HFLM))
    return ours.generate_until(requests, disable_tqdm=True), theirs.generate_until(requests, disable_tqdm=True)


@pytest.mark.parametrize("options", [{}, {"max_length": 64}, {"add_bos_token": True}])
def test_greedy_texts_are_those_of_hf(model: str, options: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where contexts lose their beginning."""
    said: list[str] = []
    monkeypatch.setattr(module, "notify", said.append)
    ours, theirs = both(model, text_requests(), options)
    assert ours == theirs
    assert len(set(ours)) > 5
    assert said == []


def test_what_is_not_greedy_is_left_to_hf_with_a_notice(llama: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(module, "notify", said.append)
    kinds = [UNTIL[0], {"until": ["\n"], "max_gen_toks": 8, "num_beams": 3}, {"until": [], "max_gen_toks": 4}]
    ours, theirs = both(llama, text_requests(kinds))
    assert ours == theirs
    assert said == ["spillover: hf writes 6 of 18 texts itself: they are not decoded greedily"]
    sampled = text_requests([{"until": [], "max_gen_toks": 8, "do_sample": True, "temperature": 2.0}])
    lm = SpilloverLM(llama, device="cpu")
    torch.manual_seed(0)
    once = lm.generate_until(sampled, disable_tqdm=True)
    torch.manual_seed(1)
    assert lm.generate_until(sampled, disable_tqdm=True) != once


def test_the_shared_decoder_is_what_writes(llama: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A twin that must fail: contexts that lost their first token."""
    whole = SpilloverLM.fit_context
    monkeypatch.setattr(SpilloverLM, "fit_context", lambda lm, *request: whole(lm, *request)[1:])
    ours, theirs = both(llama, text_requests(UNTIL[:1]))
    assert ours != theirs


def test_texts_are_cached(llama: str, task_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for _ in range(2):
        found.append(
            lm_eval.simple_evaluate(
                model="spillover",
                model_args={"pretrained": llama, "device": "cpu"},
                tasks=["tiny_generate"],
                task_manager=TaskManager(include_path=str(task_folder), include_defaults=False),
                use_cache=str(tmp_path / "cache"),
                bootstrap_iters=0,
            )["results"]
        )
        monkeypatch.setattr(module, "decode_greedily", None)
    assert found[0] == found[1]


# --- models that are left to hf ---------------------------------------------------------------------------------------

FINISHES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "of one token": lambda logits: 5 * logits.sigmoid(),
    "of all tokens": lambda logits: logits.flip(1),
}


@pytest.mark.parametrize("kind", FINISHES)
def test_logits_of_another_kind(
    llama: str,
    task_folder: Path,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The network's own head gives them from shared states; where it mixes tokens they are left to hf."""
    said: list[str] = []
    monkeypatch.setattr(module, "notify", said.append)
    network = AutoModelForCausalLM.from_pretrained(llama)
    network.lm_head.register_forward_hook(lambda layer, inputs, output: FINISHES[kind](output))
    ours = SpilloverLM(network)
    assert (ours.reader is not None, len(said)) == ((True, 0) if kind == "of one token" else (False, 1))
    found, expected = (evaluated(lm, ["tiny_xcopa"], task_folder) for lm in (ours, HFLM(network)))
    assert_same(found, expected, ["tiny_xcopa"])


def test_an_empty_continuation_is_refused(llama: str) -> None:
    lm = SpilloverLM(llama, device="cpu")
    request = Instance(request_type="loglikelihood", doc={}, arguments=("Ok", ""), idx=0)
    with pytest.raises(SpilloverError, match=r"found 0 tokens after . of context, expected 1 to 2048"):
        lm.loglikelihood([request])


def test_answers_are_cached(llama: str, task_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def once() -> dict[str, Any]:
        found: dict[str, Any] = lm_eval.simple_evaluate(
            model="spillover",
            model_args={"pretrained": llama, "device": "cpu"},
            tasks=["tiny_xcopa"],
            task_manager=TaskManager(include_path=str(task_folder), include_defaults=False),
            use_cache=str(tmp_path / "cache"),
            bootstrap_iters=0,
        )
        return found

    first = once()
    monkeypatch.setattr(module, "score_continuations", None)
    assert once()["results"] == first["results"]


STARTED = """
import runpy, sys
sys.argv = ["lm_eval", "--help"]
try:
    runpy.run_module("spillover.harness", run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert not end.code
from lm_eval.api.registry import get_model, model_registry as known
assert {"spillover", "hf", "vllm", "local-completions"} <= {*known}, [*known]
get_model("dummy")
"""
"""The command line's help, as `python -m spillover.harness` begins; then the names of models that are known."""


def test_the_command_line_starts_and_the_harness_s_own_models_stay_beside_ours() -> None:
    """In a process of its own: here the tests imported them already."""
    done = subprocess.run([sys.executable, "-c", STARTED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: " in done.stdout


def test_a_model_folder_s_code_is_never_run(
    llama: str,
    task_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(llama, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text("utf-8"))
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}}
    (tmp_path / "model" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "model" / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n", encoding="utf-8")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(ValueError, match="trust_remote_code"):
        SpilloverLM(str(tmp_path / "model"), device="cpu")
    arguments = ["--model_args", f"pretrained={tmp_path / 'model'}", "--trust_remote_code", "--device", "cpu"]
    arguments += ["--include_path", str(task_folder)]
    monkeypatch.setattr(sys, "argv", ["lm_eval", "--model", "spillover", "--tasks", "tiny_xcopa", *arguments])
    monkeypatch.setattr("lm_eval.tasks.TaskManager", partial(TaskManager, include_defaults=False))
    with pytest.raises(SystemExit) as end:
        runpy.run_module("spillover.harness", run_name="__main__")
    assert end.value.code == 2
    assert "spillover: trust_remote_code: found True, expected False" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


def test_from_the_command_line(llama: str, task_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the harness's own thousands of tasks, which take long to list."""
    asked = ["--model", "spillover", "--model_args", f"pretrained={llama}", "--tasks", "tiny_xcopa", "--device", "cpu"]
    asked += ["--include_path", str(task_folder), "--output_path", str(tmp_path / "out.json")]
    monkeypatch.setattr(sys, "argv", ["lm_eval", *asked])
    monkeypatch.setattr("lm_eval.tasks.TaskManager", partial(TaskManager, include_defaults=False))
    runpy.run_module("spillover.harness", run_name="__main__")
    (written,) = tmp_path.glob("out*.json")
    assert set(json.loads(written.read_text("utf-8"))["results"]) == {"tiny_xcopa"}

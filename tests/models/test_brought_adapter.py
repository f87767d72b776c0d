"""Adapters made by plain peft: those of every kind load, and score as plain peft scores them."""

# ruff: noqa: ANN401 - options of a library

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from peft import PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from spillover.errors import SpilloverError
from spillover.models.adapter_files import locate_adapter
from spillover.models.inference.prefix import PrefixReader
from spillover.models.load import load
from spillover.models.model import Model
from spillover.models.scoring.score import score
from spillover.records import Prompt

pytestmark = pytest.mark.usefixtures("one_thread")

WHERE = "arms.mine.adapter"
LORA: dict[str, Any] = {"r": 4, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}
ATTENTION = {"target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}
NEW_TOKENS = ["<tool>", "<result>"]

KINDS: dict[str, Callable[[], peft.PeftConfig]] = {
    "lora": lambda: peft.LoraConfig(**LORA),
    "dora": lambda: peft.LoraConfig(**LORA, use_dora=True),
    "rslora": lambda: peft.LoraConfig(**LORA, use_rslora=True),
    "all-linear": lambda: peft.LoraConfig(**LORA | {"target_modules": "all-linear"}),
    "ia3": lambda: peft.IA3Config(
        target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"], task_type="CAUSAL_LM"
    ),
    "modules-to-save": lambda: peft.LoraConfig(**LORA, modules_to_save=["lm_head", "embed_tokens"]),
    "trainable-tokens": lambda: peft.LoraConfig(**LORA, trainable_token_indices=list(range(10, 300))),
    "tokens-alone": lambda: peft.TrainableTokensConfig(
        token_indices=list(range(10, 300)), target_modules=["embed_tokens"], task_type="CAUSAL_LM"
    ),
    "resized": lambda: peft.LoraConfig(**LORA),
    "tokens-added": lambda: peft.LoraConfig(**LORA, modules_to_save=["lm_head", "embed_tokens"]),
    "unembedding": lambda: peft.LoraConfig(**LORA | {"target_modules": ["q_proj", "lm_head"]}),
    "loha": lambda: peft.LoHaConfig(r=4, **ATTENTION),
    "lokr": lambda: peft.LoKrConfig(r=4, **ATTENTION),
    "vera": lambda: peft.VeraConfig(r=4, **ATTENTION),
    "oft": lambda: peft.OFTConfig(oft_block_size=8, **ATTENTION),
    "vector-bank": lambda: peft.VBLoRAConfig(r=4, num_vectors=16, vector_length=4, **ATTENTION),
}
"""Name → the configuration of one kind of adapter."""

UNFIT: dict[str, Callable[[], peft.PeftConfig]] = {
    "activated": lambda: peft.LoraConfig(**LORA, alora_invocation_tokens=[5, 6]),
    "random start": lambda: peft.LoraConfig(**LORA, init_lora_weights="pissa_niter_4"),
}
"""Name → the configuration of an adapter that cannot be measured."""

PROMPTS = [
    Prompt(("Good: yes\n\n", "Bad: no\n\n"), body, (" yes\n\n", " no\n\n", " maybe so\n\n"))
    for body in ("A fine day:", "Ein schöner Tag:", "Плохо:")
]


@pytest.fixture(scope="module")
def make(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function: kind, and architecture of the base → folder of a random adapter made by peft."""

    def save(kind: str, architecture: str = "llama", trained: bool = True) -> Path:
        torch.manual_seed(1)
        base, folder = tiny(architecture), tmp_path_factory.mktemp(kind)
        network, tokenizer = AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)
        if kind in ("resized", "tokens-added"):
            tokenizer.add_tokens(NEW_TOKENS)
            network.resize_token_embeddings(len(tokenizer), mean_resizing=False)
            tokenizer.save_pretrained(folder)
        wrapper = get_peft_model(network, (KINDS | UNFIT)[kind]())
        with torch.no_grad():
            for name, weight in wrapper.named_parameters():
                if weight.requires_grad and trained and "vera_lambda" not in name:
                    weight += 0.3 * torch.randn_like(weight)
                elif weight.requires_grad and trained:
                    weight += 1.0
        wrapper.save_pretrained(folder)
        return folder

    return save


def reference(base: Path, folder: Path, prompts: list[Prompt]) -> list[list[float]]:
    """Return plain peft's log-probability of every choice, one sequence at a time."""
    network = AutoModelForCausalLM.from_pretrained(base)
    tokenizer = AutoTokenizer.from_pretrained(folder if (folder / "tokenizer_config.json").exists() else base)
    if len(tokenizer) != network.get_input_embeddings().weight.shape[0]:
        network.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    wrapper = PeftModel.from_pretrained(network, folder).eval()
    totals = []
    for prompt in prompts:
        texts = [prompt.header + prompt.body + choice for choice in prompt.choices]
        start = tokenizer(prompt.header + prompt.body)["input_ids"]
        rows = []
        for text in texts:
            ids = tokenizer(text)["input_ids"]
            assert ids[: len(start)] == start
            with torch.inference_mode():
                logprobs = torch.log_softmax(wrapper(input_ids=torch.tensor([ids])).logits[0].float(), dim=-1)
            rows.append(sum(float(logprobs[place - 1, ids[place]]) for place in range(len(start), len(ids))))
        totals.append(rows)
    return totals


def scored(model: Model) -> list[list[float]]:
    return [list(row) for row in score(PrefixReader(model), PROMPTS).choices]


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_of_any_kind_scores_as_plain_peft(
    kind: str, tiny: Callable[[str], Path], make: Callable[..., Path]
) -> None:
    base, folder = tiny("llama"), make(kind)
    expected = reference(base, folder, PROMPTS)
    apart = scored(load(str(base), "float32", adapter=folder, origin=WHERE))
    assert apart == [pytest.approx(row, abs=1e-4) for row in expected]
    merged = scored(load(str(base), "float32", adapter=folder, merged=True, origin=WHERE))
    assert merged == [pytest.approx(row, abs=1e-3) for row in expected]
    without = scored(load(str(base), "float32"))
    assert max(abs(a - b) for x, y in zip(without, apart, strict=True) for a, b in zip(x, y, strict=True)) > 0.01


def refused(base: Path, folder: Path, **options: Any) -> str:
    """Return the sentence with which an adapter is refused."""
    with pytest.raises(SpilloverError) as error:
        load(str(base), "float32", adapter=locate_adapter(str(folder), str(base), WHERE), origin=WHERE, **options)
    return str(error.value)


def rename_base(folder: Path, name: str) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"base_model_name_or_path": name}), "utf-8")


@pytest.mark.parametrize("kind", ["lora", "dora", "ia3", "trainable-tokens", "modules-to-save"])
def test_an_adapter_that_changes_nothing_is_refused(
    kind: str, tiny: Callable[[str], Path], make: Callable[..., Path]
) -> None:
    """The broken twin of the comparison above: an adapter that was not applied scores as the base."""
    sentence = refused(tiny("llama"), make(kind, trained=False))
    assert sentence.startswith(f"{WHERE}: ")
    assert "changes nothing" in sentence


def test_another_base_is_refused_by_name_and_by_content(tiny: Callable[[str], Path], make: Callable[..., Path]) -> None:
    folder = make("lora", "qwen2")
    assert "was made for" in refused(tiny("llama"), folder)
    rename_base(folder, "")
    assert "no place for" in refused(tiny("llama"), make_deeper(folder, "layers.0", "layers.7"))


def make_deeper(folder: Path, old: str, new: str) -> Path:
    """Rename a layer in an adapter's file, so that it is one that the base lacks."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "adapter_model.safetensors")
    save_file(
        {name.replace(old, new): weight for name, weight in weights.items()}, folder / "adapter_model.safetensors"
    )
    return folder


def test_an_adapter_of_other_widths_is_refused(tiny: Callable[[str], Path], make: Callable[..., Path]) -> None:
    from safetensors.torch import load_file, save_file

    folder = make("lora")
    weights = load_file(folder / "adapter_model.safetensors")
    wider = {name: torch.cat([weight, weight], dim=-1) for name, weight in weights.items() if "lora_A" in name}
    save_file(weights | wider, folder / "adapter_model.safetensors")
    assert "has the shape [4, 64], expected [4, 32]" in refused(tiny("llama"), folder)


def test_half_an_adapter_is_refused(tiny: Callable[[str], Path], make: Callable[..., Path]) -> None:
    from safetensors.torch import load_file, save_file

    folder = make("lora")
    weights = load_file(folder / "adapter_model.safetensors")
    save_file({n: w for n, w in weights.items() if "layers.1." not in n}, folder / "adapter_model.safetensors")
    assert "no weights for" in refused(tiny("llama"), folder)


def test_pickled_weights_are_refused_with_the_command_that_converts_them(
    tiny: Callable[[str], Path], make: Callable[..., Path]
) -> None:
    folder = make("lora")
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    assert "save_file(torch.load(" in refused(tiny("llama"), folder)


def test_virtual_tokens_are_refused(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    network = AutoModelForCausalLM.from_pretrained(tiny("llama"))
    config = peft.PromptTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM")
    get_peft_model(network, config).save_pretrained(tmp_path)
    assert "virtual tokens" in refused(tiny("llama"), tmp_path)


@pytest.mark.parametrize(
    ("kind", "reason"), [("activated", "is an activated LoRA"), ("random start", "another one at each load")]
)
def test_an_adapter_without_one_set_of_weights_is_refused(
    kind: str, reason: str, tiny: Callable[[str], Path], make: Callable[..., Path]
) -> None:
    assert reason in refused(tiny("llama"), make(kind))


def test_a_weight_that_another_module_shares_is_not_merged(
    tiny: Callable[[str], Path], make: Callable[..., Path]
) -> None:
    base, folder = tiny("tied"), make("unembedding", "tied")
    assert "tunes 'lm_head', whose weight another module shares" in refused(base, folder, merged=True)
    apart = scored(load(str(base), "float32", adapter=folder, origin=WHERE))
    assert apart == [pytest.approx(row, abs=1e-4) for row in reference(base, folder, PROMPTS)]


@pytest.mark.parametrize(
    "name", ["owner/gemma-3-270m", "unsloth/gemma-3-270m-unsloth-bnb-4bit", "/elsewhere/model", ""]
)
def test_the_base_may_have_another_owner_or_a_path(name: str, make: Callable[..., Path]) -> None:
    folder = make("lora")
    rename_base(folder, name)
    assert locate_adapter(str(folder), "google/gemma-3-270m", WHERE) == folder


def test_another_hub_id_is_another_base(make: Callable[..., Path]) -> None:
    folder = make("lora")
    rename_base(folder, "owner/gemma-3-270m-it")
    with pytest.raises(SpilloverError, match="was made for 'owner/gemma-3-270m-it'"):
        locate_adapter(str(folder), "google/gemma-3-270m", WHERE)


def test_what_merging_changes_is_said(
    tiny: Callable[[str], Path], make: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    base, folder = str(tiny("llama")), make("lora")
    load(base, "float32", adapter=folder, merged=True, origin=WHERE)
    assert "merged into the weights" not in capfd.readouterr().err
    load(base, "bfloat16", adapter=folder, merged=True, origin=WHERE)
    assert "merged into the weights" in capfd.readouterr().err

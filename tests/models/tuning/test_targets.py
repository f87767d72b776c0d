"""Which maps get an adapter: each one named learns, or is refused; what was trained is what is measured."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from spillover.errors import SpilloverError
from spillover.experiment import TuneConfig
from spillover.models.load import load
from spillover.models.merge import merge
from spillover.models.tuning.parts import Adapter
from spillover.models.tuning.targets import to_adapt
from spillover.models.tuning.tune import tune
from spillover.records import Example

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
]
EXAMPLES = [Example(n, "de", f"{n[0]} und {n[1]}\n", f"{n[1]} and {n[0]}") for n in ("rg", "bw", "an")]
IDS = torch.tensor([[5, 6, 7, 8, 9]])
Targets = Literal["all-linear"] | tuple[str, ...]
LLAMA = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]


def settings(targets: Targets) -> TuneConfig:
    """One step, at the full rate."""
    shares = {"warmup_ratio": 0, "validation_share": 0, "translations": 0}
    return TuneConfig(rank=4, alpha=8, targets=targets, learning_rate=1e-1, epochs=1, batch=4, cutoff=200, **shares)


def outputs(adapter: Path) -> dict[str, torch.Tensor]:
    weights = load_file(adapter / "adapter_model.safetensors")
    return {name: weight for name, weight in weights.items() if "lora_B" in name}


def logits(network: torch.nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = network(IDS.to(next(network.parameters()).device)).logits.cpu()
    return found


@pytest.mark.parametrize(
    ("kind", "targets", "adapted"),
    [
        ("tied", "all-linear", set(LLAMA)),
        ("tied", ("self_attn.q_proj", "model.layers.0.mlp.up_proj"), {"q_proj", "up_proj"}),
        ("gemma3", ("all-linear",), set(LLAMA)),
        ("gpt2", ("q_proj", "v_proj"), {"c_attn"}),
        ("gpt2", "all-linear", {"c_attn", "c_proj", "c_fc"}),
        ("gpt_neox", ("q_proj", "v_proj"), {"query_key_value"}),
    ],
)
def test_each_adapter_learns_and_merged_weights_say_the_same(
    tiny: Callable[[str], Path], tmp_path: Path, kind: str, targets: Targets, adapted: set[str]
) -> None:
    folder = tiny(kind)
    model = load(str(folder), "float32")
    base = logits(model.network)
    tune(model, EXAMPLES, settings(targets), 1, tmp_path / "adapter")
    learned = outputs(tmp_path / "adapter")
    assert {name.split(".lora_B")[0].rpartition(".")[2] for name in learned} == adapted
    assert all(weight.any() for weight in learned.values())
    assert not any(
        "lm_head" in name or "embed" in name for name in load_file(tmp_path / "adapter/adapter_model.safetensors")
    )
    beside = logits(load(str(folder), "float32", adapter=tmp_path / "adapter").network)
    merge(str(folder), "float32", tmp_path / "adapter", tmp_path / "merged")
    merged = logits(AutoModelForCausalLM.from_pretrained(tmp_path / "merged"))
    assert (beside - base).abs().max() > 0.1
    assert torch.allclose(beside, merged, atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "targets", "said"),
    [
        ("llama", ("all-linear", "lm_head"), "'lm_head' is the unembedding"),
        ("llama", ("q_prj", "all-linear"), "no module .* 'q_prj'; did you mean 'q_proj'"),
        ("llama", ("q_proj", "lm_head"), r"'lm_head' is the unembedding.*choose from down_proj, .*v_proj, all-linear"),
        ("tied", ("lm_head",), "'lm_head' is the unembedding"),
        ("tied", ("q_proj", "embed_tokens"), "'embed_tokens' is a Embedding and no linear map"),
        ("llama", ("q_proj", "v_porj"), r"found \['q_proj', 'v_porj'\]: no module .* 'v_porj'; did you mean 'v_proj'"),
        ("llama", ("q_proj", "mlp"), "'mlp' is a LlamaMLP and no linear map"),
        (
            "gpt2",
            ("q_proj",),
            "no module .* 'q_proj'; .*choose from c_attn, c_fc, c_proj, all-linear",
        ),
        ("mamba", ("out_proj",), "'out_proj' is read past its forward pass"),
        ("llama", (), r"found \[\], expected at least one name; choose from down_proj"),
    ],
)
def test_what_cannot_be_adapted_is_refused_with_the_names_there_are(
    tiny: Callable[[str], Path], kind: str, targets: tuple[str, ...], said: str
) -> None:
    with pytest.raises(SpilloverError, match=f"tune.targets: .*{said}"):
        to_adapt(load(str(tiny(kind)), "float32"), targets)


def test_all_linear_leaves_out_what_no_adapter_can_reach(tiny: Callable[[str], Path]) -> None:
    model = load(str(tiny("mamba")), "float32")
    chosen = to_adapt(model, "all-linear")
    assert {name.rpartition(".")[2] for name in chosen} == {"dt_proj", "in_proj", "x_proj"}
    assert Adapter(model, [], settings("all-linear"))


def test_what_the_names_stand_for_is_said(tiny: Callable[[str], Path], capfd: pytest.CaptureFixture[str]) -> None:
    assert to_adapt(load(str(tiny("gpt2")), "float32"), ("q_proj", "v_proj")) == ["c_attn"]
    assert "gpt2 calls query and value c_attn" in " ".join(capfd.readouterr().err.split())


def test_maps_outside_of_the_decoder_are_left_alone(tiny: Callable[[str], Path]) -> None:
    """As those of a vision tower, which have the same names and no part in a text's loss."""
    model = load(str(tiny("llama")), "float32")
    model.network.tower = torch.nn.ModuleDict({"q_proj": torch.nn.Linear(4, 4)})
    assert to_adapt(model, ("q_proj",)) == [f"model.layers.{layer}.self_attn.q_proj" for layer in range(3)]


def test_an_adapter_without_a_gradient_is_refused(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a map that some kernel reads past its forward pass: here the attention's output is not used."""
    model = load(str(tiny("llama")), "float32")
    for layer in model.backbone.layers:
        monkeypatch.setattr(layer.mlp, "forward", lambda states: 0 * states)
    with pytest.raises(SpilloverError, match=r"'up_proj' gets no gradient .*choose from q_proj"):
        tune(model, EXAMPLES, settings(("q_proj", "up_proj")), 1, tmp_path / "adapter")


@pytest.mark.parametrize(
    ("layers", "targets", "idle"), [([1], ("up_proj",), "1 of 3"), ([0, 1, 2], "all-linear", "9 of 21")]
)
def test_layers_that_do_not_use_a_map_are_said(
    tiny: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    layers: list[int],
    targets: Targets,
    idle: str,
) -> None:
    """And so are maps that nobody named."""
    model = load(str(tiny("llama")), "float32")
    for layer in layers:
        monkeypatch.setattr(model.backbone.layers[layer].mlp, "forward", lambda states: 0 * states)
    tune(model, EXAMPLES, settings(targets), 1, tmp_path / "adapter")
    assert f"{idle} adapters get no gradient" in " ".join(capfd.readouterr().err.split())


def test_examples_longer_than_the_context_are_left_out_and_counted(
    tiny: Callable[[str], Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A GPT-2 has no position beyond it; a network of rotary positions would learn what it was not made for."""
    long = Example("long", "de", "und " * 70 + "\n", "and")
    model = load(str(tiny("gpt2")), "float32")
    assert tune(model, [*EXAMPLES, long], settings(("c_attn",)), 1, tmp_path / "adapter").left_out == 1
    assert "1 of 4 examples are longer than 64 tokens (the model's context)" in " ".join(capfd.readouterr().err.split())
    with pytest.raises(SpilloverError, match="the model's context: all 1 examples are longer than 64 tokens"):
        tune(load(str(tiny("gpt2")), "float32"), [long], settings(("c_attn",)), 1, tmp_path / "other")


def test_a_tokenizer_without_an_end_is_refused(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    model = load(str(tiny("llama")), "float32")
    model.tokenizer.eos_token = None
    with pytest.raises(SpilloverError, match="has no EOS token, which ends each target"):
        tune(model, EXAMPLES, settings(("q_proj",)), 1, tmp_path)


@pytest.mark.filterwarnings("ignore:.*(tie_word_embeddings|save_embedding_layers):UserWarning")
@pytest.mark.parametrize(("kind", "names"), [("tied", ["lm_head"]), ("llama", ["q_proj", "v_porj"])])
def test_fails_if_targets_are_taken_as_peft_takes_them(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, names: list[str]
) -> None:
    """Then merging changes an embedding that is tied, and a misspelled name is dropped."""
    monkeypatch.setattr("spillover.models.tuning.parts.to_adapt", lambda model, targets, layers: names)
    folder, adapter = str(tiny(kind)), tmp_path / "adapter"
    tune(load(folder, "float32"), EXAMPLES, settings(tuple(names)), 1, adapter)
    there = {name.split(".lora_B")[0].rpartition(".")[2] for name in outputs(adapter)}
    beside = logits(load(folder, "float32", adapter=adapter).network)
    merge(folder, "float32", adapter, tmp_path / "merged")
    merged = logits(AutoModelForCausalLM.from_pretrained(tmp_path / "merged"))
    assert there != set(names) or not torch.allclose(beside, merged, atol=1e-3)

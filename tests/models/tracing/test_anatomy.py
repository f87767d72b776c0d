"""The parts of many architectures: states against the network's own, neurons counted by hand, refusals."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spillover.errors import SpilloverError
from spillover.models.inference.prefix import PrefixReader
from spillover.models.load import load
from spillover.models.model import Model
from spillover.models.tracing import activity
from spillover.models.tracing import trace as tracing
from spillover.models.tracing.anatomy import anatomy, by_token
from spillover.models.tracing.patch import patch
from spillover.models.tracing.readout import Readout
from spillover.models.tracing.trace import Trace, trace
from spillover.records import Prompt

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "word_embed_proj_dim", "lru_width"), 32),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 3),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "attention_heads"), 4),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "dff", "n_inner", "moe_intermediate_size"), 48),
    **dict.fromkeys(("num_local_experts", "num_experts"), 4),
    **{"num_key_value_heads": 2, "head_dim": 8, "state_size": 8, "initializer_range": 0.5, "num_experts_per_tok": 2},
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len", "context_length"), 512),
    **{"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 1, "vocab_size_per_layer_input": 800},
    **{"hidden_size_per_layer_input": 8, "laurel_rank": 4, "num_kv_shared_layers": 0, "rotary_dim": 8},
}
"""What the sizes are called in one architecture or another."""

SPECIAL: dict[str, dict[str, Any]] = {
    "lfm2": {"layer_types": ["conv", "full_attention", "conv"]},
    "gemma3n_text": {"layer_types": ["full_attention"] * 3, "activation_sparsity_pattern": [0.0] * 3},
    "post-norm opt": {"do_layer_norm_before": False},
    "scaled hyperclovax": {"logits_scaling": 0.3},
    "scaled granite": {"logits_scaling": 0.3},
    "capped recurrent_gemma": {"logits_soft_cap": 5.0},
    "scaled falcon_h1": {
        "lm_head_multiplier": 0.3,
        "embedding_multiplier": 2.0,
        **{"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_chunk_size": 8},
    },
}

DENSE = ("opt", "xglm", "biogpt", "mpt", "gpt2")
EXPERTS = ("mixtral", "qwen3_moe", "olmoe", "granitemoe", "phimoe", "minimax_m2")
FINISHED = ("scaled hyperclovax", "scaled granite", "capped recurrent_gemma", "scaled falcon_h1")
"""Networks that scale or cap what the unembedding says, each in a way of its own."""

OTHERS = ("ctrl", "recurrent_gemma", "lfm2", "mamba", "nanochat")
"""Final norms called `layernorm`, `final_norm`, `embedding_norm`, `norm_f`; one that norms the embeddings too."""

PROMPTS = [
    Prompt(("Review: The room was clean.\nFeeling: good\n\n",), f"{body}\nFeeling:", (" good\n\n", " bad\n\n"))
    for body in ("Review: It works well, and nobody cared.", "Ok", "รีวิว: ไม่ดีเลย")
]


@pytest.fixture(scope="module")
def reader(tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], PrefixReader]:
    """Return a function: architecture → a reader of a tiny random model of it, all weights large."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    words = AutoTokenizer.from_pretrained(tokenizer_folder)

    @cache
    def make(kind: str) -> PrefixReader:
        name = kind.rpartition(" ")[2]
        sizes = {key: value for key, value in SIZES.items() if hasattr(CONFIG_MAPPING[name](), key)}
        config = CONFIG_MAPPING[name](**{**sizes, "vocab_size": len(words), **SPECIAL.get(kind, {})})
        torch.manual_seed(0)
        network = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for weight in network.parameters():
                if weight.ndim == 2:
                    weight.normal_(0, 0.4)
        folder = tmp_path_factory.mktemp(name)
        network.save_pretrained(folder)
        words.save_pretrained(folder)
        return PrefixReader(load(str(folder), "float32"))

    return make


def spans(model: Model, prompt: Prompt) -> tuple[list[int], int]:
    """Return a prompt's tokens and where its body begins."""
    header, whole = model.tokenize([prompt.header, prompt.header + prompt.body])
    return whole, next((i for i, (a, b) in enumerate(zip(header, whole, strict=False)) if a != b), len(header))


def own_states(model: Model, prompt: Prompt) -> np.ndarray:
    """(layers, width) at the last token, as the network lists them: the last is normed."""
    with torch.inference_mode():
        out = model.network(torch.tensor([spans(model, prompt)[0]]), output_hidden_states=True, use_cache=False)
    return torch.stack(out.hidden_states)[:, 0, -1].numpy()


def check_states(reader: PrefixReader, read: Trace) -> None:
    """Mamba lists no embedding; every other family the embedding, what leaves all blocks but the last, and the end."""
    for prompt, last in zip(PROMPTS, read.last, strict=True):
        expected = own_states(reader.model, prompt)
        listed = np.concatenate([last[:-2], last[-1:]]) if len(expected) == len(last) - 1 else last
        if not np.allclose(expected[0], listed[0], rtol=1e-3, atol=1e-3):
            listed = np.concatenate([last[1:-1], last[-1:]])
        scale = np.maximum(1, np.abs(expected).max(axis=1, keepdims=True))
        np.testing.assert_allclose(listed / scale, expected / scale, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", [*DENSE, *OTHERS, "granitemoe"])
def test_states_are_the_networks_own_whatever_its_parts_are_called(
    reader: Callable[[str], PrefixReader], kind: str
) -> None:
    opened = reader(kind)
    check_states(opened, trace(opened, PROMPTS))


@pytest.mark.parametrize("kind", [*DENSE, *OTHERS, *FINISHED])
def test_the_last_layer_reads_out_as_the_network_answers(reader: Callable[[str], PrefixReader], kind: str) -> None:
    opened = reader(kind)
    last, readout = trace(opened, PROMPTS).last, Readout(opened.model)
    logits = readout.logits(readout.normed(last[:, -2]), slice(0, readout.vocabulary))
    for prompt, row in zip(PROMPTS, logits, strict=True):
        with torch.inference_mode():
            ids = torch.tensor([spans(opened.model, prompt)[0]])
            expected = opened.model.network(ids, use_cache=False).logits[0, -1].numpy()
        np.testing.assert_allclose(row, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("kind", ["xglm", "recurrent_gemma"])
def test_the_items_own_states_change_nothing_where_patched(reader: Callable[[str], PrefixReader], kind: str) -> None:
    opened = reader(kind)
    states = trace(opened, PROMPTS[:1]).last[:, :-1]
    effect = patch(opened, PROMPTS[:1], [1], states[:, None])
    np.testing.assert_allclose(effect.patched[0], effect.plain[0], atol=1e-3)


def test_fails_for_a_last_layer_that_is_not_normed(
    reader: Callable[[str], PrefixReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "anatomy", lambda model: replace(anatomy(model), norm=anatomy(model).blocks[-1]))
    with pytest.raises(AssertionError):
        check_states(reader("xglm"), trace(reader("xglm"), PROMPTS))


# --- neurons ----------------------------------------------------------------------------------------------------------


def counted_by_hand(model: Model, name: str) -> np.ndarray:
    """(blocks, neurons): in how many of the bodies' tokens each neuron is active, one whole sequence at a time."""
    acts = [module for path, module in model.backbone.named_modules() if path.rpartition(".")[2] == name]
    counts: dict[int, list[np.ndarray]] = {block: [] for block in range(len(acts))}
    for prompt in PROMPTS:
        whole, begin = spans(model, prompt)
        written: list[torch.Tensor] = []
        hooks = [act.register_forward_hook(lambda module, args, out: written.append(out)) for act in acts]  # noqa: B023
        with torch.inference_mode():
            model.network(torch.tensor([whole]), use_cache=False)
        for hook in hooks:
            hook.remove()
        for block, output in enumerate(written):
            counts[block].append((output.reshape(len(whole), -1)[begin:] > 0).sum(0).numpy())
    return np.stack([np.sum(parts, axis=0) for parts in counts.values()])


def check_counts(reader: PrefixReader, name: str) -> None:
    read = trace(reader, PROMPTS)
    expected = counted_by_hand(reader.model, name)
    assert read.active.shape == expected.shape
    assert expected.shape[1] >= 48
    assert 0 < read.active.mean() < read.counted
    assert (read.active != expected).mean() < 0.01, "no more than rounding near 0 can explain"


ACTIVATION = {"opt": "activation_fn", "xglm": "activation_fn", "biogpt": "activation_fn", "mpt": "act", "gpt2": "act"}


@pytest.mark.parametrize("kind", DENSE)
def test_every_neuron_of_a_dense_mlp_is_counted(reader: Callable[[str], PrefixReader], kind: str) -> None:
    check_counts(reader(kind), ACTIVATION[kind])


def test_the_same_for_opt_without_a_shared_prefix(
    reader: Callable[[str], PrefixReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader("opt"), "shares", False)
    check_counts(reader("opt"), ACTIVATION["opt"])


def test_fails_for_tokens_cut_wrongly(reader: Callable[[str], PrefixReader], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        activity, "by_token", lambda output, rows, tokens: output.reshape(tokens, rows, -1).transpose(0, 1)
    )
    monkeypatch.setattr(reader("opt"), "budget", 512)  # else all items are cheapest in one row
    with pytest.raises(AssertionError):
        check_counts(reader("opt"), ACTIVATION["opt"])


@pytest.mark.parametrize("kind", EXPERTS)
def test_experts_have_no_counts_which_is_said_once(
    reader: Callable[[str], PrefixReader], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = reader(kind)
    activity.notify_once.cache_clear()
    sizes = [trace(opened, prompts).active.shape for prompts in (PROMPTS, PROMPTS[:1])]
    assert sizes == [(3, 0), (3, 0)]
    said = " ".join(capsys.readouterr().err.split())
    assert said.count(f"{kind}: neurons are not counted") == 1


def test_one_nonlinearity_that_all_blocks_share_is_not_counted_for_each(reader: Callable[[str], PrefixReader]) -> None:
    model = reader("gpt2").model
    plain = [block.mlp.act for block in model.backbone.h]
    try:
        for block in model.backbone.h:
            block.mlp.act = plain[0]
        assert anatomy(model).activations == ()
    finally:
        for block, act in zip(model.backbone.h, plain, strict=True):
            block.mlp.act = act
    assert len(anatomy(model).activations) == 3


def test_the_parts_are_found_in_one_pass_and_again_after_a_module_was_replaced(
    reader: Callable[[str], PrefixReader],
) -> None:
    model = replace(reader("gpt2").model)
    model.head  # noqa: B018 - its own passes come first
    passes: list[object] = []
    hook = model.backbone.register_forward_hook(lambda module, args, output: passes.append(module))
    norm = model.backbone.ln_f
    try:
        assert [anatomy(model).norm for _ in range(3)] == [norm] * 3
        assert len(passes) == 1
        model.backbone.ln_f = torch.nn.LayerNorm(norm.normalized_shape)
        assert anatomy(model).norm is model.backbone.ln_f
        assert len(passes) == 2
    finally:
        model.backbone.ln_f = norm
        hook.remove()


def test_numbers_by_token() -> None:
    flat = torch.arange(24.0).reshape(6, 4)
    shaped = by_token(flat, 2, 3)
    assert shaped is not None
    assert torch.equal(shaped[1, 0], flat[3])
    assert by_token(flat.reshape(2, 3, 4), 2, 3) is not None
    assert by_token(flat, 2, 2) is None
    assert by_token(flat.reshape(1, 6, 4), 2, 3) is None


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "gemma3n_text",
            r"gemma3n_text: found states of shape \(4, 2, 5, 32\) after block 1, expected \(2, 5, width\)",
        ),
        ("post-norm opt", "opt: found no final norm, expected a module that reads the last block.s output"),
    ],
)
def test_networks_without_one_stream_and_a_norm_are_refused_in_a_sentence(
    reader: Callable[[str], PrefixReader], kind: str, message: str
) -> None:
    opened = reader(kind)
    for look in (lambda: trace(opened, PROMPTS), lambda: Readout(opened.model)):
        with pytest.raises(SpilloverError, match=message) as refusal:
            look()
        assert "\n" not in str(refusal.value)


def test_states_that_are_changed_between_blocks_are_refused(reader: Callable[[str], PrefixReader]) -> None:
    model = replace(reader("gpt2").model)  # a model whose parts were not found yet
    hook = model.backbone.h[1].register_forward_pre_hook(lambda module, args: (args[0] * 2, *args[1:]))
    try:
        with pytest.raises(
            SpilloverError, match="gpt2: found that the states which enter block 2 are not those that leave block 1"
        ):
            anatomy(model)
    finally:
        hook.remove()


def test_a_block_that_runs_twice_is_refused(reader: Callable[[str], PrefixReader]) -> None:
    model = reader("gpt2").model
    last = model.backbone.h[2]
    model.backbone.h[2] = model.backbone.h[1]
    try:
        with pytest.raises(SpilloverError, match="gpt2: found blocks that run twice or not at all"):
            anatomy(model)
    finally:
        model.backbone.h[2] = last

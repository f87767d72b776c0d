"""Traced states against the plain model's own, one whole sequence at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spillover.errors import SpilloverError
from spillover.models.inference.prefix import Prefix, PrefixReader
from spillover.models.inference.trees import common_prefix
from spillover.models.load import load
from spillover.models.model import Model
from spillover.models.tracing import trace as module
from spillover.models.tracing.anatomy import ACTIVATIONS, anatomy
from spillover.models.tracing.readout import Readout
from spillover.models.tracing.trace import Array, trace
from spillover.records import Prompt

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = ("llama", "qwen2", "mistral", "gemma3", "gpt_neox")
HEADER = ("Review: The room was clean.\nFeeling: good\n\n", "Review: Der Zug kam zu spät.\nFeeling: bad\n\n")


def prompts() -> list[Prompt]:
    """Two that begin alike beyond the header, one beyond the window of 16, and one of a single word."""
    works = "Review: It works"
    bodies = (f"{works} well.", f"{works} badly, and nobody at the shop cared.", "รีวิว: ไม่ดีเลย " * 3, "Ok")
    return [Prompt(HEADER, f"{body}\nFeeling:", (" good\n\n", " bad\n\n")) for body in bodies]


@pytest.fixture(scope="module")
def readers(tiny: Callable[[str], Path]) -> dict[str, PrefixReader]:
    return {kind: PrefixReader(load(str(tiny(kind)), "float32")) for kind in KINDS}


@pytest.fixture(params=KINDS)
def reader(request: pytest.FixtureRequest, readers: Mapping[str, PrefixReader]) -> PrefixReader:
    return readers[request.param]


def naive(model: Model, prompt: Prompt) -> tuple[Array, Array]:
    """(layers, width) at the last position, and its mean over the body, of the model's own hidden states.

    The last of those is normed already; what went into the norm is caught at its door and stands before it.
    """
    header, whole = model.tokenize([prompt.header])[0], model.tokenize([prompt.header + prompt.body])[0]
    begin = next((i for i, (a, b) in enumerate(zip(header, whole, strict=False)) if a != b), len(header))
    unnormed: list[torch.Tensor] = []
    norm = getattr(model.backbone, "norm", None) or model.backbone.final_layer_norm
    hook = norm.register_forward_pre_hook(lambda module, args: unnormed.append(args[0]))
    try:
        with torch.inference_mode():
            ids = torch.tensor([whole], device=model.device)
            states = model.network(ids, output_hidden_states=True, use_cache=False).hidden_states
    finally:
        hook.remove()
    layers = torch.stack([*states[:-1], *unnormed, states[-1]])[:, 0].cpu().numpy()
    return layers[:, -1], layers[:, begin:].mean(axis=1)


def assert_close(found: Array, expected: Array) -> None:
    """Within 1e-4 of the layer's scale: these weights are large, and so are the states (up to a hundred)."""
    scale = np.maximum(1, np.abs(expected).max(axis=-1, keepdims=True))
    np.testing.assert_allclose(found / scale, expected / scale, rtol=0, atol=1e-4)


def check(reader: PrefixReader, asked: Sequence[Prompt]) -> None:
    found = trace(reader, asked)
    for index, prompt in enumerate(asked):
        last, body_mean = naive(reader.model, prompt)
        assert_close(found.last[index], last)
        assert_close(found.body_mean[index], body_mean)


def test_equals_the_models_own_states(reader: PrefixReader) -> None:
    assert reader.shares
    found = trace(reader, prompts())
    assert found.last.shape == found.body_mean.shape == (len(prompts()), 1 + 3 + 1, 32)
    assert found.last.dtype == np.float32
    check(reader, prompts())


def test_the_same_without_a_shared_prefix(reader: PrefixReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "shares", False)
    check(reader, prompts())


def test_the_same_for_one_item_without_exemplars(reader: PrefixReader) -> None:
    check(reader, [replace(prompts()[1], exemplars=())])


def test_company_order_and_budget_change_nothing(reader: PrefixReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """The body of an item is its own, even where it begins as its neighbors' bodies do."""
    order = [1, 0, 3, 2, 1]
    monkeypatch.setattr(reader, "budget", 150)
    done: list[int] = []
    found = trace(reader, [prompts()[i] for i in order], done.append)
    assert sum(done) == len(order)
    for place, index in enumerate(order):
        alone = trace(reader, [prompts()[index]])
        assert_close(found.last[place], alone.last[0])
        assert_close(found.body_mean[place], alone.body_mean[0])


def test_exemplars_that_do_not_fit_are_no_part_of_what_is_read(
    readers: Mapping[str, PrefixReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, asked = readers["llama"], prompts()
    cut = [replace(prompt, exemplars=HEADER[1:]) for prompt in asked]
    fits = max(len(reader.model.tokenize([p.header + p.body + choice])[0]) for p in cut for choice in p.choices)
    lengths = [max(len(reader.model.tokenize([p.header + p.body + c])[0]) for c in p.choices) for p in asked]
    read = [short if length > fits else whole for short, whole, length in zip(cut, asked, lengths, strict=True)]
    assert asked != read != cut
    expected = [naive(reader.model, prompt) for prompt in read]
    monkeypatch.setattr(reader.model.config, "max_position_embeddings", fits)
    found = trace(reader, asked)
    for index, (last, body_mean) in enumerate(expected):
        assert_close(found.last[index], last)
        assert_close(found.body_mean[index], body_mean)


# --- twins ------------------------------------------------------------------------------------------------------------


def test_fails_for_a_body_that_begins_a_token_late(reader: PrefixReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "common_prefix", lambda sequences: common_prefix(sequences) + 1)
    with pytest.raises(AssertionError):
        check(reader, prompts())


def test_fails_for_another_prefix_as_long(reader: PrefixReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "budget", 512)  # else four short items are cheaper in one row than over a prefix
    check(reader, prompts())
    plain = Prefix.__init__
    monkeypatch.setattr(
        Prefix, "__init__", lambda self, model, tokens, *rest: plain(self, model, tokens[:1] * len(tokens), *rest)
    )
    with pytest.raises(AssertionError):
        check(reader, prompts())


def test_fails_for_a_last_layer_that_is_not_normed(reader: PrefixReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "anatomy", lambda model: replace(anatomy(model), norm=anatomy(model).blocks[-1]))
    with pytest.raises(AssertionError):
        check(reader, prompts())


# --- answers that begin alike -----------------------------------------------------------------------------------------

ALIKE = (" good to see\n\n", " good to go\n\n", " bad\n\n", " bad\n\n")
"""The first two begin alike, the last two are one word."""


def check_steps(reader: PrefixReader) -> None:
    """Every state on a path is the model's own where a whole sequence has the answer's tokens so far."""
    asked = [replace(prompt, choices=ALIKE) for prompt in prompts()]
    found = trace(reader, asked)
    states = np.concatenate([found.last, found.inner])
    for index, prompt in enumerate(asked):
        for choice, text in enumerate(ALIKE):
            start = len(reader.model.tokenize([prompt.header + prompt.body])[0])
            label = reader.model.tokenize([prompt.header + prompt.body + text])[0][start:]
            depth = int((found.nodes[index, choice] >= 0).sum())
            assert found.tokens[index, choice, :depth].tolist() == label[:depth]
            others = [found.tokens[index, other, :depth].tolist() for other in range(4) if ALIKE[other] != text]
            assert label[:depth] not in others
            for step in range(depth):
                spelled = reader.model.tokenizer.decode(label[:step])
                last, _ = naive(reader.model, replace(prompt, body=prompt.body + spelled))
                assert_close(states[found.nodes[index, choice, step]], last)
    assert len(found.inner) > 0
    assert (found.nodes[:, 2] == found.nodes[:, 3]).all()


def test_answers_that_begin_alike_are_followed_until_they_part(reader: PrefixReader) -> None:
    check_steps(reader)


def test_the_same_for_answers_without_a_shared_prefix(reader: PrefixReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "shares", False)
    check_steps(reader)


def test_fails_for_steps_that_all_read_the_end_of_the_body(
    reader: PrefixReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = module.label_steps

    def flat(*args: Any) -> tuple[object, object]:  # noqa: ANN401
        nodes, tokens = plain(*args)
        return np.where(nodes >= 0, np.arange(len(nodes))[:, None, None], nodes), tokens

    monkeypatch.setattr(module, "label_steps", flat)
    with pytest.raises(AssertionError):
        check_steps(reader)


# --- neurons ----------------------------------------------------------------------------------------------------------


def naive_active(model: Model, asked: Sequence[Prompt]) -> Array:
    """(blocks, neurons): in how many tokens of the bodies each neuron is active, one whole sequence at a time."""
    counts: list[list[Array]] = [[], [], []]
    begin = 0

    def counted(block: int):
        return lambda module, args, output: counts[block].append((output[0, begin:] > 0).sum(0).numpy())

    acts = [m for name, m in model.backbone.named_modules() if name.rpartition(".")[2] in ACTIVATIONS]
    hooks = [module.register_forward_hook(counted(block)) for block, module in enumerate(acts)]
    try:
        for prompt in asked:
            header, whole = model.tokenize([prompt.header, prompt.header + prompt.body])
            begin = next((i for i, (a, b) in enumerate(zip(header, whole, strict=False)) if a != b), len(header))
            with torch.inference_mode():
                model.network(torch.tensor([whole]))
    finally:
        for hook in hooks:
            hook.remove()
    return np.stack([np.sum(found, axis=0) for found in counts])


@pytest.mark.parametrize("shares", [True, False])
def test_active_neurons_are_counted_over_the_bodies(
    reader: PrefixReader, shares: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "shares", shares)
    monkeypatch.setattr(reader, "budget", 150)
    found, expected = trace(reader, prompts()), naive_active(reader.model, prompts())
    assert found.active.shape == (3, 48)
    assert 0 < found.active.mean() < found.counted
    assert (found.active != expected).mean() < 0.01, "no more than rounding near 0 can explain"
    assert np.abs(found.active - expected).max() <= 1


def test_an_mlp_without_a_known_nonlinearity_has_no_counts(
    readers: Mapping[str, PrefixReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spillover.models.tracing.anatomy.ACTIVATIONS", ())
    unseen = PrefixReader(replace(readers["llama"].model))  # whose parts were not found yet
    assert trace(unseen, prompts()).active.shape == (3, 0)


# --- readout ----------------------------------------------------------------------------------------------------------


def test_the_last_block_reads_out_as_the_model_answers(reader: PrefixReader) -> None:
    found, readout = trace(reader, prompts()), Readout(reader.model)
    hidden = readout.normed(found.last[:, -2])
    assert_close(hidden, found.last[:, -1])
    logits = readout.logits(hidden, slice(0, readout.vocabulary))
    some = np.array([5, 3, readout.vocabulary - 1])
    np.testing.assert_allclose(readout.logits(hidden, some), logits[:, some], rtol=1e-4, atol=1e-4)
    for index, prompt in enumerate(prompts()):
        ids = torch.tensor(reader.model.tokenize([prompt.header + prompt.body]), device=reader.model.device)
        with torch.inference_mode():
            expected = reader.model.network(ids).logits[0, -1].cpu().numpy()
        assert_close(logits[index], expected)


def naive_energy(states: Array, tokens: Array, gain: Array) -> Array:
    """Wendler et al.'s code in float64: token by token, and every two tokens."""
    directions = tokens.astype(np.float64) * gain
    directions /= np.linalg.norm(directions, axis=1, keepdims=True).clip(1e-300)  # Gemma's padding is all zeros
    between = np.sqrt(np.mean([np.mean((directions @ one) ** 2) for one in directions]))
    found = [np.sqrt(np.mean((directions @ state) ** 2)) / np.linalg.norm(state) for state in states.astype(np.float64)]
    return np.array(found) / between


@pytest.mark.parametrize("kind", ["llama", "gemma3", "gpt_neox"])
@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("block", [128, 12])
def test_energy_is_wendlers(
    tiny: Callable[[str], Path], kind: str, broken: bool, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spillover.models.tracing.readout.COLUMN_BLOCK", block)
    model = load(str(tiny(kind)), "float32")
    norm = getattr(model.backbone, "norm", None) or model.backbone.final_layer_norm
    torch.manual_seed(1)
    with torch.no_grad():
        for weights in norm.parameters():
            weights.copy_(torch.rand_like(weights) + 0.5)
    gain = norm.weight.detach().numpy() + (kind == "gemma3")
    states = np.random.default_rng(0).normal(3, 5, size=(7, 32)).astype(np.float32)
    expected = naive_energy(
        states - (states.mean(axis=1, keepdims=True) if kind == "gpt_neox" else 0),
        model.unembedding.weight.detach().numpy(),
        np.ones_like(gain) if broken else gain,
    )
    close = np.allclose(Readout(model).energy(states), expected, rtol=1e-4)
    assert close != broken


@pytest.mark.parametrize("weights", ["rows of the unembedding", "the norm's gain"])
def test_energy_follows_weights_that_an_adapter_writes_in_place(tiny: Callable[[str], Path], weights: str) -> None:
    model = load(str(tiny("llama")), "float32")
    states = np.random.default_rng(0).normal(3, 5, size=(7, 32)).astype(np.float32)
    changed = (model.unembedding if weights.startswith("rows") else model.backbone.norm).weight.data[:200]
    before = [Readout(model).energy(states) for _ in range(2)]
    original = changed.clone()
    changed *= torch.linspace(0.1, 30, 32)
    expected = naive_energy(
        states, model.unembedding.weight.detach().numpy(), model.backbone.norm.weight.detach().numpy()
    )
    np.testing.assert_allclose(Readout(model).energy(states), expected, rtol=1e-4)
    assert not np.allclose(before[0], expected, rtol=1e-3)
    changed[:] = original
    for energy in (before[1], Readout(model).energy(states)):
        np.testing.assert_array_equal(energy, before[0])


def test_a_token_itself_has_more_energy_than_a_state_across_all_tokens(readers: Mapping[str, PrefixReader]) -> None:
    readout = Readout(readers["llama"].model)
    tokens = readers["llama"].model.unembedding.weight.detach().numpy()
    across = np.linalg.svd(tokens, full_matrices=False)[2][-1:]
    assert readout.energy(tokens[:5]).min() > readout.energy(across)[0]


# --- bad input --------------------------------------------------------------------------------------------------------


def test_a_model_without_a_list_of_blocks_is_refused(
    tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = PrefixReader(load(str(tiny("llama")), "float32"))
    monkeypatch.setattr(reader.model.backbone, "layers", torch.nn.ModuleList())
    with pytest.raises(SpilloverError, match="llama: found no list of 3 blocks"):
        trace(reader, prompts())


def test_states_that_are_not_finite_are_refused(tiny: Callable[[str], Path]) -> None:
    reader = PrefixReader(load(str(tiny("llama")), "float32"))
    with torch.no_grad():
        reader.model.backbone.layers[1].mlp.down_proj.weight[0, 0] = float("inf")
    with pytest.raises(SpilloverError, match=r"item 0: found states at layer 2 that are not finite"):
        trace(reader, prompts())

"""Patching against a plain model whose hidden states are replaced by hand, one whole sequence at a time."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from spillover.models.inference.encode import cut_at_divergence, encode
from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.trees import common_prefix
from spillover.models.load import load
from spillover.models.model import Model
from spillover.models.tracing import patch as module
from spillover.models.tracing.anatomy import anatomy
from spillover.models.tracing.patch import patch
from spillover.models.tracing.trace import Array, trace
from spillover.records import Prompt

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = ("llama", "qwen2", "mistral", "gemma3", "gpt_neox")
CHOICES = (" good to see\n\n", " good to go\n\n", " bad\n\n")
HEADER = ("Review: The room was clean.\nFeeling: bad\n\n",)
TARGET = Prompt(HEADER, "Review: It works badly.\nFeeling:", CHOICES)
TARGETS = [TARGET, Prompt(HEADER, "Review: Nobody cared, and the room was dark.\nFeeling:", CHOICES)]
SOURCE = Prompt(("Rezension: Gut.\nGefühl: gut\n\n",), "Rezension: Der Zug kam viel zu spät an.\nFeeling:", CHOICES)
LAYERS = 4


@pytest.fixture(scope="module")
def readers(tiny: Callable[[str], Path]) -> dict[str, PrefixReader]:
    return {kind: PrefixReader(load(str(tiny(kind)), "float32")) for kind in KINDS}


@pytest.fixture(params=KINDS)
def reader(request: pytest.FixtureRequest, readers: Mapping[str, PrefixReader]) -> PrefixReader:
    return readers[request.param]


def states(reader: PrefixReader, *prompts: Prompt) -> Array:
    """(prompts, layers, width), without what the final norm makes of the last."""
    return np.concatenate([trace(reader, [prompt]).last for prompt in prompts])[:, :-1]


def naive(model: Model, prompt: Prompt, choice: int, layer: int, state: Array | None) -> float:
    """Log p of the answer's first tokens, the state at the prompt's last token replaced in a run of the whole text."""
    encoded = cut_at_divergence(encode(model, [prompt], "error")[0])
    answer, start = encoded.choices[choice], encoded.boundary
    found = anatomy(model).blocks

    def put(hidden: torch.Tensor) -> None:
        if state is not None:
            hidden[0, start - 1] = torch.from_numpy(state)

    if layer:
        hook = found[layer - 1].register_forward_hook(lambda m, a, out: put(out if torch.is_tensor(out) else out[0]))
    else:
        hook = found[0].register_forward_pre_hook(
            lambda m, args, kwargs: put(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
        )
    try:
        with torch.inference_mode():
            logits = model.network(torch.tensor([answer]), use_cache=False).logits[0].float().log_softmax(-1)
    finally:
        hook.remove()
    return sum(float(logits[at - 1, answer[at]]) for at in range(start, len(answer)))


def check(reader: PrefixReader) -> None:
    """Both targets at once, with answers of one and of more tokens, against a run of the whole text per state."""
    one, other = states(reader, SOURCE, replace(SOURCE, body="Ok\nFeeling:"))
    given = np.stack([[one, other], [other, one]])
    for choices in ((0, 2), (1, 1), (2, 0)):
        found = patch(reader, TARGETS, choices, given)
        assert found.patched.shape == (2, 2, LAYERS)
        for target, choice in enumerate(choices):
            plain = naive(reader.model, TARGETS[target], choice, 0, None)
            assert found.plain[target] == pytest.approx(plain, abs=1e-3)
            for source, layer in np.ndindex(2, LAYERS):
                expected = naive(reader.model, TARGETS[target], choice, layer, given[target, source, layer])
                assert found.patched[target, source, layer] == pytest.approx(expected, abs=1e-3)


def test_equals_a_naive_loop(reader: PrefixReader) -> None:
    check(reader)


def test_the_same_without_a_shared_prefix(reader: PrefixReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "shares", False)
    check(reader)


@pytest.mark.parametrize(("tokens", "budget"), [(1, 16_384), (4, 16_384), (256, 150)])
def test_the_same_in_many_small_rows_and_batches(
    reader: PrefixReader, tokens: int, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BRANCH_TOKENS", tokens)
    monkeypatch.setattr(reader, "budget", budget)
    check(reader)


def test_what_prompts_share_is_read_once(readers: Mapping[str, PrefixReader], monkeypatch: pytest.MonkeyPatch) -> None:
    reader = readers["llama"]
    given = np.stack([states(reader, SOURCE)] * 2)
    tokens: list[int] = []
    hook = reader.model.backbone.register_forward_pre_hook(
        lambda module, args, kwargs: tokens.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    try:
        patch(reader, TARGETS, (2, 2), given)
    finally:
        hook.remove()
    prompts = [item.prompt for item in encode(reader.model, TARGETS, "error")]
    shared = common_prefix(prompts)
    longest = max(map(len, prompts)) - shared
    assert tokens == [shared, 2 * (longest - 1 + LAYERS + 1)], "one pass over the prefix, and one over all else"


def test_the_items_own_states_change_nothing(reader: PrefixReader) -> None:
    found = patch(reader, TARGETS, (2, 2), states(reader, *TARGETS)[:, None])
    np.testing.assert_allclose(found.patched[:, 0], np.stack([found.plain] * LAYERS, axis=1), atol=1e-3)


def test_the_last_layer_gives_the_sources_own_answer(reader: PrefixReader) -> None:
    """At the token read there, so for an answer that is told apart by its first one."""
    found = patch(reader, [TARGET], [2], states(reader, SOURCE)[:, None])
    source = patch(reader, [SOURCE], [2], states(reader, SOURCE)[:, None])
    assert found.patched[0, 0, -1] == pytest.approx(source.plain[0], abs=1e-3)
    assert abs(found.plain[0] - source.plain[0]) > 0.1


@pytest.mark.parametrize("fault", ["a layer late", "the wrong source", "the other prompt's states"])
def test_fails_for_a_broken_twin(
    readers: Mapping[str, PrefixReader], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = module.Patcher.layer
    if fault == "a layer late":
        monkeypatch.setattr(module.Patcher, "layer", lambda self, layer, hidden: plain(self, layer - 1, hidden))
    else:
        start, axis = module.Patcher.__init__, int(fault == "the wrong source")
        monkeypatch.setattr(module.Patcher, "__init__", lambda self, s, rows: start(self, s.roll(1, dims=axis), rows))
    with pytest.raises(AssertionError):
        check(readers["llama"])


def test_no_hook_stays_behind(readers: Mapping[str, PrefixReader]) -> None:
    reader = readers["llama"]
    before = patch(reader, [TARGET], [0], states(reader, SOURCE)[:, None]).plain
    assert all(not block._forward_hooks and not block._forward_pre_hooks for block in anatomy(reader.model).blocks)
    assert patch(reader, [TARGET], [0], states(reader, SOURCE)[:, None]).plain == before

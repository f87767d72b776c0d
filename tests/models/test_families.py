"""Every causal family that `transformers` knows: scored as the network itself scores, or refused in a sentence."""

import os
from collections.abc import Sequence

import pytest
import torch
from transformers import PreTrainedTokenizerFast
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from families import build
from spillover.errors import SpilloverError
from spillover.models.inference.prefix import PrefixReader
from spillover.models.model import Model
from spillover.models.network.head import Finish, LinearHead, NetworkHead
from spillover.models.scoring.score import score
from spillover.models.tuning.loss import target_loss
from spillover.records import Prompt

pytestmark = pytest.mark.usefixtures("one_thread")
ALL = "SPILLOVER_ALL_FAMILIES"
"""Set in the environment, all families are built and not the telling ones alone; that takes minutes."""

SHARED, WHOLE = True, False
TELLING = {
    "bart": WHOLE,
    "bert": SHARED,
    "bloom": WHOLE,
    "cohere": SHARED,
    "deepseek_v3": SHARED,
    "falcon_h1": WHOLE,
    "gemma2": SHARED,
    "gemma3n_text": SHARED,
    "gpt2": SHARED,
    "gpt_oss": SHARED,
    "granite": SHARED,
    "hyperclovax": SHARED,
    "inkling_text": WHOLE,
    "llama": SHARED,
    "llama4_text": WHOLE,
    "mamba": WHOLE,
    "mixtral": SHARED,
    "modernbert-decoder": SHARED,
    "mpt": WHOLE,
    "opt": SHARED,
    "phi3": SHARED,
    "qwen3_next": WHOLE,
    "recurrent_gemma": WHOLE,
    "rembert": SHARED,
    "roberta": WHOLE,
    "roformer": WHOLE,
}
"""A family for each way of reading, each kind of head and each fault that was found → whether prefixes are shared."""

REFUSED = {
    "cpmant": "reads both ways",
    "prophetnet": "reads both ways",
}
"""Families that are refused → words of the sentence."""

SIZES = "sizes by the layer, which `SMALL` cannot give"
UNBUILT = {
    "blt": "its patcher stays large",
    "cohere_compass_text": "rotary embeddings by kinds of layer",
    "dbrx": "sizes in configurations of parts",
    "gemma3n": "sparsity by the layer",
    **dict.fromkeys(("gemma4_assistant", "gemma4_unified_assistant"), "they draft for another model"),
    **dict.fromkeys(("dots3_note", "dots3_note_text", "gemma4", "gemma4_text", "gemma4_unified"), SIZES),
    "gemma4_unified_text": SIZES,
    **dict.fromkeys(("musicgen", "musicgen_melody"), "several text configurations"),
    **dict.fromkeys(("qwen4_exp", "qwen4_exp_text"), "sizes that depend on each other"),
    "phi4_multimodal": "its audio and vision towers stay large",
    "reformer": "axial positions that depend on the width",
    "xlnet": "its configuration refuses a number of positions",
    "zamba": "its blocks share weights by their place among more layers",
    "zaya": "one expert a token, which other families refuse",
    "hrm_text": "built, but rounding of 1e-5 in its states grows to 4e-3 nats",
}
"""Families that are not built from a small configuration, or not compared → why."""

SHOTS = (
    "Review: The room was small and the water cold.\nSentiment: negative\n\n",
    "Review: ok\nSentiment: positive\n\n",
)
BODIES = (
    "Review: ok\nSentiment:",
    "Review: A film that grows on you; the second half is long but the end repays it many times over.\nSentiment:",
    "Review: मुझे यह पसंद आया – חדר קטן\nSentiment:",
    "Review: The same premise, another hypothesis\nSentiment:",
)
CHOICES = (" positive\n\n", " negative\n\n", " positively odd\n\n")
PROMPTS = [Prompt(SHOTS, body, CHOICES) for body in BODIES]


@torch.inference_mode()
def naive(model: Model, prompts: Sequence[Prompt]) -> torch.Tensor:
    """(prompts, choices): by the network's own logits, one sequence at a time."""
    scores = []
    for prompt in prompts:
        text = prompt.header + prompt.body
        start = len(model.tokenize([text])[0])
        for tokens in model.tokenize([text + choice for choice in prompt.choices]):
            log_p = model.network(torch.tensor([tokens])).logits[0].double().log_softmax(-1)
            scores.append(sum(float(log_p[at - 1, tokens[at]]) for at in range(start, len(tokens))))
    return torch.tensor(scores, dtype=torch.float64).reshape(len(prompts), -1)


def opened(kind: str, tokenizer: PreTrainedTokenizerFast, **more: object) -> Model:
    return Model(network=build(kind, len(tokenizer), **more), tokenizer=tokenizer, chat=False)


def scores(reader: PrefixReader, prompts: Sequence[Prompt] = PROMPTS) -> torch.Tensor:
    return torch.tensor(score(reader, prompts).choices, dtype=torch.float64)


def check(model: Model, prompts: Sequence[Prompt] = PROMPTS) -> PrefixReader:
    expected = naive(model, prompts)
    reader = PrefixReader(model)
    torch.testing.assert_close(scores(reader, prompts), expected, atol=1e-4, rtol=2e-6)
    return reader


@pytest.mark.parametrize("kind", TELLING)
def test_a_family_is_scored_as_by_its_network(kind: str, tokenizer: PreTrainedTokenizerFast) -> None:
    assert check(opened(kind, tokenizer)).shares is TELLING[kind]


@pytest.mark.parametrize("kind", REFUSED)
def test_a_family_is_refused_in_a_sentence(kind: str, tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(SpilloverError, match=REFUSED[kind]) as refused:
        PrefixReader(opened(kind, tokenizer))
    assert "\n" not in str(refused.value)


@pytest.mark.skipif(ALL not in os.environ, reason=f"takes minutes; set {ALL}")
@pytest.mark.parametrize("kind", [kind for kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES if kind not in UNBUILT])
def test_any_family(kind: str, tokenizer: PreTrainedTokenizerFast) -> None:
    model = opened(kind, tokenizer)
    try:
        PrefixReader(model)
    except SpilloverError as refused:
        assert "\n" not in str(refused)
        return
    check(model)


# --- twins ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["hyperclovax", "granite", "falcon_h1", "recurrent_gemma", "inkling_text", "cohere"])
def test_fails_for_a_head_whose_finish_is_ignored(
    kind: str, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = opened(kind, tokenizer)
    head = model.head
    assert isinstance(head, LinearHead)
    assert head.finish != Finish()
    monkeypatch.setattr(Finish, "__call__", lambda self, logits: logits)
    reader = PrefixReader(model)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(scores(reader), naive(model, PROMPTS), atol=1e-4, rtol=2e-6)


# --- half precision ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "shares"), [("mpt", False), ("bart", False), ("llama", True), ("gemma3_text", True)])
def test_the_probe_sees_faults_and_no_rounding(kind: str, shares: bool, tokenizer: PreTrainedTokenizerFast) -> None:
    """Sharing would move the scores of MPT by 7 nats; what rounding alone does is larger than 1% of Llama's states."""
    network = build(kind, len(tokenizer)).to(torch.bfloat16)
    reader = PrefixReader(Model(network=network, tokenizer=tokenizer, chat=False))
    assert reader.shares is shares
    assert {parameter.dtype for parameter in network.parameters()} == {torch.bfloat16}
    reader.shares = False
    alone = scores(reader)
    reader.shares = True
    assert bool((scores(reader) - alone).abs().max() < 0.5) is shares


# --- where a model reads long texts otherwise -------------------------------------------------------------------------

LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0] * 4,
    "long_factor": [4.0, 3.0, 2.0, 5.0],
    "partial_rotary_factor": 1.0,
}


@pytest.mark.parametrize("shares", [True, False])
def test_prompts_on_both_sides_of_the_original_length(tokenizer: PreTrainedTokenizerFast, shares: bool) -> None:
    """Each is read with the factors of its own length, whatever it is read with, down to the choices of one item."""
    lengths = sorted(len(tokenizer(p.header + p.body + choice)["input_ids"]) for p in PROMPTS for choice in CHOICES)
    for turn in (lengths[0], lengths[2], lengths[len(lengths) // 2], lengths[-1] - 1):
        rope = LONGROPE | {"original_max_position_embeddings": turn}
        options = {"rope_parameters": rope, "original_max_position_embeddings": turn, "sliding_window": None}
        model = opened("phi3", tokenizer, **options)
        reader = PrefixReader(model)
        assert reader.shares
        reader.shares = shares
        torch.testing.assert_close(scores(reader), naive(model, PROMPTS), atol=1e-4, rtol=2e-6)


def test_fails_for_one_side(tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch) -> None:
    rope = LONGROPE | {"original_max_position_embeddings": 80}
    model = opened("phi3", tokenizer, rope_parameters=rope, original_max_position_embeddings=80, sliding_window=None)
    monkeypatch.setattr("spillover.models.model.short_limit", lambda config: None)
    with pytest.raises(AssertionError):
        check(model)


# --- contexts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "key", "context"),
    [("mpt", "max_seq_len", 90), ("roberta", "max_position_embeddings", 89), ("opt", "max_position_embeddings", 90)],
)
def test_what_is_longer_than_the_context_loses_exemplars(
    kind: str, key: str, context: int, tokenizer: PreTrainedTokenizerFast
) -> None:
    model = opened(kind, tokenizer, **{key: 90})
    assert model.context == context
    assert score(PrefixReader(model), PROMPTS).dropped > 0
    with pytest.raises(SpilloverError, match=f"the model's context is {context}"):
        score(PrefixReader(model), PROMPTS, overflow="error")


# --- tuning -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        ("hyperclovax", LinearHead),
        ("recurrent_gemma", LinearHead),
        ("inkling_text", LinearHead),
        ("bert", NetworkHead),
    ],
)
def test_the_loss_of_a_head_has_the_gradient_of_plain_autograd(
    kind: str, head: type, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut into blocks, too: with respect to the backbone's states, through the network's own forward."""
    monkeypatch.setattr("spillover.models.tuning.loss.LOGIT_BLOCK", 3 * len(tokenizer))
    model = opened(kind, tokenizer)
    ids = torch.tensor([model.tokenize([BODIES[1]])[0]])
    targets = ids[0, 1:] % model.head.vocabulary
    assert isinstance(model.head, head)
    states, gradients = [], []
    hook = model.backbone.register_forward_hook(lambda module, inputs, output: states.append(output.last_hidden_state))
    torch.nn.functional.cross_entropy(model.network(ids).logits[0, :-1], targets, reduction="sum").backward()
    hook.remove()
    parameter = next(p for name, p in model.backbone.named_parameters() if p.dim() == 2 and "embed" not in name)
    gradients.append(parameter.grad.clone())
    model.network.zero_grad()
    hidden = model.backbone(input_ids=ids).last_hidden_state[0, :-1]
    target_loss(model.head, hidden, targets).backward()
    torch.testing.assert_close(parameter.grad, gradients[0], atol=1e-4 * float(gradients[0].abs().max()), rtol=1e-4)

"""Greedy decoding over shared prefixes against transformers' `generate`, a row at a time; and twins that must fail."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GenerationConfig

from families import build
from spillover.errors import SpilloverError
from spillover.models.inference import greedy
from spillover.models.inference import rows as rows_module
from spillover.models.inference.greedy import Written, write
from spillover.models.inference.masks import attention_masks
from spillover.models.inference.prefix import Prefix, PrefixReader
from spillover.models.inference.rows import Rows, rows_layout
from spillover.models.inference.token_choice import end_tokens
from spillover.models.model import Model

pytestmark = pytest.mark.usefixtures("one_thread")

VOCABULARY, LIMIT = 400, 16
ENDS = [2, *range(11, 60)]
"""So many tokens end a sequence that rows end at different steps."""

SPLIT, JOINED, WHOLE = True, False, None
FAMILIES = {
    "llama": SPLIT,  # rotary positions
    "gpt2": SPLIT,  # learned positions
    "opt": SPLIT,  # learned positions with an offset
    "bloom": WHOLE,  # ALiBi
    "mistral": SPLIT,  # a window of 8 tokens, far shorter than the prefix
    "gemma2": SPLIT,  # capped attention scores
    "gemma3_text": SPLIT,  # layers with a window and without
    "mixtral": SPLIT,  # experts
    "gpt_oss": JOINED,  # attention sinks
    "deepseek_v3": JOINED,  # attention over latents
    "mamba": WHOLE,  # a state space
    "falcon_h1": WHOLE,  # state spaces and attention
}
"""Family → how its rows are continued: attention to the prefix for all at once, or per row, or by transformers."""


def reader_of(kind: str, **more: object) -> PrefixReader:
    network = build(kind, VOCABULARY, **more)
    network.generation_config = GenerationConfig(eos_token_id=ENDS)
    return PrefixReader(Model(network, None, chat=False))


@pytest.fixture(autouse=True)
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four places, so that rows wait; and a prefix is worth its cost, however short."""
    monkeypatch.setattr(rows_module, "MAX_ROWS", 4)
    monkeypatch.setattr(greedy, "PREFIX_COST", 0)


def sequences() -> list[list[int]]:
    """Ten that share 30 tokens, two of them equal, one the beginning of another; and one that shares none."""
    draw = random.Random(1)
    prefix = [draw.randrange(60, VOCABULARY) for _ in range(30)]
    bodies = [[draw.randrange(60, VOCABULARY) for _ in range(length)] for length in (1, 2, 5, 9, 17, 3, 3, 20)]
    return [prefix + body for body in (*bodies, bodies[3], [*bodies[4], 70])] + [[80, 90, 100]]


def ours(reader: PrefixReader, asked: Sequence[Sequence[int]], limit: int = LIMIT) -> list[Written]:
    ends = end_tokens(reader.model)
    return write(reader, asked, limit, lambda number, tokens: tokens[-1] in ends)


def by_transformers(model: Model, asked: Sequence[Sequence[int]], limit: int = LIMIT) -> list[list[int]]:
    """Continue each sequence alone, without padding."""
    written = []
    for sequence in asked:
        ids = torch.tensor([sequence])
        options = {"max_new_tokens": limit, "do_sample": False, "pad_token_id": 0, "num_return_sequences": 1}
        written.append(model.network.generate(ids, attention_mask=torch.ones_like(ids), **options)[0].tolist())
    return [ids[len(sequence) :] for ids, sequence in zip(written, asked, strict=True)]


def check(reader: PrefixReader, asked: Sequence[Sequence[int]], limit: int = LIMIT) -> list[Written]:
    answers = ours(reader, asked, limit)
    assert [list(answer.tokens) for answer in answers] == by_transformers(reader.model, asked, limit)
    assert [answer.ended for answer in answers] == [answer.tokens[-1] in ENDS for answer in answers]
    return answers


@pytest.mark.parametrize("kind", FAMILIES)
def test_writes_what_transformers_writes_alone(kind: str) -> None:
    reader = reader_of(kind)
    answers = check(reader, sequences())
    layout = rows_layout(reader)
    assert (layout and layout.split) is FAMILIES[kind]
    assert len({answer.tokens for answer in answers}) > len(answers) / 2  # they say something


def test_rows_end_at_different_steps() -> None:
    lengths = {len(answer.tokens) for answer in check(reader_of("llama"), sequences())}
    assert len(lengths) > 3
    assert LIMIT in lengths


@pytest.mark.parametrize("places", [1, 3, 64])
def test_places_change_nothing(places: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "MAX_ROWS", places)
    monkeypatch.setattr(rows_module, "GROWTH", 1)
    check(reader_of("gemma3_text"), sequences())


def test_one_token_is_written() -> None:
    assert all(len(answer.tokens) == 1 for answer in check(reader_of("llama"), sequences(), 1))


def test_nothing_to_continue_is_nothing() -> None:
    assert ours(reader_of("llama"), []) == []


def test_advance_counts_every_sequence_once() -> None:
    counts: list[int] = []
    write(reader_of("llama"), sequences(), 3, lambda number, tokens: False, counts.append)
    assert sum(counts) == len(sequences())


# --- the work ---------------------------------------------------------------------------------------------------------


def test_the_prefix_is_read_once_and_rows_that_ended_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens that pass through the network: each of the sequences' trie once, each written one but the last once."""
    monkeypatch.setattr(rows_module, "MAX_ROWS", 64)
    reader = reader_of("llama")
    rows_layout(reader)
    asked = sequences()[:-1]
    prefixes, tokens = [], []
    plain, step = Prefix.__init__, Rows.step

    def read_prefix(self: Prefix, model: Model, ids: Sequence[int], beyond: int | None = None) -> None:
        prefixes.append(len(ids))
        plain(self, model, ids, beyond)

    def read_tokens(self: Rows, ids: Sequence[int]) -> Tensor:
        tokens.append(len(ids))
        return step(self, ids)

    monkeypatch.setattr(Prefix, "__init__", read_prefix)
    monkeypatch.setattr(Rows, "step", read_tokens)
    answers = ours(reader, asked)
    different = {tuple(sequence): len(answer.tokens) for sequence, answer in zip(asked, answers, strict=True)}
    assert prefixes == [30]
    assert sum(tokens) == sum(length - 1 for length in different.values())


# --- what a generation configuration asks for -------------------------------------------------------------------------

OPTIONS: dict[str, dict[str, Any]] = {
    "a penalty of repetition": {"repetition_penalty": 1.8},
    "no n-gram twice": {"no_repeat_ngram_size": 1},
    "suppressed tokens": {"suppress_tokens": list(range(60, 300))},
    "a shortest answer": {"min_new_tokens": 5},
    "a forced last token": {"forced_eos_token_id": ENDS[0]},
    "a penalty of the prompt's tokens": {"encoder_repetition_penalty": 0.2},
    "no n-gram of the prompt": {"encoder_no_repeat_ngram_size": 1},
    "guidance": {"guidance_scale": 4.0},
    "several answers": {"num_return_sequences": 2, "do_sample": True},
    "sampling": {"do_sample": True, "temperature": 3.0, "top_k": 50},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_generation_configuration_is_heeded(name: str) -> None:
    """All but sampling and the number of answers changes what is written."""
    reader = reader_of("llama")
    before = ours(reader, sequences())
    reader.model.network.generation_config = GenerationConfig(eos_token_id=ENDS, **OPTIONS[name])
    assert (check(reader, sequences()) == before) is (name in ("sampling", "several answers"))


@pytest.mark.parametrize(("eos", "ends"), [(None, set()), (7, {7}), ([7, 8], {7, 8})])
def test_end_tokens_are_those_of_the_generation_configuration(eos: object, ends: set[int]) -> None:
    reader = reader_of("llama")
    reader.model.network.generation_config = GenerationConfig(eos_token_id=eos)
    assert end_tokens(reader.model) == ends


def test_a_tie_goes_to_the_lowest_token_as_in_transformers() -> None:
    """Every token has a twin with the same weights, 200 places further."""
    reader = reader_of("llama")
    with torch.no_grad():
        weight = reader.model.network.lm_head.weight
        weight[200:] = weight[:200]
    answers = check(reader, sequences())
    assert all(token < 200 for answer in answers for token in answer.tokens)


def test_states_that_overflow_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = reader_of("llama")
    rows_layout(reader)
    step = Rows.step
    monkeypatch.setattr(Rows, "step", lambda self, ids: step(self, ids) * torch.nan)
    with pytest.raises(SpilloverError, match="the model's states overflow"):
        ours(reader, sequences())


# --- a network that reads long texts otherwise ------------------------------------------------------------------------


def test_sequences_that_cross_the_original_length() -> None:
    """Phi-3 with longrope reads all tokens again when a sequence becomes long."""
    rope = {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0] * 4, "partial_rotary_factor": 1.0}
    rope |= {"long_factor": [4.0, 3.0, 2.0, 5.0], "original_max_position_embeddings": 50}
    reader = reader_of("phi3", rope_parameters=rope, original_max_position_embeddings=50, sliding_window=None)
    assert reader.shares
    check(reader, sequences())


# --- twins ------------------------------------------------------------------------------------------------------------


def by_index(model: Model, full: Tensor, queries: Tensor, keys: Tensor, first: int) -> Tensor:
    """Let every row see as many tokens as the longest."""
    return torch.ones_like(full)[:, None]


def leaking(rows: Rows, row: int) -> None:
    """Give the last row the number of the one that leaves, but not its memory."""
    length = rows.lengths.pop()
    if row < rows.size:
        rows.lengths[row] = length


FAULTS = {
    "a row that leaks into another": (Rows, "remove", leaking),
    "a row that sees what is not its own": (rows_module, "attention_masks", by_index),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fails_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = reader_of("llama")
    rows_layout(reader)
    monkeypatch.setattr(*FAULTS[name])
    with pytest.raises(AssertionError):
        check(reader, sequences())


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mistral"])
def test_fails_for_a_position_off_by_one(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = reader_of(kind)
    rows_layout(reader)
    forward = reader.model.backbone.forward

    def later(*args: object, position_ids: Tensor | None = None, **options: object) -> object:
        if position_ids is not None and position_ids.shape[1] == 1:
            position_ids = position_ids + 1
        return forward(*args, position_ids=position_ids, **options)

    expected = by_transformers(reader.model, sequences())
    monkeypatch.setattr(reader.model.backbone, "forward", later)
    assert [list(answer.tokens) for answer in ours(reader, sequences())] != expected


@pytest.mark.parametrize("kind", ["mistral", "gemma3_text"])
def test_fails_for_a_window_of_one_more(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = reader_of(kind)
    rows_layout(reader)
    expected, plain = by_transformers(reader.model, sequences()), attention_masks

    def wide(model: Model, full: Tensor, queries: Tensor, keys: Tensor, first: int) -> object:
        return plain(model, full, queries - 1, keys, first - 1)

    monkeypatch.setattr(rows_module, "attention_masks", wide)
    assert [list(answer.tokens) for answer in ours(reader, sequences())] != expected


def test_a_layout_that_writes_other_states_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial sees it, and the rows are continued in another way."""
    reader, step = reader_of("llama"), Rows.step
    monkeypatch.setattr(Rows, "step", lambda self, ids: step(self, ids) * (1.01 if self._split else 1))
    check(reader, sequences())
    layout = rows_layout(reader)
    assert layout is not None
    assert not layout.split

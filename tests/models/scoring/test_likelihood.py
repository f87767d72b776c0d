"""Bits per byte against one text at a time, whole logits, no batch."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.unembed import log_probabilities
from spillover.models.load import load
from spillover.models.model import Model
from spillover.models.scoring import likelihood as module
from spillover.models.scoring.likelihood import negative_log_likelihood

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ("Der Film war gut.", "ภาพยนตร์เรื่องนี้ดีมาก", "Nein", "A much longer text,\nof two lines, than the others are.", "")


def naive(model: Model, text: str) -> float:
    tokens = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    ids = torch.tensor([[model.tokenizer.bos_token_id, *tokens]], device=model.device)
    with torch.inference_mode():
        logits = model.network(ids).logits[0].double().log_softmax(-1)
    return -sum(logits[place, token].item() for place, token in enumerate(tokens))


def check(folder: Path, texts: Sequence[str] = TEXTS) -> None:
    model = load(str(folder), "float32")
    told: list[int] = []
    found = negative_log_likelihood(PrefixReader(model), texts, told.append)
    assert found == pytest.approx([naive(model, text) for text in texts], rel=1e-4, abs=1e-6)
    assert sum(told) == sum(bool(text) for text in texts)


@pytest.mark.parametrize("kind", ["llama", "qwen2", "mistral", "gemma3", "gpt_neox"])
def test_a_texts_surprise_is_the_naive_one(tiny: Callable[[str], Path], kind: str) -> None:
    check(tiny(kind))


def test_no_texts_are_no_surprise(tiny: Callable[[str], Path]) -> None:
    check(tiny("llama"), [])


def test_a_model_that_cannot_share_its_state_reads_the_same(
    tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spillover.models.inference.prefix.can_share", lambda model, encode: False)
    check(tiny("llama"))


@pytest.mark.parametrize("fault", ["a position late", "a token short"])
def test_fails_for_another_reading(tiny: Callable[[str], Path], fault: str, monkeypatch: pytest.MonkeyPatch) -> None:

    def broken(model: Model, hidden: torch.Tensor, targets: Sequence[tuple[int, int]]) -> torch.Tensor:
        if fault == "a token short":
            return torch.cat([log_probabilities(model, hidden, targets[:-1]), torch.zeros(1)])
        return log_probabilities(model, hidden, [(max(0, row - 1), token) for row, token in targets])

    monkeypatch.setattr(module, "log_probabilities", broken)
    with pytest.raises(AssertionError):
        check(tiny("llama"))


def test_a_text_longer_than_the_context_is_read_in_pieces(tiny: Callable[[str], Path]) -> None:
    model = load(str(tiny("llama")), "float32")
    tokens = model.tokenizer("so " * 40, add_special_tokens=False)["input_ids"]
    size = len(tokens) // 2 + 1
    model.config.max_position_embeddings = size + 1
    pieces = [tokens[:size], tokens[size:]]
    expected = 0.0
    for piece in pieces:
        ids = torch.tensor([[model.tokenizer.bos_token_id, *piece]], device=model.device)
        with torch.inference_mode():
            logits = model.network(ids).logits[0].log_softmax(-1)
        expected -= sum(logits[place, token].item() for place, token in enumerate(piece))
    assert negative_log_likelihood(PrefixReader(model), ["so " * 40]) == [pytest.approx(expected, rel=1e-4)]

"""Continuations against a naive loop: one request at a time, no cache, a full log-softmax; and twins that must fail."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch

from spillover.models.inference import queries as module
from spillover.models.inference.prefix import Prefix, PrefixReader
from spillover.models.inference.queries import Query, plan_queries
from spillover.models.load import load
from spillover.models.model import Model
from spillover.models.scoring.continuations import Continuation, Request, score_continuations

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = ("llama", "qwen2", "mistral", "gemma3", "gpt_neox")
SHOTS = "Review: The room was clean.\nFeeling: good\n\nReview: Der Zug kam zu spät.\nFeeling: bad\n\n"
ITEMS = ("I waited. " * 6, "Ok", "这家餐厅的汤很好喝。", "I waited. Ok")
CHOICES = (" good", " good enough\n", " ไม่ดีเลย")


@pytest.fixture(scope="module", params=KINDS)
def reader(request: pytest.FixtureRequest, tiny: Callable[[str], Path]) -> PrefixReader:
    return PrefixReader(load(str(tiny(request.param)), "float32"))


def requests(model: Model) -> list[Request]:
    """Few-shot items, the same items without shots, and two whole texts of which all but one token is scored."""
    contexts = [shots + f"Review: {item}\nFeeling:" for shots, item in product((SHOTS, ""), ITEMS)]
    pairs = [model.tokenize([context, choice]) for context, choice in product(contexts, CHOICES)]
    asked = [Request((*context, *choice), len(context)) for context, choice in pairs]
    return asked + [Request(tuple(tokens), 1) for tokens in model.tokenize([SHOTS, SHOTS[:60] + ITEMS[2]])]


def likely(model: Model, request: Request) -> Request:
    """Put in place of the continuation what greedy decoding writes."""
    tokens = request.tokens[: request.start]
    for _ in range(3):
        with torch.inference_mode():
            logits = model.network(torch.tensor([tokens]), use_cache=False).logits[0, -1]
        tokens = (*tokens, int(logits.argmax()))
    return replace(request, tokens=tokens)


def naive(model: Model, request: Request) -> Continuation:
    with torch.inference_mode():
        logits = model.network(torch.tensor([request.tokens]), use_cache=False).logits[0]
    rows = torch.log_softmax(logits.double(), dim=-1)[request.start - 1 : -1]
    following = torch.tensor(request.tokens[request.start :])
    return Continuation(
        rows.gather(1, following[:, None]).sum().item(), bool((rows.argmax(dim=-1) == following).all().item())
    )


def check(reader: PrefixReader, asked: Sequence[Request]) -> None:
    for found, request in zip(score_continuations(reader, asked), asked, strict=True):
        expected = naive(reader.model, request)
        assert found.log_p == pytest.approx(expected.log_p, abs=1e-4, rel=0)
        assert found.greedy == expected.greedy


def mixed(model: Model) -> list[Request]:
    """Requests, some of them greedy, out of order, one twice."""
    asked = requests(model)
    asked = [likely(model, request) if number % 5 == 0 else request for number, request in enumerate(asked)]
    return asked[::-1] + asked[3:4]


def test_equals_the_naive_loop(reader: PrefixReader) -> None:
    asked = mixed(reader.model)
    greedy = [naive(reader.model, request).greedy for request in asked]
    assert True in greedy
    assert False in greedy
    check(reader, asked)


def test_prefixes_are_shared(reader: PrefixReader) -> None:
    asked = requests(reader.model)
    groups = plan_queries(reader, [Query(r.tokens[:-1], ((r.start - 1, r.tokens[r.start]),)) for r in asked])
    read = sum(len(group.prefix) + sum(len(row.tree.tokens) for row in group.rows) for group in groups)
    assert read < sum(len(request.tokens) for request in asked) / 2


def test_in_small_blocks(reader: PrefixReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """States leave in blocks that end in the middle of what is held."""
    monkeypatch.setattr(module, "POSITION_BLOCK", 5)
    monkeypatch.setattr("spillover.models.inference.unembed.POSITION_BLOCK", 3)
    monkeypatch.setattr("spillover.models.network.head.VOCABULARY_BLOCK", 97)
    monkeypatch.setattr(reader, "budget", 600)
    check(reader, mixed(reader.model))


def test_counts_what_was_read(reader: PrefixReader) -> None:
    counted: list[int] = []
    asked = mixed(reader.model)
    score_continuations(reader, asked, counted.append)
    assert sum(counted) == len(asked)


@pytest.mark.parametrize("part", ["tokens", "start"])
def test_fails_for_requests_shifted_by_one(reader: PrefixReader, part: str) -> None:
    wrong = {
        "tokens": lambda r: replace(r, tokens=(r.tokens[0], *r.tokens)),
        "start": lambda r: replace(r, start=r.start + 1),
    }
    asked = [request for request in requests(reader.model) if len(request.tokens) > request.start + 1]
    found = score_continuations(reader, [wrong[part](request) for request in asked])
    assert all(
        abs(f.log_p - naive(reader.model, request).log_p) > 1e-3 for f, request in zip(found, asked, strict=True)
    )


def test_fails_for_prefixes_that_lost_a_token(reader: PrefixReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """With setup for nothing, so that shots this short are worth a prefix."""
    monkeypatch.setattr(reader, "budget", module.PREFIXES_PER_BATCH - 1)
    asked = [request for request in requests(reader.model) if request.start > 1]
    check(reader, asked)
    plain = Prefix.__init__
    monkeypatch.setattr(Prefix, "__init__", lambda self, model, tokens, *rest: plain(self, model, tokens[1:], *rest))
    with pytest.raises(AssertionError):
        check(reader, asked)

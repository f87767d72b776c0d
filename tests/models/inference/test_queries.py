"""Queries against a naive loop: one sequence at a time, no cache, a full log-softmax at every token."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.queries import Answer, Query, answer_queries
from spillover.models.load import load
from spillover.models.model import Model

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def reader(tiny: Callable[[str], Path]) -> PrefixReader:
    return PrefixReader(load(str(tiny("gemma3")), "float32"))


def naive(model: Model, query: Query) -> Answer:
    with torch.inference_mode():
        rows = torch.log_softmax(model.network(torch.tensor([query.tokens]), use_cache=False).logits[0].double(), -1)
    return [(rows[at, token].item(), bool(rows[at].argmax() == token)) for at, token in query.targets]


def check(reader: PrefixReader, queries: list[Query]) -> None:
    told: list[int] = []
    for query, answer in zip(queries, answer_queries(reader, queries, told.extend), strict=True):
        expected = naive(reader.model, query)
        assert [log_p for log_p, _ in answer] == pytest.approx([log_p for log_p, _ in expected], abs=1e-4, rel=0)
        assert [likeliest for _, likeliest in answer] == [likeliest for _, likeliest in expected]
    assert sorted(told) == list(range(len(queries)))


@st.composite
def several(draw: st.DrawFn) -> list[Query]:
    """Sequences of three tokens' alphabet, so that most of them begin like others, and some are the same."""
    queries = []
    for _ in range(draw(st.integers(1, 6))):
        tokens = tuple(draw(st.lists(st.sampled_from([5, 60, 700]), min_size=1, max_size=24)))
        places = sorted(draw(st.lists(st.integers(0, len(tokens) - 1), max_size=3)))
        queries.append(Query(tokens, tuple((place, draw(st.integers(0, 799))) for place in places)))
    return queries


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(queries=several())
def test_any_queries(reader: PrefixReader, queries: list[Query]) -> None:
    check(reader, queries)


def test_the_likeliest_token_is_known_as_such(reader: PrefixReader) -> None:
    with torch.inference_mode():
        best = int(reader.model.network(torch.tensor([[5, 60, 700]])).logits[0, 1].argmax())
    query = Query((5, 60, 700), ((1, best), (1, (best + 1) % 800)))
    check(reader, [query])
    assert [likeliest for _, likeliest in answer_queries(reader, [query])[0]] == [True, False]


def test_nothing_asked(reader: PrefixReader) -> None:
    assert answer_queries(reader, []) == []
    assert answer_queries(reader, [Query((5, 60), ())]) == [[]]

"""Score continuations of contexts, given as token ids: the log-probability, and whether greedy decoding writes it.

Tokens that requests share are read once (`answer_queries`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.queries import Query, answer_queries


@dataclass(frozen=True, slots=True)
class Request:
    """A context and its continuation."""

    tokens: tuple[int, ...]
    """Token ids of both, one after the other."""
    start: int
    """Index of the continuation's first token: at least 1, below the number of tokens."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """The model's score of a request."""

    log_p: float
    """log p(continuation | context), in nats, at most 0."""
    greedy: bool
    """Whether no other token is likelier at any step."""


def score_continuations(
    reader: PrefixReader, requests: Sequence[Request], advance: Callable[[int], None] = lambda requests: None
) -> list[Continuation]:
    """Return the score of each request, in the order of the requests.

    Args:
        reader: the model.
        requests: in any order; what any two of them share is read once.
        advance: called with the number of requests that were just read.
    """
    # the last token of a continuation predicts no target, so it is not read
    queries = [Query(r.tokens[:-1], tuple(enumerate(r.tokens[r.start :], r.start - 1))) for r in requests]
    answers = answer_queries(reader, queries, lambda numbers: advance(len(numbers)))
    return [
        Continuation(math.fsum(log_p for log_p, _ in answer), all(likeliest for _, likeliest in answer))
        for answer in answers
    ]

"""Score continuations of contexts, given as token ids: the log-probability, and whether greedy decoding writes it.

Whatever the requests share is read once (`ask`). Knows no text, no task and no label.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from spillover.errors import SpilloverError
from spillover.models.load import Model
from spillover.models.prefix import Reader
from spillover.models.queries import Query, ask


@dataclass(frozen=True, slots=True)
class Request:
    """A context and its continuation."""

    tokens: tuple[int, ...]
    """Token ids of both, one after the other."""
    start: int
    """Where the continuation begins: at least 1, below the number of tokens."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """What the model makes of a request."""

    log_p: float
    """log p(continuation | context), in nats, at most 0."""
    greedy: bool
    """Whether no other token is likelier at any step."""


def score_continuations(
    reader: Reader, requests: Sequence[Request], advance: Callable[[int], None] = lambda requests: None
) -> list[Continuation]:
    """Return what the model makes of each request, in the order given.

    Args:
        reader: the model.
        requests: in any order; what any two of them share is read once, wherever they stand.
        advance: told, as they are read, how many more there are.
    """
    # a continuation's last token predicts nothing that is asked
    queries = [Query(r.tokens[:-1], tuple(enumerate(r.tokens[r.start :], r.start - 1))) for r in requests]
    answers = ask(reader, queries, lambda numbers: advance(len(numbers)))
    return [
        Continuation(math.fsum(log_p for log_p, _ in answer), all(likeliest for _, likeliest in answer))
        for answer in answers
    ]


@torch.inference_mode()
def same_logits(model: Model, network: Any) -> bool:  # noqa: ANN401 - a class per architecture
    """Whether a model's unembedding of its own states gives the logits that calling `network` gives."""
    ids = torch.tensor([[(7 * i + 3) % min(model.config.vocab_size, 997) for i in range(8)]], device=network.device)
    try:
        ours = model.logits(model.backbone(input_ids=ids).last_hidden_state[0])
    except (SpilloverError, AttributeError, TypeError):
        return False  # an unembedding that is no plain linear map, or states by another name
    theirs = network(ids).logits[0].float()
    tolerance = 1e-3 if network.dtype == torch.float32 else 0.1
    return ours.shape == theirs.shape and bool((ours - theirs).norm() <= tolerance * theirs.norm())

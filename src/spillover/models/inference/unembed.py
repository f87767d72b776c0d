"""Log-probabilities of tokens, from hidden states: streamed over the vocabulary; no whole row of logits is stored."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from spillover.errors import SpilloverError
from spillover.models.model import Model

POSITION_BLOCK = 1024
"""Hidden states that are unembedded at a time: with `VOCABULARY_BLOCK` tokens, 32 MiB of logits in float32."""


def log_probabilities(model: Model, hidden: Tensor, targets: Sequence[tuple[int, int]]) -> Tensor:
    """Return the first part of what `token_logprobs` returns."""
    return token_logprobs(model, hidden, targets)[0]


@torch.inference_mode()
def token_logprobs(model: Model, hidden: Tensor, targets: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    """Return the log-probabilities of tokens after hidden states.

    Args:
        model: the model, whose head is used.
        hidden: (n, d) float32, after the final norm.
        targets: m pairs of a row of `hidden` and a token id.

    Returns:
        (m,) float32 on the CPU, log p(token | hidden state) in nats, at most 0; and (m,) bool on the CPU, whether no
        other token is likelier.
    """
    head = model.head
    rows, tokens = torch.tensor(targets, dtype=torch.long, device=hidden.device).reshape(-1, 2).T
    values = torch.empty(len(targets), device=hidden.device)
    likeliest = torch.empty(len(targets), dtype=torch.bool, device=hidden.device)
    for low in range(0, len(hidden), POSITION_BLOCK):
        block = hidden[low : low + POSITION_BLOCK]
        mine = (rows >= low) & (rows < low + POSITION_BLOCK)
        total = torch.full((len(block),), -math.inf, device=hidden.device)
        highest = total.clone()
        for start, logits in head.blocks(block):
            total = torch.logaddexp(total, logits.logsumexp(dim=1))
            highest = torch.maximum(highest, logits.amax(dim=1))
            here = mine & (tokens >= start) & (tokens < start + logits.shape[1])
            values[here] = logits[rows[here] - low, tokens[here] - start]
        likeliest[mine] = values[mine] >= highest[rows[mine] - low]
        values[mine] -= total[rows[mine] - low]
    return values.cpu(), likeliest.cpu()


@torch.inference_mode()
def likeliest_tokens(model: Model, hidden: Tensor) -> list[int]:
    """Return the likeliest token after each hidden state (n, d); of tokens that tie the one with the lowest id.

    Raises:
        SpilloverError: a state has no finite logits.
    """
    best = torch.full((len(hidden),), -math.inf, device=hidden.device)
    tokens = torch.zeros(len(hidden), dtype=torch.long, device=hidden.device)
    for start, logits in model.head.blocks(hidden):
        values, places = logits.max(dim=1)  # the first of equal ones
        higher = values > best
        best = torch.where(higher, values, best)
        tokens = torch.where(higher, start + places, tokens)
    if not torch.isfinite(best).all():
        raise SpilloverError("found logits that are no numbers, expected numbers; the model's states overflow")
    return [int(token) for token in tokens.tolist()]

"""What hidden states say about tokens: log-probabilities over the whole vocabulary, of which no row is ever kept."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from spillover.models.load import Model

POSITIONS = 1024
"""Hidden states that are unembedded at a time: with `head.VOCABULARY` tokens, 32 MiB of logits in float32."""


def log_probabilities(model: Model, hidden: Tensor, wanted: Sequence[tuple[int, int]]) -> Tensor:
    """Return (m,) float32 on the CPU, log p(token | hidden state) for each of `wanted`, in nats, at most 0."""
    return token_logprobs(model, hidden, wanted)[0]


@torch.inference_mode()
def token_logprobs(model: Model, hidden: Tensor, wanted: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    """Return what hidden states say about tokens, streaming over the vocabulary.

    Args:
        model: whose head is meant.
        hidden: (n, d) float32, after the final norm.
        wanted: m pairs of a row of `hidden` and a token id.

    Returns:
        (m,) float32 on the CPU, log p(token | hidden state) in nats, at most 0; and (m,) bool on the CPU, whether no
        other token is likelier.
    """
    head = model.head
    rows, tokens = torch.tensor(wanted, dtype=torch.long, device=hidden.device).reshape(-1, 2).T
    found = torch.empty(len(wanted), device=hidden.device)
    likeliest = torch.empty(len(wanted), dtype=torch.bool, device=hidden.device)
    for low in range(0, len(hidden), POSITIONS):
        block = hidden[low : low + POSITIONS]
        mine = (rows >= low) & (rows < low + POSITIONS)
        total = torch.full((len(block),), -math.inf, device=hidden.device)
        highest = total.clone()
        for start, logits in head.blocks(block):
            total = torch.logaddexp(total, logits.logsumexp(dim=1))
            highest = torch.maximum(highest, logits.amax(dim=1))
            here = mine & (tokens >= start) & (tokens < start + logits.shape[1])
            found[here] = logits[rows[here] - low, tokens[here] - start]
        likeliest[mine] = found[mine] >= highest[rows[mine] - low]
        found[mine] -= total[rows[mine] - low]
    return found.cpu(), likeliest.cpu()

"""Log-probabilities of tokens, from hidden states: streamed over the vocabulary; no whole row of logits is stored."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from spillover.errors import SpilloverError
from spillover.models.inference.transfer import to_device
from spillover.models.model import Model
from spillover.models.network.head import Head

POSITION_BLOCK = 1024
"""Hidden states that are unembedded at a time, about: with `VOCABULARY_BLOCK` tokens, 32 MiB of logits in float32."""


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
    places = np.array(targets, dtype=np.int64).reshape(-1, 2)
    order = np.argsort(places[:, 0], kind="stable")
    rows, tokens = to_device(torch.from_numpy(places[order].T.copy()), hidden.device)
    parts = [hidden.new_empty(2, 0, dtype=torch.float32)]
    for low, high in _position_blocks(len(hidden)):
        begin, end = np.searchsorted(places[order, 0], (low, high)).tolist()
        parts.append(_block_logprobs(model.head, hidden[low:high], rows[begin:end] - low, tokens[begin:end]))
    values, likeliest = torch.cat(parts, dim=1).cpu()[:, np.argsort(order)]  # one copy, so the device is awaited once
    return values, likeliest > 0


def _position_blocks(count: int) -> Iterator[tuple[int, int]]:
    """Yield the bounds of equal blocks of states. A block of few states would cost as much as a whole one."""
    size = math.ceil(count / max(1, round(count / POSITION_BLOCK))) or 1
    yield from ((low, min(low + size, count)) for low in range(0, count, size))


def _block_logprobs(head: Head, hidden: Tensor, rows: Tensor, tokens: Tensor) -> Tensor:
    """Return (2, m) for targets: log-probabilities, and 1 where no other token is likelier.

    Targets that are not in a part of the vocabulary are read at its edge and passed over. Choosing the others with a
    mask would let the device be awaited for their number.
    """
    total = torch.full((len(hidden),), -math.inf, device=hidden.device)
    highest, values = total.clone(), total.new_full((len(tokens),), -math.inf)
    for start, logits in head.blocks(hidden):
        total = torch.logaddexp(total, logits.logsumexp(dim=1))
        highest = torch.maximum(highest, logits.amax(dim=1))
        columns = tokens - start
        inside = (columns >= 0) & (columns < logits.shape[1])
        values = torch.where(inside, logits[rows, columns.clamp(0, logits.shape[1] - 1)], values)
    return torch.stack([values - total[rows], (values >= highest[rows]).float()])


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
    chosen: list[int] = torch.where(torch.isfinite(best), tokens, -1).tolist()
    if -1 in chosen:
        raise SpilloverError("found logits that are no numbers, expected numbers; the model's states overflow")
    return chosen

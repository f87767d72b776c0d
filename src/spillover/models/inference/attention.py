"""The attention of one new token per row, over a prefix that all rows share and over the row's own tokens.

The rows' queries meet the prefix's keys in one matrix product, so the prefix is read from memory once per layer and not
once per row (Juravsky et al. 2024, "Hydragen"). The result is that of plain attention over both, up to rounding.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface

SHARED_PREFIX = "spillover_shared_prefix"
"""Name of this attention among those of `transformers`."""

PREFIX = "shared_prefix"
"""Attribute of a tensor of keys that has the prefix's keys and values: a layer gives its attention nothing else."""

FIRST_SEEN = "first_seen"
"""Attribute of a mask: the first column that some row sees. Those before it have left every row's window."""

IGNORED = {"dropout", "is_causal", "position_ids", "sliding_window", "use_cache"}
"""Arguments of an attention that say nothing which the mask does not say, or nothing where no gradient is taken."""


@contextmanager
def over_shared_prefix(config: Any) -> Iterator[None]:  # noqa: ANN401 - a class per architecture
    """Let the layers of a network with this configuration use `attend`."""
    before = config._attn_implementation
    config._attn_implementation = SHARED_PREFIX
    try:
        yield
    finally:
        config._attn_implementation = before


def attend(
    module: object,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float | None = None,
    softcap: float | None = None,
    **others: object,
) -> tuple[Tensor, None]:
    """Return the attention's output (rows, 1, heads, size), as functions of `AttentionInterface` do.

    Args:
        module: the layer.
        query: (rows, heads, 1, size).
        key: (rows, key heads, length, size), of the rows' own tokens; its attribute `PREFIX` has keys and values of
            the prefix (1, key heads, prefix, size).
        value: as `key`.
        attention_mask: (rows, 1, 1, prefix + length) bool.
        scaling: factor of the scores; size^−½ if None.
        softcap: bound of the scores, approached as tanh does; None if there is none.
        others: must be `IGNORED` or None.

    Raises:
        NotImplementedError: an architecture's attention needs more.
    """
    if unknown := sorted(name for name, argument in others.items() if argument is not None and name not in IGNORED):
        raise NotImplementedError(f"attention with {unknown}")
    keys, values = (part[0] for part in getattr(key, PREFIX))
    rows, heads, _, size = query.shape
    groups = key.shape[1]
    low = min(getattr(attention_mask, FIRST_SEEN, 0), keys.shape[1])  # not there after a copy to another device
    keys, values, mask = keys[:, low:], values[:, low:], attention_mask[..., low:]
    query = (query * (size**-0.5 if scaling is None else scaling)).view(rows, groups, heads // groups, size)
    scores = torch.cat([_shared_product(query, keys.transpose(1, 2)), query @ key.transpose(2, 3)], dim=3).float()
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    weights = scores.masked_fill_(~mask, -torch.inf).softmax(dim=3).to(value.dtype)
    length = keys.shape[1]
    output = _shared_product(weights[..., :length], values) + weights[..., length:] @ value
    return output.reshape(rows, 1, heads, value.shape[3]), None


def _shared_product(left: Tensor, right: Tensor) -> Tensor:
    """Multiply (rows, groups, n, k) with (groups, k, m), the same for all rows, in one product per group."""
    rows, groups, n, k = left.shape
    product = left.transpose(0, 1).reshape(groups, rows * n, k) @ right
    return product.view(groups, rows, n, right.shape[2]).transpose(0, 1)


AttentionInterface.register(SHARED_PREFIX, attend)

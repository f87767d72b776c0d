"""How many tokens a model can read, and from how many tokens on it reads them differently."""

from collections.abc import Sequence
from typing import Any

import torch

CONTEXT_KEYS = ("max_position_embeddings", "max_seq_len", "max_target_positions")
"""Keys of a configuration that say how many tokens the model was made for: of most models, of MPT, of Whisper."""

UNBOUNDED = 1 << 30
"""Context length, in tokens, of a model that names none: it is recurrent, or has biases for any distance."""

LONG_KEYS = {"long_factor", "long_mscale"}
"""Keys of rotary embeddings that read long sequences differently from short ones: in Phi-3 and in Phi-3.5-MoE."""


def context_length(config: Any) -> int:  # noqa: ANN401 - a class per architecture
    """Return the number of tokens that a configuration says its model was made for."""
    lengths = (getattr(config, key, None) for key in CONTEXT_KEYS)
    return next((int(length) for length in lengths if length), UNBOUNDED)


def unused_positions(network: torch.nn.Module) -> int:
    """Return how many rows of a position embedding no token uses: models like RoBERTa begin after the padding's row."""
    tables = (module for name, module in network.named_modules() if name.endswith("position_embeddings"))
    paddings = (getattr(table, "padding_idx", None) for table in tables)
    return max((index + 1 for index in paddings if index is not None), default=0)


def short_limit(config: Any) -> int | None:  # noqa: ANN401
    """Return the longest sequence, in tokens, that is read with the short factors of a rotary embedding.

    A longer one is read with the long factors from its first token on (longrope). None if all lengths are read alike.
    """
    rope = getattr(config, "rope_parameters", None) or {}
    for kind in (rope, *(kind for kind in rope.values() if isinstance(kind, dict))):
        if kind.keys() & LONG_KEYS:
            return int(kind["original_max_position_embeddings"])
    return None


def batchable(lengths: Sequence[int], limit: int | None) -> list[list[int]]:
    """Split sequences into groups that one pass may read together: the short ones, then the long ones.

    Args:
        lengths: of each sequence, in tokens.
        limit: the model's `short_limit`.

    Returns:
        The indices of each group's sequences; no group is empty, unless there are no sequences.
    """
    if limit is None or not lengths:
        return [list(range(len(lengths)))]
    groups = [[i for i, length in enumerate(lengths) if (length > limit) is long] for long in (False, True)]
    return [group for group in groups if group]

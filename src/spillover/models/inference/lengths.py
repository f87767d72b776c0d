"""How long a text a model can read, and from which length on it reads it otherwise."""

from collections.abc import Sequence
from typing import Any

import torch

CONTEXTS = ("max_position_embeddings", "max_seq_len", "max_target_positions")
"""Keys of a configuration that say how many tokens the model was made for: most, MPT's, Whisper's."""

UNBOUNDED = 1 << 30
"""The context of a model that names none: recurrent, or with biases for any distance."""

LONG = {"long_factor", "long_mscale"}
"""Keys of a rotary embedding that reads long sequences otherwise than short ones: Phi-3's and Phi-3.5-MoE's."""


def context(config: Any) -> int:  # noqa: ANN401 - a class per architecture
    """Return the number of tokens a configuration says its model was made for."""
    lengths = (getattr(config, key, None) for key in CONTEXTS)
    return next((int(length) for length in lengths if length), UNBOUNDED)


def unused_positions(network: torch.nn.Module) -> int:
    """Return how many rows of a position embedding no token uses: RoBERTa's kind counts from behind the padding's."""
    tables = (module for name, module in network.named_modules() if name.endswith("position_embeddings"))
    paddings = (getattr(table, "padding_idx", None) for table in tables)
    return max((index + 1 for index in paddings if index is not None), default=0)


def turn(config: Any) -> int | None:  # noqa: ANN401
    """Return the longest sequence, in tokens, that is read with the short factors of a rotary embedding.

    A longer one is read with the long factors from its first token on (longrope). None: all are read alike.
    """
    rope = getattr(config, "rope_parameters", None) or {}
    for kind in (rope, *(kind for kind in rope.values() if isinstance(kind, dict))):
        if kind.keys() & LONG:
            return int(kind["original_max_position_embeddings"])
    return None


def sides(lengths: Sequence[int], turn: int | None) -> list[list[int]]:
    """Return the indices of sequences that may be read in one pass, by their lengths in tokens; short ones first."""
    if turn is None or not lengths:
        return [list(range(len(lengths)))]
    both = [[i for i, length in enumerate(lengths) if (length > turn) is long] for long in (False, True)]
    return [side for side in both if side]

"""Try whether a model's states allow sharing a prefix, and padding behind a row.

The trial reads a few tokens when a model is opened. It computes in float32 whatever the weights' dtype: a fault is far
larger than the rounding of float32, but may be as small as that of half precision.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from spillover.models.inference.trees import Tree, linear_tree
from spillover.models.model import Model
from spillover.models.network.head import probe_tokens
from spillover.models.network.precision import in_float32
from spillover.utils.progress import notify

ATTENTION = {"full_attention", "sliding_attention"}
"""The kinds of layer whose state is one key and one value per token: a prefix can be shared over them."""

TOLERANCE = 1e-3
"""Relative difference up to which two computations of float32 hidden states agree. Rounding alone makes 1e-5."""

DETOUR = 16
"""Tokens by which the probe's tree moves a token away from the index that equals its position."""


class Encoded(Protocol):
    """A prefix that is encoded."""

    def read(self, trees: Sequence[Tree]) -> Tensor:
        """Return (rows, width, d) hidden states of trees over it."""


def can_share(model: Model, encode: Callable[[Sequence[int]], Encoded]) -> bool:
    """Whether the layers keep keys and values per token, and reading over a prefix agrees with reading in one piece.

    Recurrent and hybrid models fail here; so do models that take no explicit mask, or derive positions from indices.

    Args:
        model: the model to try.
        encode: encodes a prefix once, for trees over it.
    """
    of_gpt_neo = getattr(model.config, "attention_layers", None)
    kinds = set(getattr(model.config, "layer_types", None) or of_gpt_neo or ["full_attention"])
    shares = kinds <= ATTENTION and not getattr(model.network, "_is_stateful", False) and _probe(model, encode)
    if not shares:
        notify(
            f"{model.config.model_type}: its state cannot be shared between items; each is read from its first token"
        )
    return shares


@torch.inference_mode()
def _probe(model: Model, encode: Callable[[Sequence[int]], Encoded]) -> bool:
    """Whether a sequence has the same states as a whole and as the far branch of a tree."""
    tokens = probe_tokens(model.config, 24)
    body, detour = tokens[16:20], range(1, 1 + DETOUR)
    forked = Tree((*body, *detour, *tokens[20:]), (-1, 0, 1, *range(2, 3 + DETOUR), 3, *range(4 + DETOUR, 7 + DETOUR)))
    try:
        with in_float32(model.network):
            whole = model.backbone(input_ids=torch.tensor([tokens], device=model.device)).last_hidden_state[0]
            shared = encode(tokens[:16]).read([forked, linear_tree(body)])
    except Exception:  # an architecture with a signature or a cache of its own, whatever it raises
        return False
    far = torch.cat([shared[0, :4], shared[0, 4 + DETOUR :]])
    return alike(far, whole[16:]) and alike(shared[1, :4], whole[16:20])


@torch.inference_mode()
def ignores_padding(model: Model) -> bool:
    """Whether a row of a batch has the same states with padding behind it and without."""
    tokens = torch.tensor([probe_tokens(model.config, 24)] * 2, device=model.device)
    attended = torch.ones_like(tokens)
    tokens[1, 16:], attended[1, 16:] = 0, 0
    try:
        with in_float32(model.network):
            padded = model.backbone(input_ids=tokens, attention_mask=attended).last_hidden_state[1, :16]
            alone = model.backbone(input_ids=tokens[1:, :16]).last_hidden_state[0]
    except Exception:  # it takes no mask
        return False
    return alike(padded, alone)


def alike(states: Tensor, expected: Tensor) -> bool:
    """Whether two computations of the same float32 states agree up to rounding."""
    return states.shape == expected.shape and bool((states - expected).norm() <= TOLERANCE * expected.norm())

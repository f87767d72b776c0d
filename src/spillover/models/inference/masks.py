"""Attention masks in the forms that networks of transformers take."""

import torch
from torch import Tensor

from spillover.models.inference.attention import FIRST_SEEN
from spillover.models.model import Model


def attention_masks(
    model: Model, full: Tensor, queries: Tensor, keys: Tensor, first: int = 0
) -> Tensor | dict[str, Tensor]:
    """Return the attention mask (rows, 1, width, length) that a model's layers take, or such a mask per kind of layer.

    Args:
        model: its configuration has the window, the kinds of layer, and what implements the attention.
        full: (rows, width, length) bool, whether a token sees another one where nothing limits the distance.
        queries: (rows, width), the positions of the tokens that look.
        keys: (rows, length), the positions of the tokens that are looked at.
        first: the lowest position of the tokens that look, if the caller knows it.
    """
    window = getattr(model.config, "sliding_window", None)
    near = full if window is None else full & (queries[:, :, None] - keys[:, None, :] < window)
    masks = {"full_attention": _shaped(model, full), "sliding_attention": _shaped(model, near)}
    setattr(masks["sliding_attention"], FIRST_SEEN, 0 if window is None else max(0, first - window + 1))
    kinds = set(getattr(model.config, "layer_types", None) or [])
    if len(kinds) > 1:
        return masks
    if kinds:
        return masks[kinds.pop()]
    return masks["sliding_attention"]  # one kind of layer, windowed where the configuration has a window


def _shaped(model: Model, mask: Tensor) -> Tensor:
    mask = mask[:, None]
    if model.config._attn_implementation != "eager":
        return mask
    hidden_dtype: torch.dtype = model.network.dtype
    lowest = torch.finfo(hidden_dtype).min
    return torch.zeros(mask.shape, dtype=hidden_dtype, device=mask.device).masked_fill(~mask, lowest)

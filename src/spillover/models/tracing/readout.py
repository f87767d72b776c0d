"""From hidden states to the vocabulary: the model's final norm, its unembedding, and the energy of states.

Takes and returns arrays, so that lenses need no model.
"""

from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch

from spillover.models.model import Model
from spillover.models.tracing.anatomy import anatomy

Array = np.ndarray[Any, np.dtype[np.float32]]

ROW_BLOCK, COLUMN_BLOCK = 2048, 128
"""Rows of the unembedding taken at a time (5 MiB in float32 at a width of 640), and columns of their product."""

_Form = tuple[torch.Tensor, torch.Tensor]
_FORMS: WeakKeyDictionary[Model, tuple[list[int], _Form]] = WeakKeyDictionary()
"""Model → the weights that its last `Readout` had, by `_bits`, and what was made of them. Most adapters change none."""


class Readout:
    """Reads states of the residual stream with the model's final norm and unembedding."""

    def __init__(self, model: Model) -> None:
        """Find the final norm; raises `SpilloverError` where there is none."""
        self._model, self._norm = model, anatomy(model).norm

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return self._model.head.vocabulary

    @torch.inference_mode()
    def normed(self, states: Array) -> Array:
        """Return states (n, width) after the final norm, ready for `logits`."""
        hidden = self._norm(torch.from_numpy(states).to(self._model.device, self._model.network.dtype))
        array: Array = hidden.float().cpu().numpy()
        return array

    @torch.inference_mode()
    def logits(self, hidden: Array, tokens: slice | np.ndarray[Any, np.dtype[np.int64]]) -> Array:
        """Return the logits (n, |tokens|) of normed states (n, width) for a part of the vocabulary, in float32."""
        part = tokens if isinstance(tokens, slice) else torch.from_numpy(tokens)
        array: Array = self._model.logits(torch.from_numpy(hidden).to(self._model.device), part).cpu().numpy()
        return array

    @torch.inference_mode()
    def energy(self, states: Array) -> Array:
        """Return the token energy (n,) of states (n, width): how close they are to the tokens' directions, at least 0.

            E(h) = sqrt(mean over tokens i of cos²(u_i, h)) / sqrt(mean over tokens i, j of cos²(u_i, u_j))

        with u_i the token's unembedding times the final norm's gain. 1: as close to the tokens as they are to each
        other. Near 0: orthogonal to all of them. Source: Wendler et al. 2024 (arXiv 2402.10588), section 4.2 and its
        code. They do not treat LayerNorm; for it, h is centered as the norm does. The mean over tokens is a quadratic
        form hᵀMh, so its cost does not depend on the vocabulary.
        """
        form, mean = self._form
        directions = self._gained(torch.from_numpy(states).float())
        squares = torch.einsum("nd,de,ne->n", directions, form, directions) / states.shape[1]
        energies: Array = (squares.clamp(min=0).sqrt() / mean).cpu().numpy()
        return energies

    def _gained(self, states: torch.Tensor) -> torch.Tensor:
        """Return gain × state, the state scaled to a mean square of 1; the norm's bias cancels."""
        states = states.to(self._model.device, self._model.network.dtype)
        odd: torch.Tensor = self._norm(states) - self._norm(-states)
        return odd.to(self._model.device).float() / 2

    @cached_property
    def _form(self) -> _Form:
        """The mean over tokens of u uᵀ / ‖gain × u‖², (width, width), and the root mean square of their cosines."""
        weight = self._model.unembedding.weight[: self.vocabulary]
        signs = torch.ones(1, weight.shape[1], device=weight.device)
        signs[:, 1::2] = -1  # mean 0 and mean square 1: both RMSNorm and LayerNorm leave it as it is
        gain = (self._gained(signs) * signs)[0]
        content = [_bits(weight), _bits(gain[None])]  # an adapter may write into the weights in place
        if self._model not in _FORMS or _FORMS[self._model][0] != content:
            form = _mean_product(weight, gain)
            _FORMS[self._model] = content, (form, (gain[:, None] * form * gain).norm())
        return _FORMS[self._model][1]


def _mean_product(weight: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
    """Return the mean over rows u of u uᵀ / ‖gain × u‖². It is symmetric, so only its lower half is computed."""
    width = weight.shape[1]
    form = torch.zeros(width, width, device=weight.device)
    for start in range(0, len(weight), ROW_BLOCK):
        rows = weight[start : start + ROW_BLOCK].float()
        rows = rows / (rows * gain).norm(dim=1, keepdim=True).clamp(min=1e-12)
        for low in range(0, width, COLUMN_BLOCK):
            form[low:, low : low + COLUMN_BLOCK] += rows[:, low:].T @ rows[:, low : low + COLUMN_BLOCK]
    return (form.tril() + form.tril(-1).T) / len(weight)


def _bits(weights: torch.Tensor) -> int:
    """Return a sum of the bits of weights (rows, columns), in which each row counts differently."""
    size = weights.shape[1] * weights.element_size()
    word = next(word for word in (torch.int64, torch.int32, torch.int16) if size % word.itemsize == 0)
    sums = weights.view(word).sum(dim=1)
    return int((sums * torch.arange(1, len(sums) + 1, device=sums.device)).sum())

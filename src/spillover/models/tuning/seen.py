"""The embedding rows of the tokens that occur in the examples: peft's trainable tokens, without a copy of the matrix.

peft replaces the rows in a copy of the whole matrix in every pass, and its gradient is a matrix of that size. Here the
matrix itself has the learned values, and only the rows get a gradient. Every token of the examples has a row, so a pass
over examples reads the rows alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from spillover.models.adapter import ADAPTER, token_layers


class SeenRows:
    """The rows that learn, in a network that has peft's trainable tokens."""

    def __init__(self, network: Any) -> None:  # noqa: ANN401 - a class per architecture
        """Let the network read its own matrices, into which `synchronize` writes the rows."""
        self._layers = list(token_layers(network))
        (layer,) = (layer for _, _, layer in self._layers if layer.tied_adapter is None)
        self.embedding = layer.base_layer
        self.learned: Tensor = layer.trainable_tokens_delta[ADAPTER]
        self.tied = len(self._layers) > 1
        self._wrapped = [(parent, name, getattr(parent, name)) for parent, name, _ in self._layers]
        self._reader = next(getattr(p, n) for p, n, layer in self._layers if layer.tied_adapter is None)
        for parent, name, layer in self._layers:
            if layer.tied_adapter is not None:
                setattr(parent, name, layer.base_layer)
        self._reader.forward = self.embedding.forward
        weight = self.embedding.weight
        self.tokens = torch.tensor(layer.token_indices[ADAPTER], device=weight.device)
        self._place = torch.zeros(len(weight), dtype=torch.long, device=weight.device)
        self._place[self.tokens] = torch.arange(len(self.tokens), device=weight.device)
        self._originals = weight.data[self.tokens].clone()

    def values(self) -> tuple[Tensor, Tensor]:
        """Return the tokens (k,), ascending, and their rows (k, d) of the unembedding, in its dtype."""
        return self.tokens, self.learned.to(self.embedding.weight.dtype)

    @torch.no_grad()
    def synchronize(self) -> None:
        """Write the rows into the matrix. Wanted after each change of them."""
        self.embedding.weight.data[self.tokens] = self.learned.to(self.embedding.weight.dtype)

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Read the rows, so that they get a gradient; every token that is read must have one."""
        padding = getattr(self.embedding, "padding_idx", None)

        def forward(ids: Tensor) -> Tensor:
            states: Tensor = functional_call(self.embedding, {"weight": self.values()[1]}, (self._place[ids],))
            return states

        self._reader.forward = forward
        if padding is not None:  # its row gets no gradient as input
            self.embedding.padding_idx = int(self._place[padding]) if padding in self.tokens else None
        try:
            yield
        finally:
            self._reader.forward = self.embedding.forward
            if padding is not None:
                self.embedding.padding_idx = padding

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read any token, also inside `learning`: from the matrix, into which `synchronize` wrote the rows."""
        forward = self._reader.forward
        self._reader.forward = self.embedding.forward
        try:
            yield
        finally:
            self._reader.forward = forward

    def close(self) -> None:
        """Leave the matrix as it was, and peft's modules as peft made them."""
        self.embedding.weight.data[self.tokens] = self._originals
        del self._reader.forward
        for parent, name, module in self._wrapped:
            setattr(parent, name, module)

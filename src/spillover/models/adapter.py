"""Put what was tuned into a base model, and take it out again: an adapter of peft, or a full model's difference.

peft reads tuned embedding rows through modules of its own, which copy the whole matrix in every pass, and hide the
unembedding. Here the rows are written into the matrix: the same values, at no cost.
"""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.nn import Module

from spillover.models.difference import is_difference, put_in

ADAPTER = "default"
"""The name that peft gives to the one adapter of a network."""


def attach(network: Any, folder: Path) -> Callable[[], None]:  # noqa: ANN401 - a class per architecture
    """Put the adapter or difference in `folder` into a network; return what takes it out again, to the bit."""
    if is_difference(folder):
        return put_in(network, folder)
    wrapper = _wrapped(network, folder)
    restore = write_rows(network)

    def detach() -> None:
        wrapper.unload()
        restore()

    return detach


def merge_in(network: Any, folder: Path) -> Any:  # noqa: ANN401
    """Return the network with the adapter or difference in `folder` as part of its weights.

    Raises:
        ValueError: a merged weight is not finite.
    """
    if is_difference(folder):
        put_in(network, folder)
        return network
    wrapper = _wrapped(network, folder)
    write_rows(network)
    return wrapper.merge_and_unload(safe_merge=True)


def _wrapped(network: Any, folder: Path) -> Any:  # noqa: ANN401
    from peft import PeftModel

    with warnings.catch_warnings():  # rows that a tied unembedding shares with the embedding are stored once
        warnings.filterwarnings("ignore", message=".*missing adapter keys.*trainable_tokens_delta")
        return PeftModel.from_pretrained(network, folder)


@torch.no_grad()
def write_rows(network: Any) -> Callable[[], None]:  # noqa: ANN401
    """Write peft's tuned rows into the embedding, in place of its modules; return what restores the rows."""
    originals = []
    for parent, name, layer in list(token_layers(network)):
        base = layer.base_layer
        setattr(parent, name, base)
        if layer.tied_adapter is None:
            rows = torch.tensor(layer.token_indices[ADAPTER], device=base.weight.device)
            originals.append((base.weight.data, rows, base.weight.data[rows].clone()))
            base.weight.data[rows] = layer.trainable_tokens_delta[ADAPTER].to(base.weight)

    def restore() -> None:
        for weight, rows, before in originals:
            weight[rows] = before

    return restore


def token_layers(network: Any) -> Iterator[tuple[Module, str, Any]]:  # noqa: ANN401
    """Yield parent, name and layer of each of peft's modules for tuned rows; a tied one follows another's rows."""
    from peft.tuners.trainable_tokens.layer import TrainableTokensLayer
    from peft.utils.other import TrainableTokensWrapper

    for parent in network.modules():
        for name, child in () if isinstance(parent, TrainableTokensWrapper) else parent.named_children():
            layer = child.token_adapter if isinstance(child, TrainableTokensWrapper) else child
            if isinstance(layer, TrainableTokensLayer):
                yield parent, name, layer

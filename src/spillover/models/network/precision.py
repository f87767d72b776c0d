"""Compute in float32, whatever the dtype of a network's weights: so a probe sees faults and no rounding."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

HALF_TYPES = (torch.float16, torch.bfloat16)

ROW_BLOCK = 8192
"""Rows of a linear map's weight that are widened at a time: 20 MiB in float32 at a width of 640."""


def in_float32(network: Any) -> AbstractContextManager[object]:  # noqa: ANN401 - a class per architecture
    """Return a context in which the network computes in float32; no weight changes."""
    has_halves = any(parameter.dtype in HALF_TYPES for parameter in network.parameters())
    return _Float32() if has_halves else nullcontext()


class _Float32(TorchFunctionMode):
    """Widens the arguments and the result of every operation.

    A weight is widened only for the duration of its operation, so the whole network never exists in float32.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever an operation returns
        """Run one operation."""
        kwargs = kwargs or {}
        if func is torch.nn.functional.linear and args[1].dtype in HALF_TYPES and len(args[1]) > ROW_BLOCK:
            return _linear(*args, **kwargs)
        if func is torch.nn.functional.embedding or getattr(func, "__name__", "") == "__get__":
            return _wide(func(*args, **kwargs))  # reads a few rows of the weight, or only its shape
        return _wide(func(*map(_wide, args), **{name: _wide(value) for name, value in kwargs.items()}))


def _wide(value: Any) -> Any:  # noqa: ANN401 - an argument of any kind
    if isinstance(value, Tensor):
        return value.float() if value.dtype in HALF_TYPES else value
    if type(value) in (list, tuple):
        return type(value)(map(_wide, value))
    return torch.float32 if isinstance(value, torch.dtype) and value in HALF_TYPES else value


def _linear(states: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Apply a large linear map, such as an unembedding, to `ROW_BLOCK` of its rows at a time."""
    parts = [torch.nn.functional.linear(states.float(), part.float()) for part in torch.split(weight, ROW_BLOCK)]
    return torch.cat(parts, dim=-1) if bias is None else torch.cat(parts, dim=-1) + bias.float()

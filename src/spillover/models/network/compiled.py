"""Layers that `torch.compile` compiles: what lies between their matrix products becomes one operation."""

from collections.abc import Callable
from typing import Any

import torch
from transformers.modeling_layers import GradientCheckpointingLayer

VARIANTS = 64
"""Compiled forms that a layer may have: with an adapter and without, with a prefix and without, for one row and for
several. By default torch allows 8 for all layers together, and goes on without compiling beyond that."""


def compile_layers(backbone: torch.nn.Module) -> list[tuple[Any, Callable[..., object]]]:
    """Return the layers of a network, each with its compiled forward, which is compiled when it is called first."""
    layers = [module for module in backbone.modules() if isinstance(module, GradientCheckpointingLayer)]
    options: dict[str, Any] = {"dynamic": True, "isolate_recompiles": True, "recompile_limit": VARIANTS}
    return [(layer, torch.compile(layer.forward, **options)) for layer in layers]

"""A network with some neurons of its MLPs switched off: their activations are 0, at every token."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spillover.errors import SpilloverError
from spillover.models.model import Model
from spillover.models.tracing.anatomy import anatomy


@contextmanager
def neurons_off(model: Model, neurons: NDArray[np.bool_]) -> Iterator[None]:
    """Switch neurons off within the block: the output of the nonlinearity is 0, for a gated MLP that of its gate.

    Args:
        model: the model.
        neurons: (blocks, neurons), whether each is switched off.

    Raises:
        SpilloverError: the neurons of this architecture are unknown.
    """
    activations = anatomy(model).activations
    if len(activations) != len(neurons):
        raise SpilloverError(
            f"analyze.deactivate: {model.config.model_type} has no plain MLP in each of its blocks, expected an "
            "architecture whose neurons are counted; remove the key"
        )
    hooks = [
        module.register_forward_hook(_zeros(torch.from_numpy(np.flatnonzero(row))))
        for module, row in zip(activations, neurons, strict=True)
        if row.any()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _zeros(places: Tensor) -> Callable[[object, object, Tensor], Tensor]:
    """Return a hook that replaces activations (…, neurons) at some neurons by 0."""
    return lambda module, args, activations: activations.index_fill(-1, places.to(activations.device), 0)

"""Copies from this process to a device that no computation waits for."""

import torch
from torch import Tensor

PINNING = {"cuda"}
"""Kinds of device that copy from pinned memory while they compute."""


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of this process on a device.

    A GPU copies it from pinned memory while it computes. From other memory, it would first finish all its work.
    """
    if device.type in PINNING and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


class Places:
    """Indices for one pass, copied once to each device whose layers use them."""

    def __init__(self, *indices: Tensor) -> None:
        """Take the indices, in this process."""
        self._copies = {torch.device("cpu"): indices}

    def on(self, device: torch.device) -> tuple[Tensor, ...]:
        """Return the indices on a device."""
        if device not in self._copies:
            self._copies[device] = tuple(to_device(index, device) for index in self._copies[torch.device("cpu")])
        return self._copies[device]

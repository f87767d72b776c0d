"""GPUs that compute in this process: tensors that say they are on the first or the second one, and refuse to be mixed.

Operations run on the processor. As on a GPU, tensors of two devices cannot meet in one operation, and this counts when
the processor waits for the device: when it reads a number, asks how many values a mask has, or copies without pinned
memory. Nothing here says how fast a GPU is.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from spillover.models.inference import transfer

GPU = "privateuseone"
"""What torch calls a kind of device that is not built in."""

_setup_privateuseone_for_python_backend()

FIRST, SECOND = torch.device(GPU, 0), torch.device(GPU, 1)

READS = {
    "_local_scalar_dense": "a number",
    "nonzero": "the number of places",
    "masked_select": "the number of values",
    "_unique2": "the number of values",
    "unique_dim": "the number of values",
    "equal": "a truth",
    "is_nonzero": "a truth",
}
"""Operation → what the processor waits for."""

CHOSEN = {"index", "index_put", "index_put_", "_index_put_impl_"}
"""Operations by indices, which may be on the processor; a mask among them is counted first."""


class OnDevice(torch.Tensor):
    """A tensor that says it is on a GPU."""

    numbers: torch.Tensor

    @staticmethod
    def __new__(cls: type, numbers: torch.Tensor, device: torch.device) -> "OnDevice":
        tensor: OnDevice = torch.Tensor._make_wrapper_subclass(
            cls, numbers.shape, strides=numbers.stride(), dtype=numbers.dtype, device=device
        )
        tensor.numbers = numbers
        return tensor

    def tolist(self) -> Any:  # noqa: ANN401 - torch refuses it for a class of our own
        """Return the values, copied to this process first, as for every GPU."""
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func: object, *others: object) -> object:
        raise AssertionError(f"{func} outside of `gpus`")


@dataclass
class Waits:
    """What the processor waited for."""

    reads: list[str] = field(default_factory=list)
    """Reads from the device: the operation and what was read."""
    copies: list[str] = field(default_factory=list)
    """Copies to the device that are not from pinned memory."""

    def clear(self) -> None:
        """Begin to count anew."""
        self.reads.clear()
        self.copies.clear()


class Gpus(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs operations of `OnDevice` tensors, and makes new ones."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waits = Waits()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        kwargs = dict(kwargs or {})
        with self:  # an operation made of others; without gradients it arrives whole
            parts = func.decompose(*args, **kwargs)
        if parts is not NotImplemented:
            return parts
        name = func.overloadpacket.__name__
        flat = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, torch.Tensor)]
        devices = {value.device for value in flat if isinstance(value, OnDevice)}
        target = kwargs.get("device")
        if not devices and getattr(target, "type", "cpu") != GPU:
            return False if name == "is_pinned" else flat[0] if name == "_pin_memory" else func(*args, **kwargs)
        if name == "_fused_sdp_choice":
            return 0
        self._check(name, flat, devices, args)
        self._count(name, args, kwargs, bool(devices))
        place = torch.device(target) if target is not None else next(iter(devices))
        if target is not None:
            kwargs["device"] = torch.device("cpu")
        wrappers = {id(value.numbers): value for value in flat if isinstance(value, OnDevice)}
        plain_args, plain_kwargs = tree_map(lambda x: x.numbers if isinstance(x, OnDevice) else x, (args, kwargs))
        result = func(*plain_args, **plain_kwargs)
        if name == "copy_" and not isinstance(args[0], OnDevice):
            return args[0]
        inference = torch.is_inference_mode_enabled() and all(value.is_inference() for value in wrappers.values())
        with torch.inference_mode(inference):  # as torch has it for a view of a tensor from outside
            return tree_map(lambda x: self._wrapped(x, place, wrappers), result)

    def _wrapped(self, value: Any, place: torch.device, wrappers: dict[int, OnDevice]) -> Any:  # noqa: ANN401
        if not isinstance(value, torch.Tensor) or place.type == "cpu":
            return value
        return wrappers[id(value)] if id(value) in wrappers else OnDevice(value, place)

    def _check(self, name: str, flat: list[Any], devices: set[torch.device], args: Any) -> None:  # noqa: ANN401
        if name in ("copy_", "_to_copy"):
            return
        others = [value for value in flat if not isinstance(value, OnDevice) and value.ndim > 0]
        if name in CHOSEN:
            indices = [index for index in args[1] if index is not None]
            others = [value for value in others if not any(value is index for index in indices)]
        if len(devices) > 1 or (devices and others):
            shown = sorted({str(device) for device in devices} | {"cpu" for _ in others})
            raise RuntimeError(f"Expected all tensors to be on the same device, but found {shown} in {name}")

    def _count(self, name: str, args: Any, kwargs: Any, from_device: bool) -> None:  # noqa: ANN401
        if name in READS and from_device:
            self.waits.reads.append(f"{name}: {READS[name]}")
        if name == "repeat_interleave" and kwargs.get("output_size") is None:
            self.waits.reads.append(f"{name}: the number of values")
        if name in CHOSEN:
            masks = [index for index in args[1] if index is not None and index.dtype == torch.bool]
            self.waits.reads += [f"{name}: the number of a mask's places"] * len(masks)
            on_host = [index for index in args[1] if index is not None and not isinstance(index, OnDevice)]
            self.waits.copies += [f"{name}: indices"] * len(on_host)
        if name in ("_to_copy", "copy_") and args[0].numel() == 0:
            return  # nothing is copied
        if name == "_to_copy" and kwargs.get("device") is not None:
            self._count_copy(name, isinstance(args[0], OnDevice), torch.device(kwargs["device"]), kwargs)
        if name == "copy_":
            self._count_copy(name, isinstance(args[1], OnDevice), args[0].device, {"non_blocking": (*args, False)[2]})

    def _count_copy(self, name: str, from_device: bool, target: torch.device, kwargs: Any) -> None:  # noqa: ANN401
        if from_device and target.type == "cpu":
            self.waits.reads.append(f"{name}: values")
        if not from_device and target.type == GPU and not kwargs.get("non_blocking"):
            self.waits.copies.append(f"{name}: values")


@contextmanager
def gpus(patch: pytest.MonkeyPatch) -> Iterator[Waits]:
    """Let this machine have two GPUs within the block; lend what counts how often the processor waits for them."""
    patch.setattr(transfer, "PINNING", {GPU})
    torch._C._set_only_lift_cpu_tensors(True)  # so that `torch.tensor` leaves the copy to the mode
    try:
        with Gpus() as mode:
            yield mode.waits
    finally:
        torch._C._set_only_lift_cpu_tensors(False)


def place(network: Any, device_of: Callable[[str], torch.device]) -> None:  # noqa: ANN401
    """Move the weights of a network: the name of a module → its device. Tied weights stay tied."""
    moved: dict[int, torch.nn.Parameter] = {}
    for name, module in network.named_modules():
        for key, weight in list(module.named_parameters(recurse=False)):
            if id(weight) not in moved:
                tensor = OnDevice(weight.detach(), device_of(name))
                moved[id(weight)] = torch.nn.Parameter(tensor, requires_grad=False)
            setattr(module, key, moved[id(weight)])
        for key, values in list(module.named_buffers(recurse=False)):
            setattr(module, key, OnDevice(values, device_of(name)))

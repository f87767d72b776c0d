"""Weights on several devices, or partly outside of them, by accelerate's device maps.

accelerate moves what enters a module to the module's device, and reads weights that were put outside of the devices
just before they are used. Code here reads two matrices past their modules: the embedding and the unembedding. So these
stay on a device, and hidden states leave the backbone on the device of the unembedding.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from transformers import PreTrainedModel

from spillover.errors import SpilloverError

DeviceMap = str | Mapping[str, int | str]
"""`none`, a strategy of accelerate, or a module's name → its device: a number, `cpu` or `disk`."""

ONE_DEVICE = "none"
"""The device map of a model that is on one device, as a whole."""


def map_options(device_map: DeviceMap, processes: int) -> dict[str, Any]:
    """Return the arguments of `from_pretrained` that place the weights.

    processes: number of processes launched together.

    Raises:
        SpilloverError: several processes were launched; each of them has the whole model on a device of its own.
    """
    if device_map == ONE_DEVICE:
        return {}
    if processes > 1:
        raise SpilloverError(
            f"model.device_map: found {describe(device_map)} in {processes} processes launched together, expected "
            f"{ONE_DEVICE!r} or one process: each process has the whole model on its own device"
        )
    return {"device_map": device_map if isinstance(device_map, str) else dict(device_map)}


def connect(network: Any) -> None:  # noqa: ANN401 - a class per architecture
    """Keep both embeddings of a network on a device, and let hidden states come to the unembedding's device.

    A network that accelerate did not spread over devices stays as it is.
    """
    if not spread(network):
        return
    _keep_on_device(network)
    for module in network.modules():
        for part in _offloading(module):
            part.pre_forward, part.post_forward = _as_stored(part.pre_forward), _as_stored(part.post_forward)
    device = (network.get_output_embeddings() or network.get_input_embeddings()).weight.device
    for module in network.modules():
        if isinstance(module, PreTrainedModel) and module is not network:
            module.register_forward_hook(lambda module, args, output: _moved(output, device))


def spread(network: Any) -> bool:  # noqa: ANN401
    """Whether a network's modules have devices of their own."""
    return len(set(getattr(network, "hf_device_map", {}).values())) > 1 or offloaded(network)


def offloaded(network: Any) -> bool:  # noqa: ANN401
    """Whether some weights are on no device while they are not used."""
    return any(weight.device.type == "meta" for weight in network.parameters())


def require_on_devices(network: Any, use: str) -> None:  # noqa: ANN401
    """Refuse a use of weights that are on no device.

    use: what cannot be done then; it begins the sentence.

    Raises:
        SpilloverError: some weights are outside of the devices.
    """
    if offloaded(network):
        raise SpilloverError(
            f"model.device_map: {use} needs all weights on devices, and this map leaves some of them on 'cpu' or "
            "'disk'; use more devices, or quantize = 'nf4'"
        )


def _keep_on_device(network: Any) -> None:  # noqa: ANN401
    """Read both embeddings once, and never take them off their devices again. Tied ones stay one matrix."""
    ends = [end for end in (network.get_input_embeddings(), network.get_output_embeddings()) if end is not None]
    tied = bool(network.config.get_text_config().tie_word_embeddings)
    for place, end in enumerate(ends):
        for part in _offloading(end):
            if place and tied:  # a checkpoint has a tied matrix once
                end.weight = ends[0].weight
            else:
                part.pre_forward(end)
            part.offload = False


def _offloading(module: Any) -> list[Any]:  # noqa: ANN401
    """Return accelerate's hooks that read the weights of a module before each use."""
    hook = getattr(module, "_hf_hook", None)
    return [part for part in getattr(hook, "hooks", [hook]) if getattr(part, "offload", False)]


def _as_stored(work: Callable[..., Any]) -> Callable[..., Any]:
    """Let a hook keep the type of the weights that it reads, also in a pass that computes in float32."""

    def run(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as the hook's
        with torch._C.DisableTorchFunction():
            return work(*arguments, **named)

    return run


def _moved(output: Any, device: torch.device) -> Any:  # noqa: ANN401
    """Move the hidden states in a module's output."""
    if getattr(output, "last_hidden_state", None) is not None:
        output.last_hidden_state = output.last_hidden_state.to(device)
    return output


def describe(device_map: DeviceMap) -> str:
    """Return a device map as an error shows it."""
    return repr(device_map) if isinstance(device_map, str) else "a table"

"""The base model that stays in memory, one per process; adapters are swapped into it.

Loading takes seconds to minutes, and the arms of an experiment, like many experiments of a sweep, differ only in their
adapter. Readers returned earlier become invalid: they share this network.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from spillover.experiment import ModelConfig
from spillover.models.adapter import attach
from spillover.models.inference.prefix import PrefixReader
from spillover.models.load import load, resolve_dtype, set_num_threads
from spillover.models.locate import fingerprint, locate
from spillover.models.model import Model
from spillover.models.placement import require_on_devices


@dataclass(slots=True)
class _Resident:
    """A base model, and the adapter in it."""

    key: tuple[str, ...]
    """Identifies the model, and how it was loaded."""
    reader: PrefixReader
    """The model, ready to read."""
    adapter: Path | None = None
    """Folder of the adapter in it."""
    detach: Callable[[], None] | None = None
    """Takes the adapter out again."""


in_memory: _Resident | None = None


def resident_reader(
    chosen: ModelConfig, adapter: Path | None = None, merged: bool = False, origin: str = ""
) -> PrefixReader:
    """Return the base model, with an adapter or without; it is loaded unless it is the one in memory.

    A merged adapter is loaded with its own copy of the model, since its update cannot be subtracted from the weights
    without rounding. So is one made elsewhere, which may resize or replace parts of the network.

    Args:
        chosen: the model, and how it is loaded.
        adapter: folder of a PEFT adapter, or of a fully tuned model's difference; None for the base model.
        merged: whether the adapter is added to the weights.
        origin: the key of the experiment that names the adapter, if it was made elsewhere.

    Raises:
        SpilloverError: the model is not a causal language model, or cannot be loaded in this way on this machine.
    """
    global in_memory
    set_num_threads(chosen.threads, torch.get_num_threads())
    style = json.dumps([chosen.template_arguments, chosen.system, chosen.shots_as], default=str)
    places = json.dumps(chosen.device_map, default=dict)
    content = fingerprint(locate(chosen.name))
    key: tuple[str, ...] = (content, resolve_dtype(chosen.dtype), chosen.quantize, chosen.template, style, places)
    inside = adapter is not None and bool(merged or origin)
    if inside:
        key = (*key, str(adapter), str(merged))
    if in_memory is None or in_memory.key != key:
        in_memory = None  # freed before the next model is loaded: memory may not hold both
        loaded = _load(chosen, adapter, merged, origin) if inside else _load(chosen)
        in_memory = _Resident(key, PrefixReader(loaded))
    if not inside and in_memory.adapter != adapter:
        _swap(in_memory, adapter)
    return in_memory.reader


@contextmanager
def borrow_base_model(chosen: ModelConfig) -> Iterator[Model]:
    """Lend the base model to tuning, which puts an adapter into it; at the end of the block the adapter is removed.

    If the block fails, the next `resident_reader` loads the model again.
    """
    global in_memory
    model = resident_reader(chosen).model
    lent, in_memory = in_memory, None
    before = [(module, dict(module._modules)) for module in model.network.modules()]
    yield model
    for module, children in before:  # an adapter replaces modules; `tune` puts weights back
        module._modules.clear()
        module._modules.update(children)
    vars(model.network).pop("peft_config", None)
    model.network.eval()
    in_memory = lent


def _load(chosen: ModelConfig, adapter: Path | None = None, merged: bool = False, origin: str = "") -> Model:
    style, places = chosen.chat_style, chosen.device_map
    return load(chosen.name, chosen.dtype, chosen.quantize, chosen.template, adapter, merged, style, origin, places)


def _swap(resident: _Resident, adapter: Path | None) -> None:
    network = resident.reader.model.network
    if resident.detach is not None:
        resident.detach()
    resident.detach, resident.adapter = None, None
    if adapter is not None:
        require_on_devices(network, "an adapter")
        resident.detach, resident.adapter = attach(network, adapter), adapter
    network.eval()

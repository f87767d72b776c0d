"""The base model that stays in memory: one a process, into which adapters are swapped.

Loading costs seconds to minutes, and the arms of one experiment, and the experiments of a sweep, differ by an adapter
alone. What was handed out before does not count any more: it is the same network. Knows no arms.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spillover.models.inference.prefix import PrefixReader
from spillover.models.load import Model, load, set_num_threads
from spillover.models.locate import fingerprint, locate


@dataclass(slots=True)
class _Resident:
    """A base model, and what is in it."""

    key: tuple[str, ...]
    """Which model it is, and how it was loaded."""
    reader: PrefixReader
    """The model, ready to read."""
    adapter: Path | None = None
    """Where the adapter in it came from."""
    wrapper: Any = field(default=None)
    """peft's, which takes the adapter out again."""


_held: _Resident | None = None


def resident_reader(
    name: str,
    dtype: str,
    quantize: str = "none",
    template: str = "none",
    threads: int = 0,
    adapter: Path | None = None,
    merged: bool = False,
    template_arguments: Mapping[str, Any] | None = None,
) -> PrefixReader:
    """Return the model with its adapter, or without: loaded only if another one was asked for before.

    Args: see `load`; `threads` of the processor compute, 0: as many as torch chooses. A merged adapter is loaded with a
    model of its own, since what it adds to the weights cannot be taken away to the last digit.

    Raises:
        SpilloverError: the model is not a causal one, or cannot be loaded so here.
    """
    global _held
    if threads:
        set_num_threads(threads)
    if merged and adapter is not None:
        _held = None
        return PrefixReader(load(name, dtype, quantize, template, adapter, merged, template_arguments))
    key = (fingerprint(locate(name)), dtype, quantize, template, json.dumps(template_arguments or {}, default=str))
    if _held is None or _held.key != key:
        _held = None  # before the next is loaded: the two may not fit together
        _held = _Resident(
            key, PrefixReader(load(name, dtype, quantize, template, template_arguments=template_arguments))
        )
    if _held.adapter != adapter:
        _swap(_held, adapter)
    return _held.reader


@contextmanager
def borrow_base_model(
    name: str,
    dtype: str,
    quantize: str = "none",
    template: str = "none",
    threads: int = 0,
    template_arguments: Mapping[str, Any] | None = None,
) -> Iterator[Model]:
    """Lend the bare model to tuning, which puts an adapter of its own into it; afterwards it is forgotten there.

    Whatever goes wrong meanwhile, the next one to ask gets the base model: as it was, or loaded anew.
    """
    global _held
    model = resident_reader(name, dtype, quantize, template, threads, template_arguments=template_arguments).model
    held, _held = _held, None
    before = [(module, dict(module._modules)) for module in model.network.modules()]
    yield model
    for module, children in before:  # an adapter replaces modules, and changes no weight
        module._modules.clear()
        module._modules.update(children)
    vars(model.network).pop("peft_config", None)
    model.network.eval()
    _held = held


def _swap(held: _Resident, adapter: Path | None) -> None:
    from peft import PeftModel

    network = held.reader.model.network
    if held.wrapper is not None:
        held.wrapper.unload()
    held.wrapper, held.adapter = None, None
    if adapter is not None:
        held.wrapper, held.adapter = PeftModel.from_pretrained(network, adapter), adapter
    network.eval()

"""The parts of a network that are traced: its blocks, its final norm, the nonlinearities of its MLPs.

Every architecture names them differently, so a small pass finds them: the states that leave one block enter the next,
and the final norm reads those that leave the last one.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn import Module, ModuleList

from spillover.errors import SpilloverError
from spillover.models.model import Model

ACTIVATIONS = ("act_fn", "act", "activation_fn", "activation_func", "gelu_impl")
"""Names of an MLP's nonlinearity in `transformers`. Its output is positive where the neuron is active."""

EXPERTS, ATTENTION = ("expert", "moe"), ("attn", "attention")
"""Parts of module names. A block with experts has several MLPs; the nonlinearity of an attention is not an MLP's."""

PROBE_ROWS, PROBE_TOKENS = 2, 5
"""Rows, and tokens per row, of the pass that finds the parts."""


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The parts of a network that are traced."""

    blocks: tuple[Module, ...]
    """From the first to the last: the states (rows, tokens, width) that leave one enter the next."""
    norm: Module
    """From the states that leave the last block to the backbone's output. It may also have run before the blocks."""
    activations: tuple[Module, ...]
    """The nonlinearity of each block's MLP; empty unless every block has exactly one MLP, of the same width."""


@dataclass(frozen=True, slots=True)
class _Call:
    """The input and the output of a module in the pass."""

    module: Module
    read: Tensor
    written: Tensor


_ANATOMIES: WeakKeyDictionary[Model, tuple[tuple[Module, ...], Anatomy]] = WeakKeyDictionary()
"""Model → the modules of its backbone when its parts were found, and the parts."""


def anatomy(model: Model) -> Anatomy:
    """Find the parts of a network by a pass over `PROBE_ROWS` × `PROBE_TOKENS` tokens.

    They are found once per model, and again after an adapter replaced some of its modules.

    Raises:
        SpilloverError: there is no list of blocks that hand on one stream of states, or no norm after it.
    """
    modules = tuple(model.backbone.modules())
    if model not in _ANATOMIES or _ANATOMIES[model][0] != modules:
        _ANATOMIES[model] = modules, _find(model)
    return _ANATOMIES[model][1]


def _find(model: Model) -> Anatomy:
    blocks = block_list(model)
    inside = {module for block in blocks for module in block.modules()}
    outside = [module for module in model.backbone.modules() if module not in inside and module is not model.backbone]
    activations = [module for block in blocks for module in _activation(block)]
    calls, output = _pass(model, [*blocks, *outside, *activations])
    stream = [call for call in calls if call.module in blocks]
    _require_one_stream(model, blocks, stream)
    norms = [
        call.module
        for call in calls
        if call.module in outside and _same(call.read, stream[-1].written) and _same(call.written, output)
    ]
    if len(norms) != 1:
        raise SpilloverError(
            f"{_kind(model)}: found no final norm, expected a module that reads the last block's output "
            "and writes what the unembedding reads"
        )
    return Anatomy(tuple(blocks), norms[0], _countable(activations, len(blocks), calls))


def entering(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Return the states among a block's arguments: the first tensor."""
    states: Tensor = next(value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
    return states


def leaving(output: Any) -> Tensor:  # noqa: ANN401 - what a module returns
    """Return the states in a block's output: the output itself, or its first part."""
    states: Tensor = output if isinstance(output, Tensor) else output[0]
    return states


def by_token(activations: Tensor, rows: int, tokens: int) -> Tensor | None:
    """Return the output of a nonlinearity as (rows, tokens, neurons); None if it has another number of values.

    OPT flattens rows and tokens. Experts have a row per token that was routed to them.
    """
    if activations.shape[:2] == (rows, tokens) and activations.ndim == 3:
        return activations
    if activations.ndim == 2 and len(activations) == rows * tokens:
        return activations.reshape(rows, tokens, -1)
    return None


def _kind(model: Model) -> str:
    return str(model.config.model_type)


def block_list(model: Model) -> ModuleList:
    """Return the list of a network's blocks.

    Raises:
        SpilloverError: there is none of the length that the configuration states.
    """
    layers = model.config.num_hidden_layers
    for module in model.backbone.modules():
        if isinstance(module, ModuleList) and len(module) == layers:
            return module
    raise SpilloverError(f"{_kind(model)}: found no list of {layers} blocks")


@torch.inference_mode()
def _pass(model: Model, modules: list[Module]) -> tuple[list[_Call], Tensor]:
    """Return the calls of modules, in the order in which they ended, and the backbone's output."""
    calls: list[_Call] = []

    def ends(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:  # noqa: ANN401
        tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        states = output[0] if isinstance(output, tuple | list) and output else output
        if tensors and isinstance(states, Tensor):
            calls.append(_Call(module, tensors[0].cpu().clone(), states.cpu().clone()))

    hooks = [module.register_forward_hook(ends, with_kwargs=True) for module in dict.fromkeys(modules)]
    vocabulary = min(model.config.vocab_size, 997)
    ids = torch.tensor([[(7 * i + 3) % vocabulary for i in range(PROBE_ROWS * PROBE_TOKENS)]], device=model.device)
    try:
        output = model.backbone(input_ids=ids.reshape(PROBE_ROWS, PROBE_TOKENS), use_cache=False).last_hidden_state
    finally:
        for hook in hooks:
            hook.remove()
    return calls, output.cpu()


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers; some networks reshape them in between."""
    if one.numel() != other.numel():
        return False
    return torch.allclose(one.flatten(), other.flatten(), rtol=0, atol=0, equal_nan=True)


def _require_one_stream(model: Model, blocks: ModuleList, stream: list[_Call]) -> None:
    """Refuse blocks unless each runs once, in order, over one stream of states that only blocks change."""
    if [call.module for call in stream] != list(blocks) or len(set(blocks)) < len(blocks):
        raise SpilloverError(f"{_kind(model)}: found blocks that run twice or not at all, expected each once, in order")
    for place, call in enumerate(stream, start=1):
        if call.written.ndim != 3 or call.written.shape[:2] != (PROBE_ROWS, PROBE_TOKENS):
            raise SpilloverError(
                f"{_kind(model)}: found states of shape {tuple(call.written.shape)} after block {place}, expected "
                f"({PROBE_ROWS}, {PROBE_TOKENS}, width): lenses read one stream, with one state for each token"
            )
    for place, (call, following) in enumerate(pairwise(stream), start=1):
        if not _same(call.written, following.read):
            raise SpilloverError(
                f"{_kind(model)}: found that the states which enter block {place + 1} are not those that leave block "
                f"{place}, expected one stream of states"
            )


def _activation(block: Module) -> list[Module]:
    """Return the nonlinearity of a block's MLP in a list, which is empty unless there is exactly one MLP."""
    modules = dict(block.named_modules())
    paths = [path for path in modules if path.rpartition(".")[2] in ACTIVATIONS]
    experts = any(word in path for path in modules for word in EXPERTS)
    attention = any(word in path for path in paths for word in ATTENTION)
    return [modules[path] for path in paths] if len(paths) == 1 and not experts and not attention else []


def _countable(activations: list[Module], blocks: int, calls: list[_Call]) -> tuple[Module, ...]:
    """Return the nonlinearities if each block has its own and all have one width; else an empty tuple."""
    written = [call.written for call in calls if call.module in activations]
    shaped = [by_token(output, PROBE_ROWS, PROBE_TOKENS) for output in written]
    widths = {None if output is None else output.shape[2] for output in shaped}
    single = len(set(activations)) == len(activations) == len(written) == blocks
    return tuple(activations) if single and len(widths) == 1 and None not in widths else ()

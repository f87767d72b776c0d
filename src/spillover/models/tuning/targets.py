"""The linear maps of a network that get an adapter, from `tune.targets`; and a check that each of them learns."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from transformers.pytorch_utils import Conv1D

from spillover.errors import SpilloverError, did_you_mean
from spillover.models.model import Model
from spillover.models.tracing.anatomy import block_list
from spillover.utils.progress import notify

ALL = "all-linear"
"""The value of `tune.targets` that stands for every linear map of the decoder, without the unembedding."""

QUERY_AND_VALUE = (
    ("q_proj", "v_proj"),
    ("query", "value"),
    ("query_key_value",),
    ("qkv_proj",),
    ("c_attn",),
    ("Wqkv",),
    ("Wq", "Wv"),
)
"""Names of the maps for query and value in several architectures, the paper's first. Some have one map for both."""

READ_PAST = dict.fromkeys(("mamba", "mamba2", "falcon_mamba", "falcon_h1", "nemotron_h"), "out_proj")
"""Architecture → a linear map whose weight its kernels read without calling the map: an adapter there has no effect."""


MIDDLE = (0.25, 0.75)
"""Relative depths between which a block's center lies if it is in the middle; the other blocks are at the ends."""


def chosen_blocks(model: Model, layers: Sequence[int | float] | str) -> list[torch.nn.Module]:
    """Return the blocks that `tune.layers` names, in their order.

    Args:
        model: a model without an adapter.
        layers: `all`, `middle`, `ends`, or blocks: numbers from 0, or from −1 backward, and relative depths.

    Raises:
        SpilloverError: the network has no such block, or no list of blocks.
    """
    blocks = block_list(model)
    numbers = range(len(blocks))
    centers = {number: (number + 0.5) / len(blocks) for number in numbers}
    middle = {number for number, center in centers.items() if MIDDLE[0] < center < MIDDLE[1]}
    if isinstance(layers, str):
        chosen = {"all": set(numbers), "middle": middle, "ends": set(numbers) - middle}[layers]
    else:
        exact = [
            min(int(layer * len(blocks)), len(blocks) - 1) if isinstance(layer, float) else layer for layer in layers
        ]
        if wrong := [layer for layer in exact if not -len(blocks) <= layer < len(blocks)]:
            raise SpilloverError(
                f"tune.layers: found {wrong[0]}, expected blocks from 0 to {len(blocks) - 1}, from -1 backward, or "
                "relative depths such as 0.5"
            )
        chosen = {layer % len(blocks) for layer in exact}
    if not chosen:
        raise SpilloverError(f"tune.layers: found {layers!r}, which is none of this model's {len(blocks)} blocks")
    return [blocks[number] for number in sorted(chosen)]


def to_adapt(model: Model, targets: Sequence[str] | str, layers: Sequence[int | float] | str = "all") -> list[str]:
    """Return names for peft's `target_modules` that match linear maps of the decoder and no other module.

    Args:
        model: a model without an adapter.
        targets: names of linear maps, ends of their paths, or `ALL`. If the network has neither `q_proj` nor `v_proj`,
            which are the paper's, these two stand for its maps for query and value.
        layers: the blocks whose maps are meant, as for `chosen_blocks`; `all`: those outside of blocks too.

    Raises:
        SpilloverError: a name stands for no linear map that can be adapted, or there is no name.
    """
    linear = _linear(model)
    if targets == ALL or ALL in targets:
        names = sorted(_last_parts(linear))
        if named := [name for name in targets if name != ALL and targets != ALL]:
            _require_there(model, linear, named)
    else:
        names = _translated(model, linear, list(dict.fromkeys(targets)))
        _require_there(model, linear, names)
    chosen = {path for path in linear if _stands_for(names, path)}
    if layers != "all":
        inside = {id(part) for block in chosen_blocks(model, layers) for part in block.modules()}
        chosen = {path for path in chosen if id(linear[path]) in inside}
        if not chosen:
            raise SpilloverError(f"tune.layers: {layers!r} has none of the maps {list(names)}; choose other layers")
    everywhere = {path for path, _ in model.network.named_modules() if _stands_for(names, path)}
    return names if chosen == everywhere else sorted(chosen)  # a vision tower may have maps of the same names


def require_learning(network: Any, named: bool) -> None:  # noqa: ANN401 - with its adapter
    """Refuse, after the first backward pass, adapters without a gradient: they would be measured untrained.

    Some architectures do not use a map in all of their layers. If other adapters of the same name learn, or the user
    did not name the map, a message tells which adapters are idle.

    Args:
        network: after a backward pass.
        named: whether the user named the maps, rather than `ALL`.

    Raises:
        SpilloverError: no adapter of a name that the user gave has a gradient.
    """
    learns = {
        path: parameter.grad is not None and bool(parameter.grad.any())
        for name, parameter in network.named_parameters()
        for path, is_output, _ in [name.partition(".lora_B.")]
        if is_output and parameter.requires_grad
    }
    idle = [path for path, does in learns.items() if not does]
    learning = _last_parts(path for path, does in learns.items() if does)
    for name in sorted(_last_parts(idle) - learning if named or not learning else ()):
        others = did_you_mean(name, sorted(learning)) if learning else "name other linear maps"
        raise SpilloverError(
            f"tune.targets: {name!r} gets no gradient in this model, so an adapter there learns nothing; {others}"
        )
    if idle:
        notify(f"{len(idle)} of {len(learns)} adapters get no gradient and stay as they are, the first at {idle[0]}")


def _linear(model: Model) -> dict[str, torch.nn.Module]:
    """Return path → module of the decoder's linear maps.

    The unembedding is left out. Loss and scores use its weight and do not call it, and where it shares its weight with
    the embedding, merging an adapter into it would change the embedding.
    """
    decoder = {id(module) for module in model.backbone.modules()}
    head, past = model.network.get_output_embeddings(), READ_PAST.get(model.network.config.model_type)
    return {
        path: module
        for path, module in model.network.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D)
        and id(module) in decoder
        and module is not head
        and path.rpartition(".")[2] != past
    }


def _translated(model: Model, linear: dict[str, torch.nn.Module], names: list[str]) -> list[str]:
    """Return this architecture's names for the paper's maps; other names, and names that it has, unchanged."""
    paper, there = set(QUERY_AND_VALUE[0]), _last_parts(linear)
    if set(names) != paper or paper & there:
        return names
    kind = str(model.config.model_type)
    known = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(kind, ())
    rows = (*QUERY_AND_VALUE, () if isinstance(known, str) else tuple(known))  # a text is a pattern of paths
    here = next((row for row in rows if row and set(row) <= there), tuple(names))
    if set(here) != paper:
        notify(f"tune.targets: {kind} calls query and value {' and '.join(here)}, which are adapted")
    return list(here)


def _require_there(model: Model, linear: dict[str, torch.nn.Module], names: Sequence[str]) -> None:
    known = [*sorted(_last_parts(linear)), ALL]
    if not names:
        raise SpilloverError(f"tune.targets: found [], expected at least one name; {did_you_mean('', known)}")
    for name in names:
        if not any(_stands_for([name], path) for path in linear):
            raise SpilloverError(
                f"tune.targets: found {list(names)}: {_why_not(model, name)}; {did_you_mean(name, known)}"
            )


def _why_not(model: Model, name: str) -> str:
    """Return why a name matches no map that can be adapted."""
    modules = [module for path, module in model.network.named_modules() if _stands_for([name], path)]
    if not modules:
        return f"no module of this model is called {name!r}"
    if model.network.get_output_embeddings() in modules:
        return f"{name!r} is the unembedding, which is read apart and often is the embedding too, so it is not adapted"
    if name == READ_PAST.get(model.network.config.model_type):
        return f"{name!r} is read past its forward pass by this architecture's kernels, so it is not adapted"
    return f"{name!r} is a {type(modules[0]).__name__} and no linear map of the decoder"


def _stands_for(names: Sequence[str], path: str) -> bool:
    """Whether one of the names is a path or the end of one, as peft reads them."""
    return any(path == name or path.endswith(f".{name}") for name in names)


def _last_parts(paths: Iterable[str]) -> set[str]:
    """Return the last names of paths; where one is a number, together with the name before it."""
    parts = [path.rpartition(".") for path in paths]
    return {f"{parent.rpartition('.')[2]}.{last}" if last.isdigit() else last for parent, _, last in parts}

"""Hidden states of every layer: at the position before the answer, and averaged over the item's own tokens.

Items are read in one pass over the scorer's shared prefix. Hooks reduce the states as they leave each block, so the
states of all positions in all layers never exist at once.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spillover.errors import SpilloverError
from spillover.models.inference.encode import Encoded, LabelTree, cut_at_divergence, encode, label_tree, shared_prefix
from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.trees import Positions, common_prefix
from spillover.models.load import Model
from spillover.models.tracing.anatomy import anatomy, by_token, entering, leaving
from spillover.records import Prompt
from spillover.utils.progress import notify

Array = np.ndarray[Any, np.dtype[np.float32]]
Integers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Trace:
    """The hidden states of one cell's items, in float32.

    Layers: the embedding, the residual stream after each block, and the last of them once more after the final norm.
    """

    last: Array
    """(items, layers, width): at the last token that all answers share; with most tokenizers, the prompt's last one."""
    body_mean: Array
    """(items, layers, width): the mean over the item's own tokens, without the exemplars."""
    inner: Array
    """(m, layers, width): at the tokens inside answers that begin alike, read to distinguish these answers."""
    nodes: Integers
    """(items, choices, depth): index of the state that predicts each step, in `last` then `inner`; -1 after the end."""
    tokens: Integers
    """(items, choices, depth): the token of each step, up to the one that distinguishes the answer; -1 after it."""
    active: Integers
    """(blocks, neurons): number of body tokens, over all items, at which each MLP neuron is active; (blocks, 0) if
    unknown."""
    counted: int
    """Number of body tokens over all items."""


def trace(
    reader: PrefixReader, prompts: Sequence[Prompt], advance: Callable[[int], None] = lambda items: None
) -> Trace:
    """Return the hidden states of prompts, in the order of the prompts.

    The body begins where the exemplars end, so an item's mean does not depend on the other items of its cell.

    Args:
        reader: the model.
        prompts: their choices are the answers to distinguish; every prompt has the same number of choices.
        advance: called with the number of prompts that were just read.

    Raises:
        SpilloverError: no blocks or no final norm are found, a state is not a finite number, a prompt does not fit.
    """
    encoded = [cut_at_divergence(item) for item in encode(reader.model, prompts, "drop-exemplars")]
    starts = _body_starts(reader.model, prompts, encoded)
    prefix = min(shared_prefix(encoded), *starts)
    rows = [label_tree(item, prefix) for item in encoded]
    bodies = [slice(start - prefix, item.boundary - prefix) for start, item in zip(starts, encoded, strict=True)]
    recorder = _Recorder(rows, bodies)
    with _recording(reader.model, recorder):
        for batch, _ in reader.read(encoded[0].choices[0][:prefix], [row.tree for row in rows], recorder.on_batch):
            recorder.store(batch)
            advance(len(batch))
    nodes, tokens = label_steps(rows, recorder.nodes)
    items = [_finite(states, index) for index, states in enumerate(recorder.states)]
    return Trace(
        last=np.stack([states[0] for states in items]),
        body_mean=np.stack([states[-1] for states in items]),
        inner=np.concatenate([states[1:-1] for states in items]),
        nodes=nodes,
        tokens=tokens,
        active=torch.stack(recorder.active).cpu().numpy(),
        counted=sum(body.stop - body.start for body in bodies),
    )


def _body_starts(model: Model, prompts: Sequence[Prompt], encoded: Sequence[Encoded]) -> list[int]:
    """Return the index of each item's first own token: the first at which its prompt differs from its exemplars."""
    headers = model.tokenize(
        [model.render(replace(p, body=""), e.dropped) for p, e in zip(prompts, encoded, strict=True)]
    )
    return [
        min(common_prefix([header, item.prompt]), item.boundary - 1)
        for header, item in zip(headers, encoded, strict=True)
    ]


def label_steps(rows: Sequence[LabelTree], nodes: Sequence[Sequence[int]]) -> tuple[Integers, Integers]:
    """Return `Trace.nodes` and `Trace.tokens`: the paths of the trees, with nodes numbered over all items."""
    shape = (len(rows), len(rows[0].paths), max(len(path) for row in rows for path in row.paths))
    states, tokens = np.full(shape, -1), np.full(shape, -1)
    inner = len(rows)
    for index, (row, (last, *others)) in enumerate(zip(rows, nodes, strict=True)):
        place = {last: index} | {node: inner + offset for offset, node in enumerate(others)}
        inner += len(others)
        for choice, path in enumerate(row.paths):
            states[index, choice, : len(path)] = [place[edge.node] for edge in path]
            tokens[index, choice, : len(path)] = [edge.token for edge in path]
    return states, tokens


def _finite(states: Tensor, item: int) -> Array:
    array: Array = states.numpy()
    if not np.isfinite(array).all():
        layer = int(np.argmin(np.isfinite(array).all(axis=(0, 2))))
        raise SpilloverError(
            f"item {item}: found states at layer {layer} that are not finite, expected numbers; the model overflows, "
            "so set model.dtype to 'float32' or 'bfloat16'"
        )
    return array


class _Recorder:
    """Collects, per item and layer, the states of its nodes and the mean over its body; hooks write into it."""

    def __init__(self, rows: Sequence[LabelTree], bodies: Sequence[slice]) -> None:
        self.nodes = [sorted({edge.node for path in row.paths for edge in path}) for row in rows]
        self.states: list[Tensor] = [torch.empty(0)] * len(rows)
        self.active: list[Tensor] = []
        self._bodies = bodies
        self._active_pass = False
        self._layers: list[Tensor] = []
        self._size = (0, 0)

    @property
    def layers(self) -> int:
        """Number of layers of the pass that were reduced so far."""
        return len(self._layers)

    def on_batch(self, batch: list[int], places: list[Positions]) -> None:
        """Prepare for a pass that reads the trees of `batch`."""
        self._active_pass = True
        self._layers.clear()
        nodes = [place[:, self.nodes[index]] for index, place in zip(batch, places, strict=True)]
        bodies = [place[:, self._bodies[index]] for index, place in zip(batch, places, strict=True)]
        self._node, self._body = np.concatenate(nodes, axis=1), np.concatenate(bodies, axis=1)
        self._sizes = torch.tensor([body.shape[1] for body in bodies])

    def layer(self, hidden: Tensor) -> None:
        """Reduce one layer's states (rows, width, d) of the pass."""
        if self._active_pass:
            self._size = (hidden.shape[0], hidden.shape[1])
            sizes = self._sizes.to(hidden.device)
            body = hidden[self._body[0], self._body[1]].float()
            sums = body.new_zeros(len(sizes), body.shape[1])
            sums.index_add_(0, torch.arange(len(sizes), device=hidden.device).repeat_interleave(sizes), body)
            nodes = hidden[self._node[0], self._node[1]].float()
            self._layers.append(torch.cat([nodes, sums / sizes[:, None]]).cpu())

    def neurons(self, block: int, activations: Tensor) -> None:
        """Count, per neuron of a block, the body tokens at which it is active."""
        if self._active_pass:
            shaped = by_token(activations, *self._size)
            if shaped is None:
                raise SpilloverError(
                    f"analyze: found activations of shape {tuple(activations.shape)} in block {block + 1}, expected "
                    f"one per neuron and token, for {self._size[0]} × {self._size[1]} tokens"
                )
            count = (shaped[self._body[0], self._body[1]] > 0).sum(dim=0).cpu()
            self.active[block] = self.active[block] + count

    def store(self, batch: list[int]) -> None:
        """Store the states of a pass that ended with its items."""
        states = torch.stack(self._layers, dim=1)
        by_item = torch.split(states[: -len(batch)], [len(self.nodes[index]) for index in batch])
        for index, nodes, mean in zip(batch, by_item, states[-len(batch) :], strict=True):
            self.states[index] = torch.cat([nodes, mean[None]])
        self._active_pass = False


@contextmanager
def _recording(model: Model, recorder: _Recorder) -> Iterator[None]:
    """Pass to the recorder the states that enter the first block, that leave each block, and that leave the norm."""

    def enters(module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        recorder.layer(entering(args, kwargs))

    def leaves(module: object, args: object, output: Any) -> None:  # noqa: ANN401
        recorder.layer(leaving(output))

    def ends(module: object, args: object, output: Tensor) -> None:
        if recorder.layers > len(parts.blocks):  # NanoChat norms its embeddings with the same module
            recorder.layer(output)

    def counts(block: int) -> Callable[[object, object, Tensor], None]:
        return lambda module, args, output: recorder.neurons(block, output)

    parts = anatomy(model)
    if not parts.activations:
        kind = model.config.model_type
        notify_once(f"{kind}: neurons are not counted, since its blocks have not one plain MLP each")
    recorder.active = [torch.zeros(int(bool(parts.activations)), dtype=torch.long)] * len(parts.blocks)
    hooks = [parts.blocks[0].register_forward_pre_hook(enters, with_kwargs=True)]
    hooks += [module.register_forward_hook(leaves) for module in parts.blocks]
    hooks.append(parts.norm.register_forward_hook(ends))
    hooks += [module.register_forward_hook(counts(block)) for block, module in enumerate(parts.activations)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@cache
def notify_once(sentence: str) -> None:
    """Print a sentence once per process, however many cells are traced."""
    notify(sentence)

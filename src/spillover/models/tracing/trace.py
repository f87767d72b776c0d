"""Hidden states of every layer: at the position before the answer, and averaged over the item's own tokens.

What items share is read once, as it is for scoring. Hooks reduce the states as they leave each block, so the
states of all positions in all layers never exist at once.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spillover.errors import SpilloverError
from spillover.models.inference.encode import Encoded, cut_at_divergence, encode
from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.transfer import Places
from spillover.models.inference.trees import Positions, common_prefix
from spillover.models.model import Model
from spillover.models.tracing.activity import Integers, counting
from spillover.models.tracing.anatomy import anatomy, entering, leaving
from spillover.models.tracing.layout import ItemPlaces, TracedRow, plan_rows
from spillover.records import Prompt

Array = np.ndarray[Any, np.dtype[np.float32]]


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
    recorder = _Recorder(len(encoded))
    with counting(reader.model) as counter, _recording(reader.model, recorder):
        for group in plan_rows(reader, encoded, starts):

            def on_batch(batch: list[int], places: list[Positions], rows: Sequence[TracedRow] = group.rows) -> None:
                counter.expect(recorder.expect([rows[index] for index in batch], places))

            for batch, _ in reader.read(group.prefix, [row.tree for row in group.rows], on_batch):
                counter.expect(None)
                recorder.store()
                advance(sum(len(group.rows[index].items) for index in batch))
    nodes, tokens = label_steps(recorder.items)
    items = [_finite(states, index) for index, states in enumerate(recorder.states)]
    return Trace(
        last=np.stack([states[0] for states in items]),
        body_mean=np.stack([states[-1] for states in items]),
        inner=np.concatenate([states[1:-1] for states in items]),
        nodes=nodes,
        tokens=tokens,
        active=counter.active,
        counted=sum(item.boundary - start for start, item in zip(starts, encoded, strict=True)),
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


def label_steps(items: Sequence[ItemPlaces]) -> tuple[Integers, Integers]:
    """Return `Trace.nodes` and `Trace.tokens`: the paths of the items, with nodes numbered over all items."""
    shape = (len(items), len(items[0].paths), max(len(path) for item in items for path in item.paths))
    states, tokens = np.full(shape, -1), np.full(shape, -1)
    inner = len(items)
    for index, item in enumerate(items):
        last, *others = item.nodes
        place = {last: index} | {node: inner + offset for offset, node in enumerate(others)}
        inner += len(others)
        for choice, path in enumerate(item.paths):
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

    def __init__(self, items: int) -> None:
        self.items: list[ItemPlaces] = [ItemPlaces((), ())] * items
        self.states: list[Tensor] = [torch.empty(0)] * items
        self._numbers: list[int] = []
        self._places = Places()
        self._layers: list[Tensor] = []

    @property
    def layers(self) -> int:
        """Number of layers of the pass that were reduced so far."""
        return len(self._layers)

    def expect(self, rows: Sequence[TracedRow], places: Sequence[Positions]) -> Positions:
        """Prepare for a pass that reads these rows; return the tokens of all bodies in it."""
        self._layers.clear()
        traced = [(n, item, place) for row, place in zip(rows, places, strict=True) for n, item in row.items.items()]
        for number, item, _ in traced:
            self.items[number] = item
        self._numbers = [number for number, _, _ in traced]
        self._counts = [len(item.nodes) for _, item, _ in traced]
        node = np.concatenate([place[:, item.nodes] for _, item, place in traced], axis=1)
        body = np.concatenate([place[:, list(item.body)] for _, item, place in traced], axis=1)
        sizes = np.array([len(item.body) for _, item, _ in traced])
        item_of = np.repeat(np.arange(len(sizes)), sizes)
        self._places = Places(*(torch.from_numpy(part) for part in (node, body, item_of, sizes)))
        return body

    def layer(self, hidden: Tensor) -> None:
        """Reduce one layer's states (rows, width, d) of the pass."""
        if self._numbers:
            node, body_places, item_of, sizes = self._places.on(hidden.device)
            body = hidden[body_places[0], body_places[1]].float()
            sums = body.new_zeros(len(sizes), body.shape[1])
            sums.index_add_(0, item_of, body)
            nodes = hidden[node[0], node[1]].float()
            states = torch.cat([nodes, sums / sizes[:, None]])
            self._layers.append(states.to(self._layers[0].device) if self._layers else states)

    def store(self) -> None:
        """Store the states of a pass that ended with its items."""
        states = torch.stack(self._layers, dim=1).cpu()  # one copy per pass, not one per layer
        by_item = torch.split(states[: -len(self._numbers)], self._counts)
        for number, nodes, mean in zip(self._numbers, by_item, states[-len(self._numbers) :], strict=True):
            self.states[number] = torch.cat([nodes, mean[None]])
        self._numbers = []


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

    parts = anatomy(model)
    hooks = [parts.blocks[0].register_forward_pre_hook(enters, with_kwargs=True)]
    hooks += [module.register_forward_hook(leaves) for module in parts.blocks]
    hooks.append(parts.norm.register_forward_hook(ends))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()

"""Hidden states of every layer: where the answer is about to come, and averaged over the item's own tokens.

One pass over the scorer's shared prefix. Hooks reduce each layer as it leaves its block, so never do all positions of
all layers exist at once. Knows tokens, but neither golds nor languages nor what a lens is.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
    """What one cell's items look like inside the model.

    Layers: the embedding, the residual stream after each block, and the last of them once more after the final norm.
    """

    last: Array
    """(items, layers, width): at the last token that all answers share, the prompt's last but for odd tokenizers."""
    body_mean: Array
    """(items, layers, width): its mean over the item's own tokens, exemplars excluded."""
    inner: Array
    """(m, layers, width): at those tokens inside answers that begin alike which are read to tell them apart."""
    nodes: Integers
    """(items, choices, depth): which state says how each answer goes on, in `last` then `inner`; -1 after its end."""
    tokens: Integers
    """(items, choices, depth): the token with which it goes on, up to the one that tells it apart; -1 after it."""
    active: Integers
    """(blocks, neurons): over all tokens of the bodies, how often each MLP neuron is active; (blocks, 0) if unknown."""
    counted: int
    """How many tokens that were."""


def trace(
    reader: PrefixReader, prompts: Sequence[Prompt], advance: Callable[[int], None] = lambda items: None
) -> Trace:
    """Return what each prompt looks like inside, in the order given, in float32.

    The body begins where the exemplars end, so an item's mean does not depend on the items it is read with.

    Args:
        reader: the model.
        prompts: their choices are the answers to be told apart; the same number in each.
        advance: told, as prompts are read, how many more there are.

    Raises:
        SpilloverError: no blocks or no final norm are found, a state is not a finite number, a prompt does not fit.
    """
    encoded = [cut_at_divergence(item) for item in encode(reader.model, prompts, "drop-exemplars")]
    begins = _begins(reader.model, prompts, encoded)
    prefix = min(shared_prefix(encoded), *begins)
    rows = [label_tree(item, prefix) for item in encoded]
    bodies = [slice(begin - prefix, item.boundary - prefix) for begin, item in zip(begins, encoded, strict=True)]
    recorder = _Recorder(rows, bodies)
    with _recording(reader.model, recorder):
        for batch, _ in reader.read(encoded[0].choices[0][:prefix], [row.tree for row in rows], recorder.aim):
            recorder.keep(batch)
            advance(len(batch))
    nodes, tokens = _steps(rows, recorder.nodes)
    states = [_finite(found, index) for index, found in enumerate(recorder.states)]
    return Trace(
        last=np.stack([found[0] for found in states]),
        body_mean=np.stack([found[-1] for found in states]),
        inner=np.concatenate([found[1:-1] for found in states]),
        nodes=nodes,
        tokens=tokens,
        active=torch.stack(recorder.active).cpu().numpy(),
        counted=sum(body.stop - body.start for body in bodies),
    )


def _begins(model: Model, prompts: Sequence[Prompt], encoded: Sequence[Encoded]) -> list[int]:
    """Return where each item's own tokens begin: where its prompt departs from its exemplars alone."""
    headers = model.tokenize(
        [model.wrap("".join(p.exemplars[e.dropped :])) for p, e in zip(prompts, encoded, strict=True)]
    )
    return [
        min(common_prefix([header, item.prompt]), item.boundary - 1)
        for header, item in zip(headers, encoded, strict=True)
    ]


def _steps(rows: Sequence[LabelTree], nodes: Sequence[Sequence[int]]) -> tuple[Integers, Integers]:
    """Return `Trace.nodes` and `Trace.tokens`: the trees' paths, their nodes counted through all items."""
    shape = (len(rows), len(rows[0].paths), max(len(path) for row in rows for path in row.paths))
    read, tokens = np.full(shape, -1), np.full(shape, -1)
    inner = len(rows)
    for index, (row, kept) in enumerate(zip(rows, nodes, strict=True)):
        place = {kept[0]: index} | {node: inner + offset for offset, node in enumerate(kept[1:])}
        inner += len(kept) - 1
        for choice, path in enumerate(row.paths):
            read[index, choice, : len(path)] = [place[edge.node] for edge in path]
            tokens[index, choice, : len(path)] = [edge.token for edge in path]
    return read, tokens


def _finite(states: Tensor, item: int) -> Array:
    found: Array = states.numpy()
    if not np.isfinite(found).all():
        layer = int(np.argmin(np.isfinite(found).all(axis=(0, 2))))
        raise SpilloverError(
            f"item {item}: found states at layer {layer} that are not finite, expected numbers; the model overflows, "
            "so set model.dtype to 'float32' or 'bfloat16'"
        )
    return found


class _Recorder:
    """What the hooks write into: for each item the states of its kept nodes and the mean of its body, by layer."""

    def __init__(self, rows: Sequence[LabelTree], bodies: Sequence[slice]) -> None:
        self.nodes = [sorted({edge.node for path in row.paths for edge in path}) for row in rows]
        self.states: list[Tensor] = [torch.empty(0)] * len(rows)
        self.active: list[Tensor] = []
        self._bodies = bodies
        self._aimed = False
        self._layers: list[Tensor] = []
        self._size = (0, 0)

    @property
    def layers(self) -> int:
        """How many layers of the pass were reduced."""
        return len(self._layers)

    def aim(self, batch: list[int], places: list[Positions]) -> None:
        """Prepare for a pass that reads the trees of `batch`."""
        self._aimed = True
        self._layers.clear()
        kept = [place[:, self.nodes[index]] for index, place in zip(batch, places, strict=True)]
        bodies = [place[:, self._bodies[index]] for index, place in zip(batch, places, strict=True)]
        self._kept, self._body = np.concatenate(kept, axis=1), np.concatenate(bodies, axis=1)
        self._sizes = torch.tensor([body.shape[1] for body in bodies])

    def layer(self, hidden: Tensor) -> None:
        """Reduce one layer's states (rows, width, d) of the pass."""
        if self._aimed:
            self._size = (hidden.shape[0], hidden.shape[1])
            sizes = self._sizes.to(hidden.device)
            body = hidden[self._body[0], self._body[1]].float()
            sums = body.new_zeros(len(sizes), body.shape[1])
            sums.index_add_(0, torch.arange(len(sizes), device=hidden.device).repeat_interleave(sizes), body)
            kept = hidden[self._kept[0], self._kept[1]].float()
            self._layers.append(torch.cat([kept, sums / sizes[:, None]]).cpu())

    def neurons(self, block: int, activations: Tensor) -> None:
        """Count which neurons of a block are active over the bodies."""
        if self._aimed:
            shaped = by_token(activations, *self._size)
            if shaped is None:
                raise SpilloverError(
                    f"analyze: found activations of shape {tuple(activations.shape)} in block {block + 1}, expected "
                    f"one of each neuron in each of {self._size[0]} × {self._size[1]} tokens"
                )
            count = (shaped[self._body[0], self._body[1]] > 0).sum(dim=0).cpu()
            self.active[block] = self.active[block] + count

    def keep(self, batch: list[int]) -> None:
        """Hand the states of a pass that ended to its items."""
        states = torch.stack(self._layers, dim=1)
        kept = torch.split(states[: -len(batch)], [len(self.nodes[index]) for index in batch])
        for index, nodes, mean in zip(batch, kept, states[-len(batch) :], strict=True):
            self.states[index] = torch.cat([nodes, mean[None]])
        self._aimed = False


@contextmanager
def _recording(model: Model, recorder: _Recorder) -> Iterator[None]:
    """Show the recorder what enters the first block, what leaves each, and what leaves the final norm."""

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
        _mention(f"{model.config.model_type}: neurons are not counted, since its blocks have not one plain MLP each")
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
def _mention(sentence: str) -> None:
    """Say a sentence once a process, however many cells are traced."""
    notify(sentence)

"""Activation patching at the last position: how an answer's probability changes when another run's state replaces it.

Patching intervenes and so shows causes, while a lens only observes. Source: interchange interventions (Vig et al. 2020;
Meng et al. 2022, arXiv 2202.05262), here between languages.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spillover.models.inference.encode import cut_at_divergence, encode
from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.transfer import Places
from spillover.models.inference.trees import Positions, linear_tree
from spillover.models.inference.unembed import log_probabilities
from spillover.models.model import Model
from spillover.models.tracing.anatomy import anatomy, entering, leaving
from spillover.models.tracing.trace import Array
from spillover.records import Prompt


@dataclass(frozen=True, slots=True)
class Patched:
    """log p(answer | prompt) in nats, up to the token that distinguishes the answer from the prompt's other choices."""

    plain: float
    """Without a patch."""
    patched: Array
    """(sources, layers): with a source's state in place of the prompt's own, at one layer; layer 0 is the embedding."""


def patch(reader: PrefixReader, prompt: Prompt, choice: int, states: Array) -> Patched:
    """Replace the prompt's state at its last position by other states, one at a time.

    All tokens before that position stay as they are. A replaced state passes through all later layers. Only the last
    position is computed again, over the keys and values of the tokens before it.

    Args:
        reader: the model.
        prompt: the run that is patched.
        choice: index of the answer whose probability is returned.
        states: (sources, layers, width), of other runs at the same position: the embedding, and the output of each
            block.
    """
    encoded = cut_at_divergence(encode(reader.model, [prompt], "drop-exemplars")[0])
    answer, last = encoded.choices[choice], encoded.boundary - 1
    sources, layers, width = states.shape
    flat = torch.from_numpy(states).reshape(sources * layers, width)
    patcher = Patcher(flat.to(reader.model.device, reader.model.network.dtype), layers)
    trees = [linear_tree(answer[last:-1])] * (sources * layers + 1)  # one per state, and one without a patch
    hidden: list[Tensor] = [torch.empty(0)] * len(trees)
    with _patching(reader.model, patcher):
        for batch, read in reader.read(answer[:last], trees, patcher.on_batch):
            for row, index in enumerate(batch):
                hidden[index] = read[row, : len(answer) - 1 - last].float()
    steps = len(answer) - 1 - last
    targets = [(tree * steps + step, answer[last + 1 + step]) for tree in range(len(trees)) for step in range(steps)]
    values = log_probabilities(reader.model, torch.cat(hidden), targets).reshape(len(trees), steps).sum(dim=1).numpy()
    return Patched(float(values[-1]), values[:-1].reshape(sources, layers))


class Patcher:
    """The rows of the current pass that get a state, per layer."""

    def __init__(self, states: Tensor, layers: int) -> None:
        self._states, self._layers = states, layers
        self._rows: dict[int, Places] = {}

    def on_batch(self, batch: list[int], places: list[Positions]) -> None:
        """Prepare for a pass that reads the trees of `batch`: tree s × layers + l is patched by state s at layer l."""
        chosen: dict[int, list[list[int]]] = {}
        for index, place in zip(batch, places, strict=True):
            if index < len(self._states):
                chosen.setdefault(index % self._layers, []).append([*place[:, 0].tolist(), index])
        self._rows = {layer: Places(torch.tensor(rows).T) for layer, rows in chosen.items()}

    def layer(self, layer: int, hidden: Tensor) -> None:
        """Replace states (rows, width, d) of the pass in place."""
        if layer in self._rows:
            ((rows, columns, _),) = self._rows[layer].on(hidden.device)
            ((_, _, states),) = self._rows[layer].on(self._states.device)
            hidden[rows, columns] = self._states[states].to(hidden.device)


@contextmanager
def _patching(model: Model, patcher: Patcher) -> Iterator[None]:
    """Pass to the patcher the states that enter the first block and that leave each block."""

    def enters(module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        patcher.layer(0, entering(args, kwargs))

    def leaves(layer: int) -> Any:  # noqa: ANN401 - a hook
        return lambda module, args, output: patcher.layer(layer, leaving(output))

    blocks = anatomy(model).blocks
    hooks = [blocks[0].register_forward_pre_hook(enters, with_kwargs=True)]
    hooks += [block.register_forward_hook(leaves(layer)) for layer, block in enumerate(blocks, start=1)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()

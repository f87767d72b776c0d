"""In how many tokens each MLP neuron is active."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spillover.errors import SpilloverError
from spillover.models.inference.encode import encode, shared_prefix
from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.transfer import Places
from spillover.models.inference.trees import Positions, linear_tree
from spillover.models.model import Model
from spillover.models.tracing.anatomy import anatomy, by_token, entering
from spillover.records import Prompt
from spillover.utils.progress import notify

Integers = np.ndarray[Any, np.dtype[np.int64]]


class NeuronCounter:
    """Counts, per block and neuron, the tokens at which the neuron is active; hooks call it."""

    def __init__(self, blocks: int, known: bool) -> None:
        """Begin at 0. known: whether the architecture's neurons are; else there are none to count."""
        self._known = known
        self._active: list[Tensor | None] = [None] * blocks
        self._places: Places | None = None
        self._size = (0, 0)

    def expect(self, places: Positions | None) -> None:
        """Count these tokens (rows, columns) in the next pass, a token as often as it is listed; None: no token."""
        self._places = None if places is None else Places(torch.from_numpy(places))

    def enters(self, hidden: Tensor) -> None:
        """Take the size of the pass from the states (rows, tokens, width) that enter the first block."""
        self._size = (hidden.shape[0], hidden.shape[1])

    def count(self, block: int, activations: Tensor) -> None:
        """Count what the nonlinearity of a block returned."""
        if self._places is None:
            return
        shaped = by_token(activations, *self._size)
        if shaped is None:
            raise SpilloverError(
                f"analyze: found activations of shape {tuple(activations.shape)} in block {block + 1}, expected "
                f"one per neuron and token, for {self._size[0]} × {self._size[1]} tokens"
            )
        (places,) = self._places.on(activations.device)
        active = (shaped > 0)[places[0], places[1]].sum(dim=0)
        before = self._active[block]
        self._active[block] = active if before is None else before + active

    @property
    def active(self) -> Integers:
        """(blocks, neurons): number of tokens; (blocks, 0) if the neurons are unknown."""
        counts = [block for block in self._active if block is not None]
        if not counts:
            return np.zeros((len(self._active), int(self._known)), dtype=np.int64)
        array: Integers = torch.stack([block.to(counts[0].device) for block in counts]).cpu().numpy()
        return array


@contextmanager
def counting(model: Model) -> Iterator[NeuronCounter]:
    """Lend a counter that sees the passes of a model within the block."""
    parts = anatomy(model)
    if not parts.activations:
        kind = model.config.model_type
        notify_once(f"{kind}: neurons are not counted, since its blocks have not one plain MLP each")
    counter = NeuronCounter(len(parts.blocks), bool(parts.activations))

    def enters(module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        counter.enters(entering(args, kwargs))

    def counts(block: int) -> Callable[[object, object, Tensor], None]:
        return lambda module, args, output: counter.count(block, output)

    hooks = [parts.blocks[0].register_forward_pre_hook(enters, with_kwargs=True)]
    hooks += [module.register_forward_hook(counts(block)) for block, module in enumerate(parts.activations)]
    try:
        yield counter
    finally:
        for hook in hooks:
            hook.remove()


def count_in_answers(
    reader: PrefixReader, prompts: Sequence[Prompt], advance: Callable[[int], None] = lambda items: None
) -> tuple[Integers, int]:
    """Return in how many tokens of the prompts' only choices each neuron is active, and the number of these tokens.

    Every token of a choice counts, the last one too; the prompts' tokens do not.

    Returns:
        (blocks, neurons), or (blocks, 0) if the neurons are unknown; and the number of tokens.
    """
    encoded = encode(reader.model, prompts, "drop-exemplars")
    prefix = shared_prefix(encoded)
    trees = [linear_tree(item.choices[0][prefix:]) for item in encoded]
    answers = [slice(item.boundary - prefix, item.length - prefix) for item in encoded]
    with counting(reader.model) as counter:

        def on_batch(batch: list[int], places: list[Positions]) -> None:
            counter.expect(np.concatenate([p[:, answers[i]] for i, p in zip(batch, places, strict=True)], axis=1))

        for batch, _ in reader.read(encoded[0].choices[0][:prefix], trees, on_batch):
            counter.expect(None)
            advance(len(batch))
        return counter.active, sum(answer.stop - answer.start for answer in answers)


@cache
def notify_once(sentence: str) -> None:
    """Print a sentence once per process, however many cells are traced."""
    notify(sentence)

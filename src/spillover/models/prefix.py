"""The shared prefix: encode once what every sequence of a cell begins with, and read the rest in batches over it.

Shared by scoring and tracing. Takes token ids; knows neither texts nor labels.

A row of a batch is a small tree: a chain of tokens (the body) from which the inner tokens of the labels may branch.
Every token sees the prefix, its ancestors and itself, so a row's labels ride in one pass and a filled cache is never
extended. Rows are padded on the right; positions count from the prefix, so padding shifts nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from spillover.models.load import Model
from spillover.progress import say

ATTENTION = {"full_attention", "sliding_attention"}
"""The kinds of layer whose state is keys and values, one a token: what a prefix can be shared over."""

BUDGET = 16_384
"""Tokens, prefix included, that a batch may hold: beyond it a CPU gains nothing. A GPU takes 32 times it."""

PADDING = 64
"""Tokens in whose time a CPU starts another batch, so that more padding than this is worth one; a GPU starts slower."""


@dataclass(frozen=True, slots=True)
class Tree:
    """One row of a batch: tokens that follow the prefix."""

    tokens: tuple[int, ...]
    """Token ids, a token after its parent."""
    parents: tuple[int, ...]
    """For each token the index of the one it follows; -1 for the first, which follows the prefix."""


Places = np.ndarray[Any, np.dtype[np.int64]]
"""(2, tokens): the row and the column at which a pass computes each token of a tree."""


def chain(tokens: Sequence[int]) -> Tree:
    """Return the tree that is a plain sequence."""
    return Tree(tuple(tokens), tuple(range(-1, len(tokens) - 1)))


def common_prefix(sequences: Iterable[Sequence[int]]) -> int:
    """Length of the longest common prefix. Only the smallest and the largest sequence can disagree first."""
    ordered = [tuple(sequence) for sequence in sequences]
    low, high = min(ordered), max(ordered)
    length = min(len(low), len(high))
    return next((i for i in range(length) if low[i] != high[i]), length)


class _Lent(DynamicLayer):  # type: ignore[misc] # transformers is untyped
    """A layer's keys and values for one pass: what the pass adds is handed to the attention and kept by nobody.

    Nothing is ever read after it, and kept in all layers until the pass ends it would be most of a batch's memory.
    """

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Return the prefix's keys and values with the pass's own behind them."""
        return torch.cat([self.keys, key_states], dim=-2), torch.cat([self.values, value_states], dim=-2)


class Prefix:
    """A prefix's keys and values in every layer, computed once."""

    def __init__(self, model: Model, tokens: Sequence[int]) -> None:
        """Encode `tokens`, or none: then every row stands alone."""
        self._model = model
        self.length = len(tokens)
        self._layers: list[tuple[Tensor, Tensor]] = []
        if tokens:
            cache = DynamicCache()  # without a configuration: no layer forgets what left its window
            ids = torch.tensor([list(tokens)], device=model.device)
            model.backbone(input_ids=ids, past_key_values=cache, use_cache=True)
            self._layers = [(layer.keys, layer.values) for layer in cache.layers]

    def _cache(self, rows: int) -> DynamicCache:
        """Return fresh layers over the same tensors, which no pass changes."""
        cache = DynamicCache()
        for keys, values in self._layers:
            layer = _Lent()
            layer.lazy_initialization(keys, values)
            layer.keys, layer.values = keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1)
            cache.layers.append(layer)
        return cache

    def read(self, trees: Sequence[Tree]) -> Tensor:
        """Return (rows, width, d) hidden states of one batch, right-padded to the longest of `trees`."""
        model = self._model
        width = max(len(tree.tokens) for tree in trees)
        ids = np.zeros((len(trees), width), dtype=np.int64)
        depth = np.zeros((len(trees), width), dtype=np.int64)
        sees = np.broadcast_to(np.eye(width, dtype=bool), (len(trees), width, width)).copy()
        for row, tree in enumerate(trees):
            ids[row, : len(tree.tokens)] = tree.tokens
            for index, parent in enumerate(tree.parents):
                if parent >= 0:
                    sees[row, index] |= sees[row, parent]
                    depth[row, index] = depth[row, parent] + 1
        positions = torch.from_numpy(depth).to(model.device) + self.length
        out = model.backbone(
            input_ids=torch.from_numpy(ids).to(model.device),
            attention_mask=self._masks(torch.from_numpy(sees).to(model.device), positions),
            position_ids=positions,
            past_key_values=self._cache(len(trees)) if self._layers else None,
            use_cache=bool(self._layers),
        )
        hidden: Tensor = out.last_hidden_state
        return hidden

    def _masks(self, sees: Tensor, positions: Tensor) -> Tensor | dict[str, Tensor]:
        """Return the attention mask (rows, 1, width, prefix + width), one for each kind of layer the model mixes."""
        rows, width = positions.shape
        before = torch.arange(self.length, device=sees.device).expand(rows, -1)
        keys = torch.cat([before, positions], dim=1)
        full = torch.cat([sees.new_ones(rows, width, self.length), sees], dim=2)
        window = getattr(self._model.config, "sliding_window", None)
        near = full if window is None else full & (positions[:, :, None] - keys[:, None, :] < window)
        masks = {"full_attention": self._shaped(full), "sliding_attention": self._shaped(near)}
        kinds = set(getattr(self._model.config, "layer_types", None) or [])
        if len(kinds) > 1:
            return masks
        if kinds:
            return masks[kinds.pop()]
        return masks["sliding_attention"]  # one kind of layer, windowed where the configuration has a window

    def _shaped(self, mask: Tensor) -> Tensor:
        mask = mask[:, None]
        if self._model.config._attn_implementation != "eager":
            return mask
        hidden_dtype: torch.dtype = self._model.network.dtype
        lowest = torch.finfo(hidden_dtype).min
        return torch.zeros(mask.shape, dtype=hidden_dtype, device=mask.device).masked_fill(~mask, lowest)


def batches(lengths: Sequence[int], prefix: int, budget: int) -> Iterator[list[int]]:
    """Split indices into batches of like length whose (prefix + longest) × rows stays within the budget.

    A batch also ends where its padding costs more than another batch would. The longest come first: if memory runs out
    it does so at once.
    """
    allowed = max(PADDING, budget // 256)
    batch: list[int] = []
    longest = padding = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        padding += longest - lengths[index]
        if batch and ((prefix + longest) * (len(batch) + 1) > budget or padding > allowed):
            yield batch
            batch = []
        if not batch:
            longest, padding = lengths[index], 0
        batch.append(index)
    if batch:
        yield batch


class Reader:
    """Reads trees over a shared prefix with one model; a model whose state cannot be shared is read without."""

    def __init__(self, model: Model) -> None:
        """Probe once whether the model's state can be shared."""
        self.model = model
        self.budget = BUDGET * (32 if model.device.type == "cuda" else 1)
        self.shares = _can_share(model)

    @torch.inference_mode()
    def read(
        self,
        prefix: Sequence[int],
        trees: Sequence[Tree],
        aim: Callable[[list[int], list[Places]], None] = lambda batch, places: None,
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Yield batches in whatever order is fastest: indices into `trees`, and (rows, width, d) hidden states.

        Args:
            prefix: tokens that come before every tree; may be empty.
            trees: the rows; a state's place in a row is its token's index in the tree.
            aim: told before each pass which trees it reads and where in it their tokens stand, for hooks.
        """
        if not self.shares:
            for index, tree in enumerate(trees):
                yield [index], self._whole(prefix, tree, partial(_aim_at_one, aim, index))
            return
        encoded = Prefix(self.model, prefix)
        pending = list(batches([len(tree.tokens) for tree in trees], len(prefix), self.budget))[::-1]
        while pending:
            batch = pending.pop()
            lengths = [len(trees[index].tokens) for index in batch]
            aim(batch, [np.stack([np.full(length, row), np.arange(length)]) for row, length in enumerate(lengths)])
            try:
                states = encoded.read([trees[index] for index in batch])
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                half = len(batch) // 2
                pending += [batch[half:], batch[:half]]
                continue
            yield batch, states

    def _whole(self, prefix: Sequence[int], tree: Tree, aim: Callable[[Places], None]) -> Tensor:
        """Read the path to each leaf from the prefix's first token on; return (1, tokens, d) states of the tree."""
        leaves = sorted(set(range(len(tree.tokens))) - set(tree.parents))
        paths = [path_to(tree, leaf) for leaf in leaves]
        ids = torch.zeros(len(paths), len(prefix) + max(map(len, paths)), dtype=torch.long)
        attended = torch.zeros_like(ids)
        places: Places = np.empty((2, len(tree.tokens)), dtype=np.int64)
        for row, path in enumerate(paths):
            tokens = [*prefix, *(tree.tokens[node] for node in path)]
            ids[row, : len(tokens)] = torch.tensor(tokens)
            attended[row, : len(tokens)] = 1
            places[:, path] = np.stack([np.full(len(path), row), len(prefix) + np.arange(len(path))])
        aim(places)
        device = self.model.device
        out = self.model.backbone(input_ids=ids.to(device), attention_mask=attended.to(device)).last_hidden_state
        states: Tensor = out[places[0], places[1]]
        return states[None]


def _aim_at_one(aim: Callable[[list[int], list[Places]], None], index: int, places: Places) -> None:
    aim([index], [places])


def path_to(tree: Tree, node: int) -> list[int]:
    """Return the indices from the tree's first token to `node`."""
    path: list[int] = []
    while node >= 0:
        path.append(node)
        node = tree.parents[node]
    return path[::-1]


def _can_share(model: Model) -> bool:
    """Whether the layers keep keys and values, one a token, and a probe over a prefix agrees with one in one piece.

    Recurrent and hybrid models fail here, and those that take no explicit mask.
    """
    named = getattr(model.config, "layer_types", None) or getattr(model.config, "attention_layers", None)  # GPT-Neo
    kinds = set(named or ["full_attention"])
    shares = kinds <= ATTENTION and not getattr(model.network, "_is_stateful", False) and _probe(model)
    if not shares:
        say(f"{model.config.model_type}: its state cannot be shared between items; each is read from its first token")
    return shares


@torch.inference_mode()
def _probe(model: Model) -> bool:
    tokens = [(7 * i + 3) % min(model.config.vocab_size, 997) for i in range(24)]
    whole = model.backbone(input_ids=torch.tensor([tokens], device=model.device)).last_hidden_state[0, -1].float()
    forked = Tree((*tokens[16:20], 1, 2, *tokens[20:]), (-1, 0, 1, 2, 3, 4, 3, 6, 7, 8))
    try:
        shared = Prefix(model, tokens[:16]).read([forked, chain(tokens[16:20])])[0, 9].float()
    except (TypeError, ValueError, AttributeError, RuntimeError):
        return False  # an architecture with a signature or a cache of its own
    tolerance = 1e-3 if model.network.dtype == torch.float32 else 0.1
    return bool((whole - shared).norm() <= tolerance * whole.norm())

"""The shared prefix: encode once the tokens that many sequences begin with, and read the rest in batches over it.

Scoring and tracing both read with it. A row of a batch is a small tree: a chain of tokens (the body) from which the
inner tokens of the labels may branch. Every token sees the prefix, its ancestors and itself, so one pass reads all
labels of a row, and a filled cache is never extended. Rows are padded on the right. Positions count from the prefix, so
padding shifts none of them.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from spillover.errors import SpilloverError
from spillover.models.inference.masks import attention_masks
from spillover.models.inference.probe import can_share, ignores_padding
from spillover.models.inference.transfer import to_device
from spillover.models.inference.trees import Positions, Tree, height, path_to
from spillover.models.model import Model

BATCH_TOKENS = 16_384
"""Tokens that a batch may hold on a CPU, prefix included; larger ones are no faster. A GPU takes 32 times as many."""

MAX_PADDING = 64
"""Tokens of padding in a batch, at least. Starting another batch costs a CPU about as much as computing 64 tokens, so
more padding than that starts one. A GPU, which starts slower, may pad 1/256 of a batch."""

OnBatch = Callable[[list[int], list[Positions]], None]
"""Called before a pass with the indices of the trees that it reads, and with the positions of their tokens in it."""

KeyValues = tuple[Tensor, Tensor]
"""Keys and values of one layer (rows, heads, tokens, size of a head); the two sizes may differ."""

Batch = tuple[list[int], Tensor]
"""Indices of the trees that a pass read, and their hidden states (rows, width, d)."""


class _TransientLayer(DynamicLayer):  # type: ignore[misc] # transformers is untyped
    """A layer's keys and values for one pass. Those that the pass adds go to the attention and are not stored.

    No later pass needs them, and stored in all layers until the pass ends they would be most of a batch's memory.
    """

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Return the prefix's keys and values with the pass's own behind them."""
        return torch.cat([self.keys, key_states], dim=-2), torch.cat([self.values, value_states], dim=-2)


class _RecordedLayer(_TransientLayer):
    """A layer that also records what the pass adds, for rows that are continued afterwards."""

    added: KeyValues

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Record the pass's own keys and values; return them behind the prefix's."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.added = key_states, value_states
        return super().update(key_states, value_states)


class Prefix:
    """A prefix's keys and values in every layer, computed once."""

    def __init__(self, model: Model, tokens: Sequence[int], beyond: int | None = None) -> None:
        """Encode `tokens`; with none, rows are read without a prefix.

        Args:
            model: the model that reads them.
            tokens: token ids.
            beyond: position of an extra token in every pass, which no other token sees. A network that looks at the
                length of its input then takes it for a long one. None: no such token.
        """
        self._model, self._beyond = model, beyond
        self.length = len(tokens)
        self.layers: list[KeyValues] = []
        if tokens:
            cache = DynamicCache()  # without a configuration: no layer forgets what left its window
            inputs = {"input_ids": to_device(torch.tensor([tokens]), model.device)}
            if beyond is not None:
                inputs["input_ids"] = torch.nn.functional.pad(inputs["input_ids"], (0, 1))
                inputs["position_ids"] = to_device(torch.tensor([[*range(self.length), beyond]]), model.device)
            model.backbone(**inputs, past_key_values=cache, use_cache=True)
            length = self.length
            self.layers = [(layer.keys[..., :length, :], layer.values[..., :length, :]) for layer in cache.layers]

    def _cache(self, rows: int, kind: type[_TransientLayer]) -> DynamicCache:
        """Return new layers over the same tensors, which no pass changes."""
        cache = DynamicCache()
        cache.layer_class_to_replicate = kind  # without a prefix, a pass adds the layers itself
        for keys, values in self.layers:
            layer = kind()
            layer.lazy_initialization(keys, values)
            layer.keys, layer.values = keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1)
            cache.layers.append(layer)
        return cache

    def read(self, trees: Sequence[Tree]) -> Tensor:
        """Return the hidden states (rows, width, d) of one batch, right-padded to the longest of `trees` or more."""
        return self._pass(trees, self._cache(len(trees), _TransientLayer) if self.layers else None)

    def read_recorded(self, trees: Sequence[Tree]) -> tuple[Tensor, list[KeyValues]]:
        """Return what `read` does, and what the pass adds to every layer: keys and values of the trees' own tokens."""
        cache = self._cache(len(trees), _RecordedLayer)
        return self._pass(trees, cache), [layer.added for layer in cache.layers]

    def _pass(self, trees: Sequence[Tree], cache: DynamicCache | None) -> Tensor:
        model, beyond = self._model, self._beyond
        width = max(len(tree.tokens) for tree in trees) + (beyond is not None)
        ids = np.zeros((len(trees), width), dtype=np.int64)
        depth = np.zeros((len(trees), width), dtype=np.int64)
        sees = np.broadcast_to(np.eye(width, dtype=bool), (len(trees), width, width)).copy()
        for row, tree in enumerate(trees):
            ids[row, : len(tree.tokens)] = tree.tokens
            for index, parent in enumerate(tree.parents):
                if parent >= 0:
                    sees[row, index] |= sees[row, parent]
                    depth[row, index] = depth[row, parent] + 1
        if beyond is not None:
            depth[:, -1] = beyond - self.length
        tokens, positions, seen = (to_device(torch.from_numpy(part), model.device) for part in (ids, depth, sees))
        positions = positions + self.length
        out = model.backbone(
            input_ids=tokens,
            attention_mask=self.masks(seen, positions),
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        hidden: Tensor = out.last_hidden_state
        return hidden

    def masks(self, sees: Tensor, positions: Tensor) -> Tensor | dict[str, Tensor]:
        """Return the attention mask (rows, 1, width, prefix + width), or such a mask per kind of layer."""
        rows, width = positions.shape
        before = torch.arange(self.length, device=sees.device).expand(rows, -1)
        full = torch.cat([sees.new_ones(rows, width, self.length), sees], dim=2)
        return attention_masks(self._model, full, positions, torch.cat([before, positions], dim=1))


def batches(lengths: Sequence[int], prefix: int, budget: int) -> Iterator[list[int]]:
    """Split indices into batches of similar length, with (prefix + longest) × rows within the budget of tokens.

    A batch also ends where its padding would cost more than another batch. The longest sequences come first: if memory
    runs out, it does so at once.
    """
    allowed = max(MAX_PADDING, budget // 256)
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


class PrefixReader:
    """Reads trees over a shared prefix with one model; without sharing if the model's state does not allow it."""

    def __init__(self, model: Model) -> None:
        """Probe whether the model's state can be shared and, if not, whether padding changes its states.

        Raises:
            SpilloverError: the model cannot be scored (`dissect`).
        """
        self.model = model
        model.head  # noqa: B018 - a model that cannot be scored is refused before anything else is tried
        self.budget = BATCH_TOKENS * (32 if model.device.type == "cuda" else 1)
        self.shares = can_share(model, partial(Prefix, model))
        self.pads = self.shares or ignores_padding(model)

    @torch.inference_mode()
    def read(self, prefix: Sequence[int], trees: Sequence[Tree], on_batch: OnBatch | None = None) -> Iterator[Batch]:
        """Yield batches in the fastest order: indices into `trees`, and their hidden states (rows, width, d).

        Args:
            prefix: tokens that come before every tree; may be empty.
            trees: the rows. The place of a state in its row is the index of its token in the tree. One more token,
                which is not read, follows each tree.
            on_batch: for hooks; see `OnBatch`.

        Raises:
            SpilloverError: `on_batch` was passed for a model that reads every path of a tree in its own pass.
        """
        on_batch = on_batch or (lambda batch, places: None) if self.pads else _refuse_hooks(self.model, on_batch)
        limit = self.model.short_limit
        lengths = [len(prefix) + height(tree) + 1 for tree in trees] if limit else [0] * len(trees)
        for group in self.model.batchable(lengths):
            beyond = limit if limit and lengths[group[0]] > limit else None
            if self.shares:
                yield from self._shared(Prefix(self.model, prefix, beyond), trees, group, on_batch)
            else:
                for index in group:
                    yield [index], self._whole(prefix, trees[index], beyond, partial(_on_single, on_batch, index))

    def _shared(
        self, encoded: Prefix, trees: Sequence[Tree], group: Sequence[int], on_batch: OnBatch
    ) -> Iterator[Batch]:
        pending = list(batches([len(trees[index].tokens) for index in group], encoded.length, self.budget))[::-1]
        while pending:
            batch = pending.pop()
            chosen = [group[place] for place in batch]
            lengths = [len(trees[index].tokens) for index in chosen]
            places = [np.stack([np.full(length, row), np.arange(length)]) for row, length in enumerate(lengths)]
            on_batch(chosen, places)
            try:
                states = encoded.read([trees[index] for index in chosen])
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                half = len(batch) // 2
                pending += [batch[half:], batch[:half]]
                continue
            yield chosen, states

    def _whole(
        self, prefix: Sequence[int], tree: Tree, beyond: int | None, on_batch: Callable[[Positions], None]
    ) -> Tensor:
        """Read the path to each leaf from the prefix's first token on; return the tree's states (1, tokens, d)."""
        leaves = sorted(set(range(len(tree.tokens))) - set(tree.parents))
        paths = [path_to(tree, leaf) for leaf in leaves]
        width = max(len(prefix) + max(map(len, paths)), 0 if beyond is None else beyond + 1)
        ids = torch.zeros(len(paths), width, dtype=torch.long)
        attended = torch.zeros_like(ids)
        places: Positions = np.empty((2, len(tree.tokens)), dtype=np.int64)
        for row, path in enumerate(paths):
            tokens = [*prefix, *(tree.tokens[node] for node in path)]
            ids[row, : len(tokens)] = torch.tensor(tokens)
            attended[row, : len(tokens)] = 1
            places[:, path] = np.stack([np.full(len(path), row), len(prefix) + np.arange(len(path))])
        on_batch(places)
        states = self._padded(ids, attended) if self.pads else self._alone(ids, attended)
        return states[places[0], places[1]][None]

    def _padded(self, ids: Tensor, attended: Tensor) -> Tensor:
        device = self.model.device
        out = self.model.backbone(input_ids=to_device(ids, device), attention_mask=to_device(attended, device))
        states: Tensor = out.last_hidden_state
        return states

    def _alone(self, ids: Tensor, attended: Tensor) -> Tensor:
        """Read each row (width,) in its own pass, without its padding."""
        rows = [
            row[None, : int(length)].to(self.model.device) for row, length in zip(ids, attended.sum(1), strict=True)
        ]
        states = [self.model.backbone(input_ids=row).last_hidden_state[0] for row in rows]
        return torch.nn.utils.rnn.pad_sequence(states, batch_first=True)


def _on_single(on_batch: OnBatch, index: int, places: Positions) -> None:
    on_batch([index], [places])


def _refuse_hooks(model: Model, on_batch: OnBatch | None) -> OnBatch:
    if on_batch is not None:
        raise SpilloverError(
            f"{model.config.model_type}: padding changes what it reads, so its layers cannot be analyzed; "
            "choose another model"
        )
    return lambda batch, places: None

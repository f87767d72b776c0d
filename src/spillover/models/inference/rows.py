"""Rows of different lengths that are continued token by token over one prefix.

A row keeps the keys and values of its own tokens from its first place on. So every row has its own length and its own
positions, and nothing is padded. A row that leaves is replaced by the last one: what remains is a block of rows.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from spillover.models.inference.attention import PREFIX, over_shared_prefix
from spillover.models.inference.masks import attention_masks
from spillover.models.inference.prefix import KeyValues, Prefix, PrefixReader
from spillover.models.inference.probe import alike
from spillover.models.inference.transfer import to_device
from spillover.models.inference.trees import Tree, linear_tree
from spillover.models.model import Model
from spillover.models.network.head import probe_tokens
from spillover.models.network.precision import in_float32

GROWTH = 64
"""Tokens by which the rows' memory grows."""

MAX_ROWS = 64
"""Rows that a CPU continues at a time, at most. With more, a step takes longer by as much. A GPU takes 8 times more."""

MEMORY = 1 << 30
"""Bytes for the keys and values of the rows on a CPU."""

MEMORY_SHARE = 0.25
"""Share of a GPU's free memory for them."""


class _RowsLayer(DynamicLayer):  # type: ignore[misc] # transformers is untyped
    """One layer's keys and values of the rows' own tokens. A pass adds one token to each row, in its next place."""

    def __init__(self, prefix: KeyValues, added: KeyValues, capacity: int, split: bool) -> None:
        super().__init__()
        self.lazy_initialization(*added)
        self.keys, self.values = prefix  # whose length a network may ask for
        self.split = split
        self.states = [part.new_zeros(capacity, part.shape[1], 0, part.shape[3]) for part in added]
        self.slots = torch.empty(0, dtype=torch.long)
        self.length = 0

    def grow(self, length: int) -> None:
        """Make room for rows of `length` tokens. New places are zeros: a masked token must still be a number."""
        if length > self.states[0].shape[2]:
            more = length + GROWTH - self.states[0].shape[2]
            self.states = [torch.nn.functional.pad(part, (0, 0, 0, more)) for part in self.states]

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Store one token per row. Return the rows' keys and values, with the prefix's before them unless split."""
        rows = len(self.slots)
        everyone = torch.arange(rows, device=self.slots.device)
        for part, added in zip(self.states, (key_states, value_states), strict=True):
            part[everyone, :, self.slots] = added[:, :, 0]
        keys, values = (part[:rows, :, : self.length] for part in self.states)
        if self.split:
            setattr(keys, PREFIX, (self.keys, self.values))
            return keys, values
        before = [part.expand(rows, -1, -1, -1) for part in (self.keys, self.values)]
        return torch.cat([before[0], keys], dim=2), torch.cat([before[1], values], dim=2)


class Rows:
    """The rows: 0 to `size` - 1, each with a place for its next token."""

    def __init__(self, model: Model, prefix: Prefix, capacity: int, split: bool) -> None:
        """Begin without rows.

        Args:
            model: the model that continues them.
            prefix: what comes before every row.
            capacity: the most rows at a time.
            split: whether attention to the prefix is computed for all rows at once (`attention.attend`); else each
                row's attention gets its own copy of the prefix.
        """
        self._model, self._prefix, self._split = model, prefix, split
        self.capacity = capacity
        self._layers: list[_RowsLayer] = []
        self.lengths: list[int] = []

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.lengths)

    @property
    def free(self) -> int:
        """Number of rows that may still be added."""
        return self.capacity - self.size

    @property
    def bytes_per_token(self) -> int:
        """Bytes that one token of one row takes, in all layers."""
        return sum(
            part.shape[1] * part.shape[3] * part.element_size() for layer in self._layers for part in layer.states
        )

    def add(self, trees: Sequence[Tree], paths: Sequence[Sequence[Sequence[int]]]) -> Tensor:
        """Read trees over the prefix and add a row for each path in them.

        Args:
            trees: tokens after the prefix.
            paths: per tree, the indices of the tokens of each row, in order.

        Returns:
            (rows added, d): the hidden state of each row's last token.
        """
        hidden, added = self._prefix.read_recorded(trees)
        if not self._layers:
            before = self._prefix.layers or [(keys[:1, :, :0], values[:1, :, :0]) for keys, values in added]
            self._layers = [
                _RowsLayer(prefix, states, self.capacity, self._split)
                for prefix, states in zip(before, added, strict=True)
            ]
        ends = []
        for tree, of_tree in enumerate(paths):
            for path in of_tree:
                index = to_device(torch.tensor(path), hidden.device)
                for layer, states in zip(self._layers, added, strict=True):
                    layer.grow(len(path))
                    for memory, part in zip(layer.states, states, strict=True):
                        memory[self.size, :, : len(path)] = part[tree][:, index.to(part.device)]
                self.lengths.append(len(path))
                ends.append(hidden[tree, path[-1]])
        return torch.stack(ends)

    def remove(self, row: int) -> None:
        """Take a row out; the last row takes its number."""
        length = self.lengths.pop()
        if row < self.size:
            self.lengths[row] = length
            for layer in self._layers:
                for memory in layer.states:
                    memory[row, :, :length] = memory[self.size, :, :length]

    def step(self, tokens: Sequence[int]) -> Tensor:
        """Read the next token of each row; return the hidden states (rows, d)."""
        device, start = self._model.device, self._prefix.length
        slots, ids = to_device(torch.tensor([self.lengths, tokens]), device)
        shortest = start + min(self.lengths)
        self.lengths = [length + 1 for length in self.lengths]
        length = max(self.lengths)
        cache = DynamicCache()
        for layer in self._layers:
            layer.grow(length)
            layer.slots, layer.length = slots.to(layer.states[0].device), length
            cache.layers.append(layer)
        keys = torch.arange(start + length, device=device).expand(self.size, -1)
        positions = start + slots[:, None]
        full = (keys <= positions)[:, None]
        with over_shared_prefix(self._model.config) if self._split else nullcontext():
            out = self._model.backbone(
                input_ids=ids[:, None],
                attention_mask=attention_masks(self._model, full, positions, keys, first=shortest),
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            )
        hidden: Tensor = out.last_hidden_state[:, 0]
        return hidden


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows of a model are continued."""

    split: bool
    """Whether attention to the prefix is computed for all rows at once."""
    bytes_per_token: int
    """Bytes of one token's keys and values, in all layers."""

    def places(self, model: Model, length: int) -> int:
        """Return how many rows of `length` tokens are continued at a time."""
        cuda = model.device.type == "cuda"
        memory = MEMORY_SHARE * torch.cuda.mem_get_info(model.device)[0] if cuda else MEMORY
        fitting = int(memory) // max(1, self.bytes_per_token * length)
        return max(1, min(fitting, MAX_ROWS * (8 if cuda else 1)))


_LAYOUTS: WeakKeyDictionary[PrefixReader, Layout | None] = WeakKeyDictionary()


def rows_layout(reader: PrefixReader) -> Layout | None:
    """Return how a model's rows are continued, tried once per reader; None if its states cannot be shared."""
    if reader not in _LAYOUTS:
        tried = (_tried(reader.model, split) for split in (True, False) if reader.shares)
        _LAYOUTS[reader] = next((layout for layout in tried if layout is not None), None)
    return _LAYOUTS[reader]


@torch.inference_mode()
def _tried(model: Model, split: bool) -> Layout | None:
    """Continue two rows of different lengths. None if their states are not those of whole sequences."""
    tokens = probe_tokens(model.config, 24)
    try:
        with in_float32(model.network):
            whole = model.backbone(input_ids=torch.tensor([tokens], device=model.device)).last_hidden_state[0]
            rows = Rows(model, Prefix(model, tokens[:16]), 2, split)
            rows.add([linear_tree(tokens[16:22])], [[range(6), range(3)]])
            rows.step([tokens[22], tokens[19]])
            states = rows.step([tokens[23], tokens[20]])
    except Exception:  # an architecture with an attention of its own, whatever it raises
        return None
    return Layout(split, rows.bytes_per_token) if alike(states, whole[[23, 20]]) else None

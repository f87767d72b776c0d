"""Greedy decoding of many token sequences: shared beginnings are read once, and rows that ended make room.

`plan` finds what the sequences share. The rows over one prefix are continued together, each from its own length. A
model whose states cannot be shared is continued by transformers, in batches of equal length, so without padding.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

import torch
from torch import Tensor

from spillover.models.inference.plan import PlanRow, plan
from spillover.models.inference.prefix import Prefix, PrefixReader, batches
from spillover.models.inference.rows import Layout, Rows, rows_layout
from spillover.models.inference.token_choice import GREEDY, TokenChoice

PREFIX_COST = 32
"""What a prefix of its own costs per token to be written: so many tokens read alone take as long as one small step."""

REFILL = 4
"""Rows are added once one place in so many is free: a step takes about as long with a few rows less."""

WHOLE_ROWS = 16
"""Rows of a batch that transformers continues."""

Stopped = Callable[[int, Sequence[int]], bool]
"""The number of a sequence and the tokens written after it → whether it ends with the last of them."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written after a sequence."""

    tokens: tuple[int, ...]
    """Token ids, with those that ended it."""
    ended: bool
    """Whether it ended; else it reached the limit of tokens."""


@torch.inference_mode()
def write(
    reader: PrefixReader,
    sequences: Sequence[Sequence[int]],
    max_tokens: int,
    stopped: Stopped,
    advance: Callable[[int], None] = lambda sequences: None,
) -> list[Written]:
    """Return what greedy decoding writes after each sequence; equal sequences are written once.

    Args:
        reader: the model.
        sequences: token ids, at least one per sequence, in any order.
        max_tokens: the most tokens to write after each; at least 1.
        stopped: called once after every token of a sequence; of equal sequences, with the number of the first.
        advance: called with the number of sequences that just ended.
    """
    equals: dict[tuple[int, ...], list[int]] = {}
    for number, sequence in enumerate(sequences):
        equals.setdefault(tuple(sequence), []).append(number)
    different = {numbers[0]: sequence for sequence, numbers in equals.items()}
    answers: dict[int, Written] = {}
    for number, written in _written(reader, different, max_tokens, stopped):
        numbers = equals[different[number]]
        answers |= dict.fromkeys(numbers, written)
        advance(len(numbers))
    return [answers[number] for number in range(len(sequences))]


def _written(
    reader: PrefixReader, sequences: Mapping[int, tuple[int, ...]], max_tokens: int, stopped: Stopped
) -> Iterator[tuple[int, Written]]:
    """Yield each sequence's number and what was written, in the order in which they end."""
    layout, limit = rows_layout(reader), reader.model.short_limit
    over_prefix: list[int] = []
    whole: list[int] = []
    for number, sequence in sequences.items():
        # beyond the limit a network reads all its tokens again, in another way
        short = limit is None or len(sequence) + max_tokens <= limit
        (over_prefix if layout and short else whole).append(number)
    if layout and over_prefix:
        chosen = [sequences[number] for number in over_prefix]
        for group in plan(chosen, [len(sequence) - 1 for sequence in chosen], PREFIX_COST * max_tokens):
            numbers = [[over_prefix[index] for index in row.paths] for row in group.rows]
            decoder = _Decoder(reader, Prefix(reader.model, group.prefix), layout, max_tokens, stopped)
            yield from decoder.run(group.rows, numbers, sequences)
    for batch in _equally_long({number: len(sequences[number]) for number in whole}):
        yield from _by_transformers(reader, {number: sequences[number] for number in batch}, max_tokens, stopped)


@dataclass(slots=True)
class _Row:
    """A sequence that is being continued."""

    number: int
    start: int
    """Tokens that it began with."""
    tokens: list[int]
    """All its tokens."""


class _Decoder:
    """Continues the sequences over one prefix."""

    def __init__(self, reader: PrefixReader, prefix: Prefix, layout: Layout, max_tokens: int, stopped: Stopped) -> None:
        self._prefix, self._layout = prefix, layout
        self._budget, self._model = reader.budget, reader.model
        self._choose = TokenChoice(reader.model, max_tokens)
        self._max_tokens, self._stopped = max_tokens, stopped

    def run(
        self, waiting: Sequence[PlanRow], numbers: Sequence[Sequence[int]], sequences: Mapping[int, tuple[int, ...]]
    ) -> Iterator[tuple[int, Written]]:
        """Yield each sequence's number and what was written. New rows are read as others end, the longest first."""
        places = self._layout.places(self._model, max(len(row.tree.tokens) for row in waiting) + self._max_tokens)
        capacity = max(places, *(len(row.paths) for row in waiting))
        rows = Rows(self._model, self._prefix, capacity, self._layout.split)
        order = sorted(range(len(waiting)), key=lambda index: -len(waiting[index].tree.tokens))
        active: list[_Row] = []
        states: list[Tensor] = []
        while order or active:
            while batch := self._addition([waiting[index] for index in order], rows):
                added, order = order[:batch], order[batch:]
                states.append(
                    rows.add([waiting[i].tree for i in added], [list(waiting[i].paths.values()) for i in added])
                )
                active += [_Row(n, len(sequences[n]), list(sequences[n])) for i in added for n in numbers[i]]
            tokens = self._choose(torch.cat(states).float(), [r.start for r in active], [r.tokens for r in active])
            for row, token in zip(active, tokens, strict=True):
                row.tokens.append(token)
            yield from self._removed(active, rows)
            states = [rows.step([row.tokens[-1] for row in active])] if active else []

    def _addition(self, waiting: Sequence[PlanRow], rows: Rows) -> int:
        """Return how many of the waiting rows are read now: none before enough places are free."""
        if not waiting or (rows.size and REFILL * rows.free < rows.capacity):
            return 0
        lengths = [len(row.tree.tokens) for row in waiting]
        batch = next(batches(lengths, self._prefix.length, self._budget))
        ends = accumulate(len(row.paths) for row in waiting[: len(batch)])
        return sum(end <= rows.free for end in ends)

    def _removed(self, active: list[_Row], rows: Rows) -> Iterator[tuple[int, Written]]:
        """Take out the rows that ended or reached the limit. The last row takes the place of one that leaves."""
        for place in reversed(range(len(active))):
            row = active[place]
            tokens = row.tokens[row.start :]
            ended = self._stopped(row.number, tokens)
            if ended or len(tokens) == self._max_tokens:
                yield row.number, Written(tuple(tokens), ended)
                rows.remove(place)
                active[place] = active[-1]
                active.pop()


def _equally_long(lengths: Mapping[int, int]) -> Iterator[list[int]]:
    """Yield batches of sequences of one length, the longest first."""
    order = sorted(lengths, key=lambda number: -lengths[number])
    for _, group in groupby(order, lambda number: lengths[number]):
        numbers = list(group)
        yield from (numbers[start : start + WHOLE_ROWS] for start in range(0, len(numbers), WHOLE_ROWS))


def _by_transformers(
    reader: PrefixReader, batch: Mapping[int, tuple[int, ...]], max_tokens: int, stopped: Stopped
) -> Iterator[tuple[int, Written]]:
    """Continue sequences of one length with the network's own `generate`."""
    model, start = reader.model, len(next(iter(batch.values())))
    rows = [_Row(number, start, list(sequence)) for number, sequence in batch.items()]
    written: dict[int, Written] = {}

    def ended(ids: Tensor, scores: object, **options: object) -> Tensor:
        for row, sequence in zip(rows, ids[:, start:].tolist(), strict=True):
            if row.number not in written and stopped(row.number, sequence):
                written[row.number] = Written(tuple(sequence), True)
        return torch.tensor([row.number in written for row in rows], device=ids.device)

    ids = torch.tensor([row.tokens for row in rows], device=model.device)
    output = model.network.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=max_tokens,
        stopping_criteria=[ended],
        pad_token_id=0,  # written after a row's end, and never looked at
        tokenizer=model.tokenizer,  # for stop strings of the generation configuration
        **GREEDY,
    )
    for row, sequence in zip(rows, output[:, start:].tolist(), strict=True):
        yield row.number, written.get(row.number, Written(tuple(sequence), False))

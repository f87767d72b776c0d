"""Ask a model about many token sequences at once: what any of them share is found (`plan`) and read once.

Shots that all items of a cell begin with, a premise with three hypotheses, the labels of one item: the same thing here.
Knows no text, no task and no label.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from spillover.models.inference.plan import PlanGroup, PlanRow, plan
from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.unembed import POSITIONS, token_logprobs
from spillover.models.load import Model

SETUP = 512
"""Encoding one more prefix costs about as much as this part of a full batch, beside its tokens: one more call."""


@dataclass(frozen=True, slots=True)
class Query:
    """A sequence, and what is asked about it."""

    tokens: tuple[int, ...]
    """Token ids that are read; at least one."""
    wanted: tuple[tuple[int, int], ...]
    """Index of a token and the id of one that may follow it, the smallest index first; may be none."""

    @property
    def first(self) -> int:
        """Index of the first token whose state is wanted."""
        return self.wanted[0][0] if self.wanted else len(self.tokens) - 1


Answer = list[tuple[float, bool]]
"""For each of `Query.wanted` log p(token | all before it), in nats, at most 0; and whether no token is likelier."""


def answer_queries(
    reader: PrefixReader, queries: Sequence[Query], advance: Callable[[Sequence[int]], None] = lambda numbers: None
) -> list[Answer]:
    """Return the answer to each query, in the order given.

    Args:
        reader: the model.
        queries: in any order; what any two of them share is read once, wherever they stand.
        advance: told, as they are read, the indices of those that were.
    """
    found = _Collector(reader.model, [[] for _ in queries])
    for group in plan_queries(reader, queries):
        for batch, hidden in reader.read(group.prefix, [row.tree for row in group.rows]):
            for place, row in enumerate(group.rows[index] for index in batch):
                wanted = {}
                for number, path in row.paths.items():
                    wanted[number] = [(path[at - len(group.prefix)], token) for at, token in queries[number].wanted]
                found.add(hidden[place], wanted)
                advance(list(row.paths))
    found.settle()
    return found.answers


def plan_queries(reader: PrefixReader, queries: Sequence[Query]) -> list[PlanGroup]:
    """Return how queries are read: prefixes, and rows over them."""
    groups: list[PlanGroup] = []
    for side in reader.model.sides([len(query.tokens) + 1 for query in queries]):
        chosen = [queries[index] for index in side]
        for group in plan([q.tokens for q in chosen], [q.first for q in chosen], reader.budget // SETUP):
            rows = (PlanRow(row.tree, {side[number]: path for number, path in row.paths.items()}) for row in group.rows)
            groups.append(PlanGroup(group.prefix, tuple(rows)))
    return groups


@dataclass(slots=True)
class _Collector:
    """Collects states until they fill a block of the unembedding: one by one they would cost as much as a block."""

    model: Model
    answers: list[Answer]
    states: list[Tensor] = field(default_factory=list)
    wanted: list[tuple[int, int]] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    held: int = 0

    def add(self, hidden: Tensor, wanted: Mapping[int, Sequence[tuple[int, int]]]) -> None:
        """Take a row's (width, d) states and, for each query, the nodes to read and the tokens that may follow."""
        nodes = sorted({node for asked in wanted.values() for node, _ in asked})
        place = {node: self.held + offset for offset, node in enumerate(nodes)}
        self.states.append(hidden[nodes].float())
        for number, asked in wanted.items():
            self.wanted += [(place[node], token) for node, token in asked]
            self.owners += [number] * len(asked)
        self.held += len(nodes)
        if self.held >= POSITIONS:
            self.settle()

    def settle(self) -> None:
        """Answer what is held."""
        if not self.owners:
            return
        log_p, likeliest = token_logprobs(self.model, torch.cat(self.states), self.wanted)
        for number, answer in zip(self.owners, zip(log_p.tolist(), likeliest.tolist(), strict=True), strict=True):
            self.answers[number].append(answer)
        self.states, self.wanted, self.owners, self.held = [], [], [], 0

"""Ask a model about many token sequences at once: `plan` finds what any of them share, and it is read once.

Exemplars before every item of a cell, a premise with three hypotheses, the labels of one item: here, all of them are
queries that begin alike.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from spillover.models.inference.plan import PlanGroup, PlanRow, plan
from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.transfer import to_device
from spillover.models.inference.unembed import POSITION_BLOCK, token_logprobs
from spillover.models.model import Model

PREFIXES_PER_BATCH = 512
"""The fixed cost of one more prefix, an extra forward call, is 1/512 of the cost of a full batch."""


@dataclass(frozen=True, slots=True)
class Query:
    """A sequence, and the tokens whose log-probabilities are asked for."""

    tokens: tuple[int, ...]
    """Token ids that are read; at least one."""
    targets: tuple[tuple[int, int], ...]
    """Index of a token, and the id of a token that may follow it; the smallest index first; may be none."""

    @property
    def first(self) -> int:
        """Index of the first token whose hidden state is needed."""
        return self.targets[0][0] if self.targets else len(self.tokens) - 1


Answer = list[tuple[float, bool]]
"""Per target of a query, log p(token | all before it), in nats, at most 0; and whether no other token is likelier."""


def answer_queries(
    reader: PrefixReader, queries: Sequence[Query], advance: Callable[[Sequence[int]], None] = lambda numbers: None
) -> list[Answer]:
    """Return the answer to each query, in the same order.

    Args:
        reader: the model.
        queries: in any order; what any two of them share is read once.
        advance: called with the indices of the queries that were just read.
    """
    collector = _Collector(reader.model, [[] for _ in queries])
    for group in plan_queries(reader, queries):
        for batch, hidden in reader.read(group.prefix, [row.tree for row in group.rows]):
            rows = [group.rows[index] for index in batch]
            collector.add(hidden, [_targets(row, queries, len(group.prefix)) for row in rows])
            advance([number for row in rows for number in row.paths])
    collector.flush()
    return collector.answers


def _targets(row: PlanRow, queries: Sequence[Query], prefix: int) -> dict[int, list[tuple[int, int]]]:
    """Return per query of a row the places of its targets in the row, and the tokens that may follow them."""
    return {
        number: [(path[at - prefix], token) for at, token in queries[number].targets]
        for number, path in row.paths.items()
    }


def plan_queries(reader: PrefixReader, queries: Sequence[Query]) -> list[PlanGroup]:
    """Return how queries are read: prefixes, and rows over them."""
    groups: list[PlanGroup] = []
    for indices in reader.model.batchable([len(query.tokens) + 1 for query in queries]):
        chosen = [queries[index] for index in indices]
        for group in plan([q.tokens for q in chosen], [q.first for q in chosen], reader.budget // PREFIXES_PER_BATCH):
            rows = (
                PlanRow(row.tree, {indices[number]: path for number, path in row.paths.items()}) for row in group.rows
            )
            groups.append(PlanGroup(group.prefix, tuple(rows)))
    return groups


@dataclass(slots=True)
class _Collector:
    """Collects states until they fill a block of the unembedding; unembedding one state costs as much as a block."""

    model: Model
    answers: list[Answer]
    states: list[Tensor] = field(default_factory=list)
    targets: list[tuple[int, int]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    """The query of each target."""
    size: int = 0
    """States that are collected."""

    def add(self, hidden: Tensor, rows: Sequence[Mapping[int, Sequence[tuple[int, int]]]]) -> None:
        """Take a batch's states (rows, width, d) and, per row and query, the nodes to read and what may follow them."""
        chosen: list[int] = []
        for row, targets in enumerate(rows):
            nodes = sorted({node for steps in targets.values() for node, _ in steps})
            place = {node: self.size + len(chosen) + offset for offset, node in enumerate(nodes)}
            chosen += [row * hidden.shape[1] + node for node in nodes]
            for number, steps in targets.items():
                self.targets += [(place[node], token) for node, token in steps]
                self.numbers += [number] * len(steps)
        index = to_device(torch.tensor(chosen, dtype=torch.long), hidden.device)
        self.states.append(hidden.flatten(0, 1)[index].float())
        self.size += len(chosen)
        if self.size >= POSITION_BLOCK:
            self.flush()

    def flush(self) -> None:
        """Answer the targets that were collected."""
        if not self.numbers:
            return
        log_p, likeliest = token_logprobs(self.model, torch.cat(self.states), self.targets)
        for number, answer in zip(self.numbers, zip(log_p.tolist(), likeliest.tolist(), strict=True), strict=True):
            self.answers[number].append(answer)
        self.states, self.targets, self.numbers, self.size = [], [], [], 0

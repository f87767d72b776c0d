"""What many token sequences share, whoever asked: which prefixes to encode once, and which rows to read over each.

The sequences form a trie. A row is a subtree of it, read in one pass; a cut is a place whose path is encoded once for
all rows below it. `plan` takes the cheapest cuts under a small model of cost. Knows token ids and no model: the shots
of a benchmark, a passage asked about twice and the answers to one question are all the same thing here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

from spillover.models.inference.trees import Tree, common_prefix

CONTEXT = 1000
"""A token with this many tokens in view costs twice what it costs alone: an order of magnitude, for any model."""

LEVELS = 100
"""Branchings on one path beyond which nothing more is joined: only texts that grow word by word have as many."""


@dataclass(frozen=True, slots=True)
class PlanRow:
    """Sequences that are read in one pass."""

    tree: Tree
    """What they have beyond the group's prefix."""
    paths: dict[int, tuple[int, ...]]
    """Index of a sequence → the places in the tree of its tokens beyond the prefix."""


@dataclass(frozen=True, slots=True)
class PlanGroup:
    """Rows over one prefix."""

    prefix: tuple[int, ...]
    """Tokens that are encoded once; may be none."""
    rows: tuple[PlanRow, ...]
    """What is read over them."""


@dataclass(frozen=True, eq=False, slots=True)
class _Node:
    """A place in the trie where sequences part or end."""

    low: int
    """Where its sequences begin in the sorted order."""
    high: int
    """Where they end."""
    depth: int
    """Tokens from the beginning to here: what all its sequences share."""
    limit: int
    """The most tokens that a prefix of all its sequences may have."""
    size: int
    """Tokens of the subtree, those that lead here from the parent included."""
    children: "tuple[_Node, ...]"
    """Where its sequences go on; one that ends here has a child without tokens, unless all do."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """The cheapest way to read a subtree."""

    cost: float
    """In tokens read alone."""
    parts: "tuple[_Plan | _Cut, ...]"
    """What it consists of."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """One row: a subtree over a prefix of so many tokens."""

    prefix: int
    node: _Node


def plan(sequences: Sequence[Sequence[int]], limits: Sequence[int], setup: int) -> list[PlanGroup]:
    """Return groups that read every sequence once.

    Args:
        sequences: token ids, each at least one; any order, repeats welcome.
        limits: for each sequence how many of its first tokens may be in a prefix: the states of the rest are wanted.
        setup: what encoding one more prefix costs beside its tokens, in tokens.
    """
    if not sequences:
        return []
    order = sorted(range(len(sequences)), key=lambda index: tuple(sequences[index]))
    texts = [tuple(sequences[index]) for index in order]
    root = _trie(texts, [limits[index] for index in order], 0, len(order), 0, 0)
    rows: dict[tuple[int, ...], list[PlanRow]] = {}
    for cut in _cuts(_cheapest(root, setup)):
        node = cut.node
        row = _row(texts[node.low : node.high], order[node.low : node.high], cut.prefix)
        rows.setdefault(texts[node.low][: cut.prefix], []).append(row)
    return [PlanGroup(prefix, tuple(found)) for prefix, found in rows.items()]


def _trie(
    texts: Sequence[tuple[int, ...]], limits: Sequence[int], low: int, high: int, above: int, level: int
) -> _Node:
    """Return the node of the sorted sequences from `low` to `high`, whose parent stands at depth `above`."""
    depth = above + common_prefix([texts[low][above:], texts[high - 1][above:]])
    children: tuple[_Node, ...] = ()
    if len(texts[high - 1]) > depth:
        starts = list(range(low, high))
        if level < LEVELS:
            starts = [next(members) for _, members in groupby(starts, lambda i: texts[i][depth : depth + 1])]
        ends = [*starts[1:], high]
        children = tuple(_trie(texts, limits, a, b, depth, level + 1) for a, b in zip(starts, ends, strict=True))
    size = depth - above + sum(child.size for child in children)
    return _Node(low, high, depth, min(limits[low:high]), size, children)


def _cheapest(root: _Node, setup: int) -> _Plan:
    """Weigh, at every node, one row against several and against a prefix of its own."""

    def cost(tokens: int, prefix: int) -> float:
        return tokens * (1 + (prefix + tokens) / CONTEXT)

    @cache
    def over(node: _Node, above: int, prefix: int) -> _Plan:
        """Read a subtree whose parent stands at depth `above` over a prefix of `prefix` tokens."""
        whole = cost(above - prefix + node.size, prefix)
        ways = [_Plan(whole, (_Cut(prefix, node),))]
        for deeper in {prefix, min(node.depth, node.limit)} if node.children else ():
            if deeper >= prefix:
                encode = setup + cost(deeper, 0) if deeper > prefix else 0
                parts = tuple(over(child, node.depth, deeper) for child in node.children)
                ways.append(_Plan(encode + sum(part.cost for part in parts), parts))
        return min(ways, key=lambda way: way.cost)

    return over(root, 0, 0)


def _cuts(found: _Plan) -> Iterator[_Cut]:
    for part in found.parts:
        if isinstance(part, _Cut):
            yield part
        else:
            yield from _cuts(part)


def _row(texts: Sequence[tuple[int, ...]], indices: Sequence[int], prefix: int) -> PlanRow:
    """Join sorted sequences into one tree of what they have beyond the prefix."""
    tokens: list[int] = []
    parents: list[int] = []
    path: tuple[int, ...] = ()
    paths: dict[int, tuple[int, ...]] = {}
    previous: tuple[int, ...] = ()
    for text, index in zip(texts, indices, strict=True):
        shared = max(0, common_prefix([previous, text]) - prefix)
        fresh = range(len(tokens), len(tokens) + len(text) - prefix - shared)
        path = (*path[:shared], *fresh)
        tokens += text[prefix + shared :]
        parents += [path[shared + offset - 1] if shared + offset else -1 for offset in range(len(fresh))]
        paths[index], previous = path, text
    return PlanRow(Tree(tuple(tokens), tuple(parents)), paths)

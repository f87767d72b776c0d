"""Plan how to read many token sequences: which prefixes to encode once, and which rows to read over each.

The sequences form a trie. A row is a subtree of it, read in one pass. A cut is a place in the trie: its path is encoded
once for all rows below it. `plan` takes the cheapest cuts under a small model of cost. It sees token ids alone: the
shots of a benchmark, a passage with two questions and the answers to one question are all shared in the same way.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

from spillover.models.inference.trees import Tree, common_prefix

DOUBLE_COST_AT = 1000
"""Tokens in view with which a token costs twice as much as alone; a rough value, used for every model."""

MAX_BRANCHINGS = 100
"""Branchings on one path after which nothing more is joined. Only texts that grow word by word have as many."""


@dataclass(frozen=True, slots=True)
class PlanRow:
    """Sequences that are read in one pass."""

    tree: Tree
    """Their tokens after the group's prefix."""
    paths: dict[int, tuple[int, ...]]
    """Index of a sequence → the places in the tree of its tokens after the prefix."""


@dataclass(frozen=True, slots=True)
class PlanGroup:
    """Rows over one prefix."""

    prefix: tuple[int, ...]
    """Tokens that are encoded once; may be none."""
    rows: tuple[PlanRow, ...]
    """The rows that are read over them."""


@dataclass(frozen=True, eq=False, slots=True)
class _Node:
    """A place in the trie where sequences branch or end."""

    low: int
    """Where its sequences begin in the sorted order."""
    high: int
    """Where they end."""
    depth: int
    """Tokens from the beginning to here, which all its sequences share."""
    limit: int
    """The most tokens that a prefix of all its sequences may have."""
    size: int
    """Tokens of the subtree, including those between the parent and this node."""
    children: "tuple[_Node, ...]"
    """Where its sequences continue. A sequence that ends here has a child without tokens, unless all end here."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """The cheapest way to read a subtree."""

    cost: float
    """Expressed as a number of tokens that are read alone."""
    parts: "tuple[_Plan | _Cut, ...]"
    """Plans of subtrees, and rows."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """One row: a subtree over a prefix."""

    prefix: int
    """Tokens of the prefix."""
    node: _Node
    """The subtree's root."""


def plan(sequences: Sequence[Sequence[int]], limits: Sequence[int], setup: int) -> list[PlanGroup]:
    """Return groups that read every sequence once.

    Args:
        sequences: token ids, at least one per sequence; in any order, repeats allowed.
        limits: per sequence, the longest allowed prefix; hidden states are needed for all later tokens.
        setup: fixed cost of one more prefix, in tokens, beside the cost of its tokens.
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
    return [PlanGroup(prefix, tuple(over_prefix)) for prefix, over_prefix in rows.items()]


def _trie(
    texts: Sequence[tuple[int, ...]], limits: Sequence[int], low: int, high: int, above: int, level: int
) -> _Node:
    """Return the node of the sorted sequences from `low` to `high`, whose parent is at depth `above`."""
    depth = above + common_prefix([texts[low][above:], texts[high - 1][above:]])
    children: tuple[_Node, ...] = ()
    if len(texts[high - 1]) > depth:
        starts = list(range(low, high))
        if level < MAX_BRANCHINGS:
            starts = [next(members) for _, members in groupby(starts, lambda i: texts[i][depth : depth + 1])]
        ends = [*starts[1:], high]
        children = tuple(_trie(texts, limits, a, b, depth, level + 1) for a, b in zip(starts, ends, strict=True))
    size = depth - above + sum(child.size for child in children)
    return _Node(low, high, depth, min(limits[low:high]), size, children)


def _cheapest(root: _Node, setup: int) -> _Plan:
    """Choose, at every node, the cheapest of one row, several rows, and several rows over a longer prefix."""

    def cost(tokens: int, prefix: int) -> float:
        return tokens * (1 + (prefix + tokens) / DOUBLE_COST_AT)

    @cache
    def over(node: _Node, above: int, prefix: int) -> _Plan:
        """Read a subtree, whose parent is at depth `above`, over a prefix of `prefix` tokens."""
        whole = cost(above - prefix + node.size, prefix)
        ways = [_Plan(whole, (_Cut(prefix, node),))]
        for deeper in {prefix, min(node.depth, node.limit)} if node.children else ():
            if deeper >= prefix:
                encode = setup + cost(deeper, 0) if deeper > prefix else 0
                parts = tuple(over(child, node.depth, deeper) for child in node.children)
                ways.append(_Plan(encode + sum(part.cost for part in parts), parts))
        return min(ways, key=lambda way: way.cost)

    return over(root, 0, 0)


def _cuts(cheapest: _Plan) -> Iterator[_Cut]:
    for part in cheapest.parts:
        if isinstance(part, _Cut):
            yield part
        else:
            yield from _cuts(part)


def _row(texts: Sequence[tuple[int, ...]], indices: Sequence[int], prefix: int) -> PlanRow:
    """Join sorted sequences into one tree of their tokens after the prefix."""
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

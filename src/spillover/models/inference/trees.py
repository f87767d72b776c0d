"""A row of a batch as a small tree: a chain of tokens (the body), and the labels' inner tokens that branch from it."""

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress, count
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Tree:
    """One row of a batch: tokens that follow the prefix."""

    tokens: tuple[int, ...]
    """Token ids; each token comes after its parent."""
    parents: tuple[int, ...]
    """Per token, the index of the token that it follows; -1 for the first, which follows the prefix."""


Positions = np.ndarray[Any, np.dtype[np.int64]]
"""(2, tokens): the row and the column at which a pass computes each token of a tree."""


def linear_tree(tokens: Sequence[int]) -> Tree:
    """Return the tree that is a plain sequence."""
    return Tree(tuple(tokens), tuple(range(-1, len(tokens) - 1)))


def common_prefix(sequences: Iterable[Sequence[int]]) -> int:
    """Return the length of the longest common prefix. The smallest and the largest sequence are the first to differ."""
    tuples = [tuple(sequence) for sequence in sequences]
    low, high = min(tuples), max(tuples)
    differs = map(operator.ne, low, high)
    return next(compress(count(), differs), min(len(low), len(high)))


def height(tree: Tree) -> int:
    """Return the number of tokens on the tree's longest path."""
    depths: list[int] = []
    for parent in tree.parents:
        depths.append(depths[parent] + 1 if parent >= 0 else 1)
    return max(depths)


def path_to(tree: Tree, node: int) -> list[int]:
    """Return the indices from the tree's first token to `node`."""
    path: list[int] = []
    while node >= 0:
        path.append(node)
        node = tree.parents[node]
    return path[::-1]

"""How prompts are read when their states are recorded: what bodies share is read once, as it is for scoring.

A row is a tree: the bodies of one or more items, then the inner tokens of each item's answers. An item's body may be a
part of another one's, such as a premise with several hypotheses.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from spillover.models.inference.encode import Edge, Encoded, Path, label_tree
from spillover.models.inference.plan import plan
from spillover.models.inference.prefix import PrefixReader
from spillover.models.inference.queries import PREFIXES_PER_BATCH
from spillover.models.inference.trees import Tree


@dataclass(frozen=True, slots=True)
class ItemPlaces:
    """Where one item's tokens are in its row."""

    body: tuple[int, ...]
    """Of the item's own tokens, exemplars excluded; at least one."""
    paths: tuple[Path, ...]
    """Per choice, the steps through it."""

    @property
    def nodes(self) -> list[int]:
        """The tokens whose states predict a step: the last one of the body, then those inside answers."""
        return sorted({edge.node for path in self.paths for edge in path})


@dataclass(frozen=True, slots=True)
class TracedRow:
    """A row, and the items in it."""

    tree: Tree
    """The tokens after the group's prefix."""
    items: dict[int, ItemPlaces]
    """Number of an item → its places."""


@dataclass(frozen=True, slots=True)
class TracedGroup:
    """Rows over one prefix."""

    prefix: tuple[int, ...]
    """Tokens that are read once for all rows, none of them in any item's body."""
    rows: tuple[TracedRow, ...]
    """The rows."""


def plan_rows(reader: PrefixReader, encoded: Sequence[Encoded], starts: Sequence[int]) -> Iterator[TracedGroup]:
    """Yield rows that hold every item once.

    Args:
        reader: the model.
        encoded: the items.
        starts: per item, the index of its body's first token; at most its boundary − 1.
    """
    bodies = [item.choices[0][: item.boundary] for item in encoded]
    for indices in reader.model.batchable([item.length for item in encoded]):
        planned = plan([bodies[i] for i in indices], [starts[i] for i in indices], reader.budget // PREFIXES_PER_BATCH)
        for group in planned:
            before = len(group.prefix)
            rows = (
                _with_answers(row.tree, {indices[n]: path for n, path in row.paths.items()}, encoded, starts, before)
                for row in group.rows
            )
            yield TracedGroup(group.prefix, tuple(rows))


def _with_answers(
    bodies: Tree, places: dict[int, tuple[int, ...]], encoded: Sequence[Encoded], starts: Sequence[int], prefix: int
) -> TracedRow:
    """Let the inner tokens of each item's answers branch from the end of its body."""
    tokens, parents, items = list(bodies.tokens), list(bodies.parents), {}
    for number, path in places.items():
        label = label_tree(encoded[number], prefix)
        inner = range(len(tokens), len(tokens) + len(label.tree.tokens) - len(path))
        place = (*path, *inner)
        tokens += label.tree.tokens[len(path) :]
        parents += [place[parent] for parent in label.tree.parents[len(path) :]]
        paths = tuple(tuple(Edge(place[edge.node], edge.token) for edge in steps) for steps in label.paths)
        items[number] = ItemPlaces(path[starts[number] - prefix :], paths)
    return TracedRow(Tree(tuple(tokens), tuple(parents)), items)

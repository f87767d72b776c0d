"""Clusters: items that are not independent, such as the three hypotheses that SNLI and XNLI ask of one premise."""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence

from spillover.records import Item

Clusters = Mapping[str, str]
"""An item's id → the first id of its cluster. Items without a cluster are not in it."""


def shared_contexts(rows: Sequence[Item]) -> list[list[int]]:
    """Return the places of the items of each cluster of two or more.

    They are of one named cluster or, where none is named, have all of their text but the last field in common.
    """
    members: dict[Hashable, list[int]] = defaultdict(list)
    for place, item in enumerate(rows):
        members[item.cluster or item.fields[:-1]].append(place)
    return [places for shared, places in members.items() if shared and len(places) > 1]


def clusters_of(rows: Sequence[Item]) -> Clusters:
    """Return the clusters of a task's items; `rows` are those of one language, since ids are the same in all."""
    return {rows[place].id: rows[places[0]].id for places in shared_contexts(rows) for place in places}

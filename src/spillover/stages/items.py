"""The items of an evaluation: subsets with balanced labels, clusters, the same ids in every language."""

from collections import Counter
from collections.abc import Mapping, Sequence

from spillover.analysis.statistics.clusters import Clusters, clusters_of
from spillover.errors import SpilloverError
from spillover.languages import ENGLISH
from spillover.records import Item, MachineTranslated
from spillover.tasks import ChoiceTask, GenerationTask, open_task

Items = dict[tuple[str, str], list[Item]]
"""(task as the experiment names it, language) → items."""


def subsets(items: Items, limit: int) -> Items:
    """Return the first `limit` items of each cell, balanced over labels; no cell for 0."""
    return {key: balanced_subset(rows, limit) for key, rows in items.items()} if limit else {}


def with_choices(items: Items) -> Items:
    """Return the items whose choices are scored."""
    return {key: rows for key, rows in items.items() if isinstance(open_task(key[0]), ChoiceTask)}


def answered_in_words(items: Items) -> Items:
    """Return the items whose answers the model writes."""
    return {key: rows for key, rows in items.items() if isinstance(open_task(key[0]), GenerationTask)}


def machine_translated(items: Mapping[tuple[str, str], Sequence[Item]]) -> tuple[MachineTranslated, ...]:
    """Return the machine-translated test sets: one per task, language and translator."""
    sets = (MachineTranslated(item.task, item.language, item.translator) for rows in items.values() for item in rows)
    return tuple(dict.fromkeys(test_set for test_set in sets if test_set.translator))


def clusters(items: Mapping[tuple[str, str], Sequence[Item]]) -> dict[str, Clusters]:
    """Return task → the clusters of its items.

    An item's cluster is found in English if it is there, else in the first language that has it.
    """
    rows: dict[str, dict[str, Item]] = {}
    for (name, _), items_in in sorted(items.items(), key=lambda cell: cell[0][1] != ENGLISH):
        of_task = rows.setdefault(open_task(name).name, {})
        for item in items_in:
            of_task.setdefault(item.id, item)
    return {task: clusters_of(list(of_task.values())) for task, of_task in rows.items()}


def balanced_subset(rows: Sequence[Item], limit: int) -> list[Item]:
    """Return the first `limit` items with labels as balanced as possible, in their order; all of them for 0."""
    seen: Counter[int] = Counter()
    ranks = []
    for place, item in enumerate(rows):
        ranks.append((seen[item.gold], place))
        seen[item.gold] += 1
    return [rows[place] for place in sorted(place for _, place in sorted(ranks)[: limit or None])]


def same_items(rows: Sequence[Item], reference: Sequence[Item], ids: Sequence[str], where: str) -> list[Item]:
    """Return the items with these ids, in their order; refuse a language whose ids are not the reference's."""
    by_id, expected = {item.id: item for item in rows}, {item.id for item in reference}
    differing = sorted(expected.symmetric_difference(by_id))
    if differing:
        here, there = rows[0].language, reference[0].language
        has, lacks = (here, there) if differing[0] in by_id else (there, here)
        raise SpilloverError(
            f"{where}: task {rows[0].task!r}: {has} has an item {differing[0]!r} that {lacks} lacks "
            f"({len(differing)} ids differ), expected the same ids in every language; "
            "missing = 'leave-out' beside the source leaves such items out in all"
        )
    return [by_id[id] for id in ids]

"""Labels and ids across languages: words outside the task, swaps, ceilings, imbalance, ids that differ.

The languages are each other's witnesses: the same id is the same item, so what most of them say of it is taken to be
right. Pure: readings in, defects out.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from spillover.lint.reading import RawItem, RawItems
from spillover.records import Defect
from spillover.tasks import Task
from spillover.utils.text import normal

CONSISTENT = 0.9
"""Share of a label's items that must carry one and the same other label for the two to count as exchanged."""

MIN_ITEMS = 20
"""Items from which shares are worth a word."""

IMBALANCE_FACTOR = 1.5
"""A label is too frequent from this many times its even share."""

Readings = Mapping[str, RawItems]
"""Language code → its items, the reference first."""


def agreed(readings: Readings) -> dict[str, int]:
    """Return id → the label that most languages give it; where as many give another, that of the first of them."""
    votes: dict[str, Counter[int]] = {}
    for reading in readings.values():
        for entry in reading.entries:
            if entry.gold is not None:
                votes.setdefault(entry.id, Counter())[entry.gold] += 1
    return {id: counted.most_common(1)[0][0] for id, counted in votes.items()}


def ceiling(entries: Sequence[RawItem], right: Mapping[str, int]) -> float:
    """Return the accuracy in percent that a perfect model would be given on these items.

    It answers what is right, and counts as right where the file says the same; of items that read the same, or whose
    fields all read the same, it can tell none from the other and answers what most of them are.
    """
    counts: dict[tuple[str, ...], Counter[int]] = {}
    for entry in entries:
        fields = tuple(map(normal, entry.fields))
        key = () if len(set(fields)) < len(fields) else fields
        counts.setdefault(key, Counter())[right.get(entry.id, -1)] += right.get(entry.id, -1) == entry.gold
    return round(100 * sum(max(counted.values()) for counted in counts.values()) / len(entries), 1)


def unknown_words(reading: RawItems, right: Mapping[str, int], task: Task) -> Iterator[Defect]:
    """Yield each word that is none of the task's, with what the other languages say of its items."""
    by_word: dict[str, list[RawItem]] = {}
    for entry in reading.entries:
        if entry.gold is None:
            by_word.setdefault(entry.refusal, []).append(entry)
    for refusal, entries in by_word.items():
        elsewhere = Counter(task.labels[right[entry.id]] for entry in entries if entry.id in right)
        names = " or ".join(repr(name) for name, _ in elsewhere.most_common())
        other = f", in the other languages {names}" if names else ""
        bound = ceiling(reading.entries, right)
        message = f"{refusal}; {len(entries)} of {len(reading.entries)} items are labeled so{other}: {_at_most(bound)}"
        yield Defect("error", "label", message, entries[0].place, reading.language, bound)


def disagreements(reading: RawItems, right: Mapping[str, int], task: Task) -> Iterator[Defect]:
    """Yield labels that are exchanged against the other languages, and those that differ without a pattern."""
    known = [(entry, right[entry.id], entry.gold) for entry in reading.entries if entry.gold is not None]
    table: dict[int, Counter[int]] = {}
    for _, other, own in known:
        table.setdefault(other, Counter())[own] += 1
    moved = swapped_labels(table)
    bound = ceiling(reading.entries, right)
    wrong = [entry for entry, other, own in known if own == moved.get(other)]
    if wrong:
        count = f"{len(wrong)} of {len(reading.entries)} items"
        message = f"{_exchange(moved, task)} against the other languages in {count}: {_at_most(bound)}"
        yield Defect("error", "swap", message, wrong[0].place, reading.language, bound)
    others = [row for row in known if row[2] != moved.get(row[1], row[1])]
    if others:
        entry, other, own = others[0]
        message = (
            f"{len(others)} of {len(reading.entries)} labels differ from the same item's in other languages (first: "
            f"item {entry.id!r} is {task.labels[own]!r} here and {task.labels[other]!r} there): {_at_most(bound)}"
        )
        yield Defect("error", "disagreement", message, entry.place, reading.language, bound)


def swapped_labels(table: Mapping[int, Counter[int]]) -> dict[int, int]:
    """Return right label → the one that stands for it, where labels consistently stand for each other; else nothing.

    table: right label → how often each label stands there.
    """
    usual = {right: counted.most_common(1)[0] for right, counted in table.items()}
    moved = {
        right: own
        for right, (own, count) in usual.items()
        if own != right and count >= CONSISTENT * table[right].total()
    }
    return moved if set(moved) == set(moved.values()) else {}


def _exchange(moved: Mapping[int, int], task: Task) -> str:
    if len(moved) == 2:
        return f"{' and '.join(repr(task.labels[label]) for label in sorted(moved))} are swapped"
    pairs = ", ".join(f"{task.labels[own]!r} stands for {task.labels[right]!r}" for right, own in sorted(moved.items()))
    return f"labels are exchanged ({pairs})"


def _at_most(bound: float) -> str:
    return f"a perfect model would be given at most {bound:.1f}%"


def imbalance(right: Mapping[str, int], task: Task) -> Iterator[Defect]:
    """Yield a label that is far too frequent, and labels that never occur."""
    counted = Counter(right.values())
    if len(right) < MIN_ITEMS:
        return
    label, count = counted.most_common(1)[0]
    if count * len(task.labels) >= IMBALANCE_FACTOR * len(right):
        share = f"{100 * count / len(right):.1f}% of {len(right)} items"
        message = f"task {task.name!r}: always answering {task.labels[label]!r} is right in {share}"
        yield Defect("warning", "imbalance", message)
    for absent in [name for label, name in enumerate(task.labels) if not counted[label]]:
        yield Defect("warning", "imbalance", f"task {task.name!r}: no item is labeled {absent!r}")


def differing_ids(reading: RawItems, reference: RawItems, task: Task) -> Iterator[Defect]:
    """Yield the ids that only one of two languages has."""
    here, there = ({entry.id for entry in one.entries} for one in (reading, reference))
    if differing := sorted(here ^ there):
        names = reading.language, reference.language
        has, lacks = names if differing[0] in here else reversed(names)
        message = (
            f"task {task.name!r}: {has} has an item {differing[0]!r} that {lacks} lacks ({len(differing)} ids differ), "
            "expected the same ids in every language"
        )
        yield Defect("error", "ids", message, _file(reading), reading.language)


def _file(reading: RawItems) -> str:
    return reading.entries[0].place.rpartition(": ")[0] if reading.entries else ""

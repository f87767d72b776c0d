"""Labels and ids across languages: words outside the task, swaps, ceilings, imbalance, ids that differ.

The same id is the same item in every language, so the label that most languages give it counts as right. Pure: raw
items in, defects out.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from spillover.lint.reading import RawItem, RawItems
from spillover.records import Defect
from spillover.tasks import ChoiceTask, Task
from spillover.utils.text import normal

CONSISTENT = 0.9
"""Share of a label's items that carry one other label from which the two count as swapped."""

MIN_ITEMS = 20
"""Fewest items on which an imbalance is reported."""

IMBALANCE_FACTOR = 1.5
"""Multiple of its even share from which a label is too frequent."""

Readings = Mapping[str, RawItems]
"""Language code → its items, the reference first."""


def agreed(readings: Readings) -> dict[str, int]:
    """Return id → the label that most languages give it; on a tie, the label of the first of these languages."""
    votes: dict[str, Counter[int]] = {}
    for reading in readings.values():
        for entry in reading.entries:
            if entry.gold is not None:
                votes.setdefault(entry.id, Counter())[entry.gold] += 1
    return {id: counted.most_common(1)[0][0] for id, counted in votes.items()}


def ceiling(entries: Sequence[RawItem], right: Mapping[str, int]) -> float:
    """Return the accuracy in percent that a perfect model would get on these items.

    The model answers the right label, which counts where the file has the same label. Items that read the same get the
    same answer: the label that most of them have. So do all items whose fields are identical to each other.
    """
    counts: dict[tuple[str, ...], Counter[int]] = {}
    for entry in entries:
        fields = tuple(map(normal, entry.fields))
        key = () if len(set(fields)) < len(fields) else fields
        counts.setdefault(key, Counter())[right.get(entry.id, -1)] += right.get(entry.id, -1) == entry.gold
    return round(100 * sum(max(counted.values()) for counted in counts.values()) / len(entries), 1)


def unknown_words(reading: RawItems, right: Mapping[str, int], task: ChoiceTask) -> Iterator[Defect]:
    """Yield each word that is none of the task's, with the labels of its items in the other languages."""
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


def disagreements(reading: RawItems, right: Mapping[str, int], task: ChoiceTask) -> Iterator[Defect]:
    """Yield labels that are swapped, and labels that differ from the other languages' without a pattern."""
    labeled = [(entry, right[entry.id], entry.gold) for entry in reading.entries if entry.gold is not None]
    table: dict[int, Counter[int]] = {}
    for _, agreed_label, label in labeled:
        table.setdefault(agreed_label, Counter())[label] += 1
    moved = swapped_labels(table)
    bound = ceiling(reading.entries, right)
    wrong = [entry for entry, agreed_label, label in labeled if label == moved.get(agreed_label)]
    if wrong:
        count = f"{len(wrong)} of {len(reading.entries)} items"
        message = f"{_exchange(moved, task)} against the other languages in {count}: {_at_most(bound)}"
        yield Defect("error", "swap", message, wrong[0].place, reading.language, bound)
    others = [row for row in labeled if row[2] != moved.get(row[1], row[1])]
    if others:
        entry, agreed_label, label = others[0]
        message = (
            f"{len(others)} of {len(reading.entries)} labels differ from the same item's in other languages (first: "
            f"item {entry.id!r} is {task.labels[label]!r} here and {task.labels[agreed_label]!r} there): "
            f"{_at_most(bound)}"
        )
        yield Defect("error", "disagreement", message, entry.place, reading.language, bound)


def swapped_labels(table: Mapping[int, Counter[int]]) -> dict[int, int]:
    """Return right label → the label that stands in its place, where labels consistently stand for each other.

    Args:
        table: right label → how often each label stands in its place.
    """
    usual = {right: counted.most_common(1)[0] for right, counted in table.items()}
    moved = {
        right: label
        for right, (label, count) in usual.items()
        if label != right and count >= CONSISTENT * table[right].total()
    }
    return moved if set(moved) == set(moved.values()) else {}


def _exchange(moved: Mapping[int, int], task: ChoiceTask) -> str:
    if len(moved) == 2:
        return f"{' and '.join(repr(task.labels[label]) for label in sorted(moved))} are swapped"
    pairs = ", ".join(
        f"{task.labels[label]!r} stands for {task.labels[right]!r}" for right, label in sorted(moved.items())
    )
    return f"labels are exchanged ({pairs})"


def _at_most(bound: float) -> str:
    return f"a perfect model would be given at most {bound:.1f}%"


def imbalance(right: Mapping[str, int], task: ChoiceTask) -> Iterator[Defect]:
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
    here, there = ({entry.id for entry in items.entries} for items in (reading, reference))
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

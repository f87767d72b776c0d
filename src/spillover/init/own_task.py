"""A user's own task: the content of its file, with exemplars that are rows of the data and are not measured."""

from collections.abc import Sequence
from typing import Any

from spillover.errors import SpilloverError
from spillover.init.decide import Decisions
from spillover.init.entries import Entries, Entry

AGNOSTIC = (
    "ox", "horse", "goat", "tiger", "rabbit", "snake", "monkey", "dog", "wolf", "bear", "eagle", "crow", "salmon",
    "whale", "spider", "beetle", "turtle", "lizard", "otter", "badger", "zebra", "camel", "parrot", "heron",
)  # fmt: skip
"""Words that say nothing of any task, as many as there may be classes."""

MAX_EXEMPLARS = 8
"""Most exemplars of a task."""

MAX_EXEMPLAR_LENGTH = 300
"""Characters up to which an item is short enough for an exemplar."""

RESERVED = ("id", "label", "answer", "cluster")
"""Columns of an item that no field may be called."""


def field_of(column: str) -> str:
    """Return the name of the field whose texts are in a column."""
    return f"{column}_text" if column.casefold() in RESERVED else column


def own_task(
    decisions: Decisions, fields: Sequence[str], items: Entries, pivot: str, paired: bool
) -> tuple[dict[str, Any], Entries]:
    """Return the content of the task's file, and the items without its exemplars.

    Args:
        decisions: what the user decided.
        fields: names of the task's fields.
        items: language → the labeled entries.
        pivot: the language whose exemplars the other languages show too, if items are paired.
        paired: whether the same id is the same item in every language.

    Raises:
        SpilloverError: no class is in all languages.
    """
    labels = list(dict.fromkeys(decisions.classes.values()))
    shown = [label for label in labels if all(any(e.label == label for e in each) for each in items.values())]
    if not shown:
        raise SpilloverError(
            f"--label: found no class of {decisions.label!r} in all of {', '.join(items)}, expected the same words as "
            "labels in every language, and enough rows"
        )
    chosen = _exemplars(items, shown[:MAX_EXEMPLARS], pivot, paired)
    rest = {language: [entry for entry in each if entry not in chosen[language]] for language, each in items.items()}
    names = [field.replace("_", " ").capitalize() if len(field) > 1 else field for field in fields]
    table = {
        "name": decisions.task,
        "fields": list(fields),
        "labels": labels,
        "agnostic": list(AGNOSTIC[: len(labels)]),
        "exemplar_labels": shown[:MAX_EXEMPLARS],
        "rows": {
            language: {
                "fields": names,
                "answer": "Answer" if set(labels) <= set(fields) else decisions.label.replace("_", " ").capitalize(),
                "labels": labels,
                "exemplars": [[" ".join(text.split()) for text in entry.texts] for entry in each],
            }
            for language, each in chosen.items()
        },
    }
    return table, rest


def _exemplars(items: Entries, labels: Sequence[str], pivot: str, paired: bool) -> dict[str, list[Entry]]:
    """Return language → an exemplar for each label."""
    if paired and pivot in items:
        ids = [_exemplar(items[pivot], label).id for label in labels]
        by_id = {language: {entry.id: entry for entry in each} for language, each in items.items()}
        return {language: [each[id] for id in ids] for language, each in by_id.items()}
    return {language: [_exemplar(each, label) for label in labels] for language, each in items.items()}


def _exemplar(entries: Sequence[Entry], label: str) -> Entry:
    """Return the first short item of a class, else its shortest."""
    of_class = [entry for entry in entries if entry.label == label]
    short = (entry for entry in of_class if sum(map(len, entry.texts)) <= MAX_EXEMPLAR_LENGTH)
    return next(short, min(of_class, key=lambda entry: sum(map(len, entry.texts))))

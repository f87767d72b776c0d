"""Rows → entries: the texts and the label as they will be written, each text once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spillover.errors import SpilloverError
from spillover.init.corpus import Rows
from spillover.init.decide import Decisions, form
from spillover.sources.files import TableRow
from spillover.sources.table import id_of
from spillover.tasks import has_labels
from spillover.utils.formatting import plural
from spillover.utils.text import is_empty, normal


@dataclass(frozen=True, slots=True)
class Entry:
    """A row as it will be written."""

    id: str
    texts: tuple[str, ...]
    label: str
    """One of the task's labels; empty: none."""

    @property
    def form(self) -> tuple[str, ...]:
        """The texts as they are compared."""
        return tuple(map(normal, self.texts))


Entries = Mapping[str, Sequence[Entry]]
"""Language → its entries."""


def read_entries(rows: Rows, id: str | None, decisions: Decisions) -> tuple[dict[str, list[Entry]], list[str]]:
    """Return the rows that have their texts, each text once, and a note on the others.

    Raises:
        SpilloverError: a language has no such row, or a label is none of the task's.
    """
    blank, twice, read = 0, 0, {}
    for language, each in rows.items():
        entries = [_entry(row, number, id, decisions) for number, row in enumerate(each)]
        filled = [entry for entry in entries if not any(map(is_empty, entry.texts))]
        if not filled:
            raise SpilloverError(
                f"{each[0].place}: found no row in {language} with a text in {', '.join(decisions.text)}"
            )
        read[language] = _unique(filled)
        blank += len(entries) - len(filled)
        twice += len(filled) - len(read[language])
    counted = {"without a text": blank, "whose texts stand there before": twice}
    return read, [f"left out: {plural(count, 'row')} {why}" for why, count in counted.items() if count]


def _entry(row: TableRow, number: int, id: str | None, decisions: Decisions) -> Entry:
    cells = [row.cells.get(column) for column in decisions.text]
    texts = tuple("" if cell is None else str(cell).strip() for cell in cells)
    label = _label(row.cells.get(decisions.label), row.place, decisions) if decisions.label else ""
    return Entry(id_of(row, number, id), texts, label)


def _label(value: object, place: str, decisions: Decisions) -> str:
    """Return the task's label of a cell; empty for an empty cell."""
    label = decisions.classes.get(form(value), "")
    task = decisions.shipped
    if not label or task is None:
        return label
    labels = {normal(word): word for word in task.labels} if has_labels(task) else {}
    if normal(label) not in labels:
        raise SpilloverError(
            f"{place}: column {decisions.label!r}: found {label!r}, expected a label of {decisions.task!r}: "
            f"{', '.join(labels.values())}; name them with --classes, or choose another --task"
        )
    return labels[normal(label)]


def _unique(entries: Sequence[Entry]) -> list[Entry]:
    """Return the first entry of those with the same texts; one with a label, if there is one."""
    chosen: dict[tuple[str, ...], Entry] = {}
    for entry in entries:
        first = chosen.setdefault(entry.form, entry)
        if entry.label and not first.label:
            chosen[entry.form] = entry
    return list(chosen.values())

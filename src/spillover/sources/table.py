"""A language's items as they stand in a file: nothing refused yet, and what its columns and words mean.

`items` reads a sheet strictly, for a run; `lint` reads the same sheet row by row and collects what is wrong. Knows
neither where files are nor what tasks ask.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from spillover.errors import SpilloverError
from spillover.records import Item
from spillover.sources.files import TableRow
from spillover.sources.labels import Legend

IDS = (
    "id", "idx", "index", "uid", "guid", "uuid", "qid", "pairid", "itemid", "exampleid", "sampleid", "questionid",
    "sentenceid", "rowid",
)  # fmt: skip
"""What a column of ids may be called, the first of them that is there, whatever its case, blanks, `_` and `-`."""

TRANSLATOR = "translator"
"""Column that says what translated a row of items; people wrote those without."""


@dataclass(frozen=True, slots=True)
class LabeledTable:
    """Rows, and what their columns mean."""

    rows: Sequence[TableRow]
    """The rows, at least one."""
    fields: tuple[str, ...]
    """The columns of the task's fields, in their order."""
    label: str
    """The column of the labels."""
    legend: Legend
    """What stands in that column, and which label it means."""
    id: str | None = None
    """The column of the ids; None where a row's number, from 0, is its id."""
    cluster: str | None = None
    """The column that names the items that belong together; None where their texts tell."""
    published_exemplar_ids: frozenset[str] = frozenset()
    """Ids of the items that the prompts published with these files show with their answers."""

    def id_of(self, number: int) -> str:
        """Return the id of the row with this number, from 0: a text, or a whole number."""
        return id_of(self.rows[number], number, self.id)

    def texts(self, row: TableRow) -> tuple[str, ...]:
        """Return a row's fields; one sentence about the first that is no text."""
        return tuple(row.text(column) for column in self.fields)

    def gold(self, row: TableRow) -> int:
        """Return the index of a row's label; one sentence where the label is none of the task's."""
        return self.legend.read(row, self.label)


def id_of(row: TableRow, number: int, column: str | None) -> str:
    """Return a row's id: a text or a whole number, or its number from 0 where no column has ids."""
    if column is None:
        return str(number)
    return row.name(column)


def id_column(rows: Sequence[TableRow], others: Collection[str]) -> str | None:
    """Return the column of the ids, by its name; None where no column is called so, `others` apart."""
    columns = dict.fromkeys(column for row in rows for column in row.cells if column not in others)
    exactly_id_first = sorted(columns, key=lambda column: column != "id")
    plain = {column: re.sub(r"[\s_-]", "", column.casefold()) for column in exactly_id_first}
    return next((column for name in IDS for column in plain if plain[column] == name), None)


def with_ids(rows: Sequence[TableRow], column: str | None) -> Iterator[tuple[str, TableRow]]:
    """Yield each row with its id, the row's number from 0 where no column has them; refuse an id that comes again."""
    seen: dict[str, TableRow] = {}
    for number, row in enumerate(rows):
        id = id_of(row, number, column)
        if id in seen:
            raise SpilloverError(f"{row.place}: found the id {id!r} of {seen[id].place} again, expected each once")
        seen[id] = row
        yield id, row


def items(table: LabeledTable, task: str, language: str) -> list[Item]:
    """Return the items of a sheet in which everything is as it should be.

    Raises:
        SpilloverError: the first row that is not.
    """
    return [
        Item(
            task,
            id,
            language,
            table.texts(row),
            table.gold(row),
            _translator(row),
            row.name(table.cluster) if table.cluster else "",
        )
        for id, row in with_ids(table.rows, table.id)
    ]


def _translator(row: TableRow) -> str:
    """Return what translated a row, where its file says that a machine did."""
    return row.text(TRANSLATOR) if row.cells.get(TRANSLATOR) else ""

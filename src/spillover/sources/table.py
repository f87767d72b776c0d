"""The items of one language as they stand in a file: unchecked rows, and the meaning of their columns and labels.

For a run, `items` refuses the first faulty row of a table. `lint` reads the same table and collects all faults.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from spillover.errors import SpilloverError
from spillover.records import Item
from spillover.sources.files import TableRow
from spillover.sources.labels import Legend

IDS = (
    "id", "idx", "index", "uid", "guid", "uuid", "qid", "pairid", "itemid", "exampleid", "sampleid", "questionid",
    "sentenceid", "rowid",
)  # fmt: skip
"""Names of a column of ids, the preferred first; case, blanks, `_` and `-` do not matter."""

THREE_DECIMALS = re.compile(r"-?\d+\.\d{3}")
"""A number whose point may be read as a mark of thousands."""

TRANSLATOR = "translator"
"""Column that names what translated an item. Without it, people wrote the item."""


@dataclass(frozen=True, slots=True)
class LabeledTable:
    """Rows, and what their columns mean."""

    rows: Sequence[TableRow]
    """The rows, at least one."""
    fields: tuple[str, ...]
    """The columns of the task's fields, in their order."""
    label: str
    """The column of the labels, or of the answers in words."""
    legend: Legend | None
    """Value in that column → the label it means; None where the column holds answers in words."""
    id: str | None = None
    """The column of the ids; None where a row's number, from 0, is its id."""
    cluster: str | None = None
    """The column that names the items that belong together; None where that is inferred from their texts."""
    published_exemplar_ids: frozenset[str] = frozenset()
    """Ids of the items that are exemplars, with their answers, in the prompts published with these files."""

    def id_of(self, number: int) -> str:
        """Return the id of the row with this number, from 0: a text, or a whole number."""
        return id_of(self.rows[number], number, self.id)

    def texts(self, row: TableRow) -> tuple[str, ...]:
        """Return a row's fields; one sentence about the first that is no text."""
        return tuple(row.text(column) for column in self.fields)

    def gold(self, row: TableRow) -> int:
        """Return the index of a row's label; one sentence where the label is none of the task's."""
        return self.legend.read(row, self.label) if self.legend else 0

    def answers(self, row: TableRow) -> tuple[str, ...]:
        """Return the answers in words that count as right: one or several; none in a table of labels."""
        return () if self.legend else answers(row, self.label)


def answers(row: TableRow, column: str) -> tuple[str, ...]:
    """Return the answers in a cell: a text, a number, or a list of them, which a file without lists writes as JSON.

    SQuAD's form is read too: a table whose `text` is such a list.

    Raises:
        SpilloverError: there is none.
    """
    value = row.value(column)
    if isinstance(value, str) and value.lstrip().startswith("["):
        with suppress(ValueError):
            value = json.loads(value)
    if isinstance(value, Mapping) and "text" in value:
        value = value["text"]
    listed = value if isinstance(value, list | tuple) else [value]
    texts = tuple(dict.fromkeys(_answer(cell) for cell in listed))
    if not texts or "" in texts:
        raise SpilloverError(f"{row.place}: column {column!r}: found {value!r}, expected an answer")
    return texts


def _answer(cell: object) -> str:
    """Return an answer as a text; a whole number without the decimals that a table of numbers adds.

    Another number gets a fourth decimal where `1.125` would be read as 1125 in a language that groups by points.
    """
    if cell is None or isinstance(cell, bool) or cell != cell:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    text = str(cell).strip()
    return f"{text}0" if isinstance(cell, float) and THREE_DECIMALS.fullmatch(text) else text


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
    """Return the items of a table without faults.

    Raises:
        SpilloverError: about the first faulty row.
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
            table.answers(row),
        )
        for id, row in with_ids(table.rows, table.id)
    ]


def _translator(row: TableRow) -> str:
    """Return what translated a row, where its file says that a machine did."""
    return row.text(TRANSLATOR) if row.cells.get(TRANSLATOR) else ""

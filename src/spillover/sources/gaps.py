"""Finds the rows that lack a translation, so that they can be left out in every language."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from spillover.sources.files import TableRow
from spillover.utils.text import is_empty


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one language."""

    rows: Sequence[TableRow]
    """The rows, in the order of their file."""
    fields: tuple[str, ...]
    """The columns of their texts."""
    id: str | None
    """The column of their ids; None where a row's number is its id."""

    def keys(self) -> list[str]:
        """Return the id of each row, else its number from 0: the same row has the same key in every language."""
        if self.id is None:
            return [str(number) for number in range(len(self.rows))]
        return [str(row.cells.get(self.id)).strip() for row in self.rows]


def gaps(tables: Mapping[str, Table], markers: Collection[str]) -> dict[str, str]:
    """Return key of a row → the first language that lacks its text.

    A text is missing where its cell is empty or holds a marker, and where a language has no row with the id. A column
    that is not there is a fault, not a gap.
    """
    lacking: dict[str, str] = {}
    keys = {code: table.keys() for code, table in tables.items()}
    for code, table in tables.items():
        for key, row in zip(keys[code], table.rows, strict=True):
            if any(_is_gap(row.cells.get(field, field), markers) for field in table.fields):
                lacking.setdefault(key, code)
    if all(table.id for table in tables.values()):
        everywhere = dict.fromkeys(key for row_keys in keys.values() for key in row_keys)
        for code, row_keys in keys.items():
            present = set(row_keys)
            for key in everywhere:
                if key not in present:
                    lacking.setdefault(key, code)
    return lacking


def _is_gap(value: object, markers: Collection[str]) -> bool:
    return value is None or (isinstance(value, str) and (is_empty(value) or value.strip() in markers))

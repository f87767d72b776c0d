"""CSV and similar files → rows. A comma, semicolon, tab or bar stands between the cells."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Literal

from spillover.errors import SpilloverError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
"""What may stand between cells → its name."""

USUAL = {"csv": ",", "tsv": "\t"}
"""Ending of a file's name → what separates its cells, unless the header looks otherwise."""

DECLARED = re.compile(r"sep=([,;\t|])\r?\n", re.IGNORECASE)
"""First line that Excel writes: it names the separator."""

SNIFFED_ROWS = 20
"""Most rows that are read to find the separator."""

Line = tuple[int, list[str]]
"""The number of a row's last line, from 1, and the row's cells."""


def separated(path: Path, text: str, ending: str) -> tuple[list[tuple[str, object]], str]:
    """Return the rows, each with its place in the file, and a note where the separator is not the ending's own.

    Rows of blank cells are skipped: Excel leaves them below a table.

    Raises:
        SpilloverError: a column's name stands twice, or a row has other cells than the header.
    """
    separator, lines = _lines(path, text, ending)
    if not lines:
        raise SpilloverError(f"{path}: empty, cut off or not {ending}: found no header")
    names = [name.strip() for name in lines[0][1]]
    _refuse_twice(path, names)
    width = max((place for place, name in enumerate(names, 1) if name), default=len(names))
    rows: list[tuple[str, object]] = [
        (f"line {number}", _row(path, number, cells, names, width)) for number, cells in lines[1:]
    ]
    note = "" if separator == USUAL[ending] or len(names) == 1 else f"columns are separated by {SEPARATORS[separator]}"
    return rows, note


def _lines(path: Path, text: str, ending: str) -> tuple[str, list[Line]]:
    """Return what separates the cells, and the rows that have any, the header first."""
    declared = DECLARED.match(text)
    separator = declared[1] if declared else _sniffed(text, ending)
    table = text[declared.end() :] if declared else text
    try:
        lines = _parsed(table, separator, csv.QUOTE_MINIMAL)
    except csv.Error as error:
        if separator != "\t":
            raise SpilloverError(f"{path}: empty, cut off or not {ending}: {error}") from error
        lines = _parsed(table, separator, csv.QUOTE_NONE)
    if separator == "\t":
        lines = _literal(table, lines)
    skipped = 1 if declared else 0
    return separator, [(number + skipped, cells) for number, cells in lines if any(cell.strip() for cell in cells)]


def _literal(text: str, lines: list[Line]) -> list[Line]:
    """Return the rows of a file with tabs, which many write without any rule of quoting.

    Where each line has as many cells as the header, lines are rows. If reading quotes gives other rows, a quotation
    mark is part of a text.
    """
    plain = _parsed(text, "\t", csv.QUOTE_NONE)
    regular = len({len(cells) for _, cells in plain if any(cell.strip() for cell in cells)}) == 1
    return plain if regular and len(lines) != len(plain) else lines


def _parsed(text: str, separator: str, quoting: Literal[0, 3]) -> list[Line]:
    with _fields_up_to(len(text)):
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, quoting=quoting, strict=True)
        lines: list[Line] = []
        try:
            lines.extend((reader.line_num, cells) for cells in reader)
        except csv.Error as error:
            start = lines[-1][0] + 1 if lines else 1
            raise csv.Error(f"{error} in the row that begins on line {start}") from error
        return lines


def _sniffed(text: str, ending: str) -> str:
    """Return the separator that makes most columns of the header, then fits most rows; on a tie the ending's own."""

    def fit(separator: str) -> tuple[int, int]:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        header, *others = list(islice(filter(None, rows), SNIFFED_ROWS)) or [[]]
        return len(header), sum(len(row) == len(header) for row in others)

    with _fields_up_to(len(text)):
        return max(sorted(SEPARATORS, key=lambda separator: separator != USUAL[ending]), key=fit)


@contextmanager
def _fields_up_to(length: int) -> Iterator[None]:
    """Let the library read cells of this many characters; by itself it stops at 131,072."""
    limit = csv.field_size_limit(max(length, 1))
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _refuse_twice(path: Path, names: list[str]) -> None:
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        raise SpilloverError(f"{path}: the header names the column {twice[0]!r} twice, expected each once")


def _row(path: Path, number: int, cells: list[str], names: list[str], width: int) -> dict[str, str]:
    """Return a row by its columns' names. A first column without a name is a table's index; it has no other."""
    excess = [cell for cell in cells[len(names) :] if cell.strip()]
    if len(cells) < width or excess:
        advice = "; quote each cell that holds the separator" if excess else ""
        raise SpilloverError(
            f"{path}: line {number}: found {len(cells)} cells, expected {len(names)} as in the header "
            f"({', '.join(names)}){advice}"
        )
    for name, cell in list(zip(names, cells, strict=False))[1:]:
        if not name and cell.strip():
            raise SpilloverError(f"{path}: line {number}: found {cell!r} in a column without a name, expected a name")
    return {name: cell for name, cell in zip(names, cells, strict=False) if name}

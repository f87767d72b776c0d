"""JSON in its usual shapes → rows: a list of objects, an object per line, rows under one key, lists per column.

The content decides the shape, not the file's name: people call JSON lines `.json` and lists `.jsonl`.
"""

import json
import re
from pathlib import Path
from typing import Any

from spillover.errors import SpilloverError

Rows = list[tuple[str, object]]
"""The rows of a file, each with its place in it."""


def objects(path: Path, text: str, ending: str) -> tuple[Rows, str]:
    """Return the rows, each with its place in the file, and a note where they are not simply one after the other.

    Raises:
        SpilloverError: the text is no JSON, names a key twice, or leaves open what its rows are.
    """
    try:
        whole = _parsed(text)
    except json.JSONDecodeError as error:
        return _lines(path, text, ending, error), ""
    except SpilloverError as error:
        raise SpilloverError(f"{path}: {error}") from error
    if isinstance(whole, list):
        return [(f"row {number}", row) for number, row in enumerate(whole, 1)], ""
    if isinstance(whole, dict) and ending == "jsonl" and not _has_rows(whole):
        return [(f"line {_first_line(text)}", whole)], ""
    return _inside(path, whole)


def _parsed(text: str) -> object:
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return an object of JSON; refuse one in which a key stands twice, of which Python would keep the last."""
    cells = dict(pairs)
    if len(cells) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        first, value = pairs[0]
        raise SpilloverError(
            f"found the key {twice!r} twice in the object that begins with {first!r}: {value!r:.80}, expected each once"
        )
    return cells


def _lines(path: Path, text: str, ending: str, refusal: json.JSONDecodeError) -> Rows:
    """Return the rows of JSON lines. Not `splitlines`: a JSON text may hold a line separator of Unicode's (U+2028)."""
    rows: Rows = []
    for number, line in enumerate(re.split(r"\r\n?|\n", text), 1):
        if not line.strip():
            continue
        try:
            rows.append((f"line {number}", _parsed(line)))
        except json.JSONDecodeError as error:
            if not rows and ending == "json":  # not even the first line is JSON, so these are no JSON lines
                raise SpilloverError(f"{path}: empty, cut off or not json: {refusal}") from error
            raise SpilloverError(f"{path}: line {number}, column {error.colno}: not valid JSON: {error.msg}") from error
        except SpilloverError as error:
            raise SpilloverError(f"{path}: line {number}: {error}") from error
    if not rows and ending == "json":
        raise SpilloverError(f"{path}: empty, cut off or not json: {refusal}") from refusal
    return rows


def _first_line(text: str) -> int:
    return text[: len(text) - len(text.lstrip())].count("\n") + 1


def _inside(path: Path, whole: object) -> tuple[Rows, str]:
    """Return the rows in an object: those under its only list of objects, or those of lists per column."""
    if isinstance(whole, dict):
        if keys := [key for key, value in whole.items() if _is_rows(value)]:
            if len(keys) > 1:
                raise SpilloverError(f"{path}: found rows under {keys[0]!r} and under {keys[1]!r}, expected one list")
            rows = whole[keys[0]]
            return [(f"row {number}", row) for number, row in enumerate(rows, 1)], f"rows stand under {keys[0]!r}"
        if columns := _columns(whole):
            names = list(columns)
            rows = [dict(zip(names, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
            return [(f"row {number}", row) for number, row in enumerate(rows, 1)], "rows are written column by column"
        there = f"an object with the keys {', '.join(map(repr, list(whole)[:5]))}" if whole else "an empty object"
    else:
        there = repr(whole)[:80]
    raise SpilloverError(f"{path}: found {there}, expected a list of objects, an object per line, or lists per column")


def _has_rows(whole: dict[str, Any]) -> bool:
    return any(_is_rows(value) for value in whole.values()) or bool(_columns(whole))


def _is_rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _columns(whole: dict[str, Any]) -> dict[str, list[object]]:
    """Return the columns of a table written column by column; none where it is not surely one.

    A column is a list, or, as pandas writes it, an object whose keys are row numbers.
    """
    columns = {name: _column(cells) for name, cells in whole.items()}
    lists = [cells for cells in columns.values() if cells is not None]
    numbered = [list(cells) for cells in whole.values() if isinstance(cells, dict)]
    alike = len({len(cells) for cells in lists}) == 1 and all(keys == numbered[0] for keys in numbered)
    whole_table = len(lists) == len(columns) and alike and bool(lists[0])
    return {name: cells for name, cells in columns.items() if cells is not None} if whole_table else {}


def _column(cells: object) -> list[object] | None:
    if isinstance(cells, list):
        return cells
    if isinstance(cells, dict) and all(key.isdecimal() for key in cells):
        return list(cells.values())
    return None

"""Rows that bring their choices → a column per choice and the letter of the right one.

Data sets write four choices in columns (`A` to `D`, `option1` to `option4`) or as a list (`choices`), and the answer as
a letter, an index or the choice's own text.
"""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from string import ascii_uppercase

from spillover.errors import SpilloverError
from spillover.sources.files import TableRow

LISTS = ("choices", "options", "endings")
"""Names of a column that holds all choices of a row."""

COLUMN = re.compile(r"(|option|choice|answer|mc_answer|ending|sol)[ _-]?([a-j]|\d)", re.IGNORECASE)
"""Name of a column that holds one choice."""

STARTS = ("a", "0", "1")
"""The end of the first such column's name. The columns share the part before it."""

RIGHT = (
    "answer", "answerkey", "answer_key", "correct", "correct_answer", "correct_answer_num", "correct_option", "label",
    "gold", "target",
)  # fmt: skip
"""Names of the column that says which choice is right, the preferred first."""


def spread_choices(
    rows: Mapping[str, Sequence[TableRow]],
) -> tuple[Mapping[str, Sequence[TableRow]], tuple[str, ...]]:
    """Return the rows with a column per choice and the right one's letter; and the letters, none without choices.

    Raises:
        SpilloverError: a row has another number of choices, or an answer that is none of them.
    """
    every = [row for each in rows.values() for row in each]
    columns = list(dict.fromkeys(column for row in every for column in row.cells))
    holders = _holders(columns, every[0])
    if not holders:
        return rows, ()
    letters = tuple(ascii_uppercase[: len(_texts(every[0], holders))])
    right = next((c for name in RIGHT for c in columns if c.casefold() == name and c not in holders), "")
    answers = {_plain(row.cells.get(right)) for row in every}  # a row without an answer is tuned on
    if {"0", str(len(letters))} <= answers:
        raise SpilloverError(
            f"{every[0].place}: column {right!r}: found both 0 and {len(letters)}, expected {len(letters)} numbers"
        )
    base = int(str(len(letters)) in answers)  # numbers that count from 1 reach the number of choices
    spread = {code: [_spread(row, holders, letters, right, base) for row in each] for code, each in rows.items()}
    return spread, letters


def _holders(columns: Sequence[str], row: TableRow) -> tuple[str, ...]:
    """Return the column with the list of choices, or the columns with one each, in their order."""
    for column in columns:
        if column.casefold() in LISTS and len(_listed(row.cells.get(column))) > 1:
            return (column,)
    series: dict[str, dict[str, str]] = {}
    for column in columns:
        if match := COLUMN.fullmatch(column):
            series.setdefault(match[1].casefold(), {})[match[2].casefold()] = column
    for named in series.values():
        for start in STARTS:
            counted = [chr(ord(start) + place) for place in range(len(named))]
            if len(named) > 1 and set(counted) == set(named):
                return tuple(named[mark] for mark in counted)
    return ()


def _listed(value: object) -> list[str]:
    """Return the texts of a list of choices, as JSON has it, as a CSV writes it, or as ARC does with its letters."""
    if isinstance(value, str):
        with suppress(ValueError):
            value = json.loads(value)
    if isinstance(value, Mapping):
        value = value.get("text")
    return [str(text) for text in value] if isinstance(value, list | tuple) else []


def _texts(row: TableRow, holders: Sequence[str]) -> list[str]:
    if len(holders) == 1:
        return _listed(row.value(holders[0]))
    return [str(row.value(column)) for column in holders]


def _spread(row: TableRow, holders: Sequence[str], letters: Sequence[str], right: str, base: int) -> TableRow:
    texts = _texts(row, holders)
    if len(texts) != len(letters):
        raise SpilloverError(f"{row.place}: found {len(texts)} choices, expected {len(letters)} as in the first row")
    cells = {column: value for column, value in row.cells.items() if column not in holders}
    if right:
        cells[right] = None if row.cells.get(right) in (None, "") else _letter(row, right, texts, letters, base)
    return TableRow(row.place, cells | dict(zip(letters, texts, strict=True)))


def _letter(row: TableRow, right: str, texts: Sequence[str], letters: Sequence[str], base: int) -> str:
    """Return the letter of the right choice; `base` is the number of the first."""
    answer = _plain(row.value(right))
    if answer.upper() in letters:
        return answer.upper()
    if answer.isdecimal() and base <= int(answer) < base + len(letters):
        return letters[int(answer) - base]
    if answer in texts:
        return letters[texts.index(answer)]
    raise SpilloverError(
        f"{row.place}: column {right!r}: found {answer!r}, expected one of {', '.join(letters)}, its number or its text"
    )


def _plain(value: object) -> str:
    """Return an answer as a text; `2.0` is 2, as tables of numbers write it."""
    text = str(value).strip()
    return text.removesuffix(".0") if re.fullmatch(r"\d+\.0", text) else text

"""Rows that bring their choices → a column per choice and the letter of the right one.

Data sets write four choices in columns (`A` to `D`, `option1` to `option4`) or as a list (`choices`), and the answer as
a letter, an index or the choice's own text.
"""

import ast
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
        SpilloverError: a row has another number of choices, an answer that is none of them, or one that may be a number
            as well as a text.
    """
    every = [row for each in rows.values() for row in each]
    columns = list(dict.fromkeys(column for row in every for column in row.cells))
    holders = _holders(columns, every[0])
    if not holders:
        return rows, ()
    letters = tuple(ascii_uppercase[: len(_texts(every[0], holders))])
    right = next((c for name in RIGHT for c in columns if c.casefold() == name and c not in holders), "")
    base = _base(every, holders, right, len(letters))
    spread = {}
    for code, each in rows.items():
        by_text = bool(right) and _names_texts(each, holders, right, letters, base)
        spread[code] = [_spread(row, holders, letters, right, base, by_text) for row in each]
    return spread, letters


def _base(rows: Sequence[TableRow], holders: Sequence[str], right: str, number: int) -> int:
    """Return the number of the first choice: 1 if an answer is the number of choices, which numbers from 0 never reach.

    Raises:
        SpilloverError: answers that are no texts of choices count from 0 and from 1, or reach neither end.
    """
    answered = [row for row in rows if _has(row, right)]  # a row without an answer is tuned on
    answers = {_plain(row.cells[right]) for row in answered}
    low, high = "0" in answers, str(number) in answers
    numbers = bool(answers) and all(map(str.isdecimal, answers))
    by_text = all(_plain(row.cells[right]) in _texts(row, holders) for row in answered)
    if not by_text and ((low and high) or (numbers and not low and not high)):
        ends = f"both 0 and {number}" if low else f"neither 0 nor {number}"
        raise SpilloverError(
            f"{answered[0].place}: column {right!r}: found {ends} in all rows, expected numbers that count {number} "
            "choices from 0 or from 1; write letters there"
        )
    return int(high)


def _names_texts(
    rows: Sequence[TableRow], holders: Sequence[str], right: str, letters: Sequence[str], base: int
) -> bool:
    """Return whether the answers of one language are the choices' texts, rather than letters and numbers.

    Raises:
        SpilloverError: every answer may be either, and the two mean different choices.
    """
    answered = [(row, _plain(row.cells.get(right)), _texts(row, holders)) for row in rows if _has(row, right)]
    by_text = [texts.index(answer) if answer in texts else None for _, answer, texts in answered]
    by_code = [_place(answer, letters, base) for _, answer, _ in answered]
    if None in by_text or None in by_code:
        return None not in by_text
    for (row, answer, _), text, code in zip(answered, by_text, by_code, strict=True):
        if text is not None and code is not None and text != code:
            raise SpilloverError(
                f"{row.place}: column {right!r}: found {answer!r}, which as a text is choice {letters[text]}, and as a "
                f"number or letter is choice {letters[code]}, expected one meaning; write letters there"
            )
    return False


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
    """Return the texts of a list of choices, as JSON or Python writes it, or as ARC does with its letters."""
    for read in (json.loads, ast.literal_eval):
        if isinstance(value, str):
            with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
                value = read(value.strip())
    if isinstance(value, Mapping):
        value = value.get("text")
    return [str(text) for text in value] if isinstance(value, list | tuple) else []


def _texts(row: TableRow, holders: Sequence[str]) -> list[str]:
    if len(holders) == 1:
        return _listed(row.value(holders[0]))
    return [str(row.value(column)) for column in holders]


def _spread(
    row: TableRow, holders: Sequence[str], letters: Sequence[str], right: str, base: int, by_text: bool
) -> TableRow:
    texts = _texts(row, holders)
    if len(texts) != len(letters):
        raise SpilloverError(f"{row.place}: found {len(texts)} choices, expected {len(letters)} as in the first row")
    cells = {column: value for column, value in row.cells.items() if column not in holders}
    if right:
        cells[right] = _letter(row, right, texts, letters, base, by_text) if _has(row, right) else None
    return TableRow(row.place, cells | dict(zip(letters, texts, strict=True)))


def _letter(row: TableRow, right: str, texts: Sequence[str], letters: Sequence[str], base: int, by_text: bool) -> str:
    """Return the letter of the right choice; `base` is the number of the first."""
    answer = _plain(row.value(right))
    place = None if by_text else _place(answer, letters, base)
    if place is None and answer in texts:
        place = texts.index(answer)
    if place is not None:
        return letters[place]
    raise SpilloverError(
        f"{row.place}: column {right!r}: found {answer!r}, expected one of {', '.join(letters)}, its number or its text"
    )


def _has(row: TableRow, right: str) -> bool:
    """Return whether a row has an answer."""
    return row.cells.get(right) not in (None, "")


def _place(answer: str, letters: Sequence[str], base: int) -> int | None:
    """Return which choice a letter or a number means, from 0; None for another text."""
    if answer.upper() in letters:
        return letters.index(answer.upper())
    return int(answer) - base if answer.isdecimal() and base <= int(answer) < base + len(letters) else None


def _plain(value: object) -> str:
    """Return an answer as a text; `2.0` is 2, as tables of numbers write it."""
    text = str(value).strip()
    return text.removesuffix(".0") if re.fullmatch(r"\d+\.0", text) else text

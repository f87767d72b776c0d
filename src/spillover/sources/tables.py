"""Files of rows, and where they are: JSON, JSON lines, CSV, Parquet → rows that know their place.

Every way a file or folder can be wrong ends in one sentence that names the place. Knows no task, and of a
language only that its code is part of a file's name.
"""

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from spillover.errors import SpilloverError, choices
from spillover.languages import languages, ordered
from spillover.texts import is_empty

HALVES = re.compile("[\ud800-\udfff]")
"""Half a character: what a text cut in the middle of an emoji ends in. No file can be written with it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file."""

    place: str
    """Its file and number, from 1: the line's in JSON lines and CSV, where a header is line 1."""
    cells: Mapping[str, object]
    """Column → what stands there."""

    def value(self, column: str) -> object:
        """Return what stands in a column; one sentence if there is no such column."""
        if column not in self.cells:
            raise SpilloverError(f"{self.place}: found no column {column!r}; {choices(column, self.cells)}")
        return self.cells[column]

    def text(self, column: str) -> str:
        """Return a column's text without white space around it; refuse an empty one, or what is no text."""
        value = self.value(column)
        if not isinstance(value, str) or is_empty(value) or HALVES.search(value):
            raise SpilloverError(f"{self.place}: column {column!r}: found {value!r}, expected a text")
        return value.strip()

    def gold(self, column: str, golds: Mapping[str, int]) -> int:
        """Return the index that `golds` has for the word, or the whole number, in a column."""
        value = self.value(column)
        word = str(value).strip()
        if word not in golds:
            raise SpilloverError(
                f"{self.place}: column {column!r}: found {value!r}, expected a label; {choices(word, golds)}"
            )
        return golds[word]


Numbered = Iterator[tuple[str, object]]
"""What a reader yields: a row's number as a reader of the file would give it, and the row."""


def _json(path: Path) -> Numbered:
    rows = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(rows, list):
        raise SpilloverError(f"{path}: found a {type(rows).__name__}, expected a list of objects")
    yield from ((f"row {number}", row) for number, row in enumerate(rows, 1))


def _jsonl(path: Path) -> Numbered:
    # not splitlines: a JSON text may hold a line separator of Unicode's (U+2028) as it is
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)
            except json.JSONDecodeError as error:
                raise SpilloverError(f"{path}: line {number}: not valid JSON: {error.msg}") from error


def _csv(path: Path) -> Numbered:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        for row in reader:
            line = f"line {reader.line_num}"
            excess = row.pop(None, [])  # where DictReader puts cells beyond the header's
            found = sum(cell is not None for cell in row.values()) + len(excess)
            if excess or found < len(row):
                raise SpilloverError(f"{path}: {line}: found {found} cells, expected {len(row)}")
            yield line, row


def _parquet(path: Path) -> Numbered:
    yield from ((f"row {number}", row) for number, row in enumerate(pq.read_table(path).to_pylist(), 1))


READERS: dict[str, Callable[[Path], Numbered]] = {
    "json": _json,
    "jsonl": _jsonl,
    "csv": _csv,
    "parquet": _parquet,
}
"""Ending of a file's name → how it is read."""


def read_rows(path: Path) -> list[Row]:
    """Return a file's rows, at least one.

    Raises:
        SpilloverError: the file is empty, cut off, not UTF-8, or of another format than its name says.
    """
    kind = path.suffix.removeprefix(".")
    try:
        numbered = list(READERS[kind](path))
    except OSError as error:  # pyarrow raises it too, without strerror, for a broken file
        raise SpilloverError(f"{path}: cannot read it: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SpilloverError(f"{path}: found no UTF-8 at byte {error.start}, expected UTF-8") from error
    except (ValueError, csv.Error, pa.ArrowException) as error:
        raise SpilloverError(f"{path}: empty, cut off or not {kind}: {error}") from error
    if not numbered:
        raise SpilloverError(f"{path}: found no rows, expected at least one")
    rows = []
    for number, cells in numbered:
        if not isinstance(cells, dict):
            raise SpilloverError(f"{path}: {number}: found {cells!r}, expected an object with named fields")
        rows.append(Row(f"{path}: {number}", cells))
    return rows


FORMAT = f"<{'|'.join(READERS)}>"
PLACEHOLDERS = {
    "<language>": "([a-z]+)",
    "<number>": r"\d+k?",
    FORMAT: f"(?:{'|'.join(READERS)})",
}
"""Placeholder in the name of a kind of file → what may stand there."""


def by_language(folder: Path, name: str) -> dict[str, Path]:
    """Return language code → file, in the paper's order; none where there is no such folder.

    name: what the files are called, with `PLACEHOLDERS` in it, one of them `<language>`.
    """
    pattern = re.escape(name)
    for placeholder, allowed in PLACEHOLDERS.items():
        pattern = pattern.replace(re.escape(placeholder), allowed)
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*")):
        match = re.fullmatch(pattern, path.name)
        if match and match[1] in languages():
            twin = found.setdefault(match[1], path)
            if twin != path:
                raise SpilloverError(
                    f"{folder}: found both {twin.name!r} and {path.name!r}, expected one file a language"
                )
    return {code: found[code] for code in ordered(found)}


def file_of(folder: Path, name: str, language: str) -> Path:
    """Return the file of one language among `by_language`'s; where there is none, say which there are."""
    files = by_language(folder, name)
    if language not in files:
        wanted = existing(folder) / name.replace("<language>", language)
        there = ", ".join(files) or "none"
        raise SpilloverError(f"{wanted}: found no such file; languages that are there: {there}")
    return files[language]


def existing(folder: Path) -> Path:
    """Return the folder; where there is none, say which folders stand where its path ends."""
    if folder.is_dir():
        return folder
    missing = next(part for part in (folder, *folder.parents) if part.parent.is_dir())
    beside = sorted(path.name for path in missing.parent.iterdir() if path.is_dir())
    there = choices(missing.name, beside) if beside else "there is none beside it"
    raise SpilloverError(f"{folder}: found no folder {missing.name!r} in {missing.parent}; {there}")

"""Files of rows: JSON, JSON lines, CSV, Parquet → rows that know their place.

Every fault of a file ends in one sentence that names the place.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from spillover.errors import SpilloverError, did_you_mean
from spillover.languages import get_language
from spillover.sources.decoding import decoded, unpacked
from spillover.sources.objects import objects
from spillover.sources.remarks import remark
from spillover.sources.separated import separated
from spillover.utils.text import is_empty

SURROGATES = re.compile("[\ud800-\udfff]")
"""Half a character, as a text cut inside an emoji ends with. It cannot be written to a file."""


MAX_VALUE_LENGTH = 80
"""Most characters of a wrong value that an error repeats."""


class CellError(SpilloverError):
    """A cell is not what its column should hold. `cause` is the same for every row with the same fault."""

    def __init__(self, place: str, column: str, sentence: str, cause: str) -> None:
        """Make the sentence about a place; `cause` names the kind of fault without the value."""
        super().__init__(f"{place}: {sentence}")
        self.cause = (column, cause)


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of a file."""

    place: str
    """Its file and number, from 1: the line's in JSON lines and CSV, where a header is line 1."""
    cells: Mapping[str, object]
    """Column → value."""

    def value(self, column: str) -> object:
        """Return the value in a column; one sentence if there is no such column."""
        if column not in self.cells:
            sentence = f"found no column {column!r}; {did_you_mean(column, self.cells)}"
            raise CellError(self.place, column, sentence, "no column")
        return self.cells[column]

    def text(self, column: str) -> str:
        """Return a column's text without white space around it; refuse an empty one, or what is no text."""
        value = self.value(column)
        if not isinstance(value, str) or is_empty(value) or SURROGATES.search(value):
            sentence = f"column {column!r}: found {_short(value)}, expected a text"
            raise CellError(self.place, column, sentence, type(value).__name__)
        return value.strip()

    def name(self, column: str) -> str:
        """Return a column's name: a text, or a whole number; refuse anything else."""
        value = self.value(column)
        if isinstance(value, float):
            expected = "expected a text or a whole number"
            raise SpilloverError(f"{self.place}: column {column!r}: found a decimal number, {expected}")
        return str(value) if type(value) is int else self.text(column)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[:MAX_VALUE_LENGTH]}…"


Numbered = tuple[list[tuple[str, object]], str]
"""The rows of a file, each with its place in it as a reader of the file would give it, and a note on how they stand."""


def _parquet(path: Path) -> Numbered:
    file = pq.ParquetFile(pa.BufferReader(unpacked(path)))
    twice = [name for name, count in Counter(file.schema_arrow.names).items() if count > 1]
    if twice:
        raise SpilloverError(f"{path}: found the column {twice[0]!r} twice, expected each once")
    return [(f"row {number}", row) for number, row in enumerate(file.read().to_pylist(), 1)], ""


TEXTS: dict[str, Callable[[Path, str], Numbered]] = {
    "json": partial(objects, ending="json"),
    "jsonl": partial(objects, ending="jsonl"),
    "csv": partial(separated, ending="csv"),
    "tsv": partial(separated, ending="tsv"),
}
"""Ending of a text file's name → how its text is read."""

ENDINGS = (*TEXTS, "parquet")
"""The endings that are read, each also with `.gz` behind it, in upper or lower case."""


def read_rows(path: Path, language: str) -> list[TableRow]:
    """Return a file's rows, at least one.

    Args:
        path: the file; its name ends in one of `ENDINGS`.
        language: the language of its texts: says which code page of Windows a file is in that is not UTF-8.

    Raises:
        SpilloverError: the file is empty, cut off, in an unknown encoding, or of another format than its name says.
    """
    kind = ending(path)
    try:
        numbered, notes = _read(path, kind, get_language(language).code_page)
    except OSError as error:  # pyarrow raises it too, without strerror, for a broken file
        raise SpilloverError(f"{path}: cannot read it: {error.strerror or error}") from error
    except (ValueError, RecursionError, pa.ArrowException) as error:
        raise SpilloverError(f"{path}: empty, cut off or not {kind}: {error}") from error
    if not numbered:
        raise SpilloverError(f"{path}: found no rows, expected at least one")
    for note, word in notes:
        if note:
            remark(path.parent, note, f"{path.name}, with the word {word!r}" if word else path.name)
    rows = []
    for number, cells in numbered:
        if not isinstance(cells, dict):
            raise SpilloverError(f"{path}: {number}: found {_short(cells)}, expected an object with named fields")
        rows.append(TableRow(f"{path}: {number}", cells))
    return rows


class FileCache:
    """Files of rows. Each file is read once, even if many languages are compared with it."""

    def __init__(self) -> None:
        """Read nothing yet."""
        self._rows: dict[Path, list[TableRow]] = {}

    def rows(self, path: Path, language: str) -> list[TableRow]:
        """Return a file's rows, as `read_rows` does; a file that cannot be read is refused again each time."""
        if path not in self._rows:
            self._rows[path] = read_rows(path, language)
        return self._rows[path]


def _read(path: Path, kind: str, code_page: str) -> tuple[list[tuple[str, object]], list[tuple[str, str]]]:
    """Return a file's rows with their places, and notes on what was unusual, each with a word that shows it or none."""
    if kind not in TEXTS:
        numbered, note = _parquet(path)
        return numbered, [(note, "")]
    text, encoding, word = decoded(path, code_page)
    numbered, shape = TEXTS[kind](path, text)
    return numbered, [(encoding, word), (shape, "")]


def ending(path: Path) -> str:
    """Return a file's ending in lower case, that of what is compressed where the name ends in `.gz`."""
    name = path.name.lower().removesuffix(".gz")
    return name.rpartition(".")[2]

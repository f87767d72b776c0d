"""A user's file or folder → rows per language, in whichever form they stand there.

Four forms are known: a folder with a file per language, a column per language, a column that names the language, and
one language. Files are read by the module that reads a run's own files.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spillover.errors import SpilloverError
from spillover.init.choices import spread_choices
from spillover.languages import ENGLISH, canonical, in_paper_order, languages, lookup
from spillover.sources.files import ENDINGS, TableRow, ending, read_rows
from spillover.sources.places import FORMAT, by_language, file_of
from spillover.sources.table import id_column, id_of
from spillover.utils.text import MIN_LETTERS, detector, identifies, lingua_codes, most_likely

WORKBOOKS = ("xlsx", "xls", "xlsm", "ods", "numbers")
"""Endings of spreadsheets, which are not read."""

NAMES_LANGUAGE = ("language", "lang", "locale", "language_code", "lang_code")
"""Names of a column that says a row's language."""

TEXT = "text"
"""Column of the texts, if each language had a column of its own."""

ID = "id"
"""Column of the ids that rows with a column per language get."""

SAMPLE = 50
"""Most texts whose language is identified."""

MIN_SHARE = 0.8
"""Least share of the letters of these texts that must be in one language."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """The rows of a user's data."""

    name: str
    """Name of the file or folder, without its ending."""
    form: str
    """How the rows stand there, in words."""
    rows: Mapping[str, Sequence[TableRow]]
    """Language code → its rows, at least one; in the paper's order."""
    parallel: bool = False
    """Whether one row held the translations of one text."""
    letters: tuple[str, ...] = ()
    """Columns of the choices, such as `A` to `D`; none if rows have no choices."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of all rows, in the order in which they come."""
        return tuple(dict.fromkeys(column for rows in self.rows.values() for row in rows for column in row.cells))

    @property
    def pivot(self) -> str:
        """The language that texts are translated from: English if it is there, else the first."""
        return ENGLISH if ENGLISH in self.rows else next(iter(self.rows))

    @property
    def id(self) -> str | None:
        """The column of the ids; None if there is none, or if an id comes again in one language."""
        every = [row for rows in self.rows.values() for row in rows]
        named = (column for column in self.columns if column.casefold().endswith("_id"))
        column = id_column(every, ()) or next(named, None)
        ids = ([id_of(row, number, column) for number, row in enumerate(rows)] for rows in self.rows.values())
        return column if all(len(set(each)) == len(each) for each in ids) else None


def read_corpus(path: Path, language: str = "") -> Corpus:
    """Return the rows of a file, or of a folder with a file per language.

    Args:
        path: the file or folder.
        language: the language of a file with one; empty: it is identified.

    Raises:
        SpilloverError: there is no such file, it is a workbook or cannot be read, or its language is not known.
    """
    if not path.exists():
        raise SpilloverError(f"{path}: found no such file or folder, expected the data to begin with")
    corpus = _from_folder(path) if path.is_dir() else _from_file(path, language and canonical(language, "--language"))
    rows, letters = spread_choices(corpus.rows)
    return replace(corpus, rows={code: rows[code] for code in in_paper_order(rows)}, letters=letters)


def _from_folder(path: Path) -> Corpus:
    name = f"<language>.{FORMAT}"
    codes = by_language(path, name)
    if not codes:
        raise SpilloverError(f"{path}: found no file named after a language, expected files such as en.csv and de.csv")
    rows = {code: read_rows(file_of(path, name, code), code) for code in codes}
    return Corpus(path.resolve().name, "a file for each language", rows)


def _from_file(path: Path, language: str) -> Corpus:
    kind, stem = ending(path), path.name.partition(".")[0]
    if kind in WORKBOOKS:
        raise SpilloverError(f"{path}: found a workbook, expected a text file; save the sheet as CSV UTF-8")
    if kind not in ENDINGS:
        raise SpilloverError(f"{path}: found the ending {kind!r}, expected one of {', '.join(ENDINGS)}")
    rows = read_rows(path, language or ENGLISH)
    columns = list(dict.fromkeys(column for row in rows for column in row.cells))
    if wide := _language_columns(rows, columns):
        return Corpus(stem, "a column for each language", _narrow(rows, wide), parallel=True)
    if column := _naming_column(rows, columns):
        return Corpus(stem, f"the column {column!r} names the language", _by_value(rows, column))
    return Corpus(stem, "one language", {language or _identified(path, rows): rows})


def _language_columns(rows: Sequence[TableRow], columns: Sequence[str]) -> dict[str, str]:
    """Return column → language, where two or more columns are named after languages; a column of ids is none."""
    id = id_column(rows, ())
    codes = {column: code for column in columns if column != id and (code := lookup(column))}
    texts = {column: code for column, code in codes.items() if all(_is_text(row.cells.get(column)) for row in rows)}
    if len(texts) < 2:
        return {}
    if len(set(texts.values())) < len(texts):
        raise SpilloverError(f"{rows[0].place}: found two columns of one language among {', '.join(texts)}")
    return texts


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _narrow(rows: Sequence[TableRow], wide: Mapping[str, str]) -> dict[str, list[TableRow]]:
    """Return a row per text; a row's id is the same in every language."""
    id = id_column(rows, tuple(wide))
    shared = [
        {column: value for column, value in row.cells.items() if column not in wide and column not in (id, TEXT)}
        | {ID: id_of(row, number, id)}
        for number, row in enumerate(rows)
    ]
    return {
        code: [
            TableRow(row.place, cells | {TEXT: row.cells.get(column)}) for row, cells in zip(rows, shared, strict=True)
        ]
        for column, code in wide.items()
    }


def _naming_column(rows: Sequence[TableRow], columns: Sequence[str]) -> str:
    """Return the column that names each row's language; empty where there is none."""
    for column in columns:
        if column.casefold() in NAMES_LANGUAGE:
            return column
    for column in columns:
        values = {str(row.cells.get(column)) for row in rows}
        if 2 <= len(values) < len(rows) and all(map(lookup, values)):
            return column
    return ""


def _by_value(rows: Sequence[TableRow], column: str) -> dict[str, list[TableRow]]:
    """Return the rows of each language, without the column that names it."""
    groups: dict[str, list[TableRow]] = {}
    for row in rows:
        code = lookup(row.name(column))
        if code is None:
            raise SpilloverError(
                f"{row.place}: column {column!r}: found {row.cells[column]!r}, expected a language; "
                "`spillover languages --like TEXT` finds its code"
            )
        cells = {name: value for name, value in row.cells.items() if name != column}
        groups.setdefault(code, []).append(TableRow(row.place, cells))
    return groups


def _identified(path: Path, rows: Sequence[TableRow]) -> str:
    """Return the language that most of a file's texts are in, among the paper's and those of the experiment."""
    advice = "say it with --language, such as --language en"
    if not identifies():
        raise SpilloverError(
            f"{path}: found no column that names the language, and no package to identify it; {advice}"
        )
    texts = [max((v for v in row.cells.values() if isinstance(v, str)), key=len, default="") for row in rows[:SAMPLE]]
    codes = lingua_codes()
    letters = [sum(map(str.isalpha, text)) for text in texts]
    looks = most_likely(detector(frozenset(codes.values()) & {*languages()}, True), texts)
    votes: Counter[str] = Counter()
    for look, weight in zip(looks, letters, strict=True):
        votes[codes[look.language]] += weight
    best, most = votes.most_common(1)[0]
    if most < max(MIN_LETTERS, MIN_SHARE * votes.total()):
        raise SpilloverError(f"{path}: found texts whose language is not clear, expected texts in one; {advice}")
    return best

"""Rows of one table → rows per language: a column per language, a column that names the language, or one language."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from spillover.errors import SpilloverError
from spillover.init.ask import Ask
from spillover.languages import canonical, languages, lookup
from spillover.sources.files import TableRow
from spillover.sources.table import id_column, id_of
from spillover.utils.text import MIN_LETTERS, detector, identifies, lingua_codes, most_likely

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


class ByLanguage(NamedTuple):
    """The rows of a table by their language."""

    form: str
    """How the rows stand there, in words."""
    rows: Mapping[str, Sequence[TableRow]]
    """Language code → its rows."""
    parallel: bool = False
    """Whether one row held the translations of one text."""


def by_language(rows: Sequence[TableRow], place: str, language: str, ask: Ask) -> ByLanguage:
    """Return the rows of a table by their language.

    Args:
        rows: the rows, at least one.
        place: what the table is called, for errors.
        language: code of the language of a table with one; empty: it is identified.
        ask: asked for the language if that is not clear.

    Raises:
        SpilloverError: a row's language, or that of the table, is not known.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row.cells))
    if wide := _language_columns(rows, columns):
        return ByLanguage("a column for each language", _narrow(rows, wide), parallel=True)
    if column := _naming_column(rows, columns):
        return ByLanguage(f"the column {column!r} names the language", _by_value(rows, column))
    return ByLanguage("one language", {language or _one_language(rows, place, ask): rows})


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


def _one_language(rows: Sequence[TableRow], place: str, ask: Ask) -> str:
    """Return the language of a table with one: identified, else asked."""
    code, why = _identified(rows)
    answer = code or ask("language", f"{why}; code of their language", "")
    if not answer:
        raise SpilloverError(f"{place}: {why}; say it with --language, such as --language en")
    return canonical(answer, "--language")


def _identified(rows: Sequence[TableRow]) -> tuple[str, str]:
    """Return the language that most texts are in, among those of the experiment; or why it is not clear."""
    if not identifies():
        return (
            "",
            "found no column that names the language, and no package to identify it (pip install 'spillover[quality]')",
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
        return "", "found texts whose language is not clear, expected texts in one"
    return best, ""

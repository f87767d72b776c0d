"""A user's data → rows per language, in whichever form they stand there.

Files are read by the module that reads a run's own files. Sets of the hub are in `hub`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from spillover.errors import SpilloverError
from spillover.init.ask import Ask
from spillover.init.choices import spread_choices
from spillover.init.forms import by_language
from spillover.init.hub_folder import configurations, split_names, split_rows
from spillover.languages import ENGLISH, canonical, in_paper_order
from spillover.sources import places
from spillover.sources.files import ENDINGS, TableRow, ending, read_rows
from spillover.sources.hub import configurations_by_language
from spillover.sources.remarks import gathering
from spillover.sources.table import id_column, id_of

WORKBOOKS = ("xlsx", "xls", "xlsm", "ods", "numbers")
"""Endings of spreadsheets, which are not read."""

Rows = Mapping[str, Sequence[TableRow]]
"""Language code → its rows, at least one; in the paper's order."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the rows of a set of the hub are."""

    source: str
    """The source as an experiment names it: `hub:ID` or `hub:ID:CONFIG`."""
    commit: str
    """Commit that was read; empty: not known, as of a folder."""
    questions_split: str
    """Split of the rows that are only tuned on; empty: there is none."""
    items_split: str
    """Split of the other rows."""
    readable: bool
    """Whether a run takes the rows of that source for the same languages."""
    sampled: bool
    """Whether only some of its rows were read."""

    @property
    def id(self) -> str:
        """Id of the set."""
        return self.source.split(":")[1]


@dataclass(frozen=True, slots=True)
class Corpus:
    """The rows of a user's data."""

    name: str
    """Name of the file, folder or set, without its ending."""
    place: str
    """The file, folder or set, as the user wrote it."""
    form: str
    """How the rows stand there, in words."""
    rows: Rows
    """Language → rows that may be measured."""
    questions: Rows
    """Language → rows that are only tuned on: a training split, or a second file; none: there are no such rows."""
    parallel: bool = False
    """Whether one row held the translations of one text."""
    letters: tuple[str, ...] = ()
    """Columns of the choices, such as `A` to `D`; none if rows have no choices."""
    origin: Origin | None = None
    """Where the hub has them; None for files."""
    classes: tuple[str, ...] = ()
    """What numbered classes mean, in their order; none: nothing says so."""
    notes: tuple[str, ...] = ()
    """A sentence for each part that was not read."""

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
        parts = [*self.rows.values(), *self.questions.values()]
        if column is None or any(row.cells.get(column) in (None, "") for rows in parts for row in rows):
            return None
        ids = ([id_of(row, number, column) for number, row in enumerate(rows)] for rows in parts)
        return column if all(len(set(each)) == len(each) for each in ids) else None


def read_corpus(path: Path, language: str, ask: Ask) -> Corpus:
    """Return the rows of a file, or of a folder with a file per language.

    Args:
        path: the file or folder.
        language: the language of a file with one; empty: it is identified, and asked if it is not clear.
        ask: who answers.

    Raises:
        SpilloverError: there is no such file, it is a workbook or cannot be read, or its language is not known.
    """
    if not path.exists():
        raise SpilloverError(f"{path}: found no such file or folder, expected the data to begin with")
    code = language and canonical(language, "--language")
    with gathering() as remarks:
        corpus = _from_folder(path, code, ask) if path.is_dir() else _from_file(path, code, ask)
    return in_order(replace(corpus, notes=(*corpus.notes, *remarks.values())))


def in_order(corpus: Corpus) -> Corpus:
    """Return the corpus with a column for each choice, and its languages in the paper's order."""
    rows, letters = spread_choices(corpus.rows)
    questions, _ = spread_choices(corpus.questions) if corpus.questions else (corpus.questions, ())
    ordered = ({code: each[code] for code in in_paper_order(each)} for each in (rows, questions))
    return replace(corpus, rows=next(ordered), questions=next(ordered), letters=letters)


def in_languages(corpus: Corpus, codes: str) -> Corpus:
    """Return the corpus in some of its languages.

    Args:
        corpus: the rows.
        codes: the languages, with commas between; empty: all.

    Raises:
        SpilloverError: the corpus lacks one of them.
    """
    if not codes:
        return corpus
    chosen = {canonical(code.strip(), "--languages") for code in codes.split(",")}
    if missing := chosen - set(corpus.rows):
        raise SpilloverError(f"--languages: found {', '.join(missing)}, expected some of {', '.join(corpus.rows)}")
    parts = ({code: rows for code, rows in each.items() if code in chosen} for each in (corpus.rows, corpus.questions))
    return replace(corpus, rows=next(parts), questions=next(parts))


def with_questions(corpus: Corpus, other: Corpus) -> Corpus:
    """Return the corpus with another one's rows to tune on.

    Raises:
        SpilloverError: the other one has no rows in the pivot.
    """
    if corpus.pivot not in other.rows:
        raise SpilloverError(
            f"--questions: {other.place}: found texts in {', '.join(other.rows)}, expected {corpus.pivot}, the "
            "language that texts are translated from"
        )
    shared = {code: rows for code, rows in other.rows.items() if code in corpus.rows}
    return replace(corpus, questions=shared, notes=(*corpus.notes, *other.notes))


def _from_folder(path: Path, language: str, ask: Ask) -> Corpus:
    """Return the files that are named after languages, else those of a set of the hub, else the only file."""
    name = f"<language>.{places.FORMAT}"
    visible = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    books = [file.name for file in visible if ending(file) in WORKBOOKS]
    notes = tuple(f"{book} not read: save its sheet as CSV UTF-8 to use it" for book in books)
    tables = [file for file in visible if ending(file) in ENDINGS]
    with gathering():  # the notes name every table that is not read
        codes = places.by_language(path, name)
    if codes:
        rows = {code: read_rows(places.file_of(path, name, code), code) for code in codes}
        unread = [file for file in tables if file not in chain.from_iterable(codes.values())]
        notes += tuple(f"{file} not read; its texts are tuned on with --questions {file.as_posix()}" for file in unread)
        return Corpus(path.resolve().name, str(path), "a file for each language", rows, {}, notes=notes)
    if names := configurations(path):
        return _from_hub_folder(path, names, language, ask)
    if len(tables) == 1:
        corpus = _from_file(tables[0], language, ask)
        return replace(corpus, notes=(*notes, f"{tables[0].name} is the only table in the folder"))
    others = f"; to use one file: spillover init {tables[0].as_posix()}" if tables else ""
    workbook = f"; save the sheet of {books[0]} as CSV UTF-8" if books and not tables else ""
    raise SpilloverError(
        f"{path}: found no file named after a language, expected files such as en.csv and de.csv, or en/test.parquet"
        f"{others}{workbook}"
    )


def _from_hub_folder(path: Path, names: Mapping[str, Mapping[str, Sequence[Path]]], language: str, ask: Ask) -> Corpus:
    """Return the rows of a set of the hub that was downloaded.

    names: configuration → split → its files.
    """
    codes = configurations_by_language(tuple(names))
    if not codes and len(names) > 1:
        listing = ", ".join(name or "." for name in names)
        raise SpilloverError(
            f"{path}: found the configurations {listing}, of which none is named after a language, expected one: "
            f"spillover init {(path / next(filter(None, names))).as_posix()}"
        )
    chosen = {code: names[name] for code, name in codes.items()} or {"": next(iter(names.values()))}
    items, spare = split_names(path, chosen)
    rows = {code: split_rows(splits[items], code) for code, splits in chosen.items()}
    questions = {code: split_rows(splits[spare], code) for code, splits in chosen.items() if spare in splits}
    unread = {split: None for splits in chosen.values() for split in splits if split not in (items, spare)}
    notes = [f"{items} is measured" + f" and {spare} is tuned on" * bool(questions)]
    notes += [f"not read: {', '.join(unread)}"] if unread else []
    form = "a folder for each language"
    corpus = Corpus(path.resolve().name, str(path), form, rows, questions, notes=tuple(notes))
    corpus = corpus if codes else by_rows(corpus, language, ask)
    return corpus if corpus.pivot in corpus.questions else replace(corpus, questions={})


def by_rows(corpus: Corpus, language: str, ask: Ask) -> Corpus:
    """Return the corpus of one table, whose rows say their languages themselves."""
    items = by_language(corpus.rows[""], corpus.place, language, ask)
    table, code = corpus.questions.get(""), language or next(iter(items.rows))
    questions = by_language(table, corpus.place, code, ask).rows if table else {}
    shared = {code: rows for code, rows in questions.items() if code in items.rows}
    return replace(corpus, form=items.form, rows=items.rows, questions=shared, parallel=items.parallel)


def _from_file(path: Path, language: str, ask: Ask) -> Corpus:
    kind, stem = ending(path), path.name.partition(".")[0]
    if kind in WORKBOOKS:
        beside = next((path.with_suffix(f".{end}") for end in ENDINGS if path.with_suffix(f".{end}").exists()), None)
        advice = f"use {beside}" if beside else "save the sheet as CSV UTF-8"
        raise SpilloverError(f"{path}: found a workbook, expected a text file; {advice}")
    if kind not in ENDINGS:
        raise SpilloverError(f"{path}: found the ending {kind!r}, expected one of {', '.join(ENDINGS)}")
    grouped = by_language(read_rows(path, language or ENGLISH), str(path), language, ask)
    return Corpus(stem, str(path), grouped.form, grouped.rows, {}, grouped.parallel)

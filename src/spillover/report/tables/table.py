"""A table of texts, and its forms: Markdown, LaTeX (booktabs), CSV, a terminal's.

Every text is untrusted: each form escapes it.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import isnan
from operator import ne

from rich.table import Table as RichTable
from rich.text import Text

from spillover.utils.formatting import MINUS, ascii_minus, directed

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~&#])")
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    MINUS: r"\ensuremath{-}",
    "±": r"\ensuremath{\pm}",
    "×": r"\ensuremath{\times}",
} | {character: rf"\{character}" for character in "&%$#_{}"}


@dataclass(frozen=True, slots=True)
class Table:
    """A rectangle of texts. The first `keys` columns name a row; the other columns hold its values."""

    caption: str
    """A sentence: the content of the table."""
    header: tuple[str, ...]
    """(columns,) names of the columns."""
    rows: tuple[tuple[str, ...], ...]
    """(rows, columns) texts; an empty text is no value."""
    keys: int = 1
    """Number of columns at the left that name the row."""
    bold: frozenset[tuple[int, int]] = frozenset()
    """(row, column) of the texts in bold."""
    in_full: tuple[tuple[str, ...], tuple[tuple[object, ...], ...]] | None = None
    """Header and rows of the CSV, with numbers in full; None: the texts."""


def markdown(tables: Sequence[Table]) -> str:
    """Return the tables as GitHub's Markdown. Each table stands below its caption."""
    return "\n".join(_markdown(table) for table in tables)


def _markdown(table: Table) -> str:
    def line(texts: Iterable[str]) -> str:
        return f"| {' | '.join(texts)} |"

    def text(row: int, column: int) -> str:
        escaped = _escape_markdown(table.rows[row][column])
        return f"**{escaped}**" if (row, column) in table.bold else escaped

    columns = range(len(table.header))
    aligned = ["---" if column < table.keys else "--:" for column in columns]
    rows = [line(text(row, column) for column in columns) for row in range(len(table.rows))]
    head = line(_escape_markdown(name) for name in table.header)
    return "\n".join([_escape_markdown(table.caption), "", head, line(aligned), *rows, ""])


def _escape_markdown(text: str) -> str:
    return directed(_MARKDOWN.sub(r"\\\1", " ".join(text.split())))


def latex(tables: Sequence[Table]) -> str:
    """Return the tables as LaTeX. The document needs the package booktabs."""
    return "\n".join(["% needs \\usepackage{booktabs}", *(_latex(table) for table in tables)])


def _latex(table: Table) -> str:
    def line(texts: Iterable[str]) -> str:
        return f"{' & '.join(texts)} \\\\"

    def text(row: int, column: int) -> str:
        escaped = _escape_latex(table.rows[row][column])
        return rf"\textbf{{{escaped}}}" if (row, column) in table.bold else escaped

    columns = range(len(table.header))
    aligned = "l" * table.keys + "r" * (len(table.header) - table.keys)
    return "\n".join(
        [
            r"\begin{table}[htbp]",
            r"\centering\small\setlength{\tabcolsep}{4pt}",
            rf"\caption{{{_escape_latex(table.caption)}}}",
            rf"\begin{{tabular}}{{{aligned}}}",
            r"\toprule",
            line(_escape_latex(name) for name in table.header),
            r"\midrule",
            *(line(text(row, column) for column in columns) for row in range(len(table.rows))),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _escape_latex(text: str) -> str:
    # Braces keep a row that begins with a bracket from being read as the option of the line break before it.
    escaped = "".join(_LATEX.get(character, character) for character in " ".join(text.split()))
    return f"{{{escaped}}}" if escaped.startswith(("[", "*")) else escaped


def csv_text(tables: Sequence[Table]) -> str:
    """Return the tables as CSV, one after the other: numbers in full, or the page's texts with an ASCII minus."""
    return "".join(csv_rows(*(table.in_full or _plain(table))) for table in tables)


def _plain(table: Table) -> tuple[tuple[str, ...], list[list[str]]]:
    return table.header, [[ascii_minus(text) for text in row] for row in table.rows]


def csv_rows(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a CSV file: lines end in LF, None and nan are empty, truth values are `true` and `false`."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(map(_csv_row, rows))
    return out.getvalue()


def _csv_row(row: Sequence[object]) -> Sequence[object]:
    """Return a row of values that `csv` writes as they are. The test runs no Python per value: few rows need more."""
    needs_change = bool in set(map(type, row)) or any(map(ne, row, row))  # only nan differs from itself
    return [_csv_value(value) for value in row] if needs_change else row


def _csv_value(value: object) -> object:
    if isinstance(value, float) and isnan(value):
        return None
    return str(value).lower() if isinstance(value, bool) else value


def terminal(table: Table) -> RichTable:
    """Return the table, without its caption, for rich to print. Rich's markup in a text is printed, not obeyed."""
    shown = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column, name in enumerate(table.header):
        shown.add_column(Text(name), justify="left" if column < table.keys else "right")
    for row, texts in enumerate(table.rows):
        cells = enumerate(texts)
        shown.add_row(*(Text(text, "bold" if (row, column) in table.bold else "") for column, text in cells))
    return shown


FORMATS: dict[str, Callable[[Sequence[Table]], str]] = {"md": markdown, "tex": latex, "csv": csv_text}
"""Ending of a file → the function that writes tables in that form."""

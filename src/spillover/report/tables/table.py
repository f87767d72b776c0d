"""A table of texts, and its forms: Markdown, LaTeX (booktabs), CSV, a terminal's.

Knows nothing of what a table is about. Every text is taken as is and escaped for the form it lands in.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

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
    """A rectangle of texts. The first `keys` columns name a row; the others tell about it."""

    caption: str
    """What it shows, as a sentence."""
    header: tuple[str, ...]
    """(columns,) the names of the columns."""
    rows: tuple[tuple[str, ...], ...]
    """(rows, columns) the texts; empty where there is no value."""
    keys: int = 1
    """How many columns at the left name the row."""
    bold: frozenset[tuple[int, int]] = frozenset()
    """(row, column) of the texts that stand out: the better of two."""


def markdown(tables: Sequence[Table]) -> str:
    """Return the tables as GitHub's Markdown, each below its caption."""
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
    """Return the tables as LaTeX to be input; the document needs the package booktabs."""
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
    """Return the tables as CSV, as printed but for the minus, one after the other."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for table in tables:
        writer.writerow(table.header)
        writer.writerows([ascii_minus(text) for text in row] for row in table.rows)
    return out.getvalue()


def terminal(table: Table) -> RichTable:
    """Return the table, without its caption, for rich to print; texts are shown as they are, markup included."""
    shown = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column, name in enumerate(table.header):
        shown.add_column(Text(name), justify="left" if column < table.keys else "right")
    for row, texts in enumerate(table.rows):
        cells = enumerate(texts)
        shown.add_row(*(Text(text, "bold" if (row, column) in table.bold else "") for column, text in cells))
    return shown


FORMATS: dict[str, Callable[[Sequence[Table]], str]] = {"md": markdown, "tex": latex, "csv": csv_text}
"""Ending of a file → how tables are written to it."""

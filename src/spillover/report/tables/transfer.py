"""A grid as tables: gains by mixture and language, mixtures by their number of languages, the best, the seeds.

Pure: findings in, tables out. A table that the grid has nothing for is left out.
"""

import csv
import io
from collections.abc import Callable

from spillover.languages import get_language
from spillover.records import SweepFindings, TransferMatrix
from spillover.report.tables.table import Table
from spillover.utils.formatting import points, with_interval


def titled(matrix: TransferMatrix) -> str:
    """Name a matrix by its task and, where the grid has several, by its setting."""
    return ", ".join(part for part in (matrix.task, matrix.setting) if part)


def transfer(findings: SweepFindings) -> list[Table]:
    """Return a table a matrix: a row a language, a column a mixture, gains whose interval leaves zero out in bold."""
    found = []
    for matrix in findings.matrices:
        rows = [
            (
                get_language(code).name,
                *(f"{with_interval(row.gains[place])}{' *' * (code in row.seen)}" for row in matrix.rows),
            )
            for place, code in enumerate(matrix.languages)
        ]
        bold = {
            (place, column)
            for place in range(len(matrix.languages))
            for column, row in enumerate(matrix.rows, start=1)
            if row.gains[place].low > 0 or row.gains[place].high < 0
        }
        caption = (
            f"{titled(matrix)}: gain in points with its 95% interval; * the language was tuned on or is the pivot. "
            "Bold: the interval leaves zero out; it is not corrected for the number of cells."
        )
        header = ("measured in", *(row.mixture for row in matrix.rows))
        found.append(Table(caption, header, tuple(rows), bold=frozenset(bold)))
    return found


def budget(findings: SweepFindings) -> list[Table]:
    """Return a table a matrix: a row a mixture, fewest languages first, with its gain in languages new to all."""
    found = []
    for matrix in findings.matrices:
        rows = [
            (row.mixture, str(row.budget), str(len(row.runs)), with_interval(row.new))
            for row in sorted(matrix.rows, key=lambda row: (row.budget, -(row.new.value if row.new else 0)))
        ]
        caption = f"{titled(matrix)}: mean gain in points over {over(matrix)}, with 95% intervals."
        found.append(Table(caption, ("tuned on", "languages", "seeds", "gain"), tuple(rows)))
    return found


def over(matrix: TransferMatrix) -> str:
    """Say over which languages mixtures are compared."""
    if not matrix.new:
        return "no language, since each was tuned on by some mixture"
    count = f"{len(matrix.new)} language{'s' * (len(matrix.new) != 1)}"
    return f"the {count} that no mixture was tuned on ({', '.join(matrix.new)})"


def best(findings: SweepFindings) -> list[Table]:
    """Return the best mixture of each number of languages, measured on items that did not choose it."""
    rows = [
        (
            *(titled(matrix), str(choice.budget), str(choice.candidates), choice.chosen),
            *(points(choice.seemed), with_interval(choice.held_out), choice.otherwise),
        )
        for matrix in findings.matrices
        for choice in matrix.choices
    ]
    caption = (
        "The best mixture of each number of languages: chosen on one half of the items, measured on the other, so that "
        "its gain is not flattered by the choice. What it seemed to gain on the half that chose it is beside it, and "
        "what the other half would have chosen. Points, over the languages that no mixture was tuned on."
    )
    header = ("measured on", "languages", "of", "chosen", "seemed", "on held-out items", "other half's choice")
    return [Table(caption, header, tuple(rows), keys=4)] if rows else []


def seeds(findings: SweepFindings) -> list[Table]:
    """Return how far the seeds of a mixture are apart; none without a second seed."""
    rows = [
        (
            *(titled(matrix), row.mixture, str(len(row.by_seed)), ", ".join(map(points, row.by_seed))),
            f"{100 * matrix.seed_deviation:.2f} ({matrix.degrees})",
        )
        for matrix in findings.matrices
        if matrix.seed_deviation is not None and matrix.new
        for row in matrix.rows
    ]
    caption = (
        "Seeds: mean gain in points of each run over the languages that no mixture was tuned on, and the standard "
        "deviation between seeds, pooled over mixtures, with its degrees of freedom."
    )
    header = ("measured on", "tuned on", "seeds", "gain of each", "deviation (df)")
    return [Table(caption, header, tuple(rows), keys=2)] if rows else []


TABLES: dict[str, Callable[[SweepFindings], list[Table]]] = {
    "transfer": transfer,
    "budget": budget,
    "best": best,
    "seeds": seeds,
}
"""Name of the files → tables."""


def long(findings: SweepFindings) -> str:
    """Return every gain in full, as shares: a row a setting, task, mixture and language, as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ("setting", "task", "mixture", "languages", "seeds", "measured_in", "seen", "gain", "low", "high", "items")
    )
    for matrix in findings.matrices:
        for row in matrix.rows:
            for code, gain in zip(matrix.languages, row.gains, strict=True):
                own = (matrix.setting, matrix.task, row.mixture, row.budget, len(row.runs), code)
                writer.writerow((*own, int(code in row.seen), gain.value, gain.low, gain.high, gain.n))
    return out.getvalue()

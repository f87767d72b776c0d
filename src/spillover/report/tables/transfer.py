"""A grid as tables: gains per mixture and language, mixtures by their number of languages, the best one, the seeds.

Pure: findings in, tables out. A table without rows is left out.
"""

from collections.abc import Callable, Iterator

from spillover.languages import get_language
from spillover.records import MixtureGains, SweepFindings, TransferMatrix
from spillover.report.tables.table import Table, csv_rows
from spillover.utils.formatting import plural, points, with_interval


def titled(matrix: TransferMatrix) -> str:
    """Name a matrix by its task and, if the grid has several settings, by its setting."""
    return ", ".join(part for part in (matrix.task, matrix.setting) if part)


def transfer(findings: SweepFindings) -> list[Table]:
    """Return a table per matrix: a row per language, a column per mixture, in bold if the interval excludes zero."""
    tables = []
    for matrix in findings.matrices:
        rows = [
            (get_language(code).name, *(_marked(row, place, code) for row in matrix.rows))
            for place, code in enumerate(matrix.languages)
        ]
        bold = {
            (place, column)
            for place in range(len(matrix.languages))
            for column, row in enumerate(matrix.rows, start=1)
            if row.gains[place].low > 0 or row.gains[place].high < 0
        }
        caption = (
            f"{titled(matrix)}: gain in points with its 95% interval. *: the language was tuned on or is the pivot. "
            "Bold: the interval excludes zero. Intervals are not corrected for the number of cells."
        )
        header = ("measured in", *(row.mixture for row in matrix.rows))
        tables.append(Table(caption, header, tuple(rows), bold=frozenset(bold)))
    return tables


def _marked(row: MixtureGains, place: int, code: str) -> str:
    """Write a mixture's gain in the language at `place`, with a star if tuning read or wrote the language."""
    gain = with_interval(row.gains[place])
    return f"{gain} *" if code in row.seen else gain


def budget(findings: SweepFindings) -> list[Table]:
    """Return a table per matrix: a row per mixture, fewest languages first, with its gain in languages new to all."""
    tables = []
    for matrix in findings.matrices:
        rows = [
            (row.mixture, str(row.budget), str(len(row.runs)), with_interval(row.new))
            for row in sorted(matrix.rows, key=lambda row: (row.budget, -(row.new.value if row.new else 0)))
        ]
        caption = f"{titled(matrix)}: mean gain in points over {languages_compared(matrix)}, with 95% intervals."
        tables.append(Table(caption, ("tuned on", "languages", "seeds", "gain"), tuple(rows)))
    return tables


def languages_compared(matrix: TransferMatrix) -> str:
    """Name the languages over which mixtures are compared."""
    if not matrix.new:
        return "no language, since each was tuned on by some mixture"
    return f"the {plural(len(matrix.new), 'language')} that no mixture was tuned on ({', '.join(matrix.new)})"


def best(findings: SweepFindings) -> list[Table]:
    """Return the best mixture per number of languages, measured on items that did not choose it."""
    rows = [
        (
            titled(matrix),
            str(choice.budget),
            str(choice.candidates),
            choice.chosen,
            points(choice.selection_gain),
            with_interval(choice.held_out),
            choice.other_half_choice,
        )
        for matrix in findings.matrices
        for choice in matrix.choices
    ]
    caption = (
        "The best mixture per number of languages. One half of the items chooses it, the other half measures it: the "
        "gain on held-out items is not flattered by the choice, the gain when chosen is. Gains are in points, over the "
        "languages that no mixture was tuned on."
    )
    header = (
        *("measured on", "languages", "mixtures", "chosen"),
        *("gain when chosen", "gain on held-out items", "other half's choice"),
    )
    return [Table(caption, header, tuple(rows), keys=4)] if rows else []


def seeds(findings: SweepFindings) -> list[Table]:
    """Return the spread between the seeds of a mixture; no table without a second seed."""
    rows = [
        (
            titled(matrix),
            row.mixture,
            str(len(row.by_seed)),
            ", ".join(map(points, row.by_seed)),
            f"{100 * matrix.seed_deviation:.2f} ({matrix.degrees})",
        )
        for matrix in findings.matrices
        if matrix.seed_deviation is not None and matrix.new
        for row in matrix.rows
    ]
    caption = (
        "Seeds: mean gain in points per run over the languages that no mixture was tuned on. Deviation: the standard "
        "deviation between seeds, pooled over mixtures, with its degrees of freedom."
    )
    header = ("measured on", "tuned on", "seeds", "gain per seed", "deviation (df)")
    return [Table(caption, header, tuple(rows), keys=2)] if rows else []


def settings(findings: SweepFindings) -> list[Table]:
    """Return the settings side by side: a row per task, setting and mixture; no table if the grid has one setting."""
    rows = [
        (matrix.task, matrix.setting, row.mixture, str(len(row.runs)), str(len(matrix.new)), with_interval(row.new))
        for matrix in sorted(findings.matrices, key=lambda matrix: matrix.task)
        for row in matrix.rows
    ]
    caption = (
        "Settings side by side: mean gain in points, with 95% intervals, over the languages that no mixture of the "
        "setting was tuned on. Settings with other numbers of such languages are means over other languages."
    )
    header = ("measured on", "setting", "tuned on", "seeds", "languages compared", "gain")
    several = len({matrix.setting for matrix in findings.matrices}) > 1
    return [Table(caption, header, tuple(rows), keys=3)] if several else []


TABLES: dict[str, Callable[[SweepFindings], list[Table]]] = {
    "settings": settings,
    "transfer": transfer,
    "budget": budget,
    "best": best,
    "seeds": seeds,
}
"""Name of the files → the function that makes their tables."""


def gains_csv(findings: SweepFindings) -> str:
    """Return every gain in full, as shares: a CSV with a row per setting, task, mixture and language."""
    header = ("setting", "task", "mixture", "languages", "seeds", "measured_in", "seen", "gain", "low", "high", "items")
    return csv_rows(header, (row for matrix in findings.matrices for row in _gain_rows(matrix)))


def _gain_rows(matrix: TransferMatrix) -> Iterator[tuple[object, ...]]:
    for row in matrix.rows:
        mixture = (matrix.setting, matrix.task, row.mixture, row.budget, len(row.runs))
        for code, gain in zip(matrix.languages, row.gains, strict=True):
            yield *mixture, code, int(code in row.seen), gain.value, gain.low, gain.high, gain.n

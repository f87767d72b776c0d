"""Recipes side by side as tables: the layouts of the paper's tables 1 to 6, gain by model size, paired differences.

Pure: a comparison of runs in, tables out. A table without rows is left out.
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from math import isnan, nan
from statistics import fmean

from rich.console import Group, RenderableType
from rich.text import Text

from spillover.records import Estimate, PairedComparison, RecipeResult, RunComparison, TaskResult
from spillover.report.tables.run import table_rows
from spillover.report.tables.table import FORMATS, Table, terminal
from spillover.utils.formatting import percent, with_interval


def by_language(comparison: RunComparison) -> list[Table]:
    """Return the layout of the paper's tables 1 and 3: a row per recipe, ten languages a table, the best in bold."""
    tables = []
    for task, results in _by_task(comparison):
        rows = [
            *((label, result.reference) for label, result in _bases(results)),
            *((_label(entry, comparison), result.arm) for entry, result in results),
        ]
        codes = results[0][1].languages
        block_of = table_rows(codes)
        for _, block in groupby(range(len(codes)), key=lambda column: block_of[codes[column]]):
            columns = list(block)
            numbers = [[values[column] for column in columns] for _, values in rows]
            texts = [(label, *map(percent, shares)) for (label, _), shares in zip(rows, numbers, strict=True)]
            header = ("", *(codes[column] for column in columns))
            tables.append(Table(f"{task}: accuracy in percent.", header, tuple(texts), bold=_best(numbers, 1)))
    return tables


def means(comparison: RunComparison) -> list[Table]:
    """Return the layout of the paper's tables 2, 4, 5 and 6: mean over languages, a row per mixture.

    The columns are the values that vary otherwise: the model (2, 4), the task measured (5), the kind of labels (6).
    """
    varying = [name for name in ("model", "labels") if len({getattr(e.first, name) for e in comparison.recipes}) > 1]
    tasks = [task for task, _ in _by_task(comparison)]

    def column(entry: RecipeResult, task: str) -> str:
        parts = [*(getattr(entry.first, name) for name in varying), *([task] if len(tasks) > 1 or not varying else [])]
        return ", ".join(parts)

    cells: dict[tuple[str, str], float] = {}
    for task, results in _by_task(comparison):
        for entry, result in results:
            cells.setdefault((entry.first.arms[0], column(entry, task)), fmean(result.reference))
            cells[_mixture(entry, comparison), column(entry, task)] = fmean(result.arm)
    rows, columns = (list(dict.fromkeys(key[part] for key in cells)) for part in (0, 1))
    numbers = [[cells.get((row, column), nan) for column in columns] for row in rows]
    texts = tuple((row, *map(percent, shares)) for row, shares in zip(rows, numbers, strict=True))
    caption = "Mean accuracy over the languages that all runs measured, in percent."
    return [Table(caption, ("", *columns), texts, bold=_best(numbers, 1))]


def sizes(comparison: RunComparison) -> list[Table]:
    """Return the gain over languages not tuned on against the model's size, the smallest model first."""
    sized = [entry for entry in comparison.recipes if entry.first.parameters]
    rows = [
        (
            entry.first.model,
            f"{entry.first.parameters / 1e6:,.0f}",
            _mixture(entry, comparison),
            result.title,
            percent(fmean(result.reference)),
            percent(fmean(result.arm)),
            with_interval(result.gain),
        )
        for entry in sorted(sized, key=lambda entry: entry.first.parameters)
        for result in entry.results
    ]
    header = ("model", "million parameters", "mixture", "task", *comparison.recipes[0].first.arms, "gain, not tuned on")
    caption = "Gain against model size: mean accuracy in percent; gain in points, with 95% intervals."
    return [Table(caption, header, tuple(rows))] if rows else []


def paired(comparison: RunComparison) -> list[Table]:
    """Return the paired difference between the tuned arms of every two recipes."""
    caption = (
        "Tuned arms, paired item by item: mean difference (first − second) in points over the languages that neither "
        "was tuned on, with 95% intervals. The verdict is about the first."
    )
    return _paired(comparison.comparisons, "languages", lambda row: str(row.languages), caption)


def paired_by_language(comparison: RunComparison) -> list[Table]:
    """Return the same in each language that all runs measured, those tuned on among them."""
    caption = (
        "Tuned arms, paired item by item, in each language: difference (first − second) in points, with 95% intervals "
        "that are not corrected for their number."
    )
    return _paired(comparison.per_language, "language", lambda row: row.language, caption)


def _paired(
    rows: Sequence[PairedComparison], column: str, name: Callable[[PairedComparison], str], caption: str
) -> list[Table]:
    def keys(row: PairedComparison) -> tuple[str, ...]:
        return row.title, row.one, row.other, name(row)

    header = ("task", "first", "second", column)
    verdicts = ["" if row.measure else row.verdict for row in rows]  # the score itself alone has one
    texts = tuple((*keys(row), with_interval(row.difference), word) for row, word in zip(rows, verdicts, strict=True))
    numbers = tuple((*keys(row), *_ends(row.difference), word) for row, word in zip(rows, verdicts, strict=True))
    in_full = (*header, "difference", "low", "high", "verdict"), numbers
    return [Table(caption, (*header, "difference", "verdict"), texts, keys=3, in_full=in_full)] if rows else []


def _ends(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high


TABLES: dict[str, Callable[[RunComparison], list[Table]]] = {
    "by_language": by_language,
    "means": means,
    "sizes": sizes,
    "paired": paired,
    "paired_by_language": paired_by_language,
}
"""Name of the files → the function that makes their tables."""


def render(comparison: RunComparison) -> dict[str, str]:
    """Return path → content: every table in each format."""
    made = {name: tables for name, make in TABLES.items() if (tables := make(comparison))}
    return {f"{name}.{ending}": write(tables) for name, tables in made.items() for ending, write in FORMATS.items()}


def terminal_text(comparison: RunComparison) -> RenderableType:
    """Return all tables for a terminal."""
    several = len(comparison.recipes) > 2  # then the files alone have each language
    shown_tables = [make for make in TABLES.values() if not (several and make is paired_by_language)]
    tables = [table for make in shown_tables for table in make(comparison)]
    shown = (part for table in tables for part in (Text(table.caption, "bold"), terminal(table), Text()))
    return Group(*map(Text, comparison.treatments), *([Text()] if comparison.treatments else []), *shown)


def _by_task(comparison: RunComparison) -> list[tuple[str, list[tuple[RecipeResult, TaskResult]]]]:
    tasks = [result.title for result in comparison.recipes[0].results]
    return [(task, [(entry, entry.results[place]) for entry in comparison.recipes]) for place, task in enumerate(tasks)]


def _bases(results: Sequence[tuple[RecipeResult, TaskResult]]) -> list[tuple[str, TaskResult]]:
    """Return the base arms that differ. Runs of one model share theirs."""
    several = len({entry.first.model for entry, _ in results}) > 1
    bases: dict[tuple[str, tuple[float, ...]], tuple[str, TaskResult]] = {}
    for entry, result in results:
        name = entry.first.arms[0]
        label = f"{name}, {entry.first.model}" if several else name
        bases.setdefault((label, result.reference), (label, result))
    return list(bases.values())


def _label(entry: RecipeResult, comparison: RunComparison) -> str:
    """Name a recipe by its mixture, with the model and the runs' names if others share the mixture."""
    several = len({e.first.model for e in comparison.recipes}) > 1
    label = _mixture(entry, comparison)
    if several:
        label += f", {entry.first.model}"
    alike = [
        e for e in comparison.recipes if (e.first.model, e.first.mixture) == (entry.first.model, entry.first.mixture)
    ]
    return f"{label} ({entry.name})" if len(alike) > 1 else label


def _mixture(entry: RecipeResult, comparison: RunComparison) -> str:
    """Return a recipe's mixture, with the task of its questions if recipes differ in it, and its number of seeds."""
    parts = [entry.first.mixture]
    if len({e.first.question_task for e in comparison.recipes}) > 1:
        parts.append(f"{entry.first.question_task} questions")
    if entry.seeds > 1:
        parts.append(f"{entry.seeds} seeds")
    return ", ".join(parts)


def _best(numbers: Sequence[Sequence[float]], first: int) -> frozenset[tuple[int, int]]:
    """Return (row, column) of the largest number per column; `first` is the place of the first column of numbers."""
    places = set()
    for column, values in enumerate(zip(*numbers, strict=True), start=first):
        best = max((value for value in values if not isnan(value)), default=None)
        places |= {(row, column) for row, value in enumerate(values) if value == best}
    return frozenset(places)

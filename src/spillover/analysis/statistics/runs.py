"""Compare recipes: several runs of the same items, with the seeds of one recipe averaged.

`docs/statistics.md` has the rules and formulas.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from spillover.analysis.statistics.pairing import Array, PairedCell, UnitNumbers, is_correct, item_table, pair_arms
from spillover.analysis.statistics.seeds import SeedSpread, difference_over_seeds, over_seeds, seed_spread
from spillover.analysis.statistics.verdicts import verdict
from spillover.errors import SpilloverError
from spillover.records import FinishedRun, Length, PairedComparison, RecipeResult, RunComparison, TaskResult

Cells = Mapping[tuple[str, str], PairedCell]

LENGTHS: Mapping[str, Length] = {"per character": "characters", "per byte": "bytes"}
"""Measure of a task's items beside the score itself → the unit of a choice's length."""


def compare_runs(runs: Sequence[FinishedRun], margin: float) -> RunComparison:
    """Compare runs over the tasks and languages that all of them measured.

    Args:
        runs: two or more; those that share `recipe_digest` are seeds of one recipe.
        margin: differences within ± this share count as equivalent.

    Raises:
        SpilloverError: fewer than two runs, two of one name, or some that do not share their items.
    """
    names = [run.name for run in runs]
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise SpilloverError(f"compare: found runs {names}, expected two or more, each once")
    cells = [
        {(cell.task, cell.language): cell for cell in pair_arms(run.reference, run.arm, run.clusters, run.arms)}
        for run in runs
    ]
    shared = _shared(runs, cells)
    recipes: dict[str, list[int]] = {}
    for place, run in enumerate(runs):
        recipes.setdefault(run.recipe_digest, []).append(place)
    groups = list(recipes.values())
    results: list[list[TaskResult]] = [[] for _ in groups]
    comparisons: list[PairedComparison] = []
    per_language: list[PairedComparison] = []
    for comparison in _task_comparisons(runs, groups, cells, shared):
        for task_results, members in zip(results, groups, strict=True):
            task_results.append(comparison.result(members))
        for first, second in combinations(groups, 2):
            comparisons += comparison.compared(first, second, margin)
            per_language += comparison.per_language(first, second, margin)
    recipe_results = [
        RecipeResult(" + ".join(names[place] for place in members), runs[members[0]], len(members), tuple(task_results))
        for members, task_results in zip(groups, results, strict=True)
    ]
    treatments = tuple(f"{run.name}: {run.treatment.sentence}" for run in runs if run.treatment)
    return RunComparison(tuple(recipe_results), tuple(comparisons), treatments, tuple(per_language))


def _shared(runs: Sequence[FinishedRun], cells: Sequence[Cells]) -> dict[str, list[str]]:
    """Return task → the languages that every run measured, their items being the same in all; or refuse."""
    keys = [key for key in cells[0] if all(key in run_cells for run_cells in cells)]
    if not keys:
        measured = "; ".join(
            f"{run.name} measured {', '.join(dict.fromkeys(task for task, _ in run_cells))} "
            f"in {', '.join(dict.fromkeys(code for _, code in run_cells))}"
            for run, run_cells in zip(runs, cells, strict=True)
        )
        raise SpilloverError(f"compare: found no task and language that all runs share: {measured}")
    for task, code in keys:
        reference = cells[0][task, code]
        for run, run_cells in zip(runs[1:], cells[1:], strict=True):
            same_items(f"compare: {task}, {code}", reference, run_cells[task, code], runs[0].name, run.name)
    return {task: [code for t, code in keys if t == task] for task in dict.fromkeys(task for task, _ in keys)}


def same_items(where: str, one: PairedCell, other: PairedCell, name: str, rival: str) -> None:
    """Refuse two runs whose cell of one task and language has not the same items."""
    odd = sorted(set(one.ids) ^ set(other.ids))
    if odd:
        has, lacks = (name, rival) if odd[0] in one.ids else (rival, name)
        raise SpilloverError(
            f"{where}: run {has} has an item {odd[0]!r} that {lacks} lacks ({len(odd)} ids differ), "
            "expected the same items"
        )
    labels, others = (cell.choices.labels if cell.choices else 0 for cell in (one, other))
    if labels != others:
        raise SpilloverError(f"{where}: found {labels} labels in {name} and {others} in {rival}, expected as many")
    if one.choices is None or other.choices is None:
        return
    uneven = np.flatnonzero(one.choices.numbers != other.choices.numbers)
    if len(uneven):
        raise SpilloverError(
            f"{where}: item {one.ids[uneven[0]]!r} has another number of labels in {name} than in {rival}, expected "
            "the same items"
        )
    wrong = np.flatnonzero(one.choices.gold != other.choices.gold)
    if len(wrong):
        raise SpilloverError(
            f"{where}: item {one.ids[wrong[0]]!r} has another gold in {name} than in {rival} ({len(wrong)} differ), "
            "expected the same items"
        )


def _task_comparisons(
    runs: Sequence[FinishedRun],
    recipes: Sequence[Sequence[int]],
    cells: Sequence[Cells],
    shared: Mapping[str, Sequence[str]],
) -> Iterator["_TaskComparison"]:
    """Yield each task by its score, then by the lengths of the choices that all runs stored."""
    for task, codes in shared.items():
        chosen = [[run_cells[task, code] for code in codes] for run_cells in cells]
        yield _TaskComparison(runs, recipes, chosen)
        for measure, unit in LENGTHS.items():
            divided = [[cell for each in of_run if (cell := _per_length(each, unit))] for of_run in chosen]
            if all(len(of_run) == len(codes) for of_run in divided):
                yield _TaskComparison(runs, recipes, divided, measure)


def _per_length(cell: PairedCell, unit: Length) -> PairedCell | None:
    """Return the cell whose scores are right where the best log-probability per unit is gold; None without lengths."""
    if cell.choices is None or any(unit not in arm.by_length for arm in (cell.choices.reference, cell.choices.arm)):
        return None
    one, other = (
        is_correct(arm.by_length[unit], cell.choices.gold) for arm in (cell.choices.reference, cell.choices.arm)
    )
    return replace(cell, reference=one, arm=other)


class _TaskComparison:
    """One task and measure: every run's outcome of every item."""

    def __init__(
        self,
        runs: Sequence[FinishedRun],
        recipes: Sequence[Sequence[int]],
        cells: Sequence[Sequence[PairedCell]],
        measure: str = "",
    ) -> None:
        self.runs, self.recipes, self.cells, self.measure = runs, recipes, cells, measure
        self.codes = [cell.language for cell in cells[0]]
        tables = [item_table(run_cells, lambda cell: np.stack([cell.reference, cell.arm])) for run_cells in cells]
        self.units = tables[0][0]
        self.reference, self.arm = np.stack([values for _, values in tables], axis=1)

    def new(self, members: Sequence[int]) -> list[int]:
        """Return the columns of the languages that none of these runs read or wrote."""
        seen = {code for place in members for code in self.runs[place].seen}
        return [column for column, code in enumerate(self.codes) if code not in seen]

    def result(self, members: Sequence[int]) -> TaskResult:
        new, gain = self.new(members), None
        if new:
            outcomes = (self.arm - self.reference)[:, :, new]
            gain = over_seeds(outcomes[members], self.units, self._spread(outcomes, self.units))
        reference, arm = (
            tuple(np.nanmean(scores[members], axis=1).mean(axis=0).tolist()) for scores in (self.reference, self.arm)
        )
        return TaskResult(self.cells[0][0].task, tuple(self.codes), reference, arm, gain, self.measure)

    def compared(self, one: Sequence[int], other: Sequence[int], margin: float) -> list[PairedComparison]:
        new = self.new([*one, *other])
        if not new:
            return []
        return [self._paired(one, other, new, margin)]

    def per_language(self, one: Sequence[int], other: Sequence[int], margin: float) -> Iterator[PairedComparison]:
        """Yield the difference of two recipes in each language, on the items that it has."""
        for column, code in enumerate(self.codes):
            yield replace(self._paired(one, other, [column], margin), language=code)

    def _paired(
        self, one: Sequence[int], other: Sequence[int], columns: Sequence[int], margin: float
    ) -> PairedComparison:
        measured = ~np.isnan(self.arm[0][:, columns]).all(axis=1)
        hits, units = self.arm[:, measured][:, :, columns], self.units[measured]
        difference = difference_over_seeds(hits[one], hits[other], units, self._spread(hits, units))
        names = [" + ".join(self.runs[place].name for place in members) for members in (one, other)]
        word = verdict(difference, len(units), margin)
        task = self.cells[0][0].task
        return PairedComparison(task, names[0], names[1], len(columns), difference, word, measure=self.measure)

    def _spread(self, outcomes: Array, units: UnitNumbers) -> SeedSpread:
        """Return how far seeds are apart in (runs, items, languages) outcomes, pooled over the recipes."""
        return seed_spread([outcomes[members] for members in self.recipes], units)

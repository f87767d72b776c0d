"""Recipes side by side: several runs of the same items, seeds of one recipe taken together; else a refusal.

Rules and formulas are in `docs/statistics.md`. Knows predictions, but neither a run folder nor how a table looks.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from spillover.analysis.arms import Array, PairedCell, pair_arms, right
from spillover.analysis.estimate import bootstrap_means, general_draws, interval
from spillover.analysis.verdicts import verdict
from spillover.errors import SpilloverError
from spillover.lineup import Duel, Entry, Lineup, Result, Run
from spillover.records import Estimate

Cells = Mapping[tuple[str, str], PairedCell]


def line_up(runs: Sequence[Run], margin: float, seed: int = 0) -> Lineup:
    """Lay runs side by side over the tasks and languages that all of them measured.

    Args:
        runs: two or more; those that share `recipe` are taken as seeds of one.
        margin: differences within ± this share count as equivalent.
        seed: of the bootstrap.

    Raises:
        SpilloverError: fewer than two runs, two of one name, or some that do not share their items.
    """
    names = [run.name for run in runs]
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise SpilloverError(f"compare: found runs {names}, expected two or more, each once")
    cells = [
        {(cell.task, cell.language): cell for cell in pair_arms(run.base, run.tuned, run.clusters)} for run in runs
    ]
    shared = _shared(runs, cells)
    recipes: dict[str, list[int]] = {}
    for place, run in enumerate(runs):
        recipes.setdefault(run.recipe, []).append(place)
    groups = list(recipes.values())
    results: list[list[Result]] = [[] for _ in groups]
    duels: list[Duel] = []
    for task, codes in shared.items():
        bench = _Bench(runs, [[own[task, code] for code in codes] for own in cells], seed)
        for found, members in zip(results, groups, strict=True):
            found.append(bench.result(members))
        for one, other in combinations(groups, 2):
            duels += bench.duel(one, other, margin)
    entries = [
        Entry(" + ".join(names[place] for place in members), runs[members[0]], len(members), tuple(found))
        for members, found in zip(groups, results, strict=True)
    ]
    return Lineup(tuple(entries), tuple(duels))


def _shared(runs: Sequence[Run], cells: Sequence[Cells]) -> dict[str, list[str]]:
    """Return task → the languages that every run measured, their items being the same in all; or refuse."""
    keys = [key for key in cells[0] if all(key in own for own in cells)]
    if not keys:
        measured = "; ".join(
            f"{run.name} measured {', '.join(dict.fromkeys(task for task, _ in own))} "
            f"in {', '.join(dict.fromkeys(code for _, code in own))}"
            for run, own in zip(runs, cells, strict=True)
        )
        raise SpilloverError(f"compare: found no task and language that all runs share: {measured}")
    for task, code in keys:
        reference = cells[0][task, code]
        for run, own in zip(runs[1:], cells[1:], strict=True):
            same_items(f"compare: {task}, {code}", reference, own[task, code], runs[0].name, run.name)
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
    if one.base.shape != other.base.shape:
        raise SpilloverError(
            f"{where}: found {one.base.shape[1]} labels in {name} and {other.base.shape[1]} in {rival}, "
            "expected as many"
        )
    wrong = np.flatnonzero(one.gold != other.gold)
    if len(wrong):
        raise SpilloverError(
            f"{where}: item {one.ids[wrong[0]]!r} has another gold in {name} than in {rival} ({len(wrong)} differ), "
            "expected the same items"
        )


class _Bench:
    """One task: every run's outcome of every item, and bootstrap draws that share the resampled items."""

    def __init__(self, runs: Sequence[Run], cells: Sequence[Sequence[PairedCell]], seed: int) -> None:
        self.runs, self.cells, self.seed = runs, cells, seed
        self.codes = [cell.language for cell in cells[0]]
        ids = {id: row for row, id in enumerate(sorted({id for cell in cells[0] for id in cell.ids}))}
        self.items = len(ids)
        values = np.full((2, len(runs), self.items, len(self.codes)), np.nan)
        for place, own in enumerate(cells):
            for column, cell in enumerate(own):
                rows = [ids[id] for id in cell.ids]
                values[:, place, rows, column] = right(cell.base, cell.gold), right(cell.tuned, cell.gold)
        self.base, self.tuned = np.nanmean(values, axis=2)
        flat = values.transpose(2, 0, 1, 3)
        draws = bootstrap_means(flat.reshape(self.items, -1), seed=seed).reshape(-1, *flat.shape[1:])
        self.base_draws, self.tuned_draws = draws[:, 0], draws[:, 1]

    def new(self, members: Sequence[int]) -> list[int]:
        """Return the columns of the languages that none of these runs read or wrote."""
        seen = {code for place in members for code in self.runs[place].seen}
        return [column for column, code in enumerate(self.codes) if code not in seen]

    def result(self, members: Sequence[int]) -> Result:
        new, gain = self.new(members), None
        if new:
            values = (self.tuned - self.base)[members][:, new].mean(axis=1)
            draws = (self.tuned_draws - self.base_draws)[:, members][:, :, new].mean(axis=2)
            gain = self._over_seeds(values.mean(), self._seeded(draws, self.seed + 1))
        base, tuned = (tuple(arm[members].mean(axis=0).tolist()) for arm in (self.base, self.tuned))
        return Result(self.cells[0][0].task, tuple(self.codes), base, tuned, gain)

    def duel(self, one: Sequence[int], other: Sequence[int], margin: float) -> list[Duel]:
        new = self.new([*one, *other])
        if not new:
            return []
        sides = [
            (self.tuned[members][:, new].mean(), self.tuned_draws[:, members][:, :, new].mean(axis=2))
            for members in (one, other)
        ]
        draws = [self._seeded(own, self.seed + place) for place, (_, own) in enumerate(sides, start=1)]
        difference = self._over_seeds(sides[0][0] - sides[1][0], draws[0] - draws[1])
        names = [" + ".join(self.runs[place].name for place in members) for members in (one, other)]
        word = verdict(difference, self.items, margin)
        return [Duel(self.cells[0][0].task, names[0], names[1], len(new), difference, word)]

    def _seeded(self, draws: Array, seed: int) -> Array:
        """Return draws of the mean over seeds, (resamples,), from those of each, (resamples, seeds)."""
        mean: Array = general_draws(draws, seed) if draws.shape[1] > 1 else draws[:, 0]
        return mean

    def _over_seeds(self, value: float, draws: Array) -> Estimate:
        return interval(float(value), np.clip(draws, -1, 1), self.items)

"""Which languages help which: gains of a grid's runs per mixture and language.

`docs/statistics.md` has the rules and formulas.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage

from spillover.analysis.statistics.pairing import Array, PairedCell, pair_arms
from spillover.analysis.statistics.runs import same_items
from spillover.analysis.statistics.seeds import SeedSpread, Units, over_seeds, seed_spread
from spillover.records import BestMixture, FinishedRun, MixtureGains, TransferMatrix


@dataclass(frozen=True, slots=True)
class _Mixture:
    """The runs of one mixture, which differ in the seed alone."""

    name: str
    budget: int
    seen: tuple[str, ...]
    runs: tuple[str, ...]
    outcomes: Array
    """(runs, items, languages): 1 where tuning fixed an item, −1 where it broke it, else 0; nan where there is none."""


def transfers(runs: Sequence[FinishedRun]) -> tuple[TransferMatrix, ...]:
    """Return a matrix for each setting and each task that its runs share.

    Args:
        runs: at least one; those that share `recipe_digest` are seeds of one mixture.

    Raises:
        SpilloverError: runs of one setting do not share their items.
    """
    matrices: list[TransferMatrix] = []
    for setting in dict.fromkeys(run.setting for run in runs):
        members = [run for run in runs if run.setting == setting]
        cells = [
            {(cell.task, cell.language): cell for cell in pair_arms(run.reference, run.arm, run.clusters, run.arms)}
            for run in members
        ]
        shared = [key for key in cells[0] if all(key in other for other in cells)]
        for task in dict.fromkeys(task for task, _ in shared):
            codes = [code for name, code in shared if name == task]
            table = [[other[task, code] for code in codes] for other in cells]
            matrices.append(_matrix(setting, members, table))
    return tuple(matrices)


def _matrix(setting: str, runs: Sequence[FinishedRun], cells: Sequence[Sequence[PairedCell]]) -> TransferMatrix:
    for run, other in zip(runs[1:], cells[1:], strict=True):
        for first, second in zip(cells[0], other, strict=True):
            same_items(f"sweep: {first.task}, {first.language}", first, second, runs[0].name, run.name)
    codes = tuple(cell.language for cell in cells[0])
    unit_of = {id: str(unit) for cell in cells[0] for id, unit in zip(cell.ids, cell.units, strict=True)}
    ids = sorted(unit_of)
    units = np.array([unit_of[id] for id in ids])
    mixtures = _mixtures(runs, cells, ids)
    new = tuple(code for code in codes if not any(code in mixture.seen for mixture in mixtures))
    columns = [codes.index(code) for code in new]
    outcomes = [mixture.outcomes for mixture in mixtures]
    apart = [seed_spread([values[:, :, [column]] for values in outcomes], units) for column in range(len(codes))]
    spread = seed_spread([values[:, :, columns] for values in outcomes], units)
    rows = []
    for mixture in mixtures:
        gains = [over_seeds(mixture.outcomes[:, :, [c]], units, spread_in) for c, spread_in in enumerate(apart)]
        mean = over_seeds(mixture.outcomes[:, :, columns], units, spread) if new else None
        by_seed = tuple(_over(mixture.outcomes[:, :, columns]).tolist()) if new else ()
        rows.append(MixtureGains(mixture.name, mixture.budget, mixture.seen, mixture.runs, tuple(gains), mean, by_seed))
    across, down = (_order(values) for values in _values(rows))
    return TransferMatrix(
        setting=setting,
        task=cells[0][0].task,
        languages=tuple(codes[place] for place in across),
        new=new,
        items=len(ids),
        rows=tuple(_turned(rows[place], across) for place in down),
        choices=tuple(_choices(mixtures, columns, units, spread)) if new else (),
        seed_deviation=float(np.sqrt(spread.between)) if spread.degrees else None,
        degrees=spread.degrees,
    )


def _mixtures(runs: Sequence[FinishedRun], cells: Sequence[Sequence[PairedCell]], ids: Sequence[str]) -> list[_Mixture]:
    rows = {id: row for row, id in enumerate(ids)}
    members: dict[str, list[int]] = {}
    for place, run in enumerate(runs):
        members.setdefault(run.recipe_digest, []).append(place)
    mixtures = []
    for places in members.values():
        outcomes = np.full((len(places), len(ids), len(cells[0])), np.nan)
        for layer, place in enumerate(places):
            for column, cell in enumerate(cells[place]):
                outcomes[layer, [rows[id] for id in cell.ids], column] = cell.difference
        first = runs[places[0]]
        names = tuple(runs[place].name for place in places)
        mixtures.append(_Mixture(first.mixture, len(first.seen) - 1, first.seen, names, outcomes))
    named = Counter(mixture.name for mixture in mixtures)  # a control may do the same whatever the languages are
    return [replace(m, name=f"{m.name} ({m.runs[0]})") if named[m.name] > 1 else m for m in mixtures]


def _over(outcomes: Array) -> Array:
    """Return the mean over languages of the means over items, for each of the first axis."""
    mean: Array = np.nanmean(outcomes, axis=1).mean(axis=1)
    return mean


def split_half(units: Sequence[str]) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Split items in two by the SHA-256 of their units' ids: the same way in every language, task and run of them.

    units: (items,) the cluster of each item, or its own id; a cluster stays whole, else the other half would not be
    unseen. Returns the places of either half.
    """
    places = np.argsort([hashlib.sha256(unit.encode()).hexdigest() for unit in units], kind="stable")
    cut = len(places) // 2
    while 0 < cut < len(places) and units[places[cut]] == units[places[cut - 1]]:
        cut += 1
    return np.sort(places[:cut]), np.sort(places[cut:])


def _choices(
    mixtures: Sequence[_Mixture], columns: Sequence[int], units: Units, spread: SeedSpread
) -> list[BestMixture]:
    """Choose the best mixture of each size on one half of the items, and measure it on the other."""
    first, second = split_half(units.tolist())
    if not len(first):
        return []
    choices = []
    for budget in sorted({mixture.budget for mixture in mixtures}):
        rivals = [mixture for mixture in mixtures if mixture.budget == budget]
        if len(rivals) < 2:
            continue
        means = np.array(
            [[_over(m.outcomes[:, half][:, :, columns]).mean() for half in (first, second)] for m in rivals]
        )
        best, other = means.argmax(axis=0)
        chosen = rivals[best]
        held_out = over_seeds(chosen.outcomes[:, second][:, :, columns], units[second], spread)
        choices.append(
            BestMixture(budget, len(rivals), chosen.name, float(means[best, 0]), held_out, rivals[other].name)
        )
    return choices


def _values(rows: Sequence[MixtureGains]) -> tuple[Array, Array]:
    """Return the gains as languages × mixtures and as mixtures × languages."""
    values = np.array([[gain.value for gain in row.gains] for row in rows])
    return values.T, values


def _order(values: Array) -> list[int]:
    """Return the rows' places so that like rows stand beside each other: average linkage, best order of leaves."""
    if len(values) < 3:
        return list(range(len(values)))
    places: list[int] = leaves_list(linkage(values, "average", optimal_ordering=True)).tolist()
    return places


def _turned(row: MixtureGains, order: Sequence[int]) -> MixtureGains:
    gains = tuple(row.gains[place] for place in order)
    return MixtureGains(row.mixture, row.budget, row.seen, row.runs, gains, row.new, row.by_seed)

"""What recipes do on the model organism: the table in docs/results.md.

    spillover sweep examples/recipes.toml --set 'seed=[0, 1, 2, 3, 4]'
    python benchmarks/recipes.py runs/recipes docs/results/recipes.csv

Reads the finished experiments of the sweep. A recipe counts with the seeds that all recipes have finished, so all
means are over the same seeds. Intervals of the first table are for tuning again and for other items, as in `spillover
compare`. The second table subtracts the first recipe, paired by seed: 95% t-intervals over seeds.
"""

import csv
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from organism import GROUPS, interval
from spillover.analysis.statistics.estimate import macro_auc
from spillover.analysis.statistics.pairing import Array, PairedCell, pair_arms
from spillover.analysis.statistics.seeds import over_seeds, seed_spread
from spillover.experiment import load_experiment
from spillover.models.tuning.history import read_history
from spillover.runs.read import read_run, registered
from spillover.sweep import load_grid
from spillover.utils.formatting import with_interval

COLUMNS = ("recipe", "seed", "language", "group", "items", "base_accuracy", "tuned_accuracy", "base_auc", "tuned_auc")
DOSE = ("target_tokens", "chrf_before", "chrf_after")


@dataclass(frozen=True)
class TunedRun:
    """One finished experiment."""

    recipe: str
    """Its mixture's name."""
    seed: int
    cells: Mapping[str, PairedCell]
    """Language → its paired results."""
    target_tokens: int
    chrf: tuple[float, ...]
    """Of held-out translations, before and after; empty where none are written."""


def read(folder: Path) -> TunedRun:
    """Read a run folder."""
    run, experiment = read_run(folder), load_experiment(folder / "experiment.toml")
    cells = {cell.language: cell for cell in pair_arms(run.reference, run.arm, run.clusters)}
    history = read_history(folder / "adapter")
    return TunedRun(run.mixture, experiment.seed, cells, history.target_tokens, history.chrf)


def complete(runs: list[TunedRun]) -> list[TunedRun]:
    """Return the runs of the seeds that all recipes have."""
    recipes = {run.recipe for run in runs}
    seeds = {run.seed for run in runs}
    shared = {seed for seed in seeds if {run.recipe for run in runs if run.seed == seed} == recipes}
    return [run for run in runs if run.seed in shared]


def rows(runs: list[TunedRun]) -> Iterator[tuple[object, ...]]:
    """Yield a row per recipe, seed and language, in percent."""
    for run in runs:
        chrf = run.chrf or ("", "")
        for group, languages in GROUPS.items():
            for language in languages:
                cell = run.cells[language]
                accuracies = (f"{100 * float(values.mean()):.2f}" for values in (cell.reference, cell.arm))
                yield (
                    *(run.recipe, run.seed, language, group, len(cell.ids), *accuracies, *_areas(cell)),
                    *(run.target_tokens, *chrf),
                )


def _areas(cell: PairedCell) -> Iterator[str]:
    assert cell.choices is not None, "the tasks have labels"
    for scores in (cell.choices.reference, cell.choices.arm):
        area = macro_auc(scores.logprobs, cell.choices.gold)
        assert area is not None, "items of both labels"
        yield f"{100 * area.value:.2f}"


def table(runs: list[TunedRun]) -> str:
    """Return a Markdown table: a recipe per row, the gain in accuracy per group of languages."""
    recipes = list(dict.fromkeys(run.recipe for run in runs))
    head = [f"| gain in points | {' | '.join(GROUPS)} | chrF, before → after |", f"|---|{'--:|' * (len(GROUPS) + 1)}"]
    texts: dict[str, list[str]] = {recipe: [] for recipe in recipes}
    for languages in GROUPS.values():
        outcomes = {recipe: differences(runs, recipe, languages) for recipe in recipes}
        units = np.arange(next(iter(outcomes.values())).shape[1])
        spread = seed_spread(list(outcomes.values()), units)
        for recipe, values in outcomes.items():
            texts[recipe].append(with_interval(over_seeds(values, units, spread)))
    for recipe in recipes:
        chrf = [run.chrf for run in runs if run.recipe == recipe and run.chrf]
        texts[recipe].append(" → ".join(f"{value:.0f}" for value in np.mean(chrf, axis=0)) if chrf else "")
    return "\n".join([*head, *(f"| {recipe} | {' | '.join(cells)} |" for recipe, cells in texts.items())])


def duels(runs: list[TunedRun], groups: tuple[str, ...] = ("pivot", "other sisters")) -> str:
    """Return a Markdown table: how much more each recipe gains than the first one, paired by seed."""

    def by_seed(recipe: str, group: str) -> Array:
        values: Array = 100 * differences(runs, recipe, GROUPS[group]).mean((1, 2))
        return values

    first, *others = dict.fromkeys(run.recipe for run in runs)
    lines = [f"| gain − that of {first} | {' | '.join(groups)} |", f"|---|{'--:|' * len(groups)}"]
    for recipe in others:
        cells = [interval(by_seed(recipe, group) - by_seed(first, group)) for group in groups]
        lines.append(f"| {recipe} | {' | '.join(cells)} |")
    return "\n".join(lines)


def differences(runs: list[TunedRun], recipe: str, languages: tuple[str, ...]) -> Array:
    """Return tuned − base of a recipe (seeds, items, languages), as shares."""
    values: Any = [
        np.stack([run.cells[code].arm - run.cells[code].reference for code in languages], axis=1)
        for run in runs
        if run.recipe == recipe
    ]
    return np.stack(values)


def main(sweep: Path, results: Path) -> None:
    """Write the rows, print the table."""
    order = [trial.experiment.mixture_name for trial in load_grid(Path("examples/recipes.toml"))]
    folders = [path.parent for path in sweep.glob("*/done.json")]
    with registered(folders):
        runs = [read(folder) for folder in folders]
    runs = sorted(complete(runs), key=lambda run: (order.index(run.recipe), run.seed))
    with results.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((*COLUMNS, *DOSE))
        writer.writerows(rows(runs))
    print(f"{len({run.seed for run in runs})} seeds", table(runs), duels(runs), sep="\n\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "docs/results/recipes.csv"))

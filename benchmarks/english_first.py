"""Whether question translation adds anything to a model that is good in English: the tables in docs/results.md.

    python benchmarks/english_first.py EXAMPLE RUNS CSV

EXAMPLE is `examples/english-first.toml`, with translation after annotated English, or
`examples/english-first-order.toml`, with translation before it. RUNS is the folder of its sweep, whose finished
experiments are read. A mixture counts with the seeds that all mixtures have finished. Intervals are for tuning again
and for other premises: items that share a premise are one unit. AUC is no mean over items, so each item stands with
its jackknife value: n times the AUC of all items, less n − 1 times the AUC of the others (Efron and Tibshirani 1993,
chapter 11). Their mean is the AUC itself up to 1/n of its bias.
"""

import csv
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spillover.analysis.statistics.calibrate import centered
from spillover.analysis.statistics.choices import gold_margin
from spillover.analysis.statistics.estimate import macro_auc
from spillover.analysis.statistics.paired import mean_change
from spillover.analysis.statistics.pairing import Array, Golds, PairedCell, Units, is_correct, pair_arms
from spillover.analysis.statistics.seeds import SeedSpread, seed_spread
from spillover.experiment import load_experiment
from spillover.models.tuning.history import read_history
from spillover.records import Estimate
from spillover.runs.read import read_run, registered
from spillover.sweep import load_grid
from spillover.utils.formatting import change_with_interval, signed

BOUND = 1.0
"""A mean change of AUC whose interval lies within ± this counts as equivalent; named before the runs."""


def area(scores: Array, gold: Golds) -> Array:
    """Return each item's jackknife value of the macro AUC, (items,), in percent."""
    n = len(gold)

    def percent(rows: Golds) -> float:
        estimate = macro_auc(scores[rows], gold[rows])
        assert estimate is not None, "at least two items of each label"
        return 100 * estimate.value

    everything = np.arange(n)
    whole = percent(everything)
    return np.array([n * whole - (n - 1) * percent(np.delete(everything, item)) for item in range(n)])


MEASURES: Mapping[str, Callable[[Array, Golds], Array]] = {
    "AUC": area,
    "gold margin": gold_margin,
    "accuracy": lambda scores, gold: 100 * is_correct(scores, gold),
    "centered accuracy": lambda scores, gold: 100 * is_correct(centered(scores), gold),
}
"""Name of a measure → its value of each item, (items,): percent, the gold margin in nats. The first two are primary."""


@dataclass(frozen=True)
class TunedRun:
    """One finished experiment."""

    mixture: str
    """Its name."""
    seed: int
    tuned_on: frozenset[str]
    cells: Mapping[str, PairedCell]
    """Language → its paired results."""
    chrf: tuple[float, ...]
    """Of held-out translations, before and after tuning; empty where none are written."""
    values: Mapping[str, Mapping[str, tuple[Array, Array]]]
    """Language → measure → its values of each item before and after."""


def read(folder: Path) -> TunedRun:
    """Read a run folder."""
    run, experiment = read_run(folder), load_experiment(folder / "experiment.toml")
    cells = {cell.language: cell for cell in pair_arms(run.reference, run.arm, run.clusters)}
    values = {
        code: {name: _before_and_after(cell, measure) for name, measure in MEASURES.items()}
        for code, cell in cells.items()
    }
    chrf = read_history(folder / "adapter").chrf
    return TunedRun(run.mixture, experiment.seed, frozenset(run.seen), cells, chrf, values)


def _before_and_after(cell: PairedCell, measure: Callable[[Array, Golds], Array]) -> tuple[Array, Array]:
    assert cell.choices is not None, "the task has labels"
    before, after = (measure(side.logprobs, cell.choices.gold) for side in (cell.choices.reference, cell.choices.arm))
    return before, after


def complete(runs: Sequence[TunedRun]) -> list[TunedRun]:
    """Return the runs of the seeds that all mixtures have."""
    mixtures = {run.mixture for run in runs}
    seeds = {run.seed for run in runs}
    shared = {seed for seed in seeds if {run.mixture for run in runs if run.seed == seed} == mixtures}
    return [run for run in runs if run.seed in shared]


def groups(runs: Sequence[TunedRun]) -> dict[str, list[str]]:
    """Return group → languages; a language that any mixture tunes on is in no group of unseen ones."""
    tuned_on = frozenset[str]().union(*(run.tuned_on for run in runs))
    languages = list(runs[0].cells)
    return {
        "unseen": [code for code in languages if code not in tuned_on],
        "translated": [code for code in languages if code in tuned_on and code != "en"],
        "English": ["en"],
    }


def rows(runs: Sequence[TunedRun]) -> Iterator[tuple[object, ...]]:
    """Yield a row per mixture, seed and language."""
    for run in runs:
        for group, languages in groups(runs).items():
            for code in languages:
                numbers = (f"{side.mean():.3f}" for sides in run.values[code].values() for side in sides)
                yield run.mixture, run.seed, code, group, len(run.cells[code].ids), *numbers, *(run.chrf or ("", ""))


def changes(runs: Sequence[TunedRun], mixture: str, measure: str, languages: Sequence[str]) -> Array:
    """Return after − before of a mixture, (seeds, items, languages)."""
    sides = [[run.values[code][measure] for code in languages] for run in runs if run.mixture == mixture]
    return np.stack([np.stack([after - before for before, after in of_run], axis=1) for of_run in sides])


def estimate(values: Array, units: Units, spread: SeedSpread, seeds: float) -> Estimate:
    """Return the mean of (seeds, items, columns) values with its 95% interval."""
    change = mean_change(values.transpose(1, 0, 2).reshape(values.shape[1], -1), units)
    variance, z = spread.joined(change.variance, seeds)
    reach = float(z * np.sqrt(variance))
    return Estimate(change.value, change.value - reach, change.value + reach, change.units)


def table(runs: Sequence[TunedRun], group: str) -> str:
    """Return a Markdown table of a group of languages: each mixture's change, then the first's less each other's."""
    mixtures = list(dict.fromkeys(run.mixture for run in runs))
    languages = groups(runs)[group]
    units = runs[0].cells[languages[0]].units
    lines: dict[str, list[str]] = {}
    for measure in MEASURES:
        of = {mixture: changes(runs, mixture, measure, languages) for mixture in mixtures}
        spread = seed_spread(list(of.values()), units)
        digits = 2 if measure == "gold margin" else 1
        for mixture, values in of.items():
            result = estimate(values, units, spread, len(values))
            lines.setdefault(mixture, []).append(_text(result, measure, digits))
        first, *others = mixtures
        for other in others:
            pairs = (of[first][:, None] - of[other][None]).reshape(-1, *of[first].shape[1:])
            result = estimate(pairs, units, spread, 1 / (1 / len(of[first]) + 1 / len(of[other])))
            lines.setdefault(f"{first} − {other}", []).append(_text(result, measure, digits))
    head = [f"| {group} ({len(languages)}) | {' | '.join(MEASURES)} |", f"|---|{'--:|' * len(MEASURES)}"]
    return "\n".join([*head, *(f"| {name} | {' | '.join(cells)} |" for name, cells in lines.items())])


def _text(result: Estimate, measure: str, digits: int) -> str:
    equivalent = measure == "AUC" and result.low >= -BOUND and result.high <= BOUND
    return change_with_interval(result, digits) + (", equivalent" if equivalent else "")


def per_language(runs: Sequence[TunedRun], measure: str = "AUC") -> str:
    """Return a Markdown table: the base model and each mixture's mean over seeds, a language per row."""
    mixtures = list(dict.fromkeys(run.mixture for run in runs))
    lines = [f"| {measure} | base | {' | '.join(mixtures)} |", f"|---|{'--:|' * (len(mixtures) + 1)}"]
    for languages in groups(runs).values():
        for code in languages:
            base = runs[0].values[code][measure][0].mean()
            gains = (changes(runs, mixture, measure, [code]).mean() for mixture in mixtures)
            lines.append(f"| {code} | {base:.1f} | {' | '.join(signed(gain) for gain in gains)} |")
    return "\n".join(lines)


def main(example: Path, sweep: Path, results: Path) -> None:
    """Write the rows, print the tables."""
    order = [trial.experiment.mixture_name for trial in load_grid(example)]
    folders = [path.parent for path in sweep.glob("*/done.json")]
    with registered(folders):
        runs = [read(folder) for folder in folders]
    runs = sorted(complete(runs), key=lambda run: (order.index(run.mixture), run.seed))
    with results.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        sides = (f"{side}_{name.replace(' ', '_')}" for name in MEASURES for side in ("base", "tuned"))
        writer.writerow(("mixture", "seed", "language", "group", "items", *sides, "chrf_before", "chrf_after"))
        writer.writerows(rows(runs))
    print(f"{len({run.seed for run in runs})} seeds", *(table(runs, group) for group in groups(runs)), sep="\n\n")
    print("", per_language(runs), sep="\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

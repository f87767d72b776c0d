"""Lay the arms of one question side by side.

    python examples/arms.py docs/results/arms.csv runs/arm-question-translation-0 runs/arm-copy-0 …

writes a row an arm, seed, task and language as CSV, and prints the mean gain of each arm over the languages that none
of them was tuned on, and how much more the first arm gains than each other: points, with 95% intervals over items.
Seeds of an arm are averaged. The runs have to be finished, and to share their base model and items; the base model's
rows come first, once.
"""

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from spillover.analysis.statistics.estimate import resample
from spillover.analysis.statistics.pairing import Golds, PairedCell, is_correct, pair_arms
from spillover.experiment import load_experiment
from spillover.runs.read import read_run

Array = NDArray[np.float64]

MEASURES = ("accuracy", "centered", "auc")
COLUMNS = ("arm", "seed", "task", "language", "tuned_on", "n", *MEASURES)


@dataclass(frozen=True, slots=True)
class Arm:
    """One finished run."""

    recipe: str
    seed: int
    seen: frozenset[str]
    cells: list[PairedCell]


def read(folder: Path) -> Arm:
    """Read a run folder."""
    run, experiment = read_run(folder), load_experiment(folder / "experiment.toml")
    return Arm(
        experiment.mixture.recipe, experiment.seed, frozenset(run.seen), pair_arms(run.reference, run.arm, run.clusters)
    )


def measures(scores: Array, gold: Golds, counts: Array) -> Array:
    """Return (draws, measures) in percent for scores (items, labels) and how often each item was drawn (draws, items).

    Accuracy, accuracy with each label's mean over the draw taken out, and macro AUC; NaN where a label was not drawn.
    They are those of `analysis.calibrate.centered` and `analysis.estimate.macro_auc`, for all draws at once: called a
    draw at a time, those take minutes.
    """
    accuracy = counts @ is_correct(scores, gold) / len(gold)
    means = counts @ scores / len(gold)
    centered = (counts * ((scores - means[:, None]).argmax(axis=2) == gold)).sum(axis=1) / len(gold)
    areas = []
    for label in range(scores.shape[1]):
        margin = scores[:, label] - logsumexp(np.delete(scores, label, axis=1), axis=1)
        own, others = gold == label, gold != label
        ahead = np.sign(margin[own][:, None] - margin[others]) / 2 + 0.5
        won = ((counts[:, own] @ ahead) * counts[:, others]).sum(axis=1)
        with np.errstate(invalid="ignore"):
            areas.append(won / (counts[:, own].sum(axis=1) * counts[:, others].sum(axis=1)))
    return 100 * np.stack([accuracy, centered, np.mean(areas, axis=0)], axis=1)


def rows(arms: Sequence[Arm]) -> Iterator[tuple[object, ...]]:
    """Yield the base model's rows, then each arm's."""
    base = [("base", "", cell, cell.choices.reference.logprobs, 0) for cell in arms[0].cells]
    tuned = [
        (arm.recipe, arm.seed, cell, cell.choices.arm.logprobs, int(cell.language in arm.seen))
        for arm in arms
        for cell in arm.cells
    ]
    for name, seed, cell, scores, seen in [*base, *tuned]:
        found = measures(scores, cell.choices.gold, np.ones((1, len(cell.ids))))[0].round(2).tolist()
        yield name, seed, cell.task, cell.language, seen, len(cell.ids), *found


def gains(arms: Sequence[Arm], task: str) -> dict[str, Array]:
    """Return recipe → mean gain over the languages new to all arms (1 + resamples, measures): as measured, then drawn.

    An item is drawn in all languages and arms together, since its translations rise and fall with it.
    """
    seen = frozenset().union(*(arm.seen for arm in arms))
    cells = [[cell for cell in arm.cells if cell.task == task and cell.language not in seen] for arm in arms]
    items = {cell.ids for cell in chain(*cells)}
    if len(items) != 1:
        sys.exit(f"{task}: expected languages that no run was tuned on, with the same items in each and in every run")
    n = len(*items)
    counts = np.vstack([np.ones(n), *resample(n)])
    base = np.mean([measures(cell.choices.reference.logprobs, cell.choices.gold, counts) for cell in cells[0]], axis=0)
    found: dict[str, list[Array]] = {}
    for arm, own in zip(arms, cells, strict=True):
        tuned = np.mean([measures(cell.choices.arm.logprobs, cell.choices.gold, counts) for cell in own], axis=0)
        found.setdefault(arm.recipe, []).append(tuned - base)
    return {recipe: np.mean(seeds, axis=0) for recipe, seeds in found.items()}


def table(arms: Sequence[Arm]) -> Iterator[str]:
    """Yield the lines of a Markdown table: each arm's gain, then the first arm's less each other's."""
    yield f"| task | arm | {' | '.join(MEASURES)} |"
    yield f"| --- | --- |{' --: |' * len(MEASURES)}"
    for task in dict.fromkeys(cell.task for cell in arms[0].cells):
        found = gains(arms, task)
        first, *others = found
        for name, values in [
            *found.items(),
            *((f"{first} − {other}", found[first] - found[other]) for other in others),
        ]:
            low, high = np.nanpercentile(values[1:], [2.5, 97.5], axis=0)
            told = (f"{value:+.1f} [{a:+.1f}, {b:+.1f}]" for value, a, b in zip(values[0], low, high, strict=True))
            yield f"| {task} | {name} | {' | '.join(told)} |"


def main() -> None:
    """Write the rows, print the table."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    arms = [read(Path(name)) for name in sys.argv[2:]]
    with Path(sys.argv[1]).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows(arms))
    print("\n".join(table(arms)))


if __name__ == "__main__":
    main()

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

from spillover.analysis.arms import Golds, PairedCell, pair_arms, right
from spillover.analysis.calibrate import centered
from spillover.analysis.estimate import macro_auc
from spillover.experiment import load_experiment
from spillover.runs import read_run

Array = NDArray[np.float64]

MEASURES = ("accuracy", "centered", "auc")
COLUMNS = ("arm", "seed", "task", "language", "tuned_on", "n", *MEASURES)
RESAMPLES = 1000


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
    return Arm(experiment.mixture.recipe, experiment.seed, frozenset(run.seen), pair_arms(run.base, run.tuned))


def measures(scores: Array, gold: Golds) -> Array:
    """Return accuracy, accuracy with each label's mean taken out, and macro AUC (NaN: there is none), in percent."""
    area = macro_auc(scores, gold)
    found = right(scores, gold).mean(), right(centered(scores), gold).mean(), np.nan if area is None else area.value
    return 100 * np.array(found)


def rows(arms: Sequence[Arm]) -> Iterator[tuple[object, ...]]:
    """Yield the base model's rows, then each arm's."""
    for cell in arms[0].cells:
        found = measures(cell.base, cell.gold).round(2).tolist()
        yield "base", "", cell.task, cell.language, 0, len(cell.ids), *found
    for arm in arms:
        for cell in arm.cells:
            found = measures(cell.tuned, cell.gold).round(2).tolist()
            seen = int(cell.language in arm.seen)
            yield arm.recipe, arm.seed, cell.task, cell.language, seen, len(cell.ids), *found


def gains(arms: Sequence[Arm], task: str) -> dict[str, Array]:
    """Return recipe → mean gain over the languages new to all arms, (1 + resamples, measures): as measured, then drawn.

    An item is drawn in all languages and arms together, since its translations rise and fall with it.
    """
    seen = frozenset().union(*(arm.seen for arm in arms))
    cells = [[cell for cell in arm.cells if cell.task == task and cell.language not in seen] for arm in arms]
    ids = cells[0][0].ids
    if any(cell.ids != ids for cell in chain(*cells)):
        sys.exit(f"{task}: expected the same items in every language and run")
    draw = np.random.default_rng(0).integers(len(ids), size=(RESAMPLES, len(ids)))
    samples = [np.arange(len(ids)), *draw]

    def level(tables: Sequence[tuple[Array, Golds]]) -> Array:
        return np.array(
            [np.mean([measures(scores[sample], gold[sample]) for scores, gold in tables], axis=0) for sample in samples]
        )

    base = level([(cell.base, cell.gold) for cell in cells[0]])
    found: dict[str, list[Array]] = {}
    for arm, own in zip(arms, cells, strict=True):
        found.setdefault(arm.recipe, []).append(level([(cell.tuned, cell.gold) for cell in own]) - base)
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
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows(arms))
    print("\n".join(table(arms)))


if __name__ == "__main__":
    main()

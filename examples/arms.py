"""Lay the arms of one question side by side: a row an arm, seed, task and language, as CSV.

    python examples/arms.py runs/arm-question-translation runs/arm-copy … > docs/results/arms.csv

The runs have to be finished, and to share their base model and items; the base model's rows come first, once.
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from spillover.analysis.arms import PairedCell, pair_arms, right
from spillover.analysis.calibrate import centered
from spillover.analysis.estimate import macro_auc
from spillover.experiment import load_experiment
from spillover.runs import read_run

COLUMNS = ("arm", "seed", "task", "language", "tuned_on", "n", "accuracy", "centered", "auc")


def rows(folder: Path, arm: str) -> Iterator[tuple[object, ...]]:
    """Yield the rows of one run: those of its `base` arm, or of its `tuned` one."""
    run, experiment = read_run(folder), load_experiment(folder / "experiment.toml")
    for cell in pair_arms(run.base, run.tuned):
        told = ("base", "", cell.task) if arm == "base" else (experiment.mixture.recipe, experiment.seed, cell.task)
        seen = int(arm == "tuned" and cell.language in run.seen)
        yield *told, cell.language, seen, len(cell.ids), *measures(cell, arm)


def measures(cell: PairedCell, arm: str) -> Iterator[float | str]:
    """Yield accuracy, accuracy with each label's mean taken out, and macro AUC, in percent."""
    scores = getattr(cell, arm)
    area = macro_auc(scores, cell.gold)
    for share in (right(scores, cell.gold).mean(), right(centered(scores), cell.gold).mean(), area and area.value):
        yield "" if share is None else round(100 * float(share), 2)


def main() -> None:
    """Write all rows to standard output."""
    folders = [Path(name) for name in sys.argv[1:]]
    if not folders:
        sys.exit(__doc__)
    writer = csv.writer(sys.stdout)
    writer.writerow(COLUMNS)
    writer.writerows(rows(folders[0], "base"))
    for folder in folders:
        writer.writerows(rows(folder, "tuned"))


if __name__ == "__main__":
    main()

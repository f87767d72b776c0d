"""The model organism with fresh seeds: the table in docs/organism.md.

    python benchmarks/organism.py FOLDER [RESULTS.csv]

Each seed draws other languages, texts, weights and orders of tuning. The recipe was fixed, and so were `SEEDS`, before
any of them was tried; all count. FOLDER keeps models and runs, so the command resumes. A model takes
minutes, an arm less than one.
"""

import csv
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import t

from spillover.analysis.statistics.estimate import macro_auc
from spillover.experiment import load_experiment
from spillover.models.organism import pretrain
from spillover.organism.grammar import ISOLATES, MIRRORS, PIVOT, SISTERS, WORLDS
from spillover.pipeline import Run
from spillover.records import Prediction
from spillover.stages.evaluate import by_arm
from spillover.store import Store

SEEDS = (11, 12, 13, 14, 15)

ARMS = {
    "question translation": ("organism", []),
    "shuffled pairs": ("organism", ["mixture.recipe=shuffled-pairs"]),
    "copy": ("organism", ["mixture.recipe=copy"]),
    "no shared words": ("organism-unshared", []),
}
"""Name of an arm → its world, and what it changes in examples/organism.toml."""

GROUPS = {
    "pivot": (PIVOT,),
    "tuned sisters": SISTERS[:2],
    "other sisters": SISTERS[2:],
    "mirrors": MIRRORS,
    "isolates": ISOLATES,
}

COLUMNS = ("arm", "seed", "language", "group", "base_accuracy", "tuned_accuracy", "base_auc", "tuned_auc")


def measured(folder: Path, arm: str, seed: int) -> Iterator[tuple[object, ...]]:
    """Pretrain, tune and evaluate; yield a row per language, in percent."""
    world, changes = ARMS[arm]
    model = folder / f"{world}-{seed}"
    if not model.exists():
        pretrain(replace(WORLDS[world], seed=seed), model)
    chosen = [f"seed={seed}", f"model.name={model}", f"questions.source={world}:{seed}"]
    small = ["tune.translations=0", "evaluate.limit=400"]
    experiment = load_experiment(Path("examples/organism.toml"), [*changes, *chosen, *small])
    with closing(Store(folder / "runs", f"{arm.replace(' ', '-')}-{seed}")) as store:
        run = Run(experiment, store)
        predictions = by_arm(run.arms, run.predictions)
    for group, languages in GROUPS.items():
        for language in languages:
            arms = [[row for row in predictions[name] if row.language == language] for name in ("base", "tuned")]
            accuracies = [100 * float(np.mean([row.chosen == row.gold for row in rows])) for rows in arms]
            yield arm, seed, language, group, *accuracies, *map(_area, arms)


def _area(rows: list[Prediction]) -> float:
    scores, golds = np.array([row.logprobs for row in rows]), np.array([row.gold for row in rows])
    area = macro_auc(scores, golds)
    assert area is not None, "items of both labels"
    return 100 * area.value


def gains(rows: list[dict[str, str]], arm: str, group: str, measure: str) -> np.ndarray:
    """Return each seed's gain in points, the mean over a group's languages."""
    own = [row for row in rows if (row["arm"], row["group"]) == (arm, group)]
    difference: dict[str, list[float]] = {row["seed"]: [] for row in own}
    for row in own:
        difference[row["seed"]].append(float(row[f"tuned_{measure}"]) - float(row[f"base_{measure}"]))
    return np.array([np.mean(values) for values in difference.values()])


def interval(values: np.ndarray) -> str:
    """Return a mean with its 95% t-interval over seeds."""
    reach = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():+.1f} ({values.mean() - reach:+.1f} to {values.mean() + reach:+.1f})"


def table(rows: list[dict[str, str]], measure: str) -> str:
    """Return a Markdown table of the gains, an arm per row."""
    head = [f"| {measure} | {' | '.join(GROUPS)} |", f"|---|{'--:|' * len(GROUPS)}"]
    cells = {
        arm: [interval(gains(rows, arm, group, measure)) for group in GROUPS]
        for arm in dict.fromkeys(row["arm"] for row in rows)
    }
    return "\n".join([*head, *(f"| {arm} | {' | '.join(values)} |" for arm, values in cells.items())])


def main(folder: Path, results: Path) -> None:
    """Measure every arm with every seed, write the rows, print the tables."""
    with results.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for arm in ARMS:
            for seed in SEEDS:
                writer.writerows(measured(folder, arm, seed))
                file.flush()
    with results.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    print(table(rows, "accuracy"), table(rows, "auc"), sep="\n\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "docs/results/organism.csv"))

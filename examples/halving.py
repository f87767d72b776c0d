"""Successive halving: all experiments of a grid on a few items, the better half on more, and so on.

    python examples/halving.py GRID.toml 15 30 60 --runs runs

An adapter is tuned once and a cell measured once, whatever number of rungs ask for it. Experiments are ranked by the
gain in AUC, the mean over the languages that none of them was tuned on: raw accuracy follows a model's preference for a
label, AUC does not. Prints a table of every rung, and writes it as CSV into the last rung's folder.
"""

import argparse
import csv
from pathlib import Path
from statistics import mean

from spillover import sweep
from spillover.analysis.statistics.estimate import macro_auc
from spillover.analysis.statistics.pairing import is_correct, pair_arms
from spillover.records import FinishedRun
from spillover.runs.read import read_run
from spillover.store import Store


def measure(run: FinishedRun, seen: set[str]) -> dict[str, float]:
    """Return accuracy and AUC of both arms, in percent, over the languages that nobody was tuned on."""
    cells = [cell for cell in pair_arms(run.reference, run.arm) if cell.language not in seen]
    found = {}
    for arm, name in (("reference", "base_"), ("arm", "")):
        scored = [(getattr(cell.choices, arm).logprobs, cell.choices.gold) for cell in cells]
        found[f"{name}accuracy"] = mean(is_correct(scores, gold).mean() for scores, gold in scored)
        found[f"{name}auc"] = mean(macro_auc(scores, gold).value for scores, gold in scored)
    found["auc_gain"] = found["auc"] - found["base_auc"]
    return {"languages": len(cells)} | {name: round(100 * value, 2) for name, value in found.items()}


def main() -> None:
    """Run every rung."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grid", type=Path)
    parser.add_argument("items", type=int, nargs="+", help="items a language, a number for each rung")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="%(default)s")
    asked = parser.parse_args()
    kept, table = None, []
    for items in asked.items:
        grid = f"{asked.grid.stem}-{items}"
        trials = sweep.load_grid(asked.grid, [f"evaluate.limit={items}"])
        trials = [trial for trial in trials if kept is None or trial.name in kept]
        schedule = sweep.open_schedule(trials, asked.runs, grid)
        sweep.sweep(schedule, "local", sweep.Resources())
        folder = Store(asked.runs, grid)
        runs = [
            read_run(folder.child_run(trial.name).run) for trial in trials if schedule.rows[trial.name].state == "done"
        ]
        seen = {code for run in runs for code in run.seen}
        ranked = sorted(((measure(run, seen), run.name) for run in runs), key=lambda row: -row[0]["auc_gain"])
        for rank, (row, arm) in enumerate(ranked, start=1):
            table.append({"items": items, "rank": rank, "arm": arm} | row)
            print(*table[-1].values(), sep="\t")
        kept = {arm for _, arm in ranked[: (len(ranked) + 1) // 2]}
    with (folder.run / "halving.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)


if __name__ == "__main__":
    main()

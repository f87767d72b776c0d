"""How often a run of so many items sees the model organism's gain: the power table in docs/statistics.md.

    python benchmarks/power.py RUN RUN…

Items are drawn with replacement from those of finished runs of examples/organism.toml, so a run's measured gain is the
true one. The first row swaps the arms of half of the last run's items: nothing is gained. A draw sees a gain if its 95%
interval lies above 0: that of the mean change for accuracy, DeLong's for the AUC, both over the languages not tuned on.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spillover.analysis.statistics.paired import mean_change
from spillover.organism.grammar import MIRRORS, SISTERS

Array = NDArray[np.float64]

ITEMS = (30, 60, 120, 240, 480)
DRAWS = 400
UNSEEN = (*SISTERS[2:], *MIRRORS)


def margins(run: Path) -> tuple[Array, NDArray[np.bool_]]:
    """Return the margins of `positive`, (arms, languages, items), and whether it is gold, (items,)."""
    with (run / "report/tables/items.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["language"] in UNSEEN]
    values = [
        [[_margin(row[arm]) for row in rows if row["language"] == code] for code in UNSEEN] for arm in ("base", "tuned")
    ]
    gold = [row["gold"] == "1" for row in rows if row["language"] == UNSEEN[0]]
    return np.array(values), np.array(gold)


def _margin(scores: str) -> float:
    negative, positive = map(float, scores.split(";"))
    return positive - negative


def placements(scores: Array, others: Array) -> Array:
    """Return the share of `others`, (…, m), below each score, (…, n); ties count half."""
    above = scores[..., :, None] - others[..., None, :]
    result: Array = ((above > 0) + 0.5 * (above == 0)).mean(-1)
    return result


def sees_auc(scores: Array, gold: NDArray[np.bool_]) -> bool:
    """Whether DeLong's interval of the mean difference of the areas lies above 0."""
    positive, negative = scores[..., gold], scores[..., ~gold]
    ups, downs = placements(positive, negative), 1 - placements(negative, positive)
    up, down = ((part[1] - part[0]).mean(0) for part in (ups, downs))
    deviation = np.sqrt(up.var(ddof=1) / len(up) + down.var(ddof=1) / len(down))
    return bool(up.mean() > 1.96 * deviation)


def power(scores: Array, gold: NDArray[np.bool_], items: int, null: bool = False) -> tuple[float, float]:
    """Return the shares of draws that see the gain, by accuracy and by AUC.

    `null`: the arms of a random half of the items are swapped, so nothing is gained.
    """
    random = np.random.default_rng(items)
    right = ((scores > 0) == gold).astype(float)
    seen = []
    for _ in range(DRAWS):
        drawn = random.integers(len(gold), size=items)
        swapped = random.random(items) < 0.5 if null else np.zeros(items, dtype=bool)
        hits, ranked = (np.where(swapped, rows[::-1][..., drawn], rows[..., drawn]) for rows in (right, scores))
        seen.append((mean_change((hits[1] - hits[0]).T).estimate().low > 0, sees_auc(ranked, gold[drawn])))
    accuracy, area = np.mean(seen, axis=0)
    return float(accuracy), float(area)


def main(runs: list[Path]) -> None:
    """Print a Markdown table: run × items."""
    print(f"| run | {' | '.join(map(str, ITEMS))} |\n|---|{'---|' * len(ITEMS)}")
    for name, run, null in [("arms swapped", runs[-1], True), *((run.name, run, False) for run in runs)]:
        shares = [power(*margins(run), items, null) for items in ITEMS]
        cells = " | ".join(f"{100 * accuracy:.0f}, {100 * area:.0f}" for accuracy, area in shares)
        print(f"| {name} | {cells} |", flush=True)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])

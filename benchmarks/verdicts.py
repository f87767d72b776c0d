"""Which verdict a true gain gets, by the margin and the number of items: the table in docs/statistics.md.

    python benchmarks/verdicts.py       # two minutes of processor time

Evaluations are simulated as in `power.py`: 17 languages, 70% right before tuning. Writes results/verdicts.md.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from power import DRAWS, NEWS, RESULTS, simulated
from spillover.analysis.statistics.paired import mean_change
from spillover.analysis.statistics.verdicts import verdict

ITEMS = (60, 150, 300, 600, 1200, 2400)
GAINS = (0.0, 0.01, 0.015, 0.02, 0.03)
MARGINS = (0.01, 0.02)

SHOWN = {0.0: "equivalent", 0.01: "improved", 0.015: "improved", 0.02: "improved", 0.03: "improved"}
"""True gain → the verdict whose share the table has."""


def verdicts(items: int, gain: float, news: float) -> dict[float, Counter[str]]:
    """Return margin → how often each verdict is given."""
    random = np.random.default_rng(items)
    counts: dict[float, Counter[str]] = {margin: Counter() for margin in MARGINS}
    for _ in range(DRAWS):
        scores, gold = simulated(random, items, gain, news)
        hits = (np.where(gold, scores, -scores) > 0).astype(float)
        difference = mean_change((hits[1] - hits[0]).T).estimate()
        for margin in MARGINS:
            counts[margin][verdict(difference, items, margin)] += 1
    return counts


def lines() -> Iterator[str]:
    """Yield the rows of a Markdown table: the share of the draws with each margin, in percent."""
    heads = [f"{SHOWN[gain]} at {100 * gain:g}" for gain in GAINS]
    yield f"| simulated, 17 languages; margin 1, margin 2 | {' | '.join(heads)} |"
    yield f"|---|{'--:|' * len(GAINS)}"
    for strength, news in NEWS.items():
        for items in ITEMS:
            cells = []
            for gain in GAINS:
                counts = verdicts(items, gain, news)
                shares = (100 * counts[margin][SHOWN[gain]] / DRAWS for margin in MARGINS)
                cells.append(", ".join(f"{share:.0f}" for share in shares))
            yield f"| {strength}, {items:,} items | {' | '.join(cells)} |"


if __name__ == "__main__":
    (RESULTS / "verdicts.md").write_text("\n".join(lines()) + "\n", encoding="utf-8")

"""How often the interval of a mean change misses, at its lower and its upper end: `python benchmarks/coverage.py`.

One language is enumerated exactly. Several are drawn: 17 and 5 languages that change together in part, single items and
items in threes that share a premise. So are scores between 0 and 1 in one language. Nominal is 2.5% at each end.
Writes `results/coverage.md`; some minutes on a core.
"""

import sys
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from spillover.analysis.statistics.paired import critical, mean_change, score_interval

Array = NDArray[np.float64]
Rates = tuple[float, float]

ITEMS = (20, 30, 60, 100, 150, 300, 600)
DISCORDANCE = (0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3)
LEANS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Share of what changes that is fixed rather than broken; the other half mirrors it."""

DRAWS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000

ACCURACIES = ((0.5, 0.5), (0.8, 0.8), (0.8, 0.77), (0.95, 0.95), (0.99, 0.99), (0.98, 0.95), (0.985, 0.965))
"""True accuracy of base and tuned."""


def exact(items: int) -> list[tuple[float, float]]:
    """Return the misses below and above in one language, for every discordance and lean, by enumeration."""
    top = min(items, int(items * 0.3 + 6 * np.sqrt(items * 0.3)) + 8)
    fixed, broken = (side.ravel() for side in np.meshgrid(np.arange(top + 1), np.arange(top + 1)))
    near = fixed + broken <= items
    fixed, broken = fixed[near], broken[near]
    low, high = score_interval(fixed / items, broken / items, items, critical(items - 1))
    table = np.column_stack([fixed, broken, items - fixed - broken])
    found = []
    for discordance, lean in product(DISCORDANCE, LEANS):
        rates = discordance * lean, discordance * (1 - lean)
        odds = stats.multinomial.pmf(table, items, [*rates, 1 - discordance])
        truth = rates[0] - rates[1]
        found.append((float(odds[low > truth + 1e-9].sum()), float(odds[high < truth - 1e-9].sum())))
    return found


def drawn(
    items: int, languages: int, accuracies: tuple[float, float], premises: float, seed: int
) -> tuple[float, float]:
    """Return the misses below and above over several languages.

    `premises`: share of what an item has in common with its translations that it also has with its premise's other two
    items; 0 makes single items of them.
    """
    random = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(items // 3), 3) if premises else None
    bars, truth = stats.norm.ppf(accuracies), accuracies[1] - accuracies[0]

    def common() -> Array:
        own = random.standard_normal((items, 1))
        if clusters is None:
            return own
        shared = random.standard_normal((items // 3, 1))[clusters]
        return np.asarray(np.sqrt(premises) * shared + np.sqrt(1 - premises) * own)

    changes = []
    for _ in range(DRAWS):
        before = np.sqrt(0.5) * common() + np.sqrt(0.5) * random.standard_normal((items, languages))
        news = np.sqrt(0.3) * common() + np.sqrt(0.7) * random.standard_normal((items, languages))
        after = np.sqrt(0.8) * before + np.sqrt(0.2) * news
        changes.append(mean_change(1.0 * (after < bars[1]) - (before < bars[0]), clusters))
    fixed, broken, pairs = np.array([(change.fixed, change.broken, change.effective()) for change in changes]).T
    low, high = score_interval(fixed, broken, pairs, critical(changes[0].units - 1))
    return float((low > truth + 1e-9).mean()), float((high < truth - 1e-9).mean())


def fractions(random: np.random.Generator, items: int, right: float, wrong: float) -> Array:
    """Return scores like those of F1: a share of them 1, a share 0, the others between."""
    place, between = random.random(items), random.beta(2, 2, items)
    return np.where(place < right, 1.0, np.where(place < right + wrong, 0.0, between))


def redone(random: np.random.Generator, items: int, share: float, before: Rates, after: Rates) -> Array:
    """Return the changes of scores of which a share is drawn anew."""
    scores = fractions(random, items, *before)
    return np.where(random.random(items) < share, fractions(random, items, *after), scores) - scores


def shifted(random: np.random.Generator, items: int) -> Array:
    """Return the changes of scores that all move a little."""
    scores = random.beta(2, 2, items)
    return np.clip(scores + random.normal(0.02, 0.05, items), 0, 1) - scores


SCORES: tuple[Callable[[np.random.Generator, int], Array], ...] = (
    partial(redone, share=1.0, before=(0.4, 0.3), after=(0.45, 0.25)),
    partial(redone, share=0.3, before=(0.4, 0.3), after=(0.5, 0.2)),
    partial(redone, share=0.1, before=(0.9, 0.02), after=(0.3, 0.3)),
    partial(redone, share=0.05, before=(0.4, 0.3), after=(0.9, 0.0)),
    partial(redone, share=0.03, before=(0.4, 0.3), after=(0.0, 1.0)),
    shifted,
)
"""How scores between 0 and 1 change: all drawn anew, some, few, or all moved a little."""


def graded(items: int, change: Callable[[np.random.Generator, int], Array]) -> tuple[float, float]:
    """Return the misses below and above for scores between 0 and 1 in one language."""
    random = np.random.default_rng(items)
    truth = change(random, 4_000_000).mean()
    estimates = [mean_change(change(random, items)[:, None]).estimate() for _ in range(DRAWS)]
    return float(np.mean([e.low > truth for e in estimates])), float(np.mean([e.high < truth for e in estimates]))


def row(name: str, items: int, misses: list[tuple[float, float]]) -> str:
    """Return a line of the table: the range and median of the coverage, and the most misses at one end."""
    cover = [1 - sum(each) for each in misses]
    worst = max(max(each) for each in misses)
    return (
        f"| {name} | {items} | {100 * min(cover):.1f} to {100 * max(cover):.1f} | {100 * np.median(cover):.1f} "
        f"| {100 * worst:.1f} |"
    )


def main() -> None:
    """Write the table, a line as soon as it is known."""
    place = Path(__file__).parent / "results" / "coverage.md"
    lines = ["| what | items | covered, % | median | most misses at one end, % |", "| --- | --: | --: | --: | --: |"]
    lines += [row("one language, exact", items, exact(items)) for items in ITEMS]
    lines += [row("scores in [0, 1]", items, [graded(items, change) for change in SCORES]) for items in ITEMS]
    for (languages, premises), items in product(((5, 0.0), (17, 0.0), (17, 0.6)), (30, 60, 150, 600)):
        name = f"{languages} languages{', items in threes' if premises else ''}"
        lines.append(row(name, items, [drawn(items, languages, each, premises, items) for each in ACCURACIES]))
        place.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(lines[-1], flush=True)


if __name__ == "__main__":
    main()

"""How often the interval of a recipe's gain over seeds of tuning holds the true gain: the table in docs/statistics.md.

    python benchmarks/seeds.py [REPETITIONS]

Simulated hits of items that are hard alike in all languages; tuning moves them, in part for every seed alike and in
part for each anew, and each seed has an effect of its own on the accuracy. Items may share premises, three by three.
"""

import sys
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from spillover.analysis.statistics.seeds import difference_over_seeds, over_seeds, seed_spread

Array = NDArray[np.float64]

GAIN = 0.02
"""True gain of every recipe."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is simulated."""

    seeds: int
    """Seeds of each recipe."""
    deviation: float
    """Standard deviation of the accuracy between seeds, as a share."""
    items: int = 60
    """Number of items."""
    languages: int = 17
    """Number of languages."""
    recipes: int = 1
    """Recipes over which the spread between seeds is pooled."""
    accuracy: float = 0.7
    """Accuracy of the base arm."""
    premises: float = 0.0
    """Part of everything by which the three items of one premise are alike; 0: items are independent."""


def noise(random: np.random.Generator, setting: Setting, languages: int, *copies: int) -> Array:
    """Return (…, items, languages) standard normal numbers, alike within premises."""
    each: Array = random.normal(size=(*copies, setting.items, languages))
    if not setting.premises:
        return each
    shared = np.repeat(random.normal(size=(*copies, setting.items // 3, languages)), 3, axis=-2)
    return np.asarray(np.sqrt(1 - setting.premises) * each + np.sqrt(setting.premises) * shared)


def mixed(random: np.random.Generator, setting: Setting, part: float, *copies: int) -> Array:
    """Return (…, items, languages) standard normal numbers of which `part` is common to all languages of an item."""
    own = noise(random, setting, setting.languages, *copies)
    return np.asarray(np.sqrt(part) * noise(random, setting, 1, *copies) + np.sqrt(1 - part) * own)


def hits(random: np.random.Generator, setting: Setting) -> tuple[Array, Array]:
    """Return the base arm's hits (items, languages) and the tuned arms' (recipes, seeds, items, languages)."""
    before = mixed(random, setting, 0.5)
    of_recipe = mixed(random, setting, 0.3, setting.recipes, 1)
    of_seed = mixed(random, setting, 0.3, setting.recipes, setting.seeds)
    after = np.sqrt(0.8) * before + np.sqrt(0.1) * of_recipe + np.sqrt(0.1) * of_seed
    moved = setting.deviation * random.normal(size=(setting.recipes, setting.seeds, 1, 1))
    accuracy = np.clip(setting.accuracy + GAIN + moved, 0.002, 0.998)
    return (before < norm.ppf(setting.accuracy)) * 1.0, (after < norm.ppf(accuracy)) * 1.0


def covered(setting: Setting, repetitions: int) -> tuple[float, float]:
    """Return the coverage of the first recipe's gain, and its median width in points; of two recipes, of their duel."""
    random = np.random.default_rng(0)
    units = np.arange(setting.items) // (3 if setting.premises else 1)
    inside, widths = 0, []
    for _ in range(repetitions):
        base, tuned = hits(random, setting)
        if setting.recipes == 2:
            estimate = difference_over_seeds(tuned[0], tuned[1], units, seed_spread(list(tuned), units))
            inside += estimate.low <= 0 <= estimate.high
        else:
            outcomes = tuned - base
            estimate = over_seeds(outcomes[0], units, seed_spread(list(outcomes), units))
            inside += estimate.low <= GAIN <= estimate.high
        widths.append(100 * (estimate.high - estimate.low))
    return inside / repetitions, float(np.median(widths))


def table(repetitions: int) -> str:
    """Return the table in Markdown: coverage, and the median width in points."""
    deviations = (0.0, 0.01, 0.03)
    rows: dict[str, Setting] = {f"{seeds} seeds, 60 items, 17 languages": Setting(seeds, 0.0) for seeds in (1, 2, 3, 5)}
    rows["2 seeds of 4 mixtures"] = Setting(2, 0.0, recipes=4)
    rows["3 seeds, duel of two recipes"] = Setting(3, 0.0, recipes=2)
    rows["3 seeds, three items of a premise"] = Setting(3, 0.0, premises=0.6)
    rows["3 seeds, accuracy 90%"] = Setting(3, 0.0, accuracy=0.9)
    rows["3 seeds, 20 items"] = Setting(3, 0.0, items=20)
    rows["2 seeds, 600 items"] = Setting(2, 0.0, items=600)
    rows["3 seeds, 600 items"] = Setting(3, 0.0, items=600)
    rows["3 seeds, one language"] = Setting(3, 0.0, languages=1)
    rows["5 seeds, 150 items, 5 languages"] = Setting(5, 0.0, items=150, languages=5)
    lines = ["| seeds, pooled | 0 points | 1 point | 3 points |", "|---|---|---|---|"]
    for name, setting in rows.items():
        cells = []
        for deviation in deviations:
            share, width = covered(replace(setting, deviation=deviation), repetitions)
            cells.append(f"{100 * share:.1f}%, {width:.1f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))

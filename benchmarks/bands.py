"""How often intervals of skewed means hold the true mean: the table in docs/inside.md.

python benchmarks/bands.py [SAMPLES]
"""

import sys
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from spillover.analysis.statistics.bands import ANY, DIFFERENCE, POSITIVE, PROBABILITY, Range, mean_band
from spillover.analysis.statistics.estimate import resample

Array = NDArray[np.float64]
Law = Callable[[np.random.Generator, tuple[int, int]], Array]

ITEMS = (10, 20, 60, 200)

CHUNK = 500
"""Samples drawn at a time."""


def shifted(random: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Return differences of two log-normal probabilities of the same items."""
    item = random.normal(size=shape)
    tuned, base = np.exp(-4 + item + 0.5 * random.normal(size=shape)), np.exp(-4.2 + item)
    return np.minimum(1, tuned) - np.minimum(1, base)


def per_byte(random: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Return what texts of log-normal lengths contribute to a difference in bits per byte."""
    sizes = np.exp(5 + 0.5 * random.normal(size=shape))
    bits = sizes * (0.02 + 0.075 * (random.exponential(size=shape) - 1))
    ratio = bits.sum(axis=0) / sizes.sum(axis=0)
    parts: Array = ratio + (bits - ratio * sizes) / sizes.mean(axis=0)
    return parts


LAWS: dict[str, tuple[Range, Law]] = {
    "probability, Beta(0.1, 5), mean 0.02": (PROBABILITY, lambda random, shape: random.beta(0.1, 5, shape)),
    "probability, Beta(0.3, 3), mean 0.09": (PROBABILITY, lambda random, shape: random.beta(0.3, 3, shape)),
    "probability, log-normal, mean 0.02, σ 2": (
        PROBABILITY,
        lambda random, shape: np.minimum(1, np.exp(-6 + 2 * random.normal(size=shape))),
    ),
    "probability, log-normal, mean 3e-6, σ 1.5": (
        PROBABILITY,
        lambda random, shape: np.exp(-14 + 1.5 * random.normal(size=shape)),
    ),
    "probability, logit-normal, mean 0.28, σ 3": (
        PROBABILITY,
        lambda random, shape: 1 / (1 + np.exp(2 - 3 * random.normal(size=shape))),
    ),
    "probability, Beta(5, 5), mean 0.5": (PROBABILITY, lambda random, shape: random.beta(5, 5, shape)),
    "probability, Beta(0.9, 0.1), mean 0.9": (PROBABILITY, lambda random, shape: random.beta(0.9, 0.1, shape)),
    "log rank, exponential": (POSITIVE, lambda random, shape: random.exponential(2, shape)),
    "log rank, normal": (POSITIVE, lambda random, shape: np.maximum(0, 5 + 2 * random.normal(size=shape))),
    "difference of log-normal probabilities": (DIFFERENCE, shifted),
    "bits per byte, difference, skewed": (ANY, per_byte),
}
"""What is averaged → of which kind it is, and how (items, samples) of it are drawn."""

TRUTHS = {"bits per byte, difference, skewed": 0.02}
"""True means of what is no plain mean; the others are the mean of four million draws."""


def percentiles(values: Array) -> tuple[Array, Array]:
    """Return the percentile interval of a bootstrap of items."""
    weights = np.concatenate(list(resample(len(values), 1000))) / len(values)
    low, high = np.quantile(weights @ values, [0.025, 0.975], axis=0)
    return low, high


def coverage(band: Callable[[Array], tuple[Array, Array]], law: Law, truth: float, items: int, samples: int) -> float:
    """Return the share of samples whose band holds the true mean."""
    random, inside = np.random.default_rng(items), 0
    for _ in range(samples // CHUNK):
        low, high = band(law(random, (items, CHUNK)))
        inside += int(((low <= truth) & (truth <= high)).sum())
    return inside / (samples // CHUNK * CHUNK)


def table(samples: int) -> str:
    """Return the table in Markdown, the bootstrap's coverage in brackets."""
    lines = [f"| mean of | {' | '.join(f'{n} items' for n in ITEMS)} |", "|---" * (len(ITEMS) + 1) + "|"]
    for name, (kind, law) in LAWS.items():
        truth = TRUTHS.get(name) or float(law(np.random.default_rng(1), (4_000_000, 1)).mean())
        cells = []
        for items in ITEMS:
            new = coverage(partial(mean_band, kind=kind), law, truth, items, samples)
            old = coverage(percentiles, law, truth, items, samples)
            cells.append(f"{100 * new:.0f}% ({100 * old:.0f})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(int(sys.argv[1]) if len(sys.argv) > 1 else 4000))

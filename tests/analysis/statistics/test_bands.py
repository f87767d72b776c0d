"""Intervals of skewed means: Clopper and Pearson's for shares, honest by simulation where the bootstrap is not."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binomtest

from spillover.analysis.statistics.bands import ANY, DIFFERENCE, POSITIVE, PROBABILITY, Range, mean_band, mean_estimate
from spillover.analysis.statistics.estimate import resample

Law = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]

LAWS: dict[str, tuple[Range, Law]] = {
    "probabilities around 0.09": (PROBABILITY, lambda random, shape: random.beta(0.3, 3, shape)),
    "probabilities around 0.02": (PROBABILITY, lambda random, shape: random.beta(0.1, 5, shape)),
    "probabilities around 0.9": (PROBABILITY, lambda random, shape: random.beta(0.9, 0.1, shape)),
    "probabilities around 1e-6": (PROBABILITY, lambda random, shape: np.exp(-14 + 1.5 * random.normal(size=shape))),
    "logs of ranks": (POSITIVE, lambda random, shape: random.exponential(2, shape)),
    "differences": (DIFFERENCE, lambda random, shape: random.beta(0.3, 3, shape) - random.beta(0.5, 5, shape)),
    "bits": (ANY, lambda random, shape: random.exponential(1, shape) - 1),
}

SETS = 500


def coverage(band: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], law: Law, items: int) -> float:
    """Return in how many of `SETS` samples the band holds the true mean."""
    random = np.random.default_rng(items)
    truth = law(random, (1_000_000, 1)).mean()
    low, high = band(law(random, (items, SETS)))
    return float(((low <= truth) & (truth <= high)).mean())


@pytest.mark.parametrize("items", [10, 20, 100])
@pytest.mark.parametrize("name", LAWS)
def test_the_intervals_cover_the_mean_however_skewed_the_numbers_are(name: str, items: int) -> None:
    kind, law = LAWS[name]
    assert coverage(lambda values: mean_band(values, kind), law, items) >= 0.92


def test_the_percentile_bootstrap_does_not() -> None:
    def percentiles(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weights = np.concatenate(list(resample(len(values), 1000))) / len(values)
        low, high = np.quantile(weights @ values, [0.025, 0.975], axis=0)
        return low, high

    assert coverage(percentiles, LAWS["probabilities around 0.02"][1], 20) < 0.86


@pytest.mark.parametrize(("right", "items"), [(1, 20), (7, 20), (19, 20), (30, 100)])
def test_for_shares_the_interval_is_clopper_and_pearsons(right: int, items: int) -> None:
    values = np.repeat([1.0, 0.0], [right, items - right])
    exact = binomtest(right, items).proportion_ci(0.95, "exact")
    estimate = mean_estimate(values, PROBABILITY)
    assert (estimate.value, estimate.n) == (right / items, items)
    assert (estimate.low, estimate.high) == pytest.approx((exact.low, exact.high), abs=0.015)


def test_low_and_high_probabilities_are_treated_alike() -> None:
    values = np.random.default_rng(0).beta(0.3, 3, (20, 3))
    (low, high), (mirrored_low, mirrored_high) = mean_band(values, PROBABILITY), mean_band(1 - values, PROBABILITY)
    np.testing.assert_allclose([low, high], [1 - mirrored_high, 1 - mirrored_low], atol=1e-12)


def test_numbers_that_are_all_equal_have_no_width() -> None:
    assert mean_band(np.full((20, 1), 0.3), PROBABILITY) == (pytest.approx(0.3), pytest.approx(0.3))
    assert mean_band(np.zeros((20, 1)), DIFFERENCE) == (0, 0)


def test_of_a_single_item_nothing_is_known() -> None:
    low, high = mean_band(np.array([[0.25]]), PROBABILITY)
    assert low < 0.01
    assert high > 0.97
    assert mean_band(np.array([[3.0]]), POSITIVE)[1] == np.inf

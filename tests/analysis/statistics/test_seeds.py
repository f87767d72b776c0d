"""Several seeds: parts of the variance against plain loops, coverage by simulation, and twins that miss."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from spillover.analysis.statistics.paired import critical, mean_change
from spillover.analysis.statistics.seeds import SeedSpread, difference_over_seeds, over_seeds, seed_spread

SEEDS, ITEMS, LANGUAGES = 3, 24, 4
UNITS = np.repeat([f"premise {k}" for k in range(ITEMS // 3)], 3)


def outcomes(seed: int, deviation: float = 0.1, missing: bool = False) -> np.ndarray:
    """(seeds, items, languages) of −1, 0 and 1; the chance of 1 differs between the seeds."""
    random = np.random.default_rng(seed)
    chance = np.clip(0.3 + deviation * random.normal(size=(SEEDS, 1, 1)), 0.05, 0.9)
    uniform = random.random((SEEDS, ITEMS, LANGUAGES))
    values = (uniform < chance) * 1.0 - (uniform > 0.9)
    if missing:
        values[:, :3, 1] = np.nan
    return values


def naive(groups: list[np.ndarray], units: np.ndarray) -> SeedSpread:
    """Seed by seed and unit by unit."""
    names, between, noise, degrees = sorted(set(units)), 0.0, 0.0, 0
    for group in groups:
        means = np.array([[np.nanmean(run[:, column]) for column in range(run.shape[1])] for run in group])
        between += sum((row.mean() - means.mean()) ** 2 for row in means)
        parts = np.zeros((len(group), len(names)))
        for seed, run in enumerate(group):
            for item, unit in enumerate(units):
                for column in range(run.shape[1]):
                    if not np.isnan(run[item, column]):
                        share = (~np.isnan(run[:, column])).sum() * run.shape[1]
                        parts[seed, names.index(unit)] += (run[item, column] - means[seed, column]) / share
        noise += sum((row - parts.mean(axis=0)) @ (row - parts.mean(axis=0)) for row in parts)
        degrees += len(group) - 1
    count = len(names)
    return SeedSpread(between / degrees, noise / degrees * count / (count - 1), degrees, count)


@pytest.mark.parametrize("missing", [False, True])
def test_the_spread_is_pooled_over_recipes_and_units(missing: bool) -> None:
    groups = [outcomes(0, missing=missing), outcomes(1, missing=missing)[:2], outcomes(2, missing=missing)[:1]]
    spread, expected = seed_spread(groups, UNITS), naive(groups[:2], UNITS)
    assert (spread.between, spread.noise) == pytest.approx((expected.between, expected.noise))
    assert (spread.degrees, spread.units) == (3, ITEMS // 3)


def test_without_a_second_seed_the_interval_is_about_items_alone() -> None:
    single = outcomes(0)[:1]
    spread = seed_spread([single, outcomes(1)[:1]], UNITS)
    assert spread.joined(0.01, 1) == (0.01, critical(7))
    assert over_seeds(single, UNITS, spread) == mean_change(single[0], UNITS).estimate()


def test_what_seeds_add_is_what_items_do_not_explain() -> None:
    spread = SeedSpread(between=0.0009, noise=0.0004, degrees=4, units=60)
    variance, z = spread.joined(0.002, 3)
    items, between = 0.002 - 0.0001 / 3, 0.0006 / 3
    assert variance == pytest.approx(items + between)
    assert z**2 * variance == pytest.approx(critical(59) ** 2 * items + critical(4) ** 2 * between)
    steady = replace(spread, between=0.0001)  # by chance less than items alone would lead to
    assert steady.joined(0.002, 3) == pytest.approx((0.002, critical(59)))


def test_of_two_seeds_nothing_is_taken_off_what_was_seen_between_them() -> None:
    variance, z = SeedSpread(between=0.0009, noise=0.0004, degrees=1, units=60).joined(0.002, 2)
    assert variance == pytest.approx(0.002 + 0.0005 / 2)
    assert z**2 * variance == pytest.approx(critical(59) ** 2 * 0.0018 + critical(1) ** 2 * 0.00045)


def test_one_seed_is_as_uncertain_as_the_other_recipes_say() -> None:
    group, single = outcomes(0, 0.3), outcomes(1)[:1]
    spread = seed_spread([group, single], UNITS)
    alone, pooled = mean_change(single[0], UNITS).estimate(), over_seeds(single, UNITS, spread)
    assert pooled.high - pooled.low > alone.high - alone.low
    assert (pooled.value, pooled.n) == (alone.value, ITEMS // 3)


def test_a_difference_pairs_every_seed_with_every_seed() -> None:
    one, other = (outcomes(0) > 0).astype(float), (outcomes(1)[:2] > 0).astype(float)
    spread = seed_spread([one, other], UNITS)
    estimate = difference_over_seeds(one, other, UNITS, spread)
    back = difference_over_seeds(other, one, UNITS, spread)
    assert estimate.value == pytest.approx(one.mean() - other.mean())
    assert (estimate.low, estimate.high) == pytest.approx((-back.high, -back.low))
    change = mean_change(np.concatenate([a - b for a in one for b in other], axis=1), UNITS)
    variance, z = spread.joined(change.variance, 6 / 5)
    assert estimate == change.estimate(variance - change.variance, z)


GAIN = 0.05


def gains(random: np.random.Generator, deviation: float) -> np.ndarray:
    """(seeds, 60 items, 6 languages) of a recipe whose mean gain is GAIN; items change in part alike in every seed."""
    alike, news = random.normal(size=(1, 60, 1)), random.normal(size=(SEEDS, 60, 6))
    uniform = norm.cdf(0.5 * alike + np.sqrt(0.75) * news)
    half = (GAIN + deviation * random.normal(size=(SEEDS, 1, 1))) / 2
    return (uniform < 0.2 + half) * 1.0 - (uniform > 0.8 + half)


@pytest.mark.slow
@pytest.mark.parametrize("deviation", [0.0, 0.06])
def test_intervals_over_seeds_cover_a_recipes_gain(deviation: float) -> None:
    random, units = np.random.default_rng(3), np.arange(60)
    inside = {"seeds": 0, "items": 0}
    for _ in range(120):
        values = gains(random, deviation)
        for name, groups in (("seeds", [values]), ("items", [])):
            estimate = over_seeds(values, units, seed_spread(groups, units))
            inside[name] += estimate.low <= GAIN <= estimate.high
    assert inside["seeds"] >= 0.9 * 120
    assert deviation == 0 or inside["items"] < 0.9 * 120, "items alone miss what seeds change"

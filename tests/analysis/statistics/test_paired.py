"""The interval of a mean change: published examples, a naive root finder, exact enumeration, symmetries."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

from spillover.analysis.statistics.paired import (
    MeanChange,
    critical,
    estimates,
    mean_change,
    over_languages,
    score_interval,
    share,
    shares,
)

Z = stats.norm.ppf(0.975)


def nuisance(fixed: float, broken: float, delta: float) -> float:
    """Return the most likely share broken under a difference, by maximizing the likelihood."""

    def surprise(q: float) -> float:
        same = 1 - 2 * q - delta
        parts = ((fixed, q + delta), (broken, q), (1 - fixed - broken, same))
        return -sum(share * np.log(max(p, 1e-300)) for share, p in parts)

    low, high = max(0.0, -delta), (1 - delta) / 2
    return float(optimize.minimize_scalar(surprise, bounds=(low, high), options={"xatol": 1e-12}).x)


def naive_end(fixed: float, broken: float, n: float, z: float, skew: bool, bias: float, continuity: float) -> float:
    """Return the lower end by root finding over the literal score, with Laud's `bias` correction of the variance."""

    def excess(delta: float) -> float:
        q = nuisance(fixed, broken, delta)
        changed = 2 * q + delta
        error = np.sqrt((changed - delta**2) / n * bias)
        third = (q + delta) * (1 - delta) ** 3 + q * (-1 - delta) ** 3 + (1 - changed) * (-delta) ** 3
        bend = third / n**2 / error**3 * (z**2 - 1) / 6 if skew else 0.0
        return float((fixed - broken - delta - continuity / n) / error - z - bend)

    return float(optimize.brentq(excess, -0.999, fixed - broken - 1e-9))


def both(fixed: float, broken: float, n: float, **options: Any) -> tuple[float, float]:  # noqa: ANN401
    return naive_end(fixed, broken, n, **options), -naive_end(broken, fixed, n, **options)


def test_the_oracle_finds_the_published_intervals():
    """Fagerland et al. (2014), table II: 1 of 21 the one way, 7 the other; Newcombe (1998): 12 and 2 of 50."""
    plain = {"z": Z, "skew": False, "bias": 1.0, "continuity": 0.0}
    assert both(1 / 21, 7 / 21, 21, **plain) == pytest.approx((-0.517, -0.026), abs=5e-4)
    assert both(12 / 50, 2 / 50, 50, **plain) == pytest.approx((0.0611, 0.3447), abs=5e-5)
    laud = {"z": Z, "skew": True, "bias": 21 / 20, "continuity": 0.0}  # as his package ratesci prints it
    assert both(1 / 21, 7 / 21, 21, **laud) == pytest.approx((-0.5281, -0.01842), abs=5e-5)


@pytest.mark.parametrize(
    ("fixed", "broken", "pairs"), [(0.24, 0.04, 50), (0.05, 0.3, 21), (0.01, 0.0, 100), (0.02, 0.02, 812.5)]
)
def test_it_is_the_oracles(fixed: float, broken: float, pairs: float):
    expected = both(fixed, broken, pairs, z=2.01, skew=True, bias=1.0, continuity=0.5)
    np.testing.assert_allclose(score_interval(fixed, broken, pairs, 2.01), expected, atol=1e-6)


def test_it_turns_with_the_arms_and_takes_arrays():
    fixed, broken = np.array([0.0, 0.1, 1.0]), np.array([0.0, 0.03, 0.0])
    low, high = score_interval(fixed, broken, 40, 2.0)
    np.testing.assert_allclose(score_interval(broken, fixed, 40, 2.0), [-high, -low])
    assert (low <= fixed - broken).all()
    assert (high >= fixed - broken).all()
    assert high[2] == pytest.approx(1)
    assert (np.abs([low, high]) <= 1).all()


def outcomes(n: int) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Return every number of items fixed and broken, of n, with a third of them changed at most."""
    fixed, broken = np.divmod(np.arange((n + 1) ** 2), n + 1)
    near = fixed + broken <= min(n, n // 3 + 5 * int(np.sqrt(n)))
    return fixed[near], broken[near]


def missed(n: int, fix: float, break_: float, ends: NDArray[np.float64]) -> tuple[float, float]:
    """Return how often the true difference lies below the interval, and above it: exactly."""
    fixed, broken = outcomes(n)
    table = np.column_stack([fixed, broken, n - fixed - broken])
    odds = stats.multinomial.pmf(table, n, [fix, break_, 1 - fix - break_])
    truth = fix - break_
    return float(odds[ends[0] > truth + 1e-9].sum()), float(odds[ends[1] < truth - 1e-9].sum())


RATES = [
    *(
        (0, 0.005),
        (0, 0.021),
        (0, 0.05),
        (0, 0.15),
        (0.01, 0.015),
        (0.02, 0.05),
        (0.05, 0.05),
        (0.1, 0.12),
        (0.15, 0.15),
    )
]
"""Shares of items fixed and broken."""


@pytest.mark.parametrize("n", [20, 30, 60, 150])
def test_one_language_is_covered_at_both_ends_exactly(n: int):
    fixed, broken = outcomes(n)
    ends = score_interval(fixed / n, broken / n, n, critical(n - 1))
    assert max(max(missed(n, *rates, ends)) for rates in RATES) <= 0.025


def test_the_percentile_bootstrap_is_caught():
    """The broken twin: it has no width where few items change."""
    fixed, broken = outcomes(60)
    table = np.column_stack([fixed, broken, 60 - fixed - broken]) / 60
    drawn = np.random.default_rng(0).multinomial(60, table, size=(400, len(table)))
    ends = np.quantile((drawn[..., 0] - drawn[..., 1]) / 60, [0.025, 0.975], axis=0)
    assert max(max(missed(60, *rates, ends)) for rates in RATES) > 0.5


def test_one_language_without_clusters_is_worth_its_items():
    values = np.zeros((60, 1))
    values[:4, 0] = 1, 1, 1, -1
    change = mean_change(values)
    assert (change.value, change.fixed, change.broken) == pytest.approx((2 / 60, 3 / 60, 1 / 60))
    assert (change.units, change.effective()) == (60, pytest.approx(60))
    expected = score_interval(3 / 60, 1 / 60, 60, stats.t.ppf(0.975, 59))
    estimate = change.estimate()
    assert (estimate.low, estimate.high, estimate.n) == (pytest.approx(expected[0]), pytest.approx(expected[1]), 60)


def test_nothing_changed_is_never_a_point():
    """As wide over 17 languages as in one: nothing shows yet that they would change apart."""
    one, many = (mean_change(np.zeros((60, columns))).estimate() for columns in (1, 17))
    assert one == many
    assert one.low == -one.high
    assert stats.binom.pmf(0, 60, one.high) < 0.025
    assert mean_change(np.zeros((600, 17))).estimate().high < 0.02 / 2


def test_languages_that_change_apart_know_more_and_clusters_less():
    random = np.random.default_rng(0)
    apart = random.choice([-1.0, 0.0, 1.0], p=[0.1, 0.75, 0.15], size=(120, 17))
    together = np.repeat(apart[:, :1], 17, axis=1)
    assert mean_change(apart).effective() == pytest.approx(120 * 17, rel=0.25)
    assert mean_change(together).effective() == pytest.approx(120, rel=0.01)
    threes = np.repeat(apart[:40, :1], 3, axis=0)
    clusters = np.repeat(np.arange(40), 3)
    assert mean_change(threes, clusters).effective() == pytest.approx(40, rel=0.06)
    assert mean_change(threes, clusters).units == 40
    assert mean_change(apart).effective() <= apart.size


def test_the_variance_is_that_of_the_units_means():
    random = np.random.default_rng(1)
    values = random.choice([-1.0, 0.0, 1.0], size=(90, 4))
    clusters = random.permutation(np.repeat(np.arange(30), 3))
    means = np.array([values[clusters == cluster].mean() for cluster in range(30)])
    found = mean_change(values, clusters)
    assert found.value == pytest.approx(values.mean())
    assert found.variance == pytest.approx(means.var(ddof=1) / 30 * 359 / 360)


def test_a_missing_item_leaves_each_language_its_mean():
    values = np.array([[1.0, 0.0], [1.0, np.nan], [0.0, np.nan], [-1.0, 1.0]])
    change = mean_change(values)
    assert change.value == pytest.approx((0.25 + 0.5) / 2)
    assert (change.fixed, change.broken) == pytest.approx(((0.5 + 0.5) / 2, 0.25 / 2))
    assert (change.outcomes, change.units) == (6, 4)


def test_another_variance_and_a_larger_quantile_widen():
    change = MeanChange(0.05, 0.1, 0.05, variance=0.0005, outcomes=600, units=60, squares=0.15)
    plain, more, much = change.estimate(), change.estimate(0.0005), change.estimate(0.0005, 4.3)
    assert much.low < more.low < plain.low < plain.high < more.high < much.high
    assert critical(9) == pytest.approx(stats.t.ppf(0.975, 9))


@pytest.mark.slow
def test_over_dependent_languages_and_clusters_it_covers():
    """17 languages that fall from 98 to 95% together with their cluster; items taken as independent miss."""
    random = np.random.default_rng(2)
    bars = stats.norm.ppf([0.98, 0.95])
    hits = {"clusters": 0, "items": 0}
    for _ in range(300):
        groups = np.repeat(random.normal(size=(2, 20, 1)), 3, axis=1)
        before = np.sqrt(0.5) * groups[0] + np.sqrt(0.5) * random.normal(size=(60, 17))
        news = np.sqrt(0.9) * groups[1] + np.sqrt(0.1) * random.normal(size=(60, 17))
        after = np.sqrt(0.6) * before + np.sqrt(0.4) * news
        values = 1.0 * (after < bars[1]) - (before < bars[0])
        for name, clusters in (("clusters", np.repeat(np.arange(20), 3)), ("items", None)):
            found = mean_change(values, clusters).estimate()
            hits[name] += found.low <= -0.03 <= found.high
    assert hits["clusters"] >= 0.94 * 300
    assert hits["items"] < 0.94 * 300


def test_a_share_near_the_ceiling_has_room_on_both_sides():
    hits = np.ones(60)
    assert share(hits).high == 1
    assert stats.binom.pmf(60, 60, share(hits).low) < 0.025
    hits[0] = 0
    found, turned = share(hits), share(1 - hits)
    assert found.low < 59 / 60 < found.high <= 1
    assert (turned.low, turned.high) == pytest.approx((1 - found.high, 1 - found.low))


@pytest.mark.slow
@pytest.mark.parametrize("languages", [2, 5, 17])
def test_intervals_about_languages_in_general_cover(languages: int):
    """Those over items alone, the broken twin, do not where languages differ."""
    random = np.random.default_rng(12)
    hits = {"general": 0, "items": 0}
    truth = stats.norm.sf(1.5 / np.sqrt(2.64)) - stats.norm.cdf(-2 / np.sqrt(2.64))
    for _ in range(300):
        effects = random.normal(scale=0.8, size=languages)
        noise = random.normal(size=(60, 1)) + random.normal(size=(60, languages)) + effects
        values = (noise > 1.5).astype(float) - (noise < -2)
        over_items = mean_change(values).estimate()
        for name, found in (("general", over_languages(over_items, values.mean(0))), ("items", over_items)):
            hits[name] += found.low <= truth <= found.high
    assert hits["general"] >= 0.94 * 300
    assert hits["items"] < 0.9 * 300


def test_few_languages_give_a_wide_interval_within_range():
    over_items = mean_change(np.repeat([[0.0, -1.0], [1.0, 0.0]], 50, axis=0)).estimate()
    found = over_languages(over_items, np.array([0.5, -0.5]))
    assert (found.low, found.high, found.n, found.value) == (-1, 1, 2, over_items.value)
    same = over_languages(over_items, np.array([0.1, 0.1]))
    assert (same.low, same.high) == pytest.approx((over_items.low, over_items.high))


def apart(values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Give each language items of its own: (items, languages) → (items × languages, languages), nan elsewhere."""
    items, languages = values.shape
    table = np.full((items * languages, languages), np.nan)
    for column in range(languages):
        table[column * items : (column + 1) * items, column] = values[:, column]
    return table


def test_unpaired_languages_add_their_variances():
    """The oracle is the textbook's for independent samples; pairing by row number, the twin, gives another one."""
    values = np.random.default_rng(5).choice([-1.0, 0.0, 1.0], size=(6, 4), p=[0.2, 0.5, 0.3])
    found, paired = mean_change(apart(values)), mean_change(values)
    assert found.value == pytest.approx(values.mean())
    assert found.variance == pytest.approx((values.var(axis=0, ddof=1) / 6).sum() / 4**2 * 23 / 24)
    assert (found.units, found.outcomes) == (24, 24)
    assert paired.variance != pytest.approx(found.variance, rel=0.05)


def test_clusters_within_unpaired_languages_are_units():
    values = apart(np.random.default_rng(6).choice([-1.0, 0.0, 1.0], size=(8, 3)))
    clusters = np.repeat(np.arange(12), 2)
    halves = values.reshape(12, 2, 3).mean(axis=1)
    found = mean_change(values, clusters)
    assert found.units == 12
    assert found.variance == pytest.approx(mean_change(halves).variance * 23 / 24 * 12 / 11)


@pytest.mark.slow
def test_over_unpaired_languages_it_covers():
    """Eight languages of 15 own items each. Items that are the same in all, taken for unpaired ones, are missed."""
    random = np.random.default_rng(7)
    rates = np.linspace(0.05, 0.6, 8)
    truth = (rates - 0.1).mean()
    hits = {"own": 0, "the same": 0}
    for _ in range(400):
        broken = random.random((15, 8)) < 0.1
        draws = {"own": random.random((15, 8)), "the same": np.repeat(random.random((15, 1)), 8, axis=1)}
        for name, draw in draws.items():
            found = mean_change(apart(1.0 * (draw < rates) - broken)).estimate()
            hits[name] += found.low <= truth <= found.high
    assert hits["own"] >= 0.94 * 400
    assert hits["the same"] < 0.9 * 400


def check_many_at_once() -> None:
    random = np.random.default_rng(3)
    cells = [random.choice([-1.0, 0, 0, 1], size=(items, 2)) for items in (5, 40, 600)] + [np.zeros((12, 1))]
    changes = [mean_change(values) for values in cells]
    for together, change in zip(estimates(changes), changes, strict=True):
        alone = change.estimate()
        assert (together.value, together.n) == (alone.value, alone.n)
        assert (together.low, together.high) == pytest.approx((alone.low, alone.high), abs=1e-12)
    assert estimates([]) == []


def test_many_estimates_at_once_are_those_of_each_alone() -> None:
    check_many_at_once()


def test_one_quantile_for_all_cells_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "estimates", lambda changes: [change.estimate(z=1.96) for change in changes])
    with pytest.raises(AssertionError):
        check_many_at_once()


def test_many_shares_at_once_are_those_of_each_alone() -> None:
    random = np.random.default_rng(4)
    rates = ((30, 0.2), (30, 0.9), (500, 0.5))
    cells = [((random.random(items) < rate).astype(np.float64), None, None) for items, rate in rates]
    assert shares(cells) == [share(*cell) for cell in cells]

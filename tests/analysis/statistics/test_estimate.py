"""Intervals, tests and power against scipy, statsmodels, scikit-learn, naive loops and simulation."""

import itertools
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from spillover.analysis.statistics.estimate import (
    CORRECTIONS,
    adjust,
    detectable_gain,
    macro_auc,
    mcnemar,
    pairs_for_gain,
    percentile_interval,
    resample,
    wilson,
)
from spillover.analysis.statistics.paired import MeanChange, mean_change
from spillover.errors import SpilloverError


def changes(fixed: int, broken: int, same: int = 20) -> NDArray[np.float64]:
    return np.repeat([1.0, -1.0, 0.0], [fixed, broken, same])


@cache  # simulations meet the same counts again and again
def p_value(fixed: int, broken: int) -> float:
    return mcnemar(changes(fixed, broken))


def covered(share: float):
    """Whether a nominal 95% interval covers as often as it should."""
    return 0.93 <= share <= 0.97


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (10, 10), (3, 7), (250, 500), (1, 1), (599, 600)])
def test_wilson_is_that_of_statsmodels(successes: int, n: int):
    found = wilson(successes, n)
    expected = proportion_confint(successes, n, method="wilson")
    np.testing.assert_allclose((found.low, found.high), expected, atol=1e-9)
    assert (found.value, found.n) == (successes / n, n)


@pytest.mark.parametrize("share", [0.5, 0.62, 0.9])
def test_wilson_covers(share: float):
    successes = np.arange(201)
    intervals = [wilson(int(k), 200) for k in successes]
    hit = np.array([found.low <= share <= found.high for found in intervals])
    assert covered(stats.binom.pmf(successes, 200, share)[hit].sum())


@pytest.mark.parametrize(("fixed", "broken"), [(0, 0), (5, 0), (10, 25), (40, 40), (1, 0), (300, 251)])
def test_mcnemar_is_that_of_statsmodels(fixed: int, broken: int):
    expected = statsmodels_mcnemar([[100, fixed], [broken, 100]], exact=True).pvalue
    assert p_value(fixed, broken) == pytest.approx(1.0 if fixed == broken else expected)
    assert p_value(fixed, broken) == pytest.approx(p_value(broken, fixed))


def test_mcnemar_of_clusters_turns_whole_clusters_and_of_single_items_is_the_ordinary_one():
    """Against all signs written out; single items in place of clusters, the broken twin, find more than there is."""
    random = np.random.default_rng(0)
    units = np.repeat([f"premise {k}" for k in range(10)], 3)
    values = np.repeat(random.choice([-1.0, 0.0, 1.0], p=[0.1, 0.3, 0.6], size=10), 3)
    values[::3] = 0
    nets = values.reshape(10, 3).sum(1)
    signs = np.array(list(itertools.product([-1, 1], repeat=10)))
    expected = (np.abs(signs @ nets) >= abs(nets.sum())).mean()
    order = random.permutation(30)
    assert mcnemar(values[order], units[order]) == pytest.approx(expected)
    assert mcnemar(values) < expected / 3
    assert mcnemar(values, np.arange(30).astype(str)) == pytest.approx(mcnemar(values))


def test_mcnemar_of_clusters_is_calibrated_where_single_items_are_not():
    random = np.random.default_rng(1)
    units = np.repeat(np.arange(20).astype(str), 3)
    drawn = np.repeat(random.choice([-1.0, 0.0, 1.0], p=[0.15, 0.7, 0.15], size=(500, 20)), 3, axis=1)
    assert np.mean([mcnemar(values, units) < 0.05 for values in drawn]) < 0.05
    assert np.mean([mcnemar(values) < 0.05 for values in drawn]) > 0.1


@pytest.mark.parametrize("level", [0.01, 0.05, 0.2])
def test_mcnemar_is_calibrated_under_the_null(level: float):
    fixed, broken, _ = np.random.default_rng(0).multinomial(600, [0.1, 0.1, 0.8], size=2000).T
    rejected = np.mean([p_value(*pair) < level for pair in zip(fixed.tolist(), broken.tolist(), strict=True)])
    noise = 3 * np.sqrt(level * (1 - level) / 2000)
    assert 0.5 * level < rejected < level + noise


def test_holm_and_benjamini_hochberg_by_their_definitions():
    p_values = np.random.default_rng(1).beta(0.3, 2, size=60).tolist()
    order = np.argsort(p_values)
    holm = np.empty(60)
    worst = 0.0
    for step, index in enumerate(order):
        worst = max(worst, (60 - step) * p_values[index])
        holm[index] = min(1.0, worst)
    np.testing.assert_allclose(adjust(p_values, "holm"), holm)
    np.testing.assert_allclose(adjust(p_values, "benjamini-hochberg"), multipletests(p_values, method="fdr_bh")[1])
    assert not np.allclose(adjust(p_values, "holm"), adjust(p_values, "benjamini-hochberg"))


@pytest.mark.parametrize("correction", CORRECTIONS)
def test_a_correction_of_equal_of_one_and_of_no_p_values(correction: str):
    method = {"holm": "holm", "benjamini-hochberg": "fdr_bh"}[correction]
    for p_values in ([0.02, 0.02, 0.5, 0.02, 1.0], [0.04], [1.0, 0.0]):
        np.testing.assert_allclose(adjust(p_values, correction), multipletests(p_values, method=method)[1])
    assert adjust([], correction).shape == (0,)


def test_an_unknown_correction_lists_the_choices():
    with pytest.raises(SpilloverError, match=r"found 'hlom'; did you mean 'holm'\? choose from holm, benjamini"):
        adjust([0.1], "hlom")


def test_auc_of_two_labels_is_the_ordinary_one_with_ties_half():
    random = np.random.default_rng(2)
    gold = random.integers(2, size=120)
    scores = np.column_stack([np.zeros(120), np.round(random.normal(size=120) + gold, 1)])
    found = macro_auc(scores, gold)
    assert found.value == pytest.approx(roc_auc_score(gold, scores[:, 1]))
    shifted = macro_auc(scores + np.array([8.0, 0.0]), gold)
    assert (shifted.value, shifted.low) == pytest.approx((found.value, found.low))


def test_auc_of_three_labels_is_the_mean_of_one_against_rest():
    random = np.random.default_rng(3)
    gold = random.integers(3, size=150)
    scores = random.normal(size=(150, 3)) + np.eye(3)[gold]
    each = []
    for label in range(3):
        others = np.log(sum(np.exp(scores[:, other]) for other in range(3) if other != label))
        each.append(roc_auc_score(gold == label, scores[:, label] - others))
    assert macro_auc(scores, gold).value == pytest.approx(np.mean(each))


def test_auc_interval_is_delongs():
    random = np.random.default_rng(4)
    gold = np.arange(60) % 2
    margin = np.round(random.normal(size=60) + gold, 1)
    above = np.array([[(p > q) + (p == q) / 2 for q in margin[gold == 0]] for p in margin[gold == 1]])
    error = np.sqrt(above.mean(1).var(ddof=1) / 30 + above.mean(0).var(ddof=1) / 30)
    area = above.mean()
    middle, reach = np.log(area / (1 - area)), 1.959963984540054 * error / (area * (1 - area))
    found = macro_auc(np.column_stack([np.zeros(60), margin]), gold)
    expected = [1 / (1 + np.exp(-edge)) for edge in (middle - reach, middle + reach)]
    np.testing.assert_allclose((found.low, found.high), expected)


@pytest.mark.parametrize("labels", [2, 3])
def test_auc_interval_covers(labels: int):
    random = np.random.default_rng(5)

    def draw(n: int):
        gold = random.integers(labels, size=n)
        return random.normal(size=(n, labels)) + 0.8 * np.eye(labels)[gold], gold

    truth = macro_auc(*draw(200_000)).value
    found = [macro_auc(*draw(200)) for _ in range(400)]
    assert covered(float(np.mean([one.low <= truth <= one.high for one in found])))


def test_a_perfect_ranking_still_has_an_interval():
    gold = np.arange(40) % 2
    right, wrong = np.eye(2)[gold], np.eye(2)[1 - gold]
    assert macro_auc(right, gold).value == macro_auc(right, gold).high == 1
    assert macro_auc(right, gold).low == pytest.approx(proportion_confint(20, 20, method="wilson")[0])
    assert macro_auc(wrong, gold).value == macro_auc(wrong, gold).low == 0


def test_no_auc_where_a_label_is_gold_less_than_twice():
    assert macro_auc(np.zeros((5, 3)), np.array([0, 0, 1, 1, 2])) is None


def test_resamples_draw_n_things_each_equally_often():
    counts = np.concatenate(list(resample(50, 4000, seed=1)))
    assert counts.shape == (4000, 50)
    assert (counts.sum(1) == 50).all()
    np.testing.assert_allclose(counts.mean(0), 1, atol=0.08)
    np.testing.assert_allclose(counts.var(0), 49 / 50, atol=0.15)
    fewer = np.concatenate(list(resample(50, 700, seed=1)))
    assert (fewer == counts[:700]).all()


def test_bootstrap_is_that_of_scipy():
    values = np.random.default_rng(6).choice([-1.0, 0.0, 1.0], p=[0.1, 0.7, 0.2], size=400)
    found = percentile_interval(values.mean(), np.concatenate(list(resample(400))) @ values / 400, 400)
    expected = stats.bootstrap((values,), np.mean, n_resamples=10_000, method="percentile", rng=0).confidence_interval
    np.testing.assert_allclose((found.low, found.high), expected, atol=0.004)


@pytest.mark.parametrize(("n", "discordance"), [(600, 0.2), (200, 0.3), (500, 0.0)])
def test_the_detectable_gain_is_detected_four_times_in_five(n: int, discordance: float):
    gain = detectable_gain(n, discordance)
    changed = max(gain, discordance)
    odds = [(changed + gain) / 2, (changed - gain) / 2, 1 - changed]
    outcomes = np.random.default_rng(10).multinomial(n, odds, size=1000)
    power = np.mean([p_value(int(fixed), int(broken)) < 0.05 for fixed, broken, _ in outcomes])
    assert 0.71 < power < 0.85  # the exact test is somewhat conservative


def test_the_detectable_gain_has_its_closed_form_and_its_limits():
    n, discordance, test, beta = 600, 0.2, stats.norm.ppf(0.975), stats.norm.ppf(0.8)
    root = test * np.sqrt(n) + beta * np.sqrt(n + beta**2 - test**2)
    assert detectable_gain(n, discordance) == pytest.approx(np.sqrt(discordance) * root / (n + beta**2))
    assert detectable_gain(3, 0.5) == 1
    assert detectable_gain(2400, 0.2) < detectable_gain(600, 0.2) < detectable_gain(600, 0.4)
    assert detectable_gain(600, 0.2, alpha=0.001) > detectable_gain(600, 0.2)
    assert 0.1 < detectable_gain(60, 0.0) < 0.2, "never 0, however little changed"
    for discordance in (0.0, 0.2, 0.7):
        assert pairs_for_gain(detectable_gain(600, discordance), discordance) == pytest.approx(600)


def test_the_detectable_mean_is_seen_by_its_interval_four_times_in_five():
    """Over eight languages that change together, by a shared cause and one of their own."""
    random = np.random.default_rng(11)

    def change(gain: float) -> MeanChange:
        noise = (random.normal(size=(150, 1)) + random.normal(size=(150, 8))) / np.sqrt(2)
        fixed, broken = (noise > stats.norm.isf(0.1 + gain / 2)), (noise < stats.norm.ppf(0.1 - gain / 2))
        return mean_change(1.0 * fixed - broken)

    pairs = np.median([change(0.0).effective() for _ in range(50)])
    shown = [change(detectable_gain(pairs, 0.2)).estimate().low > 0 for _ in range(300)]
    assert np.mean(shown) == pytest.approx(0.8, abs=0.07)

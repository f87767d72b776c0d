"""The gain that an evaluation can show, known beforehand: against simulated evaluations, and by laws."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import norm

from spillover.analysis.statistics.estimate import detectable_gain, pairs_for_gain
from spillover.analysis.statistics.paired import mean_change, score_interval
from spillover.analysis.statistics.planning import CHANGED, pairs_to_settle, planned_gain
from spillover.analysis.statistics.verdicts import verdict

DRAWS = 200
Plan = Callable[[int, int, int | None], float]


def common(random: np.random.Generator, shape: tuple[int, int], part: float, of_premise: float) -> np.ndarray:
    """Return standard normal numbers: `part` is an item's in all languages, some of it its premise's."""
    items = random.standard_normal(shape[0])
    if of_premise:
        premises = np.repeat(random.standard_normal(shape[0] // 3), 3)
        items = np.sqrt(of_premise) * premises + np.sqrt(1 - of_premise) * items
    return np.sqrt(part) * items[:, None] + np.sqrt(1 - part) * random.standard_normal(shape)


def power(gain: float, items: int, languages: int, in_threes: bool, margin: float = 0.0) -> tuple[float, float]:
    """Return how often a true gain is called improved, and the share of answers that change.

    A model that answers 70% right gains; items are hard alike in all languages, and change alike in part.
    """
    random, of_premise = np.random.default_rng(items + languages), 0.6 * in_threes
    clusters = np.repeat(np.arange(items // 3), 3) if in_threes else None
    shown, changed = [], []
    for _ in range(DRAWS):
        before = common(random, (items, languages), 0.5, of_premise)
        after = np.sqrt(0.55) * before + np.sqrt(0.45) * common(random, (items, languages), 0.3, of_premise)
        change = 1.0 * (after > -norm.ppf(0.7 + gain)) - (before > -norm.ppf(0.7))
        shown.append(verdict(mean_change(change, clusters).estimate(), items, margin) == "improved")
        changed.append(np.abs(change).mean())
    return float(np.mean(shown)), float(np.mean(changed))


def planned_power(plan: Plan, items: int, languages: int, in_threes: bool) -> float:
    """Return how often the planned gain is shown."""
    gain = plan(items, languages, items // 3 if in_threes else None)
    return power(gain, items, languages, in_threes)[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("items", "languages", "in_threes"),
    [(60, 17, False), (300, 17, False), (300, 17, True), (300, 5, False), (300, 1, False)],
)
def test_a_planned_gain_is_shown_in_eighty_percent_of_evaluations(items: int, languages: int, in_threes: bool) -> None:
    """200 draws know a power of 80% to ±5.5 points; the interval's small corrections cost a little power."""
    assert 0.7 < planned_power(planned_gain, items, languages, in_threes) < 0.9


@pytest.mark.slow
@pytest.mark.parametrize("margin", [0.02, 0.05])
def test_a_planned_gain_reaches_beyond_the_margin(margin: float) -> None:
    """A plan that ignores a wide margin, the broken twin, names a gain that is called equivalent."""
    gain = planned_gain(600, 17, margin=margin)
    assert 0.7 < power(gain, 600, 17, False, margin)[0] < 0.9
    assert planned_gain(600, 17) == planned_gain(600, 17, margin=0.02) < planned_gain(600, 17, margin=0.05)
    assert power(planned_gain(600, 17), 600, 17, False, 0.05)[0] < 0.3


@pytest.mark.parametrize("margin", [0.02, 0.05])
def test_pairs_that_settle_a_question_call_no_change_equivalent(margin: float) -> None:
    """As many as show the gain, the broken twin, do so in 60% of the draws only."""
    random = np.random.default_rng(0)

    def equivalent(pairs: float) -> float:
        rates = [CHANGED / 2, CHANGED / 2, 1 - CHANGED]
        draws = random.multinomial(round(pairs), rates, size=400) / round(pairs)
        ends = score_interval(draws[:, 0], draws[:, 1], round(pairs), norm.ppf(0.975))
        return float(np.mean(np.abs(ends).max(axis=0) <= margin))

    assert 0.72 < equivalent(pairs_to_settle(margin, CHANGED)) < 0.88
    assert equivalent(pairs_for_gain(margin, CHANGED)) < 0.7


@pytest.mark.slow
def test_a_plan_that_takes_answers_for_independent_promises_too_much() -> None:
    def independent(items: int, languages: int, _: int | None) -> float:
        return detectable_gain(items * languages, CHANGED)

    def single(items: int, languages: int, _: int | None) -> float:
        return planned_gain(items, languages)

    assert planned_power(independent, 300, 17, in_threes=False) < 0.7
    assert planned_power(single, 300, 17, in_threes=True) < 0.7


def test_the_simulation_changes_as_many_answers_as_the_plan_assumes() -> None:
    assert power(0.0, 300, 17, False)[1] == pytest.approx(CHANGED, abs=0.02)


def test_more_items_languages_and_units_show_less() -> None:
    assert planned_gain(600, 17) < planned_gain(60, 17) < planned_gain(60, 5) < planned_gain(60, 1)
    assert planned_gain(600, 17) < planned_gain(600, 17, units=200) < planned_gain(200, 17)
    assert planned_gain(60, 1) == pytest.approx(detectable_gain(60, CHANGED))


def test_translations_never_count_as_much_as_other_items() -> None:
    """However many the languages, so many items show no less than some gain."""
    floor = planned_gain(600, 10_000)
    assert planned_gain(600, 100) > floor > planned_gain(6000, 17) / 2

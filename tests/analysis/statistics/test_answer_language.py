"""Pass rates of the language, paired: the change by its definition, symmetries, and how often the alarm is false."""

import numpy as np
import pytest
from numpy.typing import NDArray

from spillover.analysis.statistics.answer_language import language_harm, pass_rate, pass_rate_change
from spillover.records import FALSE_ALARM_RATE, Estimate

Array = NDArray[np.float64]


def draw(seed: int, items: int, languages: int, reference: float, arm: float, gaps: float = 0.0) -> tuple[Array, Array]:
    """Draw passes that share an item's difficulty, so that the arms are paired."""
    random = np.random.default_rng(seed)
    shared = random.random((items, languages))
    sides = [
        (np.where(random.random((items, languages)) < 0.5, shared, random.random((items, languages)))) for _ in "ab"
    ]
    passes = [(side < rate).astype(float) for side, rate in zip(sides, (reference, arm), strict=True)]
    for side in passes:
        side[random.random((items, languages)) < gaps] = np.nan
    return passes[0], passes[1]


def test_a_pass_rate_leaves_out_what_cannot_be_told() -> None:
    assert pass_rate(np.array([1.0, 0.0, np.nan, 1.0])) == pytest.approx(2 / 3)
    assert pass_rate(np.array([np.nan])) is None


@pytest.mark.parametrize("gaps", [0.0, 0.3])
def test_the_change_is_the_mean_over_languages_of_the_mean_over_pairs(gaps: float) -> None:
    reference, arm = draw(1, 50, 4, 0.9, 0.7, gaps)
    change = pass_rate_change(reference, arm)
    means = []
    for column in range(4):
        pairs = [
            (after, before)
            for before, after in zip(reference[:, column], arm[:, column], strict=True)
            if before == before and after == after
        ]
        means.append(sum(after - before for after, before in pairs) / len(pairs))
    assert change is not None
    assert change.value == pytest.approx(np.mean(means))
    assert change.low < change.value < change.high


def test_the_other_way_round_it_is_the_negative() -> None:
    reference, arm = draw(2, 60, 3, 0.9, 0.6)
    there, back = pass_rate_change(reference, arm), pass_rate_change(arm, reference)
    assert there is not None and back is not None
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))
    assert language_harm(there) and not language_harm(back)


def test_a_language_without_a_pair_does_not_count() -> None:
    reference, arm = draw(3, 40, 2, 0.9, 0.9)
    reference[:, 1] = np.nan
    assert pass_rate_change(reference, arm) == pass_rate_change(reference[:, :1], arm[:, :1])
    assert pass_rate_change(reference[:, 1:], arm[:, 1:]) is None


def test_a_loss_of_all_is_an_alarm_and_too_few_items_are_none() -> None:
    for items, alarm in ((40, True), (29, False)):
        change = pass_rate_change(np.ones((items, 2)), np.zeros((items, 2)))
        assert change is not None and change.value == -1
        assert language_harm(change) == alarm
    same = pass_rate_change(np.ones((40, 2)), np.ones((40, 2)))
    assert same is not None and same.low < 0 < same.high and not language_harm(same)


def unpaired(reference: Array, arm: Array) -> Estimate:
    """A twin that takes the answers of all languages for independent."""
    change = (arm - reference).ravel()
    reach = 1.96 * change.std() / np.sqrt(len(change))
    return Estimate(change.mean(), change.mean() - reach, change.mean() + reach, len(change))


def false_alarms(shared: bool, twin: bool) -> float:
    """Return how often an alarm sounds though nothing changed; answers of one item go together in all languages."""
    alarms = 0
    for seed in range(600):
        reference, arm = draw(seed, 40, 1 if shared else 5, 0.85, 0.85)
        if shared:
            reference, arm = np.repeat(reference, 5, axis=1), np.repeat(arm, 5, axis=1)
        change = unpaired(reference, arm) if twin else pass_rate_change(reference, arm)
        assert change is not None
        alarms += language_harm(change)
    return alarms / 600


@pytest.mark.slow
@pytest.mark.parametrize("shared", [True, False])
def test_false_alarms_are_as_rare_as_is_said(shared: bool) -> None:
    assert false_alarms(shared, twin=False) <= FALSE_ALARM_RATE + 2 * np.sqrt(FALSE_ALARM_RATE / 600)


@pytest.mark.slow
def test_a_twin_without_pairs_sounds_too_often() -> None:
    assert false_alarms(True, twin=True) > 3 * FALSE_ALARM_RATE

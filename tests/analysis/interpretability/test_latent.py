"""Curves and what sums them up, against loops over items and resamples."""

from typing import Any, Literal

import numpy as np
import pytest

from spillover.analysis.interpretability import latent as module
from spillover.analysis.interpretability.latent import MEASURES, CellReading, latents, trajectory
from spillover.analysis.interpretability.lens import LensOutput
from spillover.analysis.statistics.bands import DIFFERENCE, PROBABILITY, mean_band
from spillover.analysis.statistics.estimate import resample
from spillover.records import Cell, Estimate

ITEMS, LAYERS = 12, 6


def reading(seed: int = 0, blind: int = 0) -> LensOutput:
    """Random; in its first `blind` items the right answer cannot be told."""
    random = np.random.default_rng(seed)
    shape = (ITEMS, LAYERS)
    english = random.uniform(size=shape) * np.linspace(0.1, 0.3, LAYERS)
    native = random.uniform(size=shape) * np.linspace(0.05, 0.5, LAYERS)
    rest = random.uniform(0, 0.2, size=(2, *shape))
    english[:blind] = native[:blind] = np.nan
    fields: dict[str, Any] = {
        "english": english,
        "native": native,
        "all_english": np.nan_to_num(english) + rest[0],
        "all_native": np.nan_to_num(native) + rest[1],
        "entropy": random.uniform(0, 10, size=shape),
        "energy": random.uniform(size=shape),
        "english_rank": random.integers(1, 1000, size=shape),
        "native_rank": random.integers(1, 1000, size=shape),
    }
    return LensOutput(**fields)


def seen(arm: str, found: LensOutput, language: str = "de") -> CellReading:
    return CellReading(Cell(arm, "sentiment", language), "logit", found)


def test_a_trajectory_is_the_mean_over_items_in_its_band() -> None:
    found = trajectory(seen("base", reading(blind=3)))
    given = reading(blind=3)
    assert (found.items, found.distinguishable) == (ITEMS, ITEMS - 3)
    np.testing.assert_allclose(found.english.value, given.english[3:].mean(axis=0))
    np.testing.assert_allclose(found.entropy.value, given.entropy.mean(axis=0))
    np.testing.assert_allclose(found.native_rank.value, np.exp(np.log(given.native_rank).mean(axis=0)))
    for name in LensOutput.__slots__:
        curve = getattr(found, name)
        assert all(low <= value <= high for low, value, high in zip(curve.low, curve.value, curve.high, strict=True))


def test_where_no_item_can_be_told_answers_are_not_measurable_and_the_rest_is() -> None:
    found = trajectory(seen("base", reading(blind=ITEMS)))
    assert found.distinguishable == 0
    assert np.isnan(found.english.value).all()
    assert np.isnan(found.native.high).all()
    assert np.isfinite(found.entropy.low).all()
    both = [seen("base", reading(blind=ITEMS)), seen("tuned", reading(1, blind=ITEMS))]
    assert [(one.reference_value, one.arm_value, one.difference) for one in latents(both)] == [(None, None, None)] * 3


def measures(items: list[int], given: LensOutput) -> dict[str, float]:
    """Each measure of some items, drawn with repetition, from its definition."""
    english, native = given.english[items].mean(axis=0), given.native[items].mean(axis=0)
    area = sum((english[i] + english[i + 1]) / 2 / (LAYERS - 1) for i in range(LAYERS - 1))
    leads = [layer for layer in range(LAYERS) if (native[layer:] > english[layer:]).all()]
    right = given.english[items, -1] + given.native[items, -1]
    share = np.mean(right / (given.all_english[items, -1] + given.all_native[items, -1]))
    return {"english": area, "crossover_depth": leads[0] / (LAYERS - 1) if leads else np.nan, "share": share}


def check_measures() -> None:
    """The depth by a loop over resamples; what is a mean over items, by each item's own value."""
    base, tuned = reading(blind=2), reading(1, blind=2)
    told = range(2, ITEMS)
    draws = []
    for counts in np.concatenate(list(resample(len(told), module.RESAMPLES))):
        items = [item for item, times in zip(told, counts, strict=True) for _ in range(int(times))]
        drawn = [measures(items, arm)["crossover_depth"] for arm in (base, tuned)]
        draws.append([1.0 if np.isnan(depth) else depth for depth in drawn])
    resampled = np.array(draws)
    for found in latents([seen("base", base), seen("tuned", tuned)]):
        name = found.measure
        points = [measures(list(told), arm)[name] for arm in (base, tuned)]
        each = np.array([[measures([item], arm)[name] for arm in (base, tuned)] for item in told])
        columns = ((base, each[:, 0], resampled[:, 0]), (tuned, each[:, 1], resampled[:, 1]))
        parts = [(points[i], column, depths) for i, (_, column, depths) in enumerate(columns)]
        parts.append((points[1] - points[0], each[:, 1] - each[:, 0], resampled[:, 1] - resampled[:, 0]))
        kinds = (PROBABILITY, PROBABILITY, DIFFERENCE)
        estimates = (found.reference_value, found.arm_value, found.difference)
        for estimate, kind, (value, values, depths) in zip(estimates, kinds, parts, strict=True):
            low, high = np.quantile(np.asarray(depths), [0.025, 0.975])
            if name != "crossover_depth":
                low, high = (float(end[0]) for end in mean_band(values[:, None], kind))
            assert estimate is not None
            np.testing.assert_allclose([estimate.value, estimate.low, estimate.high], [value, low, high], atol=1e-12)
            assert estimate.n == ITEMS - 2


def test_measures_and_their_paired_intervals_follow_their_definitions() -> None:
    check_measures()


@pytest.mark.parametrize("name", MEASURES)
def test_fails_for_a_measure_a_layer_off(
    name: Literal["english", "crossover_depth", "share"], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = MEASURES[name]

    def off(*arms: LensOutput) -> list[Estimate | None]:
        fields = LensOutput.__slots__
        return plain(*(LensOutput(*(np.roll(getattr(arm, field), 1, axis=1) for field in fields)) for arm in arms))

    monkeypatch.setitem(MEASURES, name, off)
    with pytest.raises(AssertionError):
        check_measures()


def test_where_native_may_never_overtake_the_interval_says_so() -> None:
    """In half of the items native leads clearly, in the others English by a little less: many resamples never cross."""
    given = reading()
    native = np.where(np.arange(ITEMS)[:, None] % 2, 0.5, 0.1) * np.ones((ITEMS, LAYERS))
    crossing = LensOutput(
        **{name: getattr(given, name) for name in LensOutput.__slots__}
        | {"native": native, "english": np.full((ITEMS, LAYERS), 0.27)}
    )
    found = {one.measure: one for one in latents([seen("base", crossing), seen("tuned", crossing)])}["crossover_depth"]
    assert found.reference_value is not None
    assert (found.reference_value.value, found.reference_value.low, found.reference_value.high) == (0, 0, 1)


def test_arms_that_are_equal_differ_by_exactly_nothing() -> None:
    """Paired: the interval of the difference is a point, though each arm's is not."""
    for found in latents([seen("base", reading()), seen("tuned", reading())]):
        assert (found.difference.value, found.difference.low, found.difference.high) == (0, 0, 0)
        assert found.reference_value.low < found.reference_value.high


def test_native_never_overtakes_english_in_english_itself() -> None:
    given = reading()
    same = LensOutput(*(given.english if name == "native" else getattr(given, name) for name in LensOutput.__slots__))
    found = {one.measure: one for one in latents([seen("base", same, "en"), seen("tuned", same, "en")])}
    assert found["crossover_depth"].reference_value is None
    assert found["crossover_depth"].difference is None
    assert found["english"].reference_value is not None

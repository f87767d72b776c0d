"""Steps of weighted parts: exact shares after any number of draws, and the same steps however they are asked for."""

from collections import Counter
from itertools import islice

import pytest

from spillover.models.tuning.schedule import Steps, WeightedSteps

SIZES, WEIGHTS = (40, 7, 12), (3.0, 1.0, 0.5)


def draws(order: Steps, epochs: int) -> list[int]:
    """Return all places of some epochs, in their order."""
    places = []
    for epoch in range(epochs):
        order.set_epoch(epoch)
        places += [place for step in order for place in step]
    return places


def parts_of(places: list[int]) -> list[int]:
    starts = [0, SIZES[0], SIZES[0] + SIZES[1]]
    return [max(part for part, start in enumerate(starts) if start <= place) for place in places]


@pytest.mark.parametrize("seed", range(5))
def test_after_any_number_of_draws_each_part_has_its_share(seed: int) -> None:
    counts = [0, 0, 0]
    for number, part in enumerate(parts_of(draws(WeightedSteps(SIZES, WEIGHTS, 8, seed), 4)), start=1):
        counts[part] += 1
        assert all(abs(count - number * w / sum(WEIGHTS)) < 1 for count, w in zip(counts, WEIGHTS, strict=True))


def test_a_part_is_drawn_whole_before_any_of_it_is_drawn_again() -> None:
    places = draws(WeightedSteps(SIZES, WEIGHTS, 8, 0), 5)
    for part, size in enumerate(SIZES):
        own = [place for place, each in zip(places, parts_of(places), strict=True) if each == part]
        passes = [own[start : start + size] for start in range(0, len(own) - size + 1, size)]
        assert passes
        assert all(len(set(each)) == size for each in passes)
        assert len({tuple(each) for each in passes}) == len(passes), "each pass has another order"


def test_an_epoch_does_not_depend_on_the_ones_before() -> None:
    whole = draws(WeightedSteps(SIZES, WEIGHTS, 8, 3), 3)
    alone = WeightedSteps(SIZES, WEIGHTS, 8, 3)
    alone.set_epoch(2)
    assert [place for step in alone for place in step] == whole[2 * sum(SIZES) :]


@pytest.mark.parametrize("order", [Steps(59, 8, 1), WeightedSteps(SIZES, WEIGHTS, 8, 1)])
@pytest.mark.parametrize("steps", [0, 1, 8, 13, 24])
def test_what_is_drawn_is_what_the_steps_hold(order: Steps, steps: int) -> None:
    every = []
    for epoch in range(3):
        order.set_epoch(epoch)
        every += list(order)
    expected = [place for step in islice(every, steps) for place in step]
    assert order.drawn(steps) == expected


def test_one_part_alone_would_be_drawn_evenly() -> None:
    assert set(Counter(draws(WeightedSteps((5,), (2,), 2, 0), 4)).values()) == {4}

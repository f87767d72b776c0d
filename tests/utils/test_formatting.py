"""Numbers as people read them, and back."""

from math import inf, nan

import pytest

from spillover.records import Estimate
from spillover.utils.formatting import (
    ascii_minus,
    change_with_interval,
    duration,
    listed,
    minus,
    minutes_and_seconds,
    percent,
    plural,
    points,
    signed,
    size,
    with_interval,
)


@pytest.mark.parametrize(
    ("share", "text"), [(0.0512, "+5.1"), (-0.0512, "−5.1"), (0.0004, "0.0"), (-0.0004, "0.0"), (1, "+100.0")]
)
def test_a_difference_has_its_sign_unless_it_rounds_to_nothing(share: float, text: str) -> None:
    assert points(share) == text


@pytest.mark.parametrize(("number", "digits", "text"), [(-0.004, 2, "0.00"), (0.04, 1, "0.0"), (-0.005, 3, "−0.005")])
def test_what_is_written_as_zero_has_no_sign_in_any_unit(number: float, digits: int, text: str) -> None:
    assert signed(number, digits) == text
    assert change_with_interval(Estimate(1.0, number, 2.0, 9), digits).split()[1] == f"[{text},"


def test_no_hyphen_stands_for_a_minus_and_none_is_lost_on_the_way_back() -> None:
    estimate = Estimate(-0.021, -0.04, -0.002, 60)
    assert with_interval(estimate) == "−2.1 [−4.0, −0.2]"
    assert ascii_minus(with_interval(estimate)) == "-2.1 [-4.0, -0.2]"
    assert (minus("-0.5"), percent(-0.005), percent(nan)) == ("−0.5", "−0.5", "")
    assert with_interval(None, "withheld") == "withheld"


def test_names_and_counts_are_written_as_in_a_sentence() -> None:
    assert [listed("abc"[:count]) for count in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert [plural(count, "language") for count in range(3)] == ["0 languages", "1 language", "2 languages"]
    assert (duration(nan), size(nan)) == ("unknown", "unknown")
    assert [minutes_and_seconds(seconds) for seconds in (0, 59.7, 119.4)] == ["0 min 00 s", "1 min 00 s", "1 min 59 s"]


def test_a_change_of_one_observation_has_no_interval() -> None:
    assert change_with_interval(Estimate(1.25, -inf, inf, 1)) == "+1.2"
    assert change_with_interval(Estimate(1.25, -0.5, 3.0, 2)) == "+1.2 [−0.5, +3.0]"

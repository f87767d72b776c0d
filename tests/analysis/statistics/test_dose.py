"""The dose: changes since the first probe, against scipy; and the sentence about the best step."""

from dataclasses import replace

import numpy as np
import pytest
import scipy

from spillover.analysis.statistics.dose import dose
from spillover.records import DoseGroup, Probe

RANDOM = np.random.default_rng(1)
ITEMS = 12


def probe(step: int, right: int, chrf: float | None = 20.0) -> Probe:
    """A probe of twelve items in four unseen languages and one tuned one, the first ones of them right."""
    margins = (RANDOM.normal(size=ITEMS) + right / 4).tolist()
    hits = [1.0] * right + [0.25] * (ITEMS - right)
    return Probe(step, chrf, 2.0 - step / 100, tuple(hits), tuple(margins), (0.0,) * ITEMS, (-1.0,) * ITEMS)


PROBES = [probe(0, 3), probe(10, 9), probe(20, 6)]


def group(place: int) -> DoseGroup:
    measured = dose(PROBES)
    assert measured is not None
    found = measured.points[place].unseen
    assert found is not None
    return found


@pytest.mark.parametrize("place", [1, 2])
def test_changes_are_paired_by_item(place: int) -> None:
    """A twin that must fail: the items of two probes are two samples, as if they were different items."""
    after, before = (np.array(PROBES[number].unseen_margins) for number in (place, 0))
    expected = scipy.stats.ttest_rel(after, before).confidence_interval(0.95)
    found = group(place).margin_change
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (found.value, found.n) == (pytest.approx((after - before).mean()), ITEMS)
    unpaired = scipy.stats.ttest_ind(after, before).confidence_interval(0.95)
    assert (found.low, found.high) != pytest.approx((unpaired.low, unpaired.high), rel=1e-2)


def test_accuracies_are_means_over_items_and_never_leave_their_range() -> None:
    changes = [group(place).change for place in range(3)]
    assert [group(place).accuracy for place in range(3)] == pytest.approx([5.25 / 12, 9.75 / 12, 7.5 / 12])
    assert [change.value for change in changes] == pytest.approx([0, 4.5 / 12, 2.25 / 12])
    assert all(-1 <= change.low <= change.value <= change.high <= 1 for change in changes)
    assert changes[1].low > 0
    assert (changes[0].low, changes[0].high) == (0, 0)  # a change since itself is known


def test_the_sentence_compares_the_best_step_with_the_last_and_warns() -> None:
    measured = dose(PROBES)
    assert measured is not None
    assert "the best probe is at step 10 (81.2%), and the last one, at step 20, has 62.5%" in measured.sentence
    assert "the best of 3 probes was chosen on the same 12 items" in measured.sentence
    rising = dose(PROBES[:2])
    assert rising is not None
    assert "no probe is better than the last one, at step 10 (81.2%)" in rising.sentence


def test_without_unseen_languages_the_tuned_ones_are_the_endpoint() -> None:
    rows = [replace(row, unseen=(), unseen_margins=()) for row in PROBES]
    measured = dose(rows)
    assert measured is not None
    assert all(point.unseen is None and point.tuned is not None for point in measured.points)
    assert measured.sentence.startswith("In the languages tuned on, no probe is better than the last one")


def test_without_items_or_probes_nothing_is_said() -> None:
    bare = dose([Probe(0, None, None, (), (), (), ())])
    assert bare is not None
    assert bare.sentence == ""
    assert dose([]) is None

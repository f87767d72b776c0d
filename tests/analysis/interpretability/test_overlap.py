"""Overlap of neuron sets against the null written out: every set of the same sizes, one by one."""

from collections.abc import Iterator
from itertools import combinations, product

import numpy as np
import pytest
from scipy.stats import hypergeom

from spillover.analysis.interpretability import overlap as module
from spillover.analysis.interpretability.neurons import Activity, neuron_sets
from spillover.analysis.interpretability.overlap import compare_sets, overlaps, shared_odds
from spillover.records import Cell

WIDTH = 5


def sets(*rows: tuple[int, ...]) -> np.ndarray:
    """(blocks, neurons): per block, the neurons in the set."""
    members = np.zeros((len(rows), WIDTH), dtype=bool)
    for block, row in enumerate(rows):
        members[block, list(row)] = True
    return members


BEFORE, AFTER = sets((0, 1, 2), (), (0,), (1, 2)), sets((0, 1), (3,), (2, 3, 4), (0, 1, 2))


def every_set(sizes: list[int]) -> Iterator[np.ndarray]:
    for rows in product(*(combinations(range(WIDTH), size) for size in sizes)):
        yield sets(*rows)


def check() -> None:
    shared = [int((BEFORE & other).sum()) for other in every_set([2, 1, 3, 3])]
    odds = np.bincount(shared, minlength=len(shared_odds(BEFORE, AFTER))) / len(shared)
    np.testing.assert_allclose(shared_odds(BEFORE, AFTER), odds, atol=1e-12)
    in_before, in_after, common, expected, low, high, p = compare_sets(BEFORE, AFTER)
    assert (in_before, in_after, common) == (6, 9, 4)
    assert expected == pytest.approx(np.mean(shared))
    assert p == pytest.approx(np.mean(np.array(shared) >= 4))
    assert (low, high) == tuple(np.quantile(shared, [0.025, 0.975], method="inverted_cdf"))


def test_equals_every_set_of_the_same_sizes() -> None:
    check()


def test_fails_for_sets_drawn_over_the_whole_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "shared_odds", lambda a, b: hypergeom.pmf(range(7), a.size, a.sum(), b.sum()))
    with pytest.raises(AssertionError):
        check()


def test_a_set_and_itself_share_all_and_more_than_chance() -> None:
    whole = np.random.default_rng(0).random((4, 300)) < 0.02
    size, _, shared, expected, _, high, p = compare_sets(whole, whole)
    assert shared == size > high > expected
    assert p < 1e-6


def test_arms_are_compared_with_the_first_one() -> None:
    random = np.random.default_rng(0)
    counts = random.binomial(100, 0.2, size=(2, 3, 2, 200))
    cells = [
        Activity(Cell(arm, "sentiment", code), counts[a, c], 100)
        for a, arm in enumerate(("base", "tuned"))
        for c, code in enumerate(("en", "de", "zh"))
    ]
    rows = list(overlaps(list(neuron_sets(cells))))
    assert {(row.reference, row.arm) for row in rows} == {("base", "tuned")}
    assert [row.language for row in rows if row.score == "lape"] == ["en", "de", "zh"]
    assert list(overlaps([])) == []

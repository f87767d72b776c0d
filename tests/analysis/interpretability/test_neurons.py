"""Language neurons against the published procedure written out neuron by neuron, and planted ones."""

from dataclasses import replace
from math import log

import numpy as np
import pytest

from spillover.analysis.interpretability import neurons as module
from spillover.analysis.interpretability.neurons import Activity, languages_of, lape, neurons, thresholds
from spillover.records import Cell

CODES = ("en", "de", "zh", "sw")
BLOCKS, WIDTH, TOKENS = 3, 400, 1000
PLANTED = {("de",): 5, ("zh", "sw"): 4, CODES: 6}
"""Languages in which planted neurons of the second block are active → how many there are."""


def active(seed: int = 0, planted: bool = True) -> np.ndarray:
    """(languages, blocks, neurons) counts: rarely active all over, but for the planted ones."""
    random = np.random.default_rng(seed)
    found = random.binomial(TOKENS, random.uniform(0.1, 0.3, size=(1, BLOCKS, WIDTH)), size=(4, BLOCKS, WIDTH))
    start = 0
    for codes, count in PLANTED.items() if planted else ():
        for row, code in enumerate(CODES):
            found[row, 1, start : start + count] = 900 if code in codes else 5
        start += count
    return found


def activities(counts: np.ndarray, arm: str = "base", task: str = "sentiment") -> list[Activity]:
    return [Activity(Cell(arm, task, code), own, TOKENS) for code, own in zip(CODES, counts, strict=True)]


def naive(counts: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Tang et al.'s steps: which neuron belongs to which languages, by the bars of the counts `known`."""

    def entropy(values: np.ndarray) -> float:
        shares = values / values.sum()
        return -sum(share * log(share) for share in shares if share > 0)

    every = sorted((known / TOKENS).ravel())
    bar = np.quantile(every, 0.95)
    alive = [
        entropy(known[:, b, n]) for b in range(BLOCKS) for n in range(WIDTH) if (known[:, b, n] / TOKENS > bar).any()
    ]
    cut = sorted(alive)[round(0.01 * BLOCKS * WIDTH) - 1]
    found = np.zeros(counts.shape, dtype=bool)
    for b in range(BLOCKS):
        for n in range(WIDTH):
            if entropy(counts[:, b, n]) <= cut + 1e-12:
                found[:, b, n] = counts[:, b, n] / TOKENS > bar
    return found


def check(seed: int) -> None:
    counts, other = active(seed), active(seed + 100)
    known = thresholds(counts / TOKENS)
    np.testing.assert_array_equal(languages_of(counts / TOKENS, known), naive(counts, counts))
    np.testing.assert_array_equal(languages_of(other / TOKENS, known), naive(other, counts))


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_published_steps(seed: int) -> None:
    check(seed)


def tied(seed: int = 0) -> np.ndarray:
    """(languages, blocks, neurons) counts in which 120 neurons are active in one language alone: LAPE 0."""
    counts, random = active(seed, planted=False), np.random.default_rng(seed)
    counts[:, 1, :120] = 0
    counts[random.integers(4, size=120), 1, np.arange(120)] = random.integers(400, 440, size=120)
    return counts


def check_ties() -> None:
    """Tang et al.'s topk takes as many as the share says; here the most active ones first, and ties by their place."""
    counts = tied()
    known = thresholds(counts / TOKENS)
    members = languages_of(counts / TOKENS, known)
    share = round(0.01 * BLOCKS * WIDTH)
    assert members.any(axis=0).sum() == members.sum() == share == 12
    first = sorted(range(120), key=lambda neuron: (-counts[:, 1, neuron].max(), neuron))[:share]
    assert sorted(np.flatnonzero(members.any(axis=(0, 1))).tolist()) == sorted(first)
    np.testing.assert_array_equal(languages_of(counts[::-1] / TOKENS, known), members[::-1])


def test_of_neurons_that_tie_exactly_the_share_is_taken() -> None:
    check_ties()


def test_fails_where_all_that_tie_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = module.thresholds
    monkeypatch.setitem(globals(), "thresholds", lambda p: replace(plain(p), peak=0.0, place=p[0].size))
    with pytest.raises(AssertionError):
        check_ties()


def test_fails_for_an_entropy_over_neurons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "entropy", lambda p, axis: np.broadcast_to(p.std(axis=axis), p.shape[1:]))
    with pytest.raises(AssertionError):
        check(0)


def test_lape_is_0_for_one_language_and_its_log_for_all_alike() -> None:
    found = lape(np.array([[0.3, 0.2, 0.0], [0.0, 0.2, 0.0], [0.0, 0.2, 0.0]]))
    np.testing.assert_allclose(found, [0, log(3), np.inf], atol=1e-12)


def test_planted_neurons_are_found_and_split_in_three() -> None:
    found = {(one.layer, one.language): one for one in neurons(activities(active()))}
    assert len(found) == BLOCKS * (1 + len(CODES))
    assert (found[2, ""].specific, found[2, ""].related, found[2, ""].general) == (5, 4, WIDTH - 9)
    assert [found[2, code].specific for code in CODES] == [0, 5, 0, 0]
    assert [found[2, code].related for code in CODES] == [0, 0, 4, 4]
    for one in found.values():
        assert one.specific + one.related + one.general == WIDTH


def test_the_tuned_arm_is_held_to_the_bars_of_the_base() -> None:
    """Where tuning silenced every language neuron, none is left: a quantile of its own would find some again."""
    silent = active(planted=False) // 2
    found = neurons([*activities(active()), *activities(silent, "tuned")])
    assert sum(one.specific for one in found if one.arm == "base") > 0
    assert sum(one.specific + one.related for one in found if one.arm == "tuned") == 0


def test_languages_in_another_order_are_split_alike() -> None:
    cells = activities(active())
    key = lambda one: (one.layer, one.language)  # noqa: E731
    assert sorted(neurons(cells), key=key) == sorted(neurons(cells[::-1]), key=key)


def test_one_language_or_unknown_neurons_give_nothing() -> None:
    assert neurons(activities(active())[:1]) == []
    assert neurons(activities(np.zeros((4, BLOCKS, 0), dtype=np.int64))) == []

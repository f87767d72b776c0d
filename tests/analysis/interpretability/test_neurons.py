"""Language neurons against the published procedure written out neuron by neuron, and planted ones."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import log

import numpy as np
import pytest

from spillover.analysis.interpretability import neurons as module
from spillover.analysis.interpretability.neurons import (
    MAX_WEIGHT,
    WEIGHT_STEP,
    Activity,
    languages_of,
    lape,
    neuron_sets,
    neurons,
    peaked_lape,
    peaked_thresholds,
    thresholds,
)
from spillover.records import Cell, LanguageNeurons

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
    monkeypatch.setattr("scipy.stats.entropy", lambda p, axis: np.broadcast_to(p.std(axis=axis), p.shape[1:]))
    with pytest.raises(AssertionError):
        check(0)


def test_lape_is_0_for_one_language_and_its_log_for_all_alike() -> None:
    found = lape(np.array([[0.3, 0.2, 0.0], [0.0, 0.2, 0.0], [0.0, 0.2, 0.0]]))
    np.testing.assert_allclose(found, [0, log(3), np.inf], atol=1e-12)


def counted(cells: Sequence[Activity], score: str = "lape") -> list[LanguageNeurons]:
    return [count for count in neurons(list(neuron_sets(cells))) if count.score == score]


def test_planted_neurons_are_found_and_split_in_three() -> None:
    found = {(one.layer, one.language): one for one in counted(activities(active()))}
    assert len(found) == BLOCKS * (1 + len(CODES))
    assert (found[2, ""].specific, found[2, ""].related, found[2, ""].general) == (5, 4, WIDTH - 9)
    assert [found[2, code].specific for code in CODES] == [0, 5, 0, 0]
    assert [found[2, code].related for code in CODES] == [0, 0, 4, 4]
    for one in found.values():
        assert one.specific + one.related + one.general == WIDTH


def test_the_tuned_arm_is_held_to_the_bars_of_the_base() -> None:
    """Where tuning silenced every language neuron, none is left: a quantile of its own would find some again."""
    silent = active(planted=False) // 2
    found = counted([*activities(active()), *activities(silent, "tuned")])
    assert sum(one.specific for one in found if one.arm == "base") > 0
    assert sum(one.specific + one.related for one in found if one.arm == "tuned") == 0


def test_languages_in_another_order_are_split_alike() -> None:
    cells = activities(active())
    key = lambda one: (one.layer, one.language)  # noqa: E731
    assert sorted(counted(cells), key=key) == sorted(counted(cells[::-1]), key=key)


def test_one_language_or_unknown_neurons_give_nothing() -> None:
    assert counted(activities(active())[:1]) == []
    assert counted(activities(np.zeros((4, BLOCKS, 0), dtype=np.int64))) == []


# --- LAPE less the highest probability --------------------------------------------------------------------------------


def published(counts: np.ndarray, scale: float) -> tuple[np.ndarray, float]:
    """Zhang et al.'s `identify` and `autosweep`, neuron by neuron: members, and the weight found."""
    p = counts / TOKENS
    languages = len(p)
    top = round(0.01 * BLOCKS * WIDTH)
    bar = np.quantile(p, 0.95)

    def identify(weight: float) -> np.ndarray:
        scores = []
        for b in range(BLOCKS):
            for n in range(WIDTH):
                shares = p[:, b, n] / p[:, b, n].sum()
                entropy = -sum(share * log(share) for share in shares if share > 0) / log(languages)
                scores.append(entropy - weight * p[:, b, n].max() / scale)
        members = np.zeros(p.shape, dtype=bool)
        for place in sorted(range(len(scores)), key=lambda place: scores[place])[:top]:
            b, n = divmod(place, WIDTH)
            members[:, b, n] = p[:, b, n] > bar
        return members

    fits = lambda weight: not identify(weight).all(axis=0).any()  # noqa: E731
    if fits(MAX_WEIGHT):
        return identify(MAX_WEIGHT), MAX_WEIGHT
    low, high = 0.0, MAX_WEIGHT
    while high - low > WEIGHT_STEP:
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return identify(low), low


def check_peaked() -> None:
    counts = active(3)
    counts[:, 0, :20] = 850  # active in all languages: the weight must not grow until they pass
    members, weight = published(counts, scale=(1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
    limits = peaked_thresholds(counts / TOKENS)
    assert limits.weight == weight
    assert 0 < weight < MAX_WEIGHT
    np.testing.assert_array_equal(languages_of(counts / TOKENS, limits), members)


def test_the_later_score_and_its_weight_are_the_authors() -> None:
    check_peaked()


@pytest.mark.parametrize(
    "broken", [lambda p, weight: peaked_lape(p, 2 * weight), lambda p, weight: peaked_lape(p, weight) + p.max(axis=0)]
)
def test_fails_for_another_scale_or_sign(
    broken: Callable[[np.ndarray, float], np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "peaked_lape", broken)
    with pytest.raises(AssertionError):
        check_peaked()


def test_the_later_score_prefers_the_neuron_that_is_active_more_often() -> None:
    p = np.array([[0.9, 0.1, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(peaked_lape(p, 0.0), [0, 0, 1])
    np.testing.assert_allclose(peaked_lape(p, 0.1), [-0.09 / 0.75, -0.01 / 0.75, 1])


def test_planted_neurons_are_found_by_both_scores() -> None:
    for score in ("lape", "peaked-lape"):
        by_language = {one.language: one for one in counted(activities(active()), score) if one.layer == 2}
        assert by_language["de"].specific == 5

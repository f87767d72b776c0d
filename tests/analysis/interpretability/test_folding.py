"""Means over groups of languages against a naive loop; blocks of languages against all at once."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from spillover.analysis.interpretability import geometry as module
from spillover.analysis.interpretability.alignment import Pairings, States
from spillover.analysis.interpretability.folding import GROUPS, group_members, over_groups, pair_layers
from spillover.analysis.interpretability.geometry import Layer, Sample, geometry
from spillover.languages import get_language
from spillover.plugins import METRICS, resolve

CODES = ("en", "de", "es", "th", "sw", "fr")
ITEMS, WIDTH = 6, 5
ALL = {name: resolve(METRICS, name, "test") for name in METRICS}


def in_group(group: str, a: str, b: str) -> bool:
    family = get_language(a).family
    belongs = {
        "all": True,
        "pivot": b == "en",
        "family": bool(family) and get_language(b).family == family,
        "tuned": b in ("de", "th"),
    }
    return a != b and belongs[group]


def check_groups() -> None:
    values = np.random.default_rng(0).normal(size=(2, len(CODES), len(CODES)))
    members = group_members(CODES, "en", ("th", "de"))
    means = over_groups(values, members)
    assert means.shape == (2, len(GROUPS), len(CODES))
    for g, group in enumerate(GROUPS):
        for a, one in enumerate(CODES):
            others = [b for b, other in enumerate(CODES) if in_group(group, one, other)]
            pairs = [(values[:, a, b] + values[:, b, a]) / 2 for b in others]
            expected = np.mean(pairs, axis=0) if pairs else np.full(2, np.nan)
            np.testing.assert_allclose(means[:, g, a], expected, atol=1e-6)


def test_a_mean_is_that_over_the_other_languages_of_the_group() -> None:
    check_groups()


def test_a_group_with_the_language_itself_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = group_members
    monkeypatch.setitem(globals(), "group_members", lambda *of: whole(*of) | np.eye(len(CODES), dtype=bool))
    with pytest.raises(AssertionError):
        check_groups()


def test_pairs_are_kept_in_three_layers_or_in_all_of_a_small_model() -> None:
    assert pair_layers(33) == (8, 16, 24)
    assert pair_layers(2) == (0, 1)
    assert pair_layers(1) == (0,)


def sample() -> Sample:
    lengths = np.random.default_rng(1).integers(20, 90, size=(len(CODES), ITEMS)).astype(float)
    return Sample("entailment", ("base", "tuned"), CODES, lengths, (np.array([0, 1]), np.array([2, 3, 4])))


def layers() -> Iterator[Layer]:
    random = np.random.default_rng(0)
    shape = (2, len(CODES), ITEMS, WIDTH)
    meaning = random.normal(size=(ITEMS, WIDTH))
    yield Layer(*(meaning + random.normal(size=(2, *shape))).astype(np.float32))


def check_blocks(monkeypatch: pytest.MonkeyPatch, languages: int) -> None:
    """Compare all languages at once, then in blocks of so many."""
    together = geometry(sample(), layers(), ALL).alignments
    monkeypatch.setattr(module, "BLOCK_BYTES", languages * 8 * len(CODES) * ITEMS**2)
    apart = geometry(sample(), layers(), ALL).alignments
    for one, other in zip(together, apart, strict=True):
        for part in ("value", "null_low", "null_high"):
            np.testing.assert_allclose(getattr(one, part), getattr(other, part), atol=1e-6, err_msg=one.metric)


@pytest.mark.parametrize("languages", [1, 4])
def test_blocks_of_languages_have_the_numbers_of_all_at_once(monkeypatch: pytest.MonkeyPatch, languages: int) -> None:
    check_blocks(monkeypatch, languages)


def test_blocks_that_compare_their_own_languages_only_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    cosine = ALL["cosine"]

    def own_alone(states: States, pairings: Pairings) -> np.ndarray:
        scores = cosine(states, pairings)
        first = states.rows.start or 0
        return np.roll(scores, first, axis=2)

    monkeypatch.setitem(ALL, "cosine", own_alone)
    with pytest.raises(AssertionError):
        check_blocks(monkeypatch, 2)


def test_a_metric_that_computes_all_languages_is_cut_to_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    cosine = ALL["cosine"]
    whole = {"own": lambda states, pairings: cosine(replace(states, rows=slice(None)), pairings)}
    expected = geometry(sample(), layers(), whole).alignments[0].value
    monkeypatch.setattr(module, "BLOCK_BYTES", 1)
    np.testing.assert_allclose(geometry(sample(), layers(), whole).alignments[0].value, expected, atol=1e-12)

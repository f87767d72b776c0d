"""Components against scikit-learn, length removal against least squares, and what `geometry` refuses."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import pearsonr

from spillover.analysis.interpretability import geometry as module
from spillover.analysis.interpretability.alignment import States, shuffled
from spillover.analysis.interpretability.geometry import (
    PARTIAL,
    SHUFFLES,
    Layer,
    Sample,
    geometry,
    partial_out_length,
    principal_components,
)
from spillover.errors import SpilloverError
from spillover.plugins import METRICS, resolve

LANGUAGES = ("en", "de", "sw")
ITEMS, WIDTH, LAYERS = 12, 10, 2
ALL = {name: resolve(METRICS, name, "test") for name in METRICS}


def sample(items: int = ITEMS, **changes: object) -> Sample:
    lengths = np.random.default_rng(1).integers(20, 90, size=(len(LANGUAGES), items)).astype(float)
    contexts = (np.array([0, 1]), np.array([4, 5, 6]))
    return replace(Sample("entailment", ("base", "tuned"), LANGUAGES, lengths, contexts), **changes)  # type: ignore[arg-type]


def layers(items: int = ITEMS, seed: int = 0) -> Iterator[Layer]:
    random = np.random.default_rng(seed)
    for _ in range(LAYERS):
        shape = (2, len(LANGUAGES), items, WIDTH)
        meaning = random.normal(size=(items, WIDTH))
        drawn = (meaning + random.normal(size=(2, *shape)) + random.normal(size=(3, 1, WIDTH))).astype(np.float32)
        yield Layer(*drawn)


def check_components() -> None:
    from sklearn.decomposition import PCA  # its import takes a second of each process that collects the tests

    for layer in layers():
        found = principal_components(layer.body_mean)
        flat = layer.body_mean.reshape(-1, WIDTH).astype(np.float64)
        expected = PCA(2, svd_solver="full").fit_transform(flat).reshape(found.shape)
        for axis in range(2):
            sign = np.sign((found[..., axis] * expected[..., axis]).sum())
            np.testing.assert_allclose(sign * found[..., axis], expected[..., axis], atol=1e-6)


def test_components_are_scikit_learns_with_both_arms_on_the_same_axes() -> None:
    check_components()


def test_components_of_each_arm_on_its_own_axes_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = principal_components
    monkeypatch.setitem(globals(), "principal_components", lambda x: np.stack([plain(arm) for arm in x]))
    with pytest.raises(AssertionError):
        check_components()


def test_components_are_the_same_each_time_and_turn_with_nothing() -> None:
    states = next(layers()).body_mean
    np.testing.assert_array_equal(principal_components(states), principal_components(states))
    np.testing.assert_allclose(principal_components(states + 5), principal_components(states), atol=1e-4)
    assert not principal_components(np.ones((2, 3, 4, WIDTH), dtype=np.float32)).any()


def residuals(values: np.ndarray, length: np.ndarray) -> np.ndarray:
    """What least squares on a constant and the length leaves."""
    design = np.stack([np.ones_like(length), length], axis=1)
    return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]


def test_without_length_leaves_the_residuals_of_least_squares_and_the_means() -> None:
    given, lengths = next(layers()), sample().lengths
    states = States(given.body_mean[0].astype(float), given.last[0].astype(float), given.last[0, :, :, 0].astype(float))
    found = partial_out_length(states, lengths)
    for place, length in enumerate(lengths):
        for name in ("body_mean", "last", "component"):
            own, free = getattr(states, name)[place], getattr(found, name)[place]
            np.testing.assert_allclose(free, residuals(own, length) + own.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(partial_out_length(states, np.full((3, ITEMS), 7.0)).body_mean, states.body_mean)


def test_a_component_that_is_text_length_correlates_until_length_is_partialled_out() -> None:
    random = np.random.default_rng(0)
    lengths = np.linspace(20, 200, 60) * np.array([[1], [1.2], [2.5]])
    body = random.normal(size=(3, 60, 4))
    states = States(body, body, lengths / 50 + 0.1 * random.normal(size=(3, 60)))
    pearson = ALL["pearson"]
    assert pearson(states, shuffled(60, 0))[0].min() > 0.97
    free = partial_out_length(states, lengths)
    found = pearson(free, shuffled(60, 200))
    expected = pearsonr(residuals(states.component[0], lengths[0]), residuals(states.component[1], lengths[1]))
    assert found[0, 0, 1] == pytest.approx(expected.statistic, abs=1e-6)
    assert np.abs(found[0, 0, 1]) < np.quantile(found[1:, 0, 1], 0.999)


def test_holds_every_metric_in_both_arms_and_all_layers_raw_and_partial() -> None:
    found = geometry(sample(), layers(), ALL)
    assert [a.metric for a in found.alignments] == [name + suffix for name in METRICS for suffix in ("", PARTIAL)]
    assert found.components.shape == (2, LAYERS, len(LANGUAGES), ITEMS, 2)
    pairings = shuffled(ITEMS, SHUFFLES)
    for number, layer in enumerate(layers()):
        for arm in range(2):
            raw = States(
                layer.body_mean[arm].astype(float),
                layer.last[arm].astype(float),
                found.components[arm, number, :, :, 0],
                sample().contexts,
            )
            for alignment in found.alignments:
                partial = alignment.metric.endswith(PARTIAL)
                states = partial_out_length(raw, sample().lengths) if partial else raw
                scores = ALL[alignment.metric.removesuffix(PARTIAL)](states, pairings)
                np.testing.assert_allclose(alignment.value[arm, number], scores[0])
                np.testing.assert_allclose(alignment.null_low[arm, number], np.percentile(scores[1:], 2.5, axis=0))
                np.testing.assert_allclose(alignment.null_high[arm, number], np.percentile(scores[1:], 97.5, axis=0))


def test_the_order_of_items_and_languages_does_not_matter() -> None:
    order, turned = np.random.default_rng(2).permutation(ITEMS), [2, 0, 1]
    given = sample()
    other = sample(
        languages=tuple(LANGUAGES[place] for place in turned),
        lengths=given.lengths[turned][:, order],
        contexts=tuple(np.argsort(order)[group] for group in given.contexts),
    )
    moved = (Layer(*(part[:, turned][:, :, order] for part in (layer.last, layer.body_mean))) for layer in layers())
    for one, two in zip(geometry(given, layers(), ALL).alignments, geometry(other, moved, ALL).alignments, strict=True):
        np.testing.assert_allclose(one.value[:, :, turned][:, :, :, turned], two.value, atol=1e-5, err_msg=one.metric)


def test_a_metric_that_does_not_apply_is_left_out() -> None:
    found = geometry(sample(contexts=()), layers(), {name: ALL[name] for name in ("cosine", "dali")})
    assert [a.metric for a in found.alignments] == ["cosine", "cosine" + PARTIAL]


@pytest.mark.parametrize(("items", "words"), [(1, "has 1 item to compare"), (3, "has 3 items to compare")])
def test_too_few_items_are_refused(items: int, words: str) -> None:
    with pytest.raises(SpilloverError, match=words) as refusal:
        geometry(sample(items, contexts=()), layers(items), ALL)
    assert "expected at least 4" in str(refusal.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_state_that_is_not_finite_is_refused_with_its_place(bad: float) -> None:
    found = list(layers())
    found[1].body_mean[1, 2, 5, 3] = bad
    with pytest.raises(SpilloverError, match="traces/tuned/entailment/sw: layer 1 holds a state that is not finite"):
        geometry(sample(), found, ALL)


def test_fewest_items_is_where_the_estimator_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    geometry(sample(4, contexts=()), layers(4), ALL)
    monkeypatch.setattr(module, "MIN_ITEMS", 3)
    found = geometry(sample(3, contexts=()), layers(3), {"cka": ALL["cka"]})
    np.testing.assert_allclose(found.alignments[0].value, 0, atol=1e-9)

"""Every metric against a naive loop in float64, for true and shuffled pairings; then the laws it claims."""

from collections.abc import Callable
from dataclasses import replace
from math import factorial

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ortho_group, pearsonr

from spillover.analysis.interpretability import alignment
from spillover.analysis.interpretability.alignment import Pairings, States, shuffled, u_centered
from spillover.plugins import METRICS, resolve

Array = NDArray[np.float64]
ITEMS, WIDTH = 8, 6
CONTEXTS = (np.array([0, 3]), np.array([1, 2, 6]))


def states(languages: int = 3, items: int = ITEMS, width: int = WIDTH, shared: float = 1.0, seed: int = 0) -> States:
    """Random states; `shared` is the size of what an item has in common in every language."""
    random = np.random.default_rng(seed)

    def draw() -> Array:
        meaning = shared * random.normal(size=(items, width))
        return meaning + random.normal(size=(languages, items, width)) + random.normal(size=width)

    component = shared * random.normal(size=items) + random.normal(size=(languages, items))
    return States(draw(), draw(), component, CONTEXTS if items == ITEMS else ())


def cos(x: Array, y: Array) -> float:
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def naive_hsic(x: Array, y: Array) -> float:
    """Song et al. 2012, equation 5, as written."""
    n = len(x)
    k, l = x @ x.T, y @ y.T  # noqa: E741 - the paper's letters
    np.fill_diagonal(k, 0)
    np.fill_diagonal(l, 0)
    ones = np.ones(n)
    first = np.trace(k @ l) + (ones @ k @ ones) * (ones @ l @ ones) / ((n - 1) * (n - 2))
    return float((first - 2 / (n - 2) * ones @ k @ l @ ones) / (n * (n - 3)))


def naive_margin(x: Array, y: Array) -> Array:
    similar = np.array([[cos(one, other) for other in y] for one in x])
    found = np.empty_like(similar)
    for i in range(len(x)):
        for j in range(len(y)):
            of_x = sum(sorted(similar[i], reverse=True)[:4]) / 8
            of_y = sum(sorted(similar[:, j], reverse=True)[:4]) / 8
            found[i, j] = similar[i, j] / (of_x + of_y)
    return found


def naive_mexa(x: Array, y: Array) -> float:
    similar = np.array([[cos(one, other) for other in y] for one in x])
    hits = 0
    for i in range(len(x)):
        others = [*np.delete(similar[i], i), *np.delete(similar[:, i], i)]
        hits += similar[i, i] > max(others)
    return hits / len(x)


def naive_dali(x: Array, y: Array) -> float:
    hits = 0
    for options in CONTEXTS:
        matched = [cos(x[k], y[k]) for k in options]
        hits += min(matched) > max(cos(x[k], y[l]) for k in options for l in options if k != l)  # noqa: E741
    return hits / len(CONTEXTS)


NAIVE: dict[str, Callable[[Array, Array], float | np.floating]] = {
    "pearson": lambda x, y: pearsonr(x, y).statistic,
    "cka": lambda x, y: naive_hsic(x, y) / np.sqrt(naive_hsic(x, x) * naive_hsic(y, y)),
    "anc": lambda x, y: np.mean([abs(np.corrcoef(x[:, f], y[:, f])[0, 1]) for f in range(x.shape[1])]),
    "cosine": lambda x, y: np.mean([cos(one, other) for one, other in zip(x, y, strict=True)]),
    "retrieval": lambda x, y: np.mean(naive_margin(x, y).argmax(axis=1) == np.arange(len(x))),
    "mexa-mean": naive_mexa,
    "mexa-last": naive_mexa,
    "dali": naive_dali,
}
VECTORS = {"pearson": "component", "mexa-last": "last"}
"""Metric → the states it is about, where those are not the means."""


def check(metric: str) -> None:
    """Compare a metric with its naive loop, which reorders the vectors themselves."""
    given, pairings = states(), shuffled(ITEMS, 6)
    found = resolve(METRICS, metric, "test")(given, pairings)
    vectors = getattr(given, VECTORS.get(metric, "body_mean"))
    assert found.shape == (7, 3, 3)
    for place, order in enumerate(pairings.orders):
        for a in range(3):
            for b in range(3):
                expected = NAIVE[metric](vectors[a][order], vectors[b])
                assert found[place, a, b] == pytest.approx(expected, abs=1e-6), (metric, place, a, b)


def value(metric: str, given: States) -> Array:
    result: Array = resolve(METRICS, metric, "test")(given, shuffled(given.component.shape[1], 0))[0]
    return result


@pytest.mark.parametrize("metric", METRICS)
def test_agrees_with_a_naive_loop(metric: str) -> None:
    check(metric)


def not_centered(vectors: Array) -> Array:
    gram = vectors @ vectors.transpose(0, 2, 1)
    return gram - gram.mean(axis=(1, 2), keepdims=True)


TWINS: dict[str, tuple[str, object]] = {
    "pearson": ("standardized", lambda x, axis: x / np.linalg.norm(x, axis=axis, keepdims=True)),
    "cka": ("u_centered", not_centered),
    "anc": ("standardized", lambda x, axis: x / np.linalg.norm(x, axis=axis, keepdims=True)),
    "cosine": ("cosines", lambda x, rows: np.einsum("aiw,bjw->aibj", x[rows], x)),
    "retrieval": ("NEIGHBORS", 1),
    "mexa-mean": ("leads", lambda x, axis: 1.0 * (x == x.max(axis=2, keepdims=True))),
    "mexa-last": ("leads", lambda x, axis: 1.0 * (x == x.max(axis=2, keepdims=True))),
    "dali": ("NOISE", -2.0),
}
"""Metric → what is broken in its twin, and how."""


@pytest.mark.parametrize("metric", METRICS)
def test_a_broken_twin_fails(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alignment, *TWINS[metric])
    with pytest.raises(AssertionError):
        check(metric)


@pytest.mark.parametrize("metric", METRICS)
def test_a_pairing_the_wrong_way_round_fails(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def inverted(items: int, shuffles: int) -> Pairings:
        return Pairings(np.argsort(shuffled(items, shuffles).orders, axis=1))

    metric_of = resolve(METRICS, metric, "test")
    turned = metric_of(states(), inverted(ITEMS, 6))
    assert np.allclose(turned[0], metric_of(states(), shuffled(ITEMS, 6))[0])
    assert not np.allclose(turned, metric_of(states(), shuffled(ITEMS, 6)))


# Laws


@pytest.mark.parametrize("metric", [name for name in METRICS if name != "retrieval"])
def test_is_symmetric(metric: str) -> None:
    found = value(metric, states())
    np.testing.assert_allclose(found, found.T, atol=1e-6)


def test_retrieval_has_two_directions() -> None:
    given = states(4, 40, seed=3)
    found = value("retrieval", given)
    swapped = value("retrieval", replace(given, body_mean=given.body_mean[::-1]))
    assert (found != found.T).any()
    np.testing.assert_allclose(found, swapped[::-1, ::-1])


@pytest.mark.parametrize("metric", METRICS)
def test_anything_is_wholly_like_itself(metric: str) -> None:
    np.testing.assert_allclose(value(metric, states()).diagonal(), 1, atol=1e-6)


INVARIANT = {
    "cka": "each language turned, scaled and moved",
    "anc": "each language scaled and moved",
    "cosine": "all turned and each scaled",
    "retrieval": "all turned and each scaled",
    "mexa-mean": "all turned and each scaled",
    "mexa-last": "all turned and each scaled",
    "dali": "all turned and each scaled",
}


@pytest.mark.parametrize("metric", INVARIANT)
def test_is_invariant_to_what_it_claims(metric: str) -> None:
    given = states(seed=5)
    turns = ortho_group.rvs(WIDTH, size=3, random_state=0)
    scale, shift = np.array([0.2, 1, 30])[:, None, None], np.random.default_rng(1).normal(size=(3, 1, WIDTH))
    moved: dict[str, Callable[[Array], Array]] = {
        "each language turned, scaled and moved": lambda x: scale * (x @ turns) + shift,
        "each language scaled and moved": lambda x: scale * x + shift,
        "all turned and each scaled": lambda x: scale * (x @ turns[0]),
    }
    move = moved[INVARIANT[metric]]
    changed = replace(given, body_mean=move(given.body_mean), last=move(given.last))
    np.testing.assert_allclose(value(metric, changed), value(metric, given), atol=1e-6)


def test_anc_is_about_neurons_so_turning_changes_it() -> None:
    given = states(seed=5)
    turned = replace(given, body_mean=given.body_mean @ ortho_group.rvs(WIDTH, random_state=0))
    assert np.abs(value("anc", turned) - value("anc", given)).max() > 0.01


def test_cka_of_random_states_is_zero_where_the_biased_one_is_not() -> None:
    given = states(6, 60, 640, shared=0)
    apart = ~np.eye(6, dtype=bool)
    assert abs(value("cka", given)[apart].mean()) < 0.02
    gram = not_centered(given.body_mean - given.body_mean.mean(axis=1, keepdims=True)).reshape(6, -1)
    biased = (gram @ gram.T) / np.linalg.norm(gram, axis=1)[:, None] / np.linalg.norm(gram, axis=1)
    assert biased[apart].mean() > 0.85


def test_rows_of_a_u_centered_matrix_sum_to_zero() -> None:
    found = u_centered(states().body_mean)
    np.testing.assert_allclose(found.sum(axis=2), 0, atol=1e-9)
    assert not found.diagonal(axis1=1, axis2=2).any()


CHANCE = {
    "pearson": 0.0,
    "cka": 0.0,
    "anc": np.sqrt(2 / (np.pi * 29)),
    "retrieval": 1 / 30,
    "mexa-mean": 1 / 59,
    "dali": factorial(2) * factorial(2) / factorial(4),
}
"""Metric → what it is for 30 items that languages have nothing of in common."""


@pytest.mark.parametrize("metric", CHANCE)
def test_random_states_are_at_chance_and_within_the_null(metric: str) -> None:
    pairs = tuple(np.array([place, place + 1]) for place in range(0, 30, 2))
    values, inside = [], []
    for seed in range(3):
        given = replace(states(12, 30, 20, shared=0, seed=seed), contexts=pairs)
        # no common mean: else cosines are those of a narrow cone
        given = replace(given, body_mean=given.body_mean - given.body_mean.mean(axis=(0, 1)))
        found = resolve(METRICS, metric, "test")(given, shuffled(30, 200, seed))
        low, high = np.quantile(found[1:], [0.025, 0.975], axis=0)
        above = np.triu_indices(12, 1)
        values += list(found[0][above])
        inside += list((found[0] >= low)[above] & (found[0] <= high)[above])
    assert np.mean(values) == pytest.approx(CHANCE[metric], abs=0.04)
    assert 0.91 <= np.mean(inside) <= 1  # nominal 0.95; above it where a share can take few values


@pytest.mark.parametrize("metric", [name for name in METRICS if name != "dali"])
def test_common_meaning_stands_out_from_the_null(metric: str) -> None:
    given = states(3, 40, 30, shared=4)
    found = resolve(METRICS, metric, "test")(given, shuffled(40, 100))
    assert (found[0] > np.quantile(found[1:], 0.99, axis=0)).all()


def test_states_that_are_all_the_same_are_alike_by_no_metric_of_items() -> None:
    """As at layer 0, where every prompt of a language ends in the same token."""
    same = np.broadcast_to(np.random.default_rng(0).normal(size=(3, 1, WIDTH)), (3, ITEMS, WIDTH)).copy()
    given = States(same, same, np.ones((3, ITEMS)), CONTEXTS)
    for metric in METRICS:
        found = value(metric, given)
        assert np.isfinite(found).all(), metric
        if metric != "cosine":
            np.testing.assert_allclose(found, 0, atol=1e-9, err_msg=metric)


def test_dali_is_not_measurable_without_contexts() -> None:
    assert np.isnan(value("dali", replace(states(), contexts=()))).all()


def test_the_first_pairing_is_the_true_one_and_all_are_permutations() -> None:
    found = shuffled(9, 50).orders
    assert found.shape == (51, 9)
    assert (found[0] == np.arange(9)).all()
    assert (np.sort(found, axis=1) == np.arange(9)).all()
    assert len({tuple(order) for order in found}) > 45

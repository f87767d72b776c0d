"""Neighbors in other languages against scikit-learn, language by language."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from spillover.analysis.interpretability import neighbors as module
from spillover.analysis.interpretability.neighbors import NEAREST, neighbors
from spillover.records import Neighbors

States = NDArray[np.float32]
EXPLORED = 5


def states(languages: int = 4, items: int = 9, width: int = 6) -> States:
    """Translations are alike, more so in some languages."""
    random = np.random.default_rng(0)
    shared = random.normal(size=(1, items, width))
    noise = random.normal(size=(languages, items, width)) * np.linspace(0.2, 1.5, languages)[:, None, None]
    return np.asarray(3 + shared + noise, dtype=np.float32)


def check(
    vectors: States, explored: int = EXPLORED, find: Callable[[States, int], list[Neighbors]] = neighbors
) -> None:
    rows = find(vectors, explored)
    assert len(rows) == len(vectors)
    for language, row in enumerate(rows):
        others = [other for other in range(len(vectors)) if other != language]
        queries = vectors[language][:explored]
        distances, places = zip(
            *(
                NearestNeighbors(n_neighbors=1, metric="cosine", algorithm="brute")
                .fit(vectors[other])
                .kneighbors(queries)
                for other in others
            ),
            strict=True,
        )
        for item in range(len(queries)):
            nearest = sorted(
                (float(of_other[item, 0]), other, int(place[item, 0]))
                for of_other, other, place in zip(distances, others, places, strict=True)
            )[:NEAREST]
            assert row.languages[item].tolist() == [other for _, other, _ in nearest]
            assert row.items[item].tolist() == [place for _, _, place in nearest]
            np.testing.assert_allclose(row.cosines[item], [1 - distance for distance, _, _ in nearest], atol=1e-6)
            assert row.translations[item] == sum(place[item, 0] == item for place in places)


@pytest.mark.parametrize("explored", [1, EXPLORED, 9, 20])
def test_neighbors_are_those_of_a_search_per_language(explored: int) -> None:
    check(states(), explored)


def test_of_many_languages_the_nearest_are_kept_and_all_counted() -> None:
    check(states(languages=NEAREST + 4))


def twin_with_its_own_language(vectors: States, explored: int) -> list[Neighbors]:
    rows = neighbors(vectors, explored)
    return [replace(row, translations=row.translations + 1) for row in rows]


def twin_without_lengths(vectors: States, explored: int) -> list[Neighbors]:
    return neighbors(vectors * np.arange(1, len(vectors[0]) + 1, dtype=np.float32)[:, None] - 3, explored)


@pytest.mark.parametrize("twin", [twin_with_its_own_language, twin_without_lengths])
def test_fails_for_a_broken_twin(twin: Callable[[States, int], list[Neighbors]]) -> None:
    with pytest.raises(AssertionError):
        check(states(), find=twin)


def test_fails_where_every_language_has_the_first_item(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "leads", lambda cosines, axis: np.ones(cosines.shape))
    with pytest.raises(AssertionError):
        check(states())


def test_an_item_that_stands_twice_has_no_nearest_translation() -> None:
    """Two items with the same text in every language cannot be told apart, so neither counts."""
    vectors = states()
    vectors[:, 1] = vectors[:, 0]
    assert all(row.translations[:2].tolist() == [0, 0] for row in neighbors(vectors, EXPLORED))


def test_a_state_of_nothing_is_near_to_nothing() -> None:
    vectors = states()
    vectors[0, 0] = 0
    (first, *_) = neighbors(vectors, EXPLORED)
    assert (first.cosines[0] == 0).all()
    assert first.translations[0] == 0

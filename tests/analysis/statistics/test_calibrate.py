"""Calibrations against the papers' formulas written as loops over plain probabilities."""

import numpy as np
import pytest
from numpy.typing import NDArray

from spillover.analysis.statistics.calibrate import (
    CALIBRATIONS,
    CONTENT_FREE_CALIBRATIONS,
    batch,
    centered,
    contextual,
    pmi,
    raw,
)

SCORES = np.log(np.random.default_rng(0).dirichlet([1.0, 2.0, 0.5], size=40)) - 3.0
CONTENT_FREE = np.log(np.array([0.2, 0.05, 0.1]))


def normalized(row: NDArray[np.float64]) -> list[float]:
    return [np.exp(score) / sum(np.exp(other) for other in row) for score in row]


def test_raw_changes_nothing():
    assert (raw(SCORES) == SCORES).all()


def test_centered_is_a_loop_over_labels():
    for label in range(3):
        mean = sum(SCORES[:, label]) / len(SCORES)
        np.testing.assert_allclose(centered(SCORES)[:, label], [score - mean for score in SCORES[:, label]])


def test_batch_divides_by_the_mean_probability():
    probabilities = [normalized(row) for row in SCORES]
    means = [sum(row[label] for row in probabilities) / len(probabilities) for label in range(3)]
    expected = [[row[label] / means[label] for label in range(3)] for row in probabilities]
    np.testing.assert_allclose(np.exp(batch(SCORES)), expected)


def test_contextual_divides_by_the_content_free_probability():
    prior = normalized(CONTENT_FREE)
    for row, found in zip(SCORES, contextual(SCORES, CONTENT_FREE), strict=True):
        weighted = [p / q for p, q in zip(normalized(row), prior, strict=True)]
        np.testing.assert_allclose(np.exp(found), np.array(weighted) / sum(weighted))


def test_pmi_is_the_log_ratio_and_chooses_as_contextual_does():
    np.testing.assert_allclose(np.exp(pmi(SCORES, CONTENT_FREE)), np.exp(SCORES) / np.exp(CONTENT_FREE))
    assert (pmi(SCORES, CONTENT_FREE).argmax(1) == contextual(SCORES, CONTENT_FREE).argmax(1)).all()


def test_a_constant_per_label_changes_nothing_once_centered():
    np.testing.assert_allclose(centered(SCORES + np.array([3.0, -1.0, 0.5])), centered(SCORES), atol=1e-12)


def test_a_constant_per_item_changes_nothing_where_probabilities_are_normalized():
    shifted = SCORES + np.linspace(-5, 5, len(SCORES))[:, None]
    np.testing.assert_allclose(batch(shifted), batch(SCORES), atol=1e-12)
    np.testing.assert_allclose(contextual(shifted, CONTENT_FREE), contextual(SCORES, CONTENT_FREE), atol=1e-12)


@pytest.mark.parametrize("name", ["centered", "batch"])
def test_a_strong_preference_for_one_label_is_undone(name: str):
    gold = np.arange(200) % 2
    scores = np.random.default_rng(1).normal(scale=0.3, size=(200, 2)) - 4.0
    scores[np.arange(200), gold] += 1.0
    scores[:, 0] += 3.0
    assert (scores.argmax(1) == gold).mean() < 0.55
    assert (CALIBRATIONS[name](scores).argmax(1) == gold).mean() > 0.9


@pytest.mark.parametrize("name", CALIBRATIONS)
def test_permuting_items_permutes_the_result(name: str):
    order = np.random.default_rng(2).permutation(len(SCORES))
    np.testing.assert_allclose(CALIBRATIONS[name](SCORES[order]), CALIBRATIONS[name](SCORES)[order], atol=1e-12)


@pytest.mark.parametrize("name", CONTENT_FREE_CALIBRATIONS)
def test_a_content_free_prompt_without_preference_changes_no_choice(name: str):
    flat = CONTENT_FREE_CALIBRATIONS[name](SCORES, np.full(3, -2.0))
    assert (flat.argmax(1) == SCORES.argmax(1)).all()

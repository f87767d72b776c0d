"""Items of several numbers of choices in one cell, as in ARC: all numbers against loops over each item's own."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from spillover.analysis.statistics.calibrate import centered, label_mean_influence, label_means
from spillover.analysis.statistics.estimate import macro_auc
from spillover.analysis.statistics.gains import compare
from spillover.analysis.statistics.pairing import outcome, pair_arms
from spillover.errors import SpilloverError
from spillover.records import Gain, Prediction

NUMBERS = (3, 4, 4, 5, 4, 2)
Rows = list[tuple[float, ...]]


def arm(
    seed: int, skill: float, preference: Sequence[float] = (0.9, 0, 0.4, 0, -0.5), n: int = 120
) -> list[Prediction]:
    """Make an arm that ranks choices with some skill and prefers the first; items of few choices score higher."""
    random = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        number = NUMBERS[i % len(NUMBERS)]
        gold = i // len(NUMBERS) % number
        scores = random.normal(size=number) - 4 * number + np.array(preference[:number])
        scores[gold] += skill
        rows.append(Prediction(f"{i:03}", "arc", "th", gold, tuple(scores.tolist()), tuple((scores / 3).tolist())))
    return rows


def padded(rows: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    table = np.full((len(rows), max(map(len, rows))), -np.inf)
    for line, scores in zip(table, rows, strict=True):
        line[: len(scores)] = scores
    return table


def effects(rows: Sequence[Sequence[float]], weights: Sequence[float] | None = None) -> NDArray[np.float64]:
    """Return the labels' effects in score = item + label, by least squares over one row per score; their mean is 0."""
    labels = max(map(len, rows))
    design, values = [], []
    for i, scores in enumerate(rows):
        for label, score in enumerate(scores):
            root = np.sqrt(weights[i]) if weights is not None else 1.0
            line = np.zeros(len(rows) + labels)
            line[[i, len(rows) + label]] = root
            design.append(line)
            values.append(root * score)
    found = np.linalg.lstsq(np.array(design), np.array(values), rcond=None)[0][len(rows) :]
    return found - found.mean()


BASE, TUNED = arm(0, 0.4), arm(1, 1.2, preference=(0.2, 0, 0.1, 0, 0))
GAIN: Gain = compare(BASE, TUNED, []).gains[0]


def test_accuracy_chance_and_margin_are_those_of_each_item_s_own_choices() -> None:
    assert GAIN.choices is not None
    right = [[max(p.logprobs) == p.logprobs[p.gold] for p in rows] for rows in (BASE, TUNED)]
    before, after = (
        np.mean(
            [p.logprobs[p.gold] - np.log(sum(np.exp(s) for k, s in enumerate(p.logprobs) if k != p.gold)) for p in rows]
        )
        for rows in (BASE, TUNED)
    )
    assert (GAIN.reference.score.value, GAIN.arm.score.value) == pytest.approx(tuple(np.mean(right, axis=1)))
    assert GAIN.choices.chance == pytest.approx(np.mean([1 / len(p.logprobs) for p in BASE]))
    assert GAIN.choices.margin.value == pytest.approx(after - before)
    for place, metrics in enumerate((GAIN.reference, GAIN.arm)):
        assert metrics.choices is not None and metrics.choices.per_token is not None
        chosen = np.bincount([p.chosen for p in (BASE, TUNED)[place]], minlength=5) / len(BASE)
        assert metrics.choices.chosen == pytest.approx(tuple(chosen))
        assert metrics.choices.per_token.value == metrics.score.value, "all choices have three tokens"


def test_test_and_interval_are_those_of_the_same_answers_without_their_scores() -> None:
    """So the permutation test and the interval, which read outcomes alone, do not depend on the numbers of choices."""
    plain = compare([outcome(p) for p in BASE], [outcome(p) for p in TUNED], []).gains[0]
    assert (GAIN.difference, GAIN.p, GAIN.fixed, GAIN.broken) == (plain.difference, plain.p, plain.fixed, plain.broken)


def test_label_effects_are_least_squares() -> None:
    rows: Rows = [p.logprobs for p in BASE]
    found = label_means(padded(rows))
    np.testing.assert_allclose(found - found.mean(), effects(rows), atol=1e-9)
    columns = [np.mean([scores[label] for scores in rows if label < len(scores)]) for label in range(5)]
    assert np.abs(np.array(columns) - np.mean(columns) - effects(rows)).max() > 1, "the twin: means of the columns"


def test_the_centered_accuracy_is_that_without_the_labels_effects() -> None:
    assert GAIN.arm.choices is not None
    for rows, metrics in ((BASE, GAIN.reference), (TUNED, GAIN.arm)):
        effect = effects([p.logprobs for p in rows])
        hits = [int(np.argmax(np.array(p.logprobs) - effect[: len(p.logprobs)])) == p.gold for p in rows]
        assert metrics.choices is not None
        assert metrics.choices.centered.value == pytest.approx(np.mean(hits))


def test_a_constant_per_label_and_one_per_item_move_no_discrimination() -> None:
    shift, random = np.array([2.0, -1.0, 0.5, 0.0, 3.0]), np.random.default_rng(2)
    moved = [
        replace(p, logprobs=tuple((np.array(p.logprobs) + shift[: len(p.logprobs)] + random.normal()).tolist()))
        for p in BASE
    ]
    gain = compare(BASE, moved, []).gains[0]
    assert gain.choices is not None and gain.choices.discrimination is not None
    assert gain.choices.discrimination.value == 0
    assert gain.choices.label_prior is not None
    assert gain.choices.label_prior.value == pytest.approx(gain.difference.value)
    assert gain.difference.value != 0


def test_the_influence_of_an_item_is_what_a_little_more_of_it_changes() -> None:
    rows: Rows = [p.logprobs for p in BASE[:18]]
    influence, step = label_mean_influence(padded(rows)), 1e-4
    for item in (0, 3, 5, 10):
        weights = [1 + step * (other == item) for other in range(len(rows))]
        slope = (effects(rows, weights) - effects(rows)) / step
        np.testing.assert_allclose(influence[item] / len(rows), slope, atol=1e-3)
    np.testing.assert_allclose(influence.sum(axis=0), 0, atol=1e-9)


def test_where_all_items_have_as_many_nothing_changes() -> None:
    scores = np.random.default_rng(3).normal(size=(30, 4))
    assert (centered(scores) == scores - scores.mean(axis=0)).all()
    assert (label_mean_influence(scores) == centered(scores)).all()


def auc_by_hand(rows: Sequence[Sequence[float]], gold: Sequence[int]) -> float:
    """Return the AUC of each label within the items of one number of choices, averaged by their items."""
    total = weight = 0.0
    for number in {len(scores) for scores in rows}:
        of_number = [(scores, g) for scores, g in zip(rows, gold, strict=True) if len(scores) == number]
        golds = [g for _, g in of_number]
        if min(golds.count(label) for label in range(number)) < 2:
            continue
        areas = []
        for label in range(number):
            others = [np.log(sum(np.exp(s) for k, s in enumerate(scores) if k != label)) for scores, _ in of_number]
            margin = [scores[label] - other for (scores, _), other in zip(of_number, others, strict=True)]
            areas.append(roc_auc_score([g == label for g in golds], margin))
        total += np.mean(areas) * len(golds)
        weight += len(golds)
    return float(total / weight)


def test_the_auc_ranks_items_of_as_many_choices() -> None:
    rows, gold = [p.logprobs for p in TUNED], [p.gold for p in TUNED]
    found = macro_auc(padded(rows), np.array(gold))
    assert found is not None and found.value == pytest.approx(auc_by_hand(rows, gold))
    assert found.n == len(rows)
    odd = [*rows, (0.0,) * 6]
    without = macro_auc(padded(odd), np.array([*gold, 5]))
    assert without is not None and (without.value, without.n) == pytest.approx((found.value, found.n)), "a group of one"


def test_scores_that_know_nothing_have_an_auc_of_one_half() -> None:
    """The twin ranks all items together: of fewer choices each has a larger margin, and is right more often."""
    random = np.random.default_rng(4)
    rows = [tuple(random.normal(size=number).tolist()) for number in (2, 5) * 1500]
    gold = np.array([random.integers(len(scores)) for scores in rows])
    found = macro_auc(padded(rows), gold)
    assert found is not None and found.low < 0.5 < found.high and abs(found.value - 0.5) < 0.03
    margin = [scores[0] - np.log(np.exp(scores[1:]).sum()) for scores in rows]
    assert roc_auc_score(gold == 0, margin) > 0.57


@pytest.mark.slow
def test_the_auc_s_interval_covers() -> None:
    random = np.random.default_rng(5)

    def draw(n: int) -> tuple[NDArray[np.float64], NDArray[np.int_]]:
        rows, gold = [], []
        for number in (3, 4, 4) * (n // 3):
            gold.append(int(random.integers(number)))
            rows.append(random.normal(size=number) + 0.8 * np.eye(number)[gold[-1]])
        return padded(rows), np.array(gold)

    truth = macro_auc(*draw(30_000))
    found = [macro_auc(*draw(120)) for _ in range(100)]
    assert truth is not None
    share = np.mean([one is not None and one.low <= truth.value <= one.high for one in found])
    assert share >= 0.88


def test_golds_are_balanced_by_what_chance_would_make_right() -> None:
    """With 2 and 5 choices, the first is right more often by chance; equal shares would be the imbalance."""
    assert GAIN.choices is not None and GAIN.choices.discrimination is not None
    always = [replace(p, gold=0) for p in BASE]
    gain = compare(always, always, []).gains[0]
    assert gain.choices is not None and gain.choices.discrimination is None


def test_an_item_has_as_many_in_every_language_and_arm() -> None:
    thai = [p for p in BASE if p.id == "001"]
    german = [replace(p, language="de", logprobs=p.logprobs[:2], logprobs_per_token=()) for p in thai]
    with pytest.raises(SpilloverError, match=r"arc, item '001': found 2 labels in de and 4 in th, expected as many"):
        pair_arms([*thai, *german], [*thai, *german])
    with pytest.raises(SpilloverError, match=r"item '001': found \(4, 3\) scores in the two arms, expected as many"):
        pair_arms(thai, [replace(p, logprobs=p.logprobs[:3], logprobs_per_token=()) for p in thai])

"""Outcomes of answers in words: the split by reason, tests and intervals of scores between 0 and 1, several arms."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from spillover.analysis.statistics.estimate import EXACT_UNITS, mcnemar, paired_test, sign_flip
from spillover.analysis.statistics.gains import compare, compare_pairs
from spillover.analysis.statistics.paired import mean_change, mean_score
from spillover.analysis.statistics.reasons import LOSSES
from spillover.errors import SpilloverError
from spillover.records import REASONS, Outcome, Prediction, Result

CODES = ("en", "zh", "th", "sw")


def answers(
    seed: int, right: float = 0.4, codes: Sequence[str] = CODES, n: int = 60, graded: bool = True
) -> list[Outcome]:
    """Return outcomes with every reason; of some wrong answers a part is right."""
    random = np.random.default_rng(seed)
    outcomes = []
    for code in codes:
        for item in range(n):
            reason = REASONS[random.choice(len(REASONS), p=[right, *((1 - right) / 4,) * 4])]
            part = float(random.beta(2, 2)) if graded and reason == "wrong" else 0.0
            outcomes.append(Outcome(f"{item:03}", "math", code, 1.0 if reason == "right" else part, reason))
    return outcomes


def choices(seed: int, codes: Sequence[str] = CODES, n: int = 60) -> list[Prediction]:
    random = np.random.default_rng(seed)
    return [
        Prediction(f"{i:03}", "sentiment", code, i % 2, tuple(random.normal(size=2).tolist()))
        for code in codes
        for i in range(n)
    ]


def score_of(outcomes: Sequence[Outcome], code: str) -> float:
    return float(np.mean([o.score for o in outcomes if o.language == code]))


BASE, TUNED = answers(0, 0.3), answers(1, 0.6)
COMPARISON = compare(BASE, TUNED, ["zh"])


def test_parts_by_reason_sum_to_the_gain_and_are_what_a_loop_counts() -> None:
    before = {(o.language, o.item): o for o in BASE}
    for gain in COMPARISON.gains:
        assert [part.reason for part in gain.reasons] == list(LOSSES)
        assert sum(part.part.value for part in gain.reasons) == pytest.approx(gain.difference.value, abs=1e-12)
        pairs = [(before[o.language, o.item], o) for o in TUNED if o.language == gain.language]
        for part in gain.reasons:
            total = 0.0
            for one, other in pairs:
                total += (1 - one.score) * (one.reason == part.reason) - (1 - other.score) * (
                    other.reason == part.reason
                )
            assert part.part.value == pytest.approx(total / len(pairs))
            assert part.part.low < part.part.value < part.part.high
    summary = COMPARISON.summaries[0]
    assert summary.unseen is not None
    assert sum(part.part.value for part in summary.reasons) == pytest.approx(summary.unseen.value)


def test_only_the_reason_that_changed_has_a_part() -> None:
    """The broken twin of the split: shares of reasons alone would give partly right answers a part of 1."""
    tuned = [replace(o, score=1.0, reason="right") if o.reason == "unreadable" else o for o in BASE]
    for gain in compare(BASE, tuned, ["zh"]).gains:
        values = {part.reason: part.part.value for part in gain.reasons}
        assert values.pop("unreadable") == pytest.approx(gain.difference.value) != 0
        assert set(values.values()) == {0}
    wrong = [replace(o, score=1.0, reason="right") if o.reason == "wrong" else o for o in BASE]
    gain = compare(BASE, wrong, ["zh"]).gains[0]
    count = sum(o.reason == "wrong" for o in BASE if o.language == "en") / 60
    assert gain.reasons[0].part.value == pytest.approx(gain.difference.value) != pytest.approx(count)


def test_what_the_records_of_an_answer_say() -> None:
    for gain in COMPARISON.gains:
        assert gain.choices is gain.reference.choices is gain.arm.choices is None
        assert gain.reference.score.value == pytest.approx(score_of(BASE, gain.language))
        shares = gain.arm.answers.reasons
        assert sum(shares) == pytest.approx(1)
        expected = np.mean([o.reason == "ran on" for o in TUNED if o.language == gain.language])
        assert shares[REASONS.index("ran on")] == pytest.approx(expected)
    summary = COMPARISON.summaries[0]
    assert (summary.discrimination, summary.label_prior) == (None, None)
    assert "what moved: fewer answers that cannot be read (+15.0)" in summary.sentence
    assert "more answers that cannot be read (−15.0)" in compare(TUNED, BASE, ["zh"]).summaries[0].sentence
    assert summary.arm_score.value == pytest.approx(np.mean([score_of(TUNED, code) for code in CODES]))


def test_outcomes_of_choices_give_the_same_gains_as_their_predictions() -> None:
    base, tuned = choices(0), choices(1)

    def outcomes(predictions: Sequence[Prediction]) -> list[Outcome]:
        return [
            Outcome(p.id, p.task, p.language, float(right), "right" if right else "wrong")
            for p in predictions
            for right in [p.chosen == p.gold]
        ]

    for one, other in zip(
        compare(base, tuned, ["zh"]).gains, compare(outcomes(base), outcomes(tuned), ["zh"]).gains, strict=True
    ):
        assert (one.difference, one.p, one.verdict) == (other.difference, other.p, other.verdict)
        assert one.reference.score == other.reference.score


@pytest.mark.parametrize("units", [8, 40])
def test_the_permutation_test_is_scipys(units: int) -> None:
    """Exact for few units, else within the error of its draws. A twin that ignores the units is far off."""
    random = np.random.default_rng(units)
    names = np.repeat([f"u{unit}" for unit in range(units)], 3)
    shared = np.repeat(random.normal(0.15, 0.3, units), 3)
    changes = np.clip(shared + random.normal(0, 0.05, 3 * units), -1, 1)
    nets = changes.reshape(units, 3).sum(axis=1)
    resamples = np.inf if units <= EXACT_UNITS else 99_999
    expected = stats.permutation_test(
        (nets,), np.sum, permutation_type="samples", n_resamples=resamples, rng=np.random.default_rng(1)
    ).pvalue
    p = sign_flip(changes, names)
    assert p == pytest.approx(expected, abs=1e-12 if units <= EXACT_UNITS else 0.005)
    assert p == sign_flip(changes, names), "seeded"
    assert sign_flip(changes) < p / 3


def test_of_whole_changes_the_permutation_test_is_mcnemars() -> None:
    random = np.random.default_rng(0)
    changes = random.choice([-1.0, 0.0, 1.0], size=40, p=[0.1, 0.75, 0.15])
    assert np.count_nonzero(changes) <= EXACT_UNITS
    assert sign_flip(changes) == pytest.approx(mcnemar(changes))
    assert paired_test(changes) == mcnemar(changes)
    assert paired_test(0.5 * changes) == pytest.approx(mcnemar(changes))
    assert sign_flip(np.zeros(5)) == 1.0


@pytest.mark.slow
def test_the_p_value_of_no_difference_is_not_too_small() -> None:
    """By simulation: p < 5% in at most 5% of comparisons of an arm with itself drawn anew."""
    random = np.random.default_rng(3)
    p_values = [sign_flip(random.beta(0.5, 0.5, 30) - random.beta(0.5, 0.5, 30), seed=draw) for draw in range(400)]
    assert np.mean(np.array(p_values) < 0.05) <= 0.08
    assert np.mean(np.array(p_values) < 0.5) == pytest.approx(0.5, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.03, 0.3, 1.0])
@pytest.mark.parametrize("items", [30, 150])
def test_intervals_of_scores_between_0_and_1_cover(items: int, share: float) -> None:
    """The twin, Student's interval, has no width where nothing changed and misses far more often."""
    random = np.random.default_rng(items)

    def drawn(count: int) -> np.ndarray:
        scores, anew = (
            np.where(random.random(count) < 0.4, random.integers(2, size=count), random.beta(2, 2, count)) for _ in "12"
        )
        anew = np.minimum(1.0, anew + 0.1)
        return np.where(random.random(count) < share, anew, scores) - scores

    truth, misses, twin = drawn(1_000_000).mean(), np.zeros(2), 0
    for _ in range(400):
        changes = drawn(items)
        estimate = mean_change(changes[:, None]).estimate()
        misses += estimate.low > truth, estimate.high < truth
        reach = stats.t.ppf(0.975, items - 1) * changes.std(ddof=1) / np.sqrt(items)
        twin += abs(changes.mean() - truth) > reach
    assert misses.sum() / 400 <= 0.075
    assert misses.max() / 400 <= 0.045
    if share == 0.03 and items == 30:
        assert twin / 400 > 0.1


def test_scores_between_know_more_than_scores_of_0_and_1() -> None:
    """The twin that takes them for shares of right answers has an interval as wide as that of coins."""
    random = np.random.default_rng(0)
    scores, units = random.beta(8, 8, 200), np.array([f"{i}" for i in range(200)])
    narrow, coins = mean_score(scores, units), mean_score((scores > 0.5).astype(np.float64), units)
    assert narrow.value == pytest.approx(scores.mean())
    width = 2 * 1.96 * scores.std() / np.sqrt(200)
    assert narrow.high - narrow.low == pytest.approx(width, rel=0.1)
    assert coins.high - coins.low > 3 * width


def test_comparisons_of_several_arms_are_those_of_two_but_for_the_correction() -> None:
    arms = {"base": BASE, "mine": TUNED, "other": answers(2, 0.5)}
    pairs = [("base", "mine"), ("base", "other"), ("mine", "other")]
    comparisons = compare_pairs(arms, pairs, ["zh"])
    assert [(c.reference, c.arm) for c in comparisons] == pairs
    tests = [gain.p for comparison in comparisons for gain in comparison.gains]
    order = sorted(tests)
    for comparison, (reference, arm) in zip(comparisons, pairs, strict=True):
        alone = compare(arms[reference], arms[arm], ["zh"])
        for gain, other in zip(comparison.gains, alone.gains, strict=True):
            assert (gain.difference, gain.p, gain.reasons) == (other.difference, other.p, other.reasons)
            holm = max((len(tests) - place) * p for place, p in enumerate(order) if p <= gain.p)
            assert gain.p_adjusted == pytest.approx(min(1.0, holm))
            assert gain.minimum_detectable > other.minimum_detectable
        assert [s.unseen for s in comparison.summaries] == [s.unseen for s in alone.summaries]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"score": 1.5}, "found score 1.5 with reason"),
        ({"score": 1.0, "reason": "wrong"}, "the reason 'right' for 1 alone"),
        ({"score": 0.0, "reason": "right"}, "the reason 'right' for 1 alone"),
    ],
)
def test_outcomes_that_contradict_themselves_are_refused(change: dict[str, Any], told: str) -> None:
    outcomes = [replace(BASE[0], **change), *BASE[1:]]
    with pytest.raises(SpilloverError, match=told):
        compare(outcomes, TUNED, ["zh"])


def test_a_cell_has_label_scores_of_all_items_or_of_none() -> None:
    some = choices(0, ["en"], 4)
    mixed: list[Result] = [*some[:3], Outcome(some[3].id, "sentiment", "en", 0.0, "wrong")]
    with pytest.raises(SpilloverError, match="sentiment, en: found label scores of some items only"):
        compare(mixed, some, ["zh"])
    with pytest.raises(SpilloverError, match="first '000', in mine"):
        compare_pairs({"base": some[1:], "mine": some}, [("base", "mine")], [])

"""The comparison of two arms: by hand on a few items, by laws on many, and its rules as tables."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from spillover.analysis.statistics.choices import centered_accuracy_influence, gold_margin
from spillover.analysis.statistics.gains import compare
from spillover.analysis.statistics.paired import mean_change
from spillover.analysis.statistics.verdicts import verdict
from spillover.errors import SpilloverError
from spillover.languages import languages
from spillover.records import Comparison, Estimate, Gain, Prediction, Verdict
from spillover.utils.formatting import points

LANGUAGES = ("en", "zh", "de", "th", "sw", "bg")
Scores = NDArray[np.float64]


def arm(
    seed: int,
    skill: float = 0.5,
    preference: Sequence[float] = (0.0, 0.0),
    n: int = 60,
    languages: Sequence[str] = LANGUAGES,
    task: str = "sentiment",
) -> list[Prediction]:
    """Make an arm that ranks labels with some skill and prefers some of them; golds are balanced."""
    random = np.random.default_rng(seed)
    labels = len(preference)
    found = []
    for code in languages:
        scores = random.normal(size=(n, labels)) - 5 + np.array(preference)
        scores[np.arange(n), np.arange(n) % labels] += skill
        rows = [tuple(row) for row in scores.tolist()]
        found += [Prediction(f"item-{i:03}", task, code, i % labels, row) for i, row in enumerate(rows)]
    return found


def rescored(predictions: Sequence[Prediction], change: Callable[[Scores], Scores]) -> list[Prediction]:
    return [replace(p, logprobs=tuple(change(np.array(p.logprobs)).tolist())) for p in predictions]


def gain_of(comparison: Comparison, code: str) -> Gain:
    return next(gain for gain in comparison.gains if gain.language == code)


def same(one: Estimate, other: Estimate) -> bool:
    """Whether two estimates are equal but for rounding."""
    return (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), abs=1e-9)


def one_cell(golds: Sequence[int], scores: Sequence[tuple[float, ...]], code: str = "th") -> list[Prediction]:
    rows = enumerate(zip(golds, scores, strict=True))
    return [Prediction(str(i), "sentiment", code, gold, row) for i, (gold, row) in rows]


BASE = arm(0, skill=0.4, preference=(1.0, 0.0))
TUNED = arm(1, skill=1.4, preference=(0.2, 0.0))
COMPARISON = compare(BASE, TUNED, ["zh", "de"])


def test_four_items_by_hand():
    golds = [0, 1, 0, 1]
    base = one_cell(golds, [(-1, -3), (-1, -2), (-1, -4), (-2, -2)])
    tuned = one_cell(golds, [(-3, -1), (-2, -1), (-1, -2), (-2, -1)])
    gain = compare(base, tuned, ["zh"]).gains[0]
    assert (gain.reference.score.value, gain.arm.score.value) == (0.5, 0.75)
    assert (gain.reference.choices.chosen, gain.arm.choices.chosen, gain.choices.gold) == (
        (1, 0),
        (0.25, 0.75),
        (0.5, 0.5),
    )
    assert (gain.reference.choices.ties, gain.arm.choices.ties) == (1, 0)
    assert (gain.fixed, gain.broken, gain.p, gain.difference.value) == (2, 1, 1.0, 0.25)
    assert gain.choices.chance == 0.5
    # The margins of base, 2 1 3 0, less their mean 1.5 choose 0 1 0 1; those of tuned, −2 −1 1 −1, choose 1 1 0 1.
    assert (gain.reference.choices.centered.value, gain.arm.choices.centered.value) == (1.0, 0.75)
    assert (gain.choices.discrimination.value, gain.choices.label_prior.value) == (-0.25, 0.5)
    assert gain.reference.choices.auc.value == 1.0
    assert gain.arm.choices.auc.value == 0.5


def test_other_readings_of_the_same_scores_by_hand():
    """By tokens the second label wins all; the content-free prompt takes 2 nats of preference from the first."""
    golds = [0, 1, 0, 1]
    plain = one_cell(golds, [(-1, -5), (-1, -2), (-1, -1.04), (-2, -1.96)])
    read = [replace(p, logprobs_per_token=(p.logprobs[0], p.logprobs[1] / 8), content_free=(-1.0, -3.0)) for p in plain]
    gain = compare(plain, read, ["zh"]).gains[0]
    assert (gain.reference.choices.per_token, gain.reference.choices.contextual) == (None, None)
    assert (gain.reference.score.value, gain.arm.score.value) == (0.75, 0.75)
    assert gain.arm.choices.per_token.value == 0.5
    assert gain.arm.choices.contextual.value == 0.75
    assert gain.arm.choices.contextual.n == 4
    assert gain.reference.choices.near_ties == gain.arm.choices.near_ties == 2


def test_the_split_is_exact():
    for gain in COMPARISON.gains:
        split = gain.choices
        assert split.discrimination.value + split.label_prior.value == pytest.approx(gain.difference.value)
        centered = gain.arm.choices.centered.value - gain.reference.choices.centered.value
        assert split.discrimination.value == pytest.approx(centered)
    summary = COMPARISON.summaries[0]
    assert summary.discrimination.value + summary.label_prior.value == pytest.approx(summary.unseen.value)


@pytest.mark.parametrize("constants", [(3.0, 0.0), (0.0, 2.5)])
def test_a_constant_per_label_moves_only_the_prior(constants: tuple[float, float]):
    shifted = compare(BASE, rescored(TUNED, lambda row: row + np.array(constants)), ["zh", "de"])
    for before, after in zip(COMPARISON.gains, shifted.gains, strict=True):
        assert same(after.choices.discrimination, before.choices.discrimination)
        assert same(after.arm.choices.centered, before.arm.choices.centered)
        assert after.arm.choices.auc.value == pytest.approx(before.arm.choices.auc.value)
        moved = after.choices.label_prior.value - before.choices.label_prior.value
        assert moved == pytest.approx(after.difference.value - before.difference.value)
        assert abs(moved) > 0.05


def test_the_order_of_predictions_changes_nothing():
    random = np.random.default_rng(3)
    base, tuned = ([arm[i] for i in random.permutation(len(arm))] for arm in (BASE, TUNED))
    assert compare(base, tuned, ["zh", "de"]) == COMPARISON


def test_the_names_of_labels_change_nothing():
    def swapped(predictions: Sequence[Prediction]) -> list[Prediction]:
        return [replace(p, gold=1 - p.gold, logprobs=p.logprobs[::-1]) for p in predictions]

    for before, after in zip(COMPARISON.gains, compare(swapped(BASE), swapped(TUNED), ["zh", "de"]).gains, strict=True):
        assert after.reference.choices.chosen == before.reference.choices.chosen[::-1]
        assert after.reference.choices.auc.value == pytest.approx(before.reference.choices.auc.value)
        assert same(after.choices.discrimination, before.choices.discrimination)
        assert same(after.choices.label_prior, before.choices.label_prior)
        assert after.choices.gold == before.choices.gold[::-1]
        assert replace(after, reference=before.reference, arm=before.arm, choices=before.choices) == before


def test_exchanging_the_arms_changes_signs():
    exchanged = compare(TUNED, BASE, ["zh", "de"])
    for there, back in zip(COMPARISON.gains, exchanged.gains, strict=True):
        for one, other in [
            (there.difference, back.difference),
            (there.choices.discrimination, back.choices.discrimination),
            (there.choices.label_prior, back.choices.label_prior),
        ]:
            expected = [-one.value, -one.high, -one.low]
            np.testing.assert_allclose([other.value, other.low, other.high], expected, atol=1e-12)
        assert (there.fixed, there.broken, there.p) == (back.broken, back.fixed, pytest.approx(back.p))
    assert COMPARISON.summaries[0].verdict == "improved"
    assert exchanged.summaries[0].verdict == "harmed"


def test_the_primary_endpoint_is_over_languages_neither_read_nor_written():
    groups = {gain.language: gain.group for gain in COMPARISON.gains}
    assert groups == dict(zip(LANGUAGES, ("pivot", "tuned", "tuned", "unseen", "unseen", "unseen"), strict=True))
    values = {gain.language: gain.difference.value for gain in COMPARISON.gains}
    summary = COMPARISON.summaries[0]
    assert summary.unseen.value == pytest.approx(np.mean([values[code] for code in ("th", "sw", "bg")]))
    assert summary.tuned.value == pytest.approx(np.mean([values["zh"], values["de"]]))
    assert summary.overall.value == pytest.approx(np.mean(list(values.values())))
    assert summary.pivot == gain_of(COMPARISON, "en").difference
    assert values[summary.worst_language] == summary.worst.value == min(values.values())
    assert summary.worst.low == min(gain.difference.low for gain in COMPARISON.gains)
    assert summary.unseen_general.value == summary.unseen.value
    assert summary.unseen_general.n == 3


def test_splits_partition_the_unseen_languages():
    splits = COMPARISON.summaries[0].by_property
    for by in ("tier", "script", "family"):
        members = [code for split in splits if split.by == by for code in split.languages]
        assert sorted(members) == ["bg", "sw", "th"]
    cyrillic = next(split for split in splits if split.name == "Cyrillic")
    assert (cyrillic.languages, cyrillic.difference) == (("bg",), gain_of(COMPARISON, "bg").difference)


def test_languages_resampled_too_make_the_interval_wider_when_they_differ():
    tuned = TUNED[:180] + arm(1, skill=5.0)[180:240] + arm(1, skill=-2.0)[240:]
    summary = compare(BASE, tuned, ["zh", "de"]).summaries[0]
    assert summary.unseen_general.high - summary.unseen_general.low > 2 * (summary.unseen.high - summary.unseen.low)


def test_p_values_are_corrected_over_all_tasks_and_languages():
    base = BASE + arm(4, preference=(0, 0, 0), task="entailment")
    tuned = TUNED + arm(5, skill=1.0, preference=(0, 0, 0), task="entailment")
    holm = compare(base, tuned, ["zh"])
    assert [summary.task for summary in holm.summaries] == ["sentiment", "entailment"]
    smallest = min(holm.gains, key=lambda gain: gain.p)
    assert smallest.p_adjusted == pytest.approx(min(1, 12 * smallest.p))
    for gain, alone in zip(holm.gains, COMPARISON.gains, strict=False):
        assert (gain.difference, gain.p) == (alone.difference, alone.p)
        assert gain.minimum_detectable > alone.minimum_detectable
    milder = compare(base, tuned, ["zh"], correction="benjamini-hochberg")
    assert all(b.p_adjusted <= h.p_adjusted for b, h in zip(milder.gains, holm.gains, strict=True))


def test_without_unseen_languages_there_is_no_verdict():
    summary = compare(BASE, TUNED, LANGUAGES).summaries[0]
    assert summary.unseen is summary.unseen_general is summary.minimum_detectable is summary.verdict is None
    assert "no verdict" in summary.sentence


def told_apart(share: float, n: int = 200) -> list[Prediction]:
    """Predictions of a model that is always right, with margins of all sizes; `share` of the golds are label 0."""
    margins = np.linspace(0.1, 2, n)
    golds = (np.arange(n) >= round(share * n)).astype(int).tolist()
    scores = [
        (-1.0, -1.0 - margin) if gold == 0 else (-1.0 - margin, -1.0)
        for gold, margin in zip(golds, margins, strict=True)
    ]
    return one_cell(golds, scores)


@pytest.mark.parametrize(("share", "told"), [(0.5, True), (0.55, True), (0.45, True), (0.56, False), (0.44, False)])
def test_the_split_is_withheld_from_five_points_of_imbalance_on(share: float, told: bool):
    arm = told_apart(share)
    gain = compare(arm, arm, ["zh"]).gains[0]
    assert gain.choices.gold == pytest.approx((share, 1 - share))
    assert (gain.choices.discrimination is not None, gain.choices.label_prior is not None) == (told, told)


def test_why_unbalanced_golds_withhold_it():
    """Centering would find fault with a model that is always right, and call the fault a lack of discrimination."""
    even, odd = (compare(arm, arm, ["zh"]).gains[0].arm for arm in (told_apart(0.5), told_apart(0.9)))
    assert even.score.value == odd.score.value == 1.0
    assert even.choices.auc.value == odd.choices.auc.value == 1.0
    assert odd.choices.centered.value < 0.8 < 0.9 < even.choices.centered.value


def test_one_unseen_language_that_withholds_the_split_withholds_the_tasks():
    lopsided = (
        [replace(p, gold=0) if p.language == "sw" and p.id < "item-040" else p for p in BASE],
        [replace(p, gold=0) if p.language == "sw" and p.id < "item-040" else p for p in TUNED],
    )
    found = compare(*lopsided, ["zh", "de"])
    assert [gain.language for gain in found.gains if gain.choices.label_prior is None] == ["sw"]
    assert (found.summaries[0].discrimination, found.summaries[0].label_prior) == (None, None)
    assert compare(*lopsided, ["zh", "sw"]).summaries[0].label_prior is not None


def test_unbalanced_golds_withhold_the_split():
    golds = [0] * 35 + [1] * 25
    scores = [(-1.0, -2.0)] * 30 + [(-2.0, -1.0)] * 30
    gain = compare(one_cell(golds, scores), one_cell(golds, scores[::-1]), ["zh"]).gains[0]
    assert gain.choices.discrimination is gain.choices.label_prior is None
    summary = compare(one_cell(golds, scores[::-1]), one_cell(golds, scores), ["zh"]).summaries[0]
    assert summary.discrimination is None
    assert "withheld, since the golds are unbalanced" in summary.sentence


def test_a_language_may_lack_items_that_others_have():
    base, tuned = ([p for p in arm if p.language != "th" or p.id >= "item-030"] for arm in (BASE, TUNED))
    comparison = compare(base, tuned, ["zh", "de"])
    assert (gain_of(comparison, "th").n, gain_of(comparison, "sw").n, comparison.summaries[0].n) == (
        30,
        60,
        60,
    )
    # p-values are corrected over all languages, so the others' may change, and nothing else of theirs.
    alone = gain_of(COMPARISON, "sw")
    assert replace(gain_of(comparison, "sw"), p_adjusted=alone.p_adjusted, verdict=alone.verdict) == alone


@pytest.mark.parametrize(
    ("base", "tuned", "message"),
    [
        ([], [], "found no predictions"),
        (BASE, TUNED[:-60], "sentiment, bg: found in the base arm only, expected the same cells in both"),
        (BASE[:-1], TUNED, r"sentiment, bg: found 1 items in one arm only \(first 'item-059', in tuned\)"),
        ([*BASE, BASE[0]], TUNED, "sentiment, en, item 'item-000': found twice in one arm"),
        (
            [replace(BASE[0], gold=1), *BASE[1:]],
            TUNED,
            r"item 'item-000': found golds \(1, 0\) in the two arms",
        ),
        ([replace(BASE[0], gold=2), *BASE[1:]], TUNED, "found gold 2, expected an index below 2"),
        (
            [replace(BASE[0], logprobs=(0.0, np.nan)), *BASE[1:]],
            TUNED,
            "item 'item-000': found scores .*finite",
        ),
        (
            [replace(BASE[0], logprobs=(0.0, 0.0, 0.0)), *BASE[1:]],
            TUNED,
            r"found \(3, 2\) scores|expected 3 in each",
        ),
        ([replace(BASE[0], language="xx")], TUNED, "found 'xx', expected a language code"),
    ],
)
def test_what_does_not_match_is_refused_in_a_sentence(base: list[Prediction], tuned: list[Prediction], message: str):
    with pytest.raises(SpilloverError, match=message) as refusal:
        compare(base, tuned, ["zh"])
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("low", "high", "items", "significant", "expected"),
    [
        (0.01, 0.05, 500, True, "improved"),
        (0.01, 0.0201, 500, True, "improved"),
        (-0.05, -0.01, 500, True, "harmed"),
        (0.01, 0.05, 500, False, "inconclusive"),
        (0.001, 0.015, 500, False, "equivalent"),
        (-0.015, 0.02, 500, True, "equivalent"),
        (0.001, 0.02, 500, True, "equivalent"),
        (-0.02, -0.001, 500, True, "equivalent"),
        (0.001, 0.015, 29, True, "inconclusive"),
        (-0.015, 0.021, 500, True, "inconclusive"),
        (-0.0201, 0.0201, 500, False, "inconclusive"),
        (0.0, 0.0, 29, False, "inconclusive"),
        (0.5, 1.0, 29, True, "inconclusive"),
        (0.5, 1.0, 30, True, "improved"),
    ],
)
def test_verdicts_follow_their_rules(low: float, high: float, items: int, significant: bool, expected: Verdict):
    assert verdict(Estimate((low + high) / 2, low, high, items), items, 0.02, significant) == expected


def test_a_wider_margin_only_makes_changes_equivalent():
    """So it adds no false alarm. The old order, the broken twin, called a sure change smaller than it improved."""

    def by_sign_first(difference: Estimate, margin: float) -> Verdict:
        return verdict(difference, 500, 0.0 if difference.low > 0 or difference.high < 0 else margin)

    ends = np.linspace(-0.05, 0.05, 21)
    for low, high in ((low, high) for low in ends for high in ends if low < high):
        difference = Estimate((low + high) / 2, low, high, 500)
        narrow, wide = (verdict(difference, 500, margin) for margin in (0.01, 0.03))
        assert wide in (narrow, "equivalent")
        assert (wide == "equivalent") == (max(-low, high) <= 0.03)
    assert by_sign_first(Estimate(0.015, 0.011, 0.019, 500), 0.02) == "improved"


def test_a_sure_loss_smaller_than_the_margin_is_equivalent_and_the_sentence_says_its_sign():
    """The alarm stays where the corrected interval passes the margin, though the uncorrected one does not."""
    golds, right, wrong = [0, 1] * 1000, ((-1.0, -2.0), (-2.0, -1.0)), ((-2.0, -1.0), (-1.0, -2.0))
    before = [right[gold] for gold in golds]
    after = [wrong[gold] if place < 20 else right[gold] for place, gold in enumerate(golds)]
    codes = LANGUAGES[1:]
    base, tuned = ([p for code in codes for p in one_cell(golds, scores, code)] for scores in (before, after))
    known = [compare(base, tuned, ["zh"], margin=margin) for margin in (0.01, 0.016, 0.02)]
    assert [found.summaries[0].verdict for found in known] == ["harmed", "equivalent", "equivalent"]
    assert [gain_of(found, "th").verdict for found in known] == ["harmed", "equivalent", "equivalent"]
    assert [gain_of(found, "th").possible_harm for found in known] == [True, True, False]
    assert known[1].summaries[0].sentence.endswith("; a loss is shown, but it is smaller than the margin.")
    assert "; possible harm in 5 of 5" in known[1].sentence
    assert "harm" not in known[2].sentence
    (gain,) = compare(tuned[:2000], base[:2000], [], margin=0.02).summaries
    assert gain.sentence.endswith("; a gain is shown, but it is smaller than the margin.")


def test_sentences_say_what_moved_or_what_could_have_been_seen():
    summary = COMPARISON.summaries[0]
    value = f"{points(summary.unseen.value)} points (95% interval"
    assert summary.sentence.startswith(f"sentiment: improved over 3 languages not tuned on, {value}")
    assert "what moved: discrimination (+" in summary.sentence
    nothing = compare(BASE, arm(7, skill=0.4, preference=(1.0, 0.0)), ["zh"]).summaries[0]
    assert nothing.verdict == "inconclusive"
    assert f"a mean gain of {100 * nothing.minimum_detectable:.1f} points would have been seen" in nothing.sentence


def test_where_nothing_changed_the_sentence_says_what_so_few_items_could_miss():
    """It said that a gain of 0.0 points would have been seen: the opposite."""
    few = compare(BASE, BASE, ["zh"]).summaries[0]
    assert few.sentence == (
        "sentiment: inconclusive over 4 languages not tuned on, 0.0 points (95% interval −6.5 to +6.5); nothing "
        "changed in 60 items, and with so few a mean change of up to 6.5 points could have been missed."
    )
    assert few.minimum_detectable > few.unseen.high
    fewest = compare(BASE[:20], BASE[:20], []).summaries[0]
    assert "no verdict" in fewest.sentence
    fewest = compare(
        one_cell([0, 1] * 10, [(-1.0, -2.0)] * 20), one_cell([0, 1] * 10, [(-1.0, -2.0)] * 20), []
    ).summaries[0]
    assert "nothing changed in 20 items" in fewest.sentence
    assert fewest.sentence.endswith("but fewer than 30 items are given no verdict.")
    many = compare(arm(0, n=220), arm(0, n=220), ["zh"]).summaries[0]
    assert many.sentence.startswith("sentiment: equivalent within ±2 points over 4 languages not tuned on")
    assert many.sentence.endswith("; nothing changed in 220 items.")
    assert compare(arm(0, n=180), arm(0, n=180), ["zh"]).summaries[0].verdict == "inconclusive"


def test_one_sentence_lists_the_tasks_by_verdict_and_counts_alarms():
    other = arm(4, skill=2.0, preference=(0, 0, 0), task="entailment"), arm(4, preference=(0, 0, 0), task="entailment")
    found = compare(BASE + other[0], TUNED + other[1], ["zh", "de"])
    up, down = (100 * summary.unseen.value for summary in found.summaries)
    harmed = sum(gain.difference.high < 0 and gain.p_adjusted < 0.05 for gain in found.gains)
    assert found.sentence == (
        f"Over languages not tuned on: improved in sentiment ({up:+.1f} points), harmed in entailment "
        f"(−{-down:.1f} points); harm in {harmed} of 12 tasks × languages, corrected for their number."
    )
    assert compare(BASE, TUNED, LANGUAGES).sentence == "Over languages not tuned on: no verdict in sentiment."


def test_the_alarm_of_one_harmed_language():
    broken = [replace(p, logprobs=p.logprobs[::-1]) if p.language == "sw" else p for p in TUNED]
    alarms = [gain.language for gain in compare(TUNED, broken, ["zh"]).gains if gain.possible_harm]
    assert alarms == ["sw"]
    few, few_broken = ([p for p in arm if p.id < "item-029"] for arm in (TUNED, broken))
    found = compare(few, few_broken, ["zh"])
    assert gain_of(found, "sw").difference.high < 0
    assert not any(gain.possible_harm for gain in found.gains)


def coins(random: np.random.Generator, share: float) -> list[list[Prediction]]:
    """Both arms over sixteen languages in which as many items are fixed as broken, by chance."""
    codes = [code for code in languages() if code != "en"][:16]
    fates = random.choice([1, -1, 0], p=[share / 2, share / 2, 1 - share], size=(16, 60))
    return [
        [
            Prediction(f"{i:03}", "sentiment", code, i % 2, (-1.0, -2.0) if (i % 2 == 0) == hit else (-2.0, -1.0))
            for code, own in zip(codes, hits, strict=True)
            for i, hit in enumerate(own)
        ]
        for hits in (fates != 1, fates != -1)
    ]


def test_harm_is_seldom_told_of_many_languages_where_nothing_is_true():
    """Possible harm, the broken twin, is not corrected for their number; the sentence says how many chance raises."""
    random = np.random.default_rng(5)
    pairs = [coins(random, 0.2) for _ in range(15)]
    found = [compare(base, tuned, ["zh"]) for base, tuned in pairs]
    told = [any(gain.verdict == "harmed" for gain in each.gains) for each in found]
    perhaps = [any(gain.possible_harm for gain in each.gains) for each in found]
    assert sum(told) <= 1
    assert sum(perhaps) > 1
    sentence = next(each.sentence for each, some in zip(found, perhaps, strict=True) if some)
    assert "; possible harm in 1 of 16 tasks × languages (uncorrected; up to 0.4 by chance)." in sentence


def lopsided(labels: int, n: int, random: np.random.Generator) -> tuple[Scores, NDArray[np.int_]]:
    """Scores whose mean is a poor threshold, so that the centered accuracy leans on where it lies."""
    gold = random.integers(labels, size=n)
    scores = random.normal(size=(n, labels))
    scores[:, 0] += np.where(gold == 0, 12.0 * (random.random(n) < 0.25), -3.0)
    return scores, gold


@pytest.mark.parametrize("labels", [2, 3])
def test_many_items_vary_as_when_each_sample_is_centered_to_the_letter(labels: int):
    """The truth is a thousand samples, not resamples; without the slope, the broken twin, the spread is another."""
    random = np.random.default_rng(labels)

    def accuracy(scores: Scores, gold: NDArray[np.int_]) -> float:
        return float(((scores - scores.mean(0)).argmax(1) == gold).mean())

    truth = np.std([accuracy(*lopsided(labels, 2000, random)) for _ in range(1000)])
    scores, gold = lopsided(labels, 200_000, random)
    contributed = centered_accuracy_influence(scores, gold)
    assert contributed.mean() == pytest.approx(accuracy(scores, gold))
    assert contributed.std() / np.sqrt(2000) == pytest.approx(truth, rel=0.08)
    if labels == 2:  # with three, the slopes happen to matter little here
        hits = (scores - scores.mean(0)).argmax(1) == gold
        assert hits.std() / np.sqrt(2000) != pytest.approx(truth, rel=0.2)


def test_where_centered_answers_stay_the_prior_has_the_interval_of_the_difference():
    """And discrimination that of nothing changed: in so few items something may have been missed."""
    shifted = compare(TUNED, rescored(TUNED, lambda row: row + np.array([2.0, 0.0])), ["zh"])
    for gain in shifted.gains:
        nothing = mean_change(np.zeros((60, 1))).estimate()
        assert (gain.choices.discrimination.low, gain.choices.discrimination.high) == pytest.approx(
            (nothing.low, nothing.high)
        )
        assert (gain.choices.label_prior.low, gain.choices.label_prior.high) == pytest.approx(
            (gain.difference.low, gain.difference.high)
        )


def test_a_score_that_never_varies_has_no_slope():
    scores, gold = np.zeros((20, 2)), np.arange(20) % 2
    np.testing.assert_array_equal(centered_accuracy_influence(scores, gold), gold == 0)


def test_the_worst_interval_bounds_every_language():
    """A language with few items may reach lower than the one whose difference is smallest."""
    few = [p for p in BASE if p.language != "sw" or p.id < "item-006"]
    lost = {"th": {f"item-{i:03}" for i in range(20, 40)}, "sw": {"item-001"}}

    def answer(p: Prediction, wrong: bool) -> Prediction:
        return replace(p, logprobs=(-2.0, -1.0) if (p.gold == 1) != wrong else (-1.0, -2.0))

    base = [answer(p, wrong=False) for p in few]
    tuned = [answer(p, wrong=p.id in lost.get(p.language, set())) for p in few]
    comparison = compare(base, tuned, ["zh"])
    summary, sw = comparison.summaries[0], gain_of(comparison, "sw")
    assert summary.worst_language == "th"
    assert summary.worst.value == gain_of(comparison, "th").difference.value == pytest.approx(-1 / 3)
    assert summary.worst.low == sw.difference.low < gain_of(comparison, "th").difference.low


@pytest.mark.parametrize("items", [75, 600])
def test_intervals_of_the_split_cover(items: int):
    """In small cells somewhat more often than nominal, since counts move in steps."""
    random = np.random.default_rng(8)

    def draw(n: int) -> tuple[NDArray[np.int_], list[Scores]]:
        gold = random.integers(2, size=n)
        shared = random.normal(size=(n, 2))
        return gold, [
            shared + random.normal(size=(n, 2)) + skill * np.eye(2)[gold] + [bias, 0]
            for skill, bias in ((0.5, 2.0), (1.0, 0.5))
        ]

    def parts(gold: NDArray[np.int_], arms: list[Scores]) -> Scores:
        """Return (items, 2): what each item contributes to the discrimination and to the prior part."""
        base, tuned = (centered_accuracy_influence(scores, gold) for scores in arms)
        gained = 1.0 * (arms[1].argmax(1) == gold) - (arms[0].argmax(1) == gold)
        return np.column_stack([tuned - base, gained - (tuned - base)])

    truth = parts(*draw(1_000_000)).mean(0)
    hits = []
    for _ in range(300):
        gold, arms = draw(items)
        base, tuned = (1.0 * ((scores - scores.mean(0)).argmax(1) == gold) for scores in arms)
        raw = 1.0 * (arms[1].argmax(1) == gold) - (arms[0].argmax(1) == gold)
        values = np.column_stack([tuned - base, raw - (tuned - base)])
        influence = parts(gold, arms)
        found = [mean_change(values[:, [k]], influence=influence[:, [k]]).estimate() for k in (0, 1)]
        hits.append([one.low <= true <= one.high for one, true in zip(found, truth, strict=True)])
    assert ((np.mean(hits, axis=0) >= 0.935) & (np.mean(hits, axis=0) <= 0.99)).all(), np.mean(hits, axis=0)


def threes(code: str, seed: int) -> list[list[Prediction]]:
    """Both arms of 60 items in threes, of which whole threes are fixed or broken."""
    fate = np.repeat(np.random.default_rng(seed).choice([1, -1, 0], p=[0.3, 0.1, 0.6], size=20), 3)
    return [
        [
            Prediction(f"{i:03}", "entailment", code, i % 2, (-1.0, -2.0) if (i % 2 == 0) == hit else (-2.0, -1.0))
            for i, hit in enumerate(hits)
        ]
        for hits in (fate != 1, fate != -1)
    ]


def test_items_of_one_cluster_count_once():
    """Everywhere: in the interval, the test, the accuracy's and the AUC's interval, and what could be detected."""
    base, tuned = threes("th", 3)
    clusters = {"entailment": {f"{i:03}": f"{i - i % 3:03}" for i in range(60)}}
    single, grouped = compare(base, tuned, []), compare(base, tuned, [], clusters=clusters)
    one, other = single.gains[0], grouped.gains[0]
    assert (other.difference.value, other.difference.n, one.difference.n) == (one.difference.value, 20, 60)
    pairs = [
        (other.difference, one.difference, 1.5),
        (other.choices.discrimination, one.choices.discrimination, 1.5),
        (other.choices.label_prior, one.choices.label_prior, 1.5),
        (other.reference.score, one.reference.score, 1.3),
        (other.reference.choices.centered, one.reference.choices.centered, 1.3),
        (other.reference.choices.auc, one.reference.choices.auc, 1.3),
    ]
    for wide, narrow, factor in pairs:
        assert wide.high - wide.low > factor * (narrow.high - narrow.low)
    nets = np.array([one.fixed / 3, one.broken / 3]).astype(int)
    assert other.p == pytest.approx(stats.binomtest(int(nets[0]), int(nets.sum())).pvalue)
    assert other.p > one.p
    assert other.minimum_detectable > 1.5 * one.minimum_detectable
    assert grouped.summaries[0].unseen.n == 20
    assert grouped.summaries[0].n == 60


def test_the_gold_margin_is_a_paired_t_test_by_hand():
    for gain in compare(BASE, TUNED, ["zh"]).gains:
        margins = []
        for predictions in (BASE, TUNED):
            rows = [p for p in predictions if p.language == gain.language]
            margins.append([p.logprobs[p.gold] - p.logprobs[1 - p.gold] for p in rows])
        test = stats.ttest_rel(margins[1], margins[0])
        interval, margin = test.confidence_interval(0.95), gain.choices.margin
        assert margin.value == pytest.approx(np.mean(margins[1]) - np.mean(margins[0]))
        assert (margin.low, margin.high) == pytest.approx((interval.low, interval.high))
        error = (interval.high - margin.value) / stats.t.ppf(0.975, 59)
        assert gain.choices.margin_detectable == pytest.approx(error * stats.t.ppf([0.975, 0.8], 59).sum())


def test_the_mean_gold_margin_over_unseen_languages_is_a_t_test_of_item_means():
    """The broken twin takes an item's translations for other items."""
    (summary,) = compare(BASE, TUNED, ["zh"]).summaries
    unseen = [code for code in LANGUAGES if code not in ("zh", "en")]
    margins = np.array(
        [
            [p.logprobs[p.gold] - p.logprobs[1 - p.gold] for code in unseen for p in arm if p.language == code]
            for arm in (BASE, TUNED)
        ]
    )
    changes = (margins[1] - margins[0]).reshape(len(unseen), -1)
    interval = stats.ttest_1samp(changes.mean(axis=0), 0).confidence_interval(0.95)
    assert (summary.margin.value, summary.margin.n) == (pytest.approx(changes.mean()), 60)
    assert (summary.margin.low, summary.margin.high) == pytest.approx((interval.low, interval.high))
    error = (interval.high - summary.margin.value) / stats.t.ppf(0.975, 59)
    assert summary.margin_detectable == pytest.approx(error * stats.t.ppf([0.975, 0.8], 59).sum())
    assert stats.ttest_1samp(changes.ravel(), 0).confidence_interval(0.95) != pytest.approx(interval)


def test_the_gold_margin_of_clusters_is_that_of_their_sums():
    """The broken twin, which takes three copies of an item for three items, has a narrower interval."""
    pairs = [[replace(p, id=f"{p.id} {copy}") for p in arm for copy in range(3)] for arm in (BASE, TUNED)]
    clusters = {"sentiment": {p.id: f"{p.id[:-1]}0" for p in pairs[0]}}
    alone, copied, twin = (
        compare(arms[0], arms[1], ["zh"], clusters=shared).gains[0].choices.margin
        for arms, shared in (((BASE, TUNED), None), (pairs, clusters), (pairs, None))
    )
    assert (copied.value, copied.low, copied.high) == pytest.approx((alone.value, alone.low, alone.high))
    assert copied.n == alone.n == 60
    assert twin.high - twin.low < 0.7 * (alone.high - alone.low)


def test_the_gold_margin_against_the_log_odds_of_the_right_label():
    random = np.random.default_rng(0)
    scores, gold = random.normal(size=(50, 4)), random.integers(4, size=50)
    chance = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    right = chance[np.arange(50), gold]
    np.testing.assert_allclose(gold_margin(scores, gold), np.log(right / (1 - right)))
    np.testing.assert_allclose(gold_margin(scores + random.normal(size=(50, 1)), gold), gold_margin(scores, gold))

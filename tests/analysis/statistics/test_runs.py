"""Recipes side by side: paired differences against naive loops, seeds taken together, refusals with their reason."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from spillover.analysis.statistics.gains import compare
from spillover.analysis.statistics.runs import compare_runs
from spillover.errors import SpilloverError
from spillover.records import FinishedRun, Prediction, Result

CODES = ("en", "zh", "de", "th", "sw")
ITEMS = 120
SHORT = 80


def arm(skill: float, seed: int, task: str = "sentiment", items: int = ITEMS) -> tuple[Prediction, ...]:
    random = np.random.default_rng(seed)
    hard = np.random.default_rng(0).normal(size=(items, 1))  # the items are equally hard for every run
    found = []
    for code in CODES:
        right = (random.normal(size=(items, 1)) + hard + skill)[:, 0] > 0
        for i, good in enumerate(right.tolist()):
            gold = i % 2
            found.append(Prediction(f"{i:03}", task, code, gold, (-1.0, -2.0) if good == (gold == 0) else (-2.0, -1.0)))
    return tuple(found)


def run(name: str, skill: float, seed: int, mixture: str = "zh=>en", recipe: str = "") -> FinishedRun:
    seen = tuple(mixture.replace("=>", "/").split("/"))
    return FinishedRun(
        name, recipe or name, "tiny", 1000, mixture, "sentiment", "english", seen, arm(0.0, 99), arm(skill, seed)
    )


def accuracy(results: Iterable[Result], code: str) -> float:
    rows = [p for p in results if isinstance(p, Prediction) and p.language == code]
    return float(np.mean([p.chosen == p.gold for p in rows]))


def test_the_paired_difference_is_the_mean_over_languages_new_to_both():
    one, other = run("one", 1.0, 1), run("other", 0.2, 2, "de=>en")
    (pair,) = compare_runs([one, other], 0.02).comparisons
    expected = np.mean([accuracy(one.arm, code) - accuracy(other.arm, code) for code in ("th", "sw")])
    assert (pair.one, pair.other, pair.languages) == ("one", "other", 2)
    assert pair.difference.value == pytest.approx(expected)
    assert pair.verdict == "improved"
    (back,) = compare_runs([other, one], 0.02).comparisons
    found = (-back.difference.value, -back.difference.high, -back.difference.low)
    assert found == pytest.approx((pair.difference.value, pair.difference.low, pair.difference.high), abs=0.01)
    assert back.verdict == "harmed"


def test_the_paired_difference_of_single_runs_is_the_comparison_of_their_tuned_arms():
    one, other = run("one", 0.5, 1), run("other", 0.2, 2)
    (pair,) = compare_runs([one, other], 0.02).comparisons
    expected = compare(other.arm, one.arm, ["zh"]).summaries[0].unseen
    assert (pair.difference.value, pair.difference.low, pair.difference.high) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )


def test_a_run_has_the_gain_it_has_alone():
    one, other = run("one", 0.5, 1), run("other", 0.2, 2)
    entry = compare_runs([one, other], 0.02).recipes[0]
    alone = compare(one.reference, one.arm, ["zh"]).summaries[0].unseen
    gain = entry.results[0].gain
    assert (gain.value, gain.low, gain.high) == pytest.approx((alone.value, alone.low, alone.high))
    assert entry.results[0].arm == pytest.approx([accuracy(one.arm, code) for code in CODES])


def test_seeds_of_one_recipe_are_taken_together_and_widen_the_interval():
    seeds = [run(f"s{seed}", skill, seed, recipe="same") for seed, skill in ((1, 0.2), (2, 0.6), (3, 1.0))]
    entry, alone = compare_runs([*seeds, run("other", 0.2, 9)], 0.02).recipes
    assert (entry.name, entry.seeds, alone.seeds) == ("s1 + s2 + s3", 3, 1)
    means = [np.mean([accuracy(s.arm, c) - accuracy(s.reference, c) for c in ("de", "th", "sw")]) for s in seeds]
    assert entry.results[0].gain.value == pytest.approx(np.mean(means))
    gain, single = entry.results[0].gain, alone.results[0].gain
    items = compare_runs([seeds[1], run("other", 0.2, 9)], 0.02).recipes[0].results[0].gain
    assert gain.high - gain.low > 1.5 * (items.high - items.low)
    assert single.high - single.low > gain.high - gain.low, "one seed, but it is known how far seeds are apart"


def test_each_language_has_the_paired_difference_of_its_own_items():
    one, other = (shortened(run(*row)) for row in (("one", 1.0, 1), ("other", 0.2, 2, "de=>en")))
    pairs = compare_runs([one, other], 0.02).per_language
    assert [pair.language for pair in pairs] == list(CODES), "those tuned on too"
    gains = compare(other.arm, one.arm, []).gains
    for pair, gain in zip(pairs, gains, strict=True):
        assert (pair.language, pair.languages) == (gain.language, 1)
        difference = accuracy(one.arm, pair.language) - accuracy(other.arm, pair.language)
        assert pair.difference.value == pytest.approx(difference)
        ends = gain.difference.low, gain.difference.high
        assert (pair.difference.low, pair.difference.high) == pytest.approx(ends)
    assert pairs[CODES.index("sw")].difference.n == SHORT < pairs[0].difference.n


def shortened(made: FinishedRun) -> FinishedRun:
    """Return a run whose Swahili lacks the last items."""
    reference, arm = (
        tuple(p for p in rows if isinstance(p, Prediction) and (p.language != "sw" or int(p.id) < SHORT))
        for rows in (made.reference, made.arm)
    )
    return replace(made, reference=reference, arm=arm)


def test_without_languages_new_to_both_there_is_no_paired_mean():
    one, other = run("one", 1.0, 1, "zh/de/th=>en"), run("other", 0.2, 2, "sw=>en")
    lineup = compare_runs([one, other], 0.02)
    assert lineup.comparisons == ()
    assert lineup.recipes[0].results[0].gain is not None


def test_only_shared_tasks_and_languages_count():
    one, other = run("one", 1.0, 1), run("other", 0.2, 2)
    reference, arm = (tuple(p for p in rows if p.language != "sw") for rows in (other.reference, other.arm))
    few = replace(other, reference=reference, arm=arm)
    assert compare_runs([one, few], 0.02).recipes[0].results[0].languages == ("en", "zh", "de", "th")


ONE = run("one", 0.5, 1)
TWO = run("two", 0.2, 2)


def changed(run: FinishedRun, change: str) -> FinishedRun:
    def edit(p: Result) -> Result:
        assert isinstance(p, Prediction)
        if change == "task":
            return replace(p, task="entailment")
        if change == "gold" and (p.language, p.id) == ("th", "005"):
            return replace(p, gold=1 - p.gold)
        if change == "labels":
            return replace(p, logprobs=(*p.logprobs, -3.0))
        return p

    def kept(p: Result) -> bool:
        assert isinstance(p, Prediction)
        return change != "ids" or (p.language, p.id) != ("th", "005")

    reference, arm = (tuple(edit(p) for p in rows if kept(p)) for rows in (run.reference, run.arm))
    return replace(run, reference=reference, arm=arm)


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([ONE], "found runs .*one.*expected two or more"),
        ([ONE, ONE], "each once"),
        (
            [ONE, changed(TWO, "task")],
            "no task and language that all runs share: one measured sentiment .* two measured",
        ),
        ([ONE, changed(TWO, "ids")], "sentiment, th: run one has an item '005' that two lacks"),
        ([ONE, changed(TWO, "gold")], r"sentiment, th: item '005' has another gold in one than in two \(1 differ\)"),
        ([ONE, changed(TWO, "labels")], "sentiment, en: found 2 labels in one and 3 in two"),
    ],
)
def test_runs_that_do_not_share_their_items_are_refused(runs: list[FinishedRun], message: str):
    with pytest.raises(SpilloverError, match=message) as refusal:
        compare_runs(runs, 0.02)
    assert "\n" not in str(refusal.value)


def with_lengths(results: Iterable[Result], seed: int) -> tuple[Prediction, ...]:
    """Give each choice a length and a score that depends on it, so that the two accuracies differ."""
    random = np.random.default_rng(seed)
    lengths = np.random.default_rng(7).integers(1, 9, size=(ITEMS, 2))  # the texts of an item are the same in every run
    return tuple(
        replace(
            prediction,
            logprobs=tuple((lengths[int(prediction.id)] * -random.uniform(0.2, 2.0, size=2)).tolist()),
            lengths={"characters": tuple(lengths[int(prediction.id)].tolist())},
        )
        for prediction in results
        if isinstance(prediction, Prediction)
    )


def per_character(results: Iterable[Result], code: str) -> float:
    hits = []
    for p in results:
        if isinstance(p, Prediction) and p.language == code:
            values = [score / length for score, length in zip(p.logprobs, p.lengths["characters"], strict=True)]
            hits.append(values.index(max(values)) == p.gold)
    return float(np.mean(hits))


def test_stored_lengths_are_another_measure_of_each_table():
    """Against loops over the items. A twin that takes the plain scores has other numbers."""
    names = {"one": ("zh=>en", 1), "other": ("de=>en", 2)}
    one, other = (
        replace(
            run(name, 0.0, seed, mixture), reference=with_lengths(arm(0.0, 9), 3), arm=with_lengths(arm(0, 9), seed)
        )
        for name, (mixture, seed) in names.items()
    )
    comparison = compare_runs([one, other], 0.02)
    plain, divided = comparison.recipes[0].results
    assert (plain.title, divided.title) == ("sentiment", "sentiment, per character")
    assert plain.arm == pytest.approx([accuracy(one.arm, code) for code in CODES])
    assert divided.arm == pytest.approx([per_character(one.arm, code) for code in CODES])
    assert divided.reference == pytest.approx([per_character(one.reference, code) for code in CODES])
    assert divided.arm != pytest.approx(plain.arm, abs=0.01), "the twin"
    pair = next(row for row in comparison.comparisons if row.measure)
    expected = np.mean([per_character(one.arm, code) - per_character(other.arm, code) for code in ("th", "sw")])
    assert pair.difference.value == pytest.approx(expected)
    assert [row.title for row in comparison.per_language][:: len(CODES)] == ["sentiment", "sentiment, per character"]


def test_lengths_that_one_run_lacks_are_no_measure():
    one, other = run("one", 0.5, 1), run("other", 0.2, 2)
    one = replace(one, reference=with_lengths(one.reference, 3), arm=with_lengths(one.arm, 1))
    assert [result.measure for result in compare_runs([one, other], 0.02).recipes[0].results] == [""]

"""Gates test the lower end of an interval, and say what is wrong with one that cannot be read."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from spillover.analysis.statistics.gains import compare
from spillover.analysis.statistics.gates import check_gates, parse_gate, target
from spillover.errors import SpilloverError
from spillover.records import Comparison, Prediction
from spillover.utils.formatting import points

TARGETS = [target(name, name, ["en", "zh", "th", "sw"], ["zh"], "en") for name in ("sentiment", "entailment")]


def arm(task: str, skill: float, seed: int) -> list[Prediction]:
    random = np.random.default_rng(seed)
    found = []
    for code in ("en", "zh", "th", "sw"):
        scores = random.normal(size=(80, 2)) - 5
        scores[np.arange(80), np.arange(80) % 2] += skill
        found += [Prediction(f"{i:03}", task, code, i % 2, tuple(row)) for i, row in enumerate(scores.tolist())]
    return found


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    base = arm("sentiment", 0.2, 0) + arm("entailment", 1.0, 1)
    tuned = arm("sentiment", 2.0, 2) + arm("entailment", 1.0, 1)
    return compare(base, tuned, ["zh"])


def verdicts(comparison: Comparison, *texts: str) -> list[bool]:
    return [outcome.holds for outcome in check_gates([parse_gate(text, TARGETS) for text in texts], comparison)]


def test_a_gate_is_about_the_lower_end_of_the_interval(comparison: Comparison):
    summary = comparison.summaries[0]
    low = 100 * summary.unseen.low
    assert 0 < low < 100 * summary.unseen.value
    assert verdicts(comparison, f"sentiment:unseen>={low - 0.001}") == [True]
    assert verdicts(comparison, f"sentiment:unseen>={low + 0.001}") == [False]
    assert verdicts(comparison, f"sentiment:unseen>={100 * summary.unseen.value}") == [False]


def test_without_a_task_it_is_about_every_one(comparison: Comparison):
    assert verdicts(comparison, "unseen>=-10", "unseen >= 1") == [True, True, True, False]


def test_nothing_changed_in_few_items_holds_no_gate_at_zero(comparison: Comparison):
    """Entailment answers as before in all 80 items: up to 5 points may be lost all the same."""
    assert comparison.summaries[1].unseen.value == 0
    assert verdicts(comparison, "entailment:unseen>=0", "entailment:worst>=-2", "entailment:worst>=-7") == [
        *(False, False, True)
    ]


@cache  # simulations meet the same counts again and again
def counted(fixed: int, broken: int, items: int) -> Comparison:
    """Return a comparison of one language in which so many items are fixed and broken."""
    fate = np.repeat([1, -1, 0], [fixed, broken, items - fixed - broken])
    base, tuned = (
        [
            Prediction(f"{i:03}", "sentiment", "th", i % 2, (-1.0, -2.0) if (i % 2 == 0) == hit else (-2.0, -1.0))
            for i, hit in enumerate(hits)
        ]
        for hits in (fate != 1, fate != -1)
    )
    return compare(base, tuned, ["zh"])


@pytest.mark.parametrize(
    ("items", "text", "fix", "break_"),
    [(60, "th>=0", 0, 0.005), (60, "th>=-2", 0, 0.021), (60, "worst>=-5", 0, 0.051)],
)
def test_a_gate_seldom_holds_below_its_bound(items: int, text: str, fix: float, break_: float):
    """By the percentile bootstrap it held in 74, 28 and 18% of these; nominal is 2.5%."""
    drawn = np.random.default_rng(0).multinomial(items, [fix, break_, 1 - fix - break_], size=100).tolist()
    gate = parse_gate(text, TARGETS)
    held = [check_gates([gate], counted(fixed, broken, items))[0].holds for fixed, broken, _ in drawn]
    assert sum(held) <= 6


@pytest.mark.parametrize("measure", ["th", "unseen", "overall", "worst"])
def test_a_gate_on_too_few_items_shows_nothing(measure: str):
    few = counted(26, 0, 29)
    (outcome,) = check_gates([parse_gate(f"{measure}>=-50", TARGETS)], few)
    assert few.gains[0].difference.low > 0
    assert (outcome.holds, outcome.sentence) == (
        False,
        f"gate {measure}>=-50, sentiment: broken, since it has 29 items, and fewer than 30 show nothing",
    )


def test_every_measure_and_every_language_can_be_named(comparison: Comparison):
    for measure in ("unseen", "tuned", "overall", "pivot", "worst"):
        low = 100 * getattr(comparison.summaries[0], measure).low
        assert verdicts(comparison, f"sentiment:{measure}>={low - 1e-6}", f"sentiment:{measure}>={low + 1e-6}") == [
            True,
            False,
        ]
    low = next(100 * gain.difference.low for gain in comparison.gains if gain.language == "th")
    assert verdicts(comparison, f"sentiment:th>={low - 1e-6}", f"sentiment:th>={low + 1e-6}") == [True, False]


def test_what_has_no_value_after_all_does_not_hold(comparison: Comparison):
    none = replace(comparison, summaries=(replace(comparison.summaries[0], unseen=None),))
    (outcome,) = check_gates([parse_gate("unseen>=-100", TARGETS)], none)
    assert (outcome.holds, outcome.sentence) == (
        False,
        "gate unseen>=-100, sentiment: broken, since nothing measured is 'unseen'",
    )


SPELLED = [
    target("check", "deep/my tasks/check.toml", ["en", "th"], (), "en"),
    target("xnli", "harness:xnli_{language}", ["en", "de", "th"], ["de"], "en"),
    target("quiz", "harness:C:/a>=b/quiz_{language}", ["de", "sw"], ["de"], "en"),
    target("own", "package.module:Task", ["en"], (), "en"),
]


@pytest.mark.parametrize(
    ("text", "task", "measure"),
    [
        ("check:unseen>=0", "check", "unseen"),
        ("deep/my tasks/check.toml:th>=0", "check", "th"),
        (" xnli : tuned >= -5 ", "xnli", "tuned"),
        ("xnli:tuned ≥ \N{MINUS SIGN}5", "xnli", "tuned"),
        ("harness:xnli_{language}:pivot>=0", "xnli", "pivot"),
        ("harness:C:/a>=b/quiz_{language}:sw>=0", "quiz", "sw"),
        ("package.module:Task:worst>=0", "own", "worst"),
        ("overall>=0", "", "overall"),
        ("check:tha_Thai>=0", "check", "th"),
        ("quiz:SWA>=0", "quiz", "sw"),
        ("$SPILLOVER_DEEP/my tasks/check.toml:th>=0", "check", "th"),
    ],
)
def test_a_task_is_named_as_results_or_as_the_experiment_names_it(
    text: str, task: str, measure: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SPILLOVER_DEEP", "deep")
    gate = parse_gate(text, SPELLED)
    assert (gate.task, gate.measure) == (task, measure)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "check:tuned>=0",
            "found 'tuned', which task 'check' will have no value of; choose from unseen, overall",
        ),
        ("check:sw>=0", "found 'sw', which task 'check' will have no value of"),
        ("quiz:pivot>=0", "found 'pivot', which task 'quiz'"),
        ("own:unseen>=0", "found 'unseen', which task 'own'"),
        ("th>=0", "found 'th', which task 'quiz'"),
        ("fr>=0", "found 'fr', which task 'check'"),
        ("check.toml:unseen>=0", "found task 'check.toml'; did you mean 'check'"),
        ("harness:xnli_{language}>=0", "found a task without a measure, .* such as harness:xnli_{language}:unseen>=0"),
        (":unseen>=0", r"expected \[TASK:\]MEASURE>=POINTS"),
        ("check:>=0", r"expected \[TASK:\]MEASURE>=POINTS"),
        ("unseen>=0>=1", r"expected \[TASK:\]MEASURE>=POINTS"),
    ],
)
def test_what_will_not_be_measured_is_refused(text: str, message: str):
    with pytest.raises(SpilloverError, match=message):
        parse_gate(text, SPELLED)


def test_the_sentence_has_the_numbers(comparison: Comparison):
    low = comparison.summaries[1].unseen.low
    (outcome,) = check_gates([parse_gate("entailment:unseen>=2.5", TARGETS)], comparison)
    assert outcome.sentence == (
        f"gate entailment:unseen>=2.5, entailment: broken, since the 95% interval begins at {points(low)}, "
        "below 2.5 points"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("unseen", r"--gate unseen: expected \[TASK:\]MEASURE>=POINTS, such as unseen>=0"),
        ("unseen>0", "expected .*MEASURE>=POINTS"),
        ("unseen<=0", "expected .*MEASURE>=POINTS"),
        ("", "expected .*MEASURE>=POINTS"),
        ("unsen>=0", "found 'unsen'; did you mean 'unseen'"),
        ("xx>=0", "found 'xx'; .*or a language's code"),
        ("sentimnt:unseen>=0", "found task 'sentimnt'; did you mean 'sentiment'"),
        ("unseen>=much", "found 'much', expected points between -100 and 100"),
        ("unseen>=nan", "found 'nan', expected points"),
        ("unseen>=101", "found '101', expected points"),
    ],
)
def test_a_gate_that_cannot_be_read_is_refused(text: str, message: str):
    with pytest.raises(SpilloverError, match=message) as refusal:
        parse_gate(text, TARGETS)
    assert "\n" not in str(refusal.value)

"""The next steps of a run: each rule speaks where its reason stands, and is silent for a twin without the reason."""

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from spillover.analysis.statistics.gains import compare
from spillover.analysis.statistics.next_steps import ANY_RUN, ORDER, TUNED_RUN, next_steps
from spillover.analysis.statistics.paired import mean_change
from spillover.analysis.statistics.treatment import check_treatment
from spillover.records import (
    Comparison,
    Data,
    Defect,
    Estimate,
    Findings,
    Forgetting,
    Internals,
    Prediction,
    Provenance,
    Setup,
    TranslationGain,
    TreatmentCheck,
    Tuning,
)

LANGUAGES = ("en", "de", "th", "sw")
WRONG, RIGHT = (-1.0, -2.0), (-2.0, -1.0)
ITEMS = 100


def comparison(gained: float, lost: float, items: int = ITEMS) -> Comparison:
    """Compare arms in which shares of the items of every language were fixed and broken."""
    fixed, broken = round(gained * items), round(lost * items)
    before = [WRONG] * fixed + [RIGHT] * broken + [(WRONG, RIGHT)[place % 2] for place in range(items - fixed - broken)]
    after = [RIGHT] * fixed + [WRONG] * broken + before[fixed + broken :]
    arms = [
        [
            Prediction(str(place), "nli", code, 1, scores[(place + turn * items // 4) % items])
            for turn, code in enumerate(LANGUAGES)
            for place in range(items)
        ]
        for scores in (before, after)
    ]
    return compare(arms[0], arms[1], ("de",))


def powers(gained: float, lost: float, copies: int, margin: float) -> tuple[float, float]:
    """How often the same items, each `copies` times, show a gain as large as the margin, and call none equivalent.

    In Thai and Swahili. The estimate is normal around the truth, with the reach of the interval where nothing is true.
    """
    half = (gained + lost) / 2
    outcomes = np.repeat([1.0, -1.0, 0.0], np.round(np.array([half, half, 1 - 2 * half]) * ITEMS).astype(int))
    columns = np.stack([np.roll(outcomes, turn * ITEMS // 4) for turn in (-2, -3)], axis=1)
    reach = mean_change(np.tile(columns, (copies, 1))).estimate().high
    error = reach / norm.ppf(0.975)
    return float(norm.sf((reach - margin) / error)), float(2 * norm.cdf((margin - reach) / error) - 1)


def findings(compared: Comparison) -> Findings:
    """A run with a treatment that took and nothing else to mend."""
    return Findings(
        name="run",
        setup=Setup("m", "de=>en", "nli", "english", "", ("de",)),
        comparisons=(compared,),
        item_scores=(),
        internals=Internals((), (), (), ()),
        tuning=Tuning((2.0, 1.0), (2.0, 1.0, 0.99), 100, 0, 1000, (), ()),
        treatment=TreatmentCheck(True, ""),
        forgetting=(),
        data=Data((), "", (), ()),
        costs=(),
        translation_costs=(),
        provenance=Provenance((), ""),
    )


UNCLEAR = findings(comparison(0.08, 0.06))
BETTER = findings(comparison(0.3, 0.02))
SAME = findings(comparison(0.01, 0.01, items=600))


def texts(run: Findings, rule: str, control: bool = False) -> list[str]:
    return [step.text for step in next_steps(run, control) if step.rule == rule]


def losses(*values: float) -> Findings:
    return replace(UNCLEAR, tuning=replace(UNCLEAR.tuning, validation=values))


def alarmed(code: str = "th", **changes: object) -> Findings:
    """Change what the comparison says of a language."""
    (compared,) = UNCLEAR.comparisons
    gains = tuple(replace(gain, **changes) if gain.language == code else gain for gain in compared.gains)  # type: ignore[arg-type]
    return replace(UNCLEAR, comparisons=(replace(compared, gains=gains),))


def forgotten(*changes: float) -> Findings:
    one = Estimate(1.0, 0.9, 1.1, 10)
    rows = [Forgetting("base", "tuned", "th", 9, 9, one, one, Estimate(by, by - 0.1, by + 0.1, 9)) for by in changes]
    return replace(UNCLEAR, forgetting=tuple(rows))


def defect(severity: str) -> Findings:
    return replace(UNCLEAR, data=Data((Defect(severity, "swap", ""),), "", (), ()))  # type: ignore[arg-type]


def choosing(before: tuple[float, float], after: tuple[float, float], auc: float = 0.7) -> Findings:
    """Change in how many items of Thai each label is chosen, before and after tuning; half of the golds are each."""
    gain = next(gain for gain in UNCLEAR.comparisons[0].gains if gain.language == "th")
    arms = [
        replace(arm, choices=replace(arm.choices, chosen=chosen, auc=Estimate(auc, auc - 0.1, auc + 0.1, ITEMS)))
        for arm, chosen in ((gain.reference, before), (gain.arm, after))
    ]
    choices = replace(gain.choices, gold=(0.5, 0.5))
    return alarmed("th", reference=arms[0], arm=arms[1], choices=choices)


@pytest.mark.parametrize(
    ("discrimination", "measure"),
    [(Estimate(0.0, -0.1, 0.1, 60), "`centered`"), (None, "the AUC is free of this bias")],
)
def test_the_measure_that_is_named_is_one_that_the_page_shows(discrimination: Estimate | None, measure: str) -> None:
    run = choosing((0.9, 0.1), (0.6, 0.4))
    (comparison,) = run.comparisons
    gains = [
        replace(gain, choices=gain.choices and replace(gain.choices, discrimination=discrimination))
        for gain in comparison.gains
    ]
    findings = replace(run, comparisons=(replace(comparison, gains=tuple(gains)),))
    (step,) = (step for step in next_steps(findings) if step.rule == "labels")
    assert measure in step.text


def guessing(auc: float, code: str = "en", right: float = 0.5) -> Findings:
    """Let the reference be right by chance in a language; its scores rank the labels with this AUC."""
    gain = next(gain for gain in UNCLEAR.comparisons[0].gains if gain.language == code)
    choices = replace(gain.reference.choices, auc=Estimate(auc, auc - 0.1, auc + 0.1, ITEMS))
    score = Estimate(right, right - 0.1, right + 0.1, ITEMS)
    return alarmed(code, reference=replace(gain.reference, score=score, choices=choices))


def took(answer: bool | None) -> Findings:
    return replace(UNCLEAR, treatment=TreatmentCheck(answer, ""))


ONE = Estimate(1.0, 0.5, 1.5, 2)
FEW = TranslationGain("", 2, 5.0, 6.0, ONE, 4.0, ONE, None, None, None, None)
"""Two held-out pairs."""

RULES: dict[str, tuple[Findings, Findings, str]] = {
    "data": (defect("error"), defect("warning"), "1 error"),
    "overlap": (replace(UNCLEAR, data=Data((), "3 items", (), ())), UNCLEAR, "test items"),
    "guessing": (guessing(0.55), guessing(0.7), "shown to do better than guessing (50.0% right in English, 50.0% by"),
    "collapse": (choosing((0.6, 0.4), (0.97, 0.03)), choosing((0.97, 0.03), (0.97, 0.03)), "97% of the items in Thai"),
    "labels": (choosing((0.9, 0.1), (0.6, 0.4)), choosing((0.8, 0.2), (0.6, 0.4)), "one label in 90% of the items"),
    "held out": (
        replace(UNCLEAR, treatment=TreatmentCheck(None, "", (FEW,))),
        took(None),
        "hold out more",
    ),
    "treatment": (took(False), took(None), "did not take"),
    "longer": (losses(2.0, 1.5, 1.4), losses(2.0, 1.5, 1.49), "from 1.50 to 1.40 nats"),
    "questions": (losses(2.0, 1.5, 1.6), losses(2.0, 1.5, 1.51), "from 1.50 to 1.60 nats"),
    "harm": (alarmed(verdict="harmed"), alarmed(verdict="inconclusive"), "Thai became worse"),
    "answers": (alarmed(language_harm=True), UNCLEAR, "answers in Thai"),
    "alarms": (alarmed(possible_harm=True), alarmed(possible_harm=True, verdict="harmed"), "Measure Thai"),
    "forgetting": (forgotten(0.3, 0.3, -0.3), forgotten(0.3, -0.3, 0.05), "recipe replay"),
    "power": (UNCLEAR, SAME, "more items per language"),
    "languages": (SAME, replace(SAME, treatment=TreatmentCheck(None, "")), "Try other languages"),
    "cause": (BETTER, SAME, "shuffled pairs"),
}
"""Rule → findings that call for it, a twin that does not, and what the step says."""


def test_every_rule_has_its_place_and_its_twins():
    assert set(ORDER) == set(RULES) == {*ANY_RUN, *TUNED_RUN}
    assert len(ORDER) == len(ANY_RUN) + len(TUNED_RUN)


def test_a_mixture_without_pairs_is_told_another_seed_and_no_shuffled_pairs():
    run = replace(BETTER, treatment=check_treatment(BETTER.tuning, taught=False))
    assert [text.split(":")[0] for text in texts(run, "cause")] == ["Tune with another seed"]


def test_a_task_that_improved_is_not_told_that_its_model_only_guesses():
    (guessed,) = guessing(0.55).comparisons
    (summary,) = guessed.summaries
    improved = replace(guessed, summaries=(replace(summary, verdict="improved"),))
    assert not texts(replace(UNCLEAR, comparisons=(improved,)), "guessing")


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_speaks_with_its_reason_and_is_silent_without(rule: str):
    run, twin, words = RULES[rule]
    assert words in texts(run, rule)[0]
    assert not texts(twin, rule)


@pytest.mark.parametrize("rule", TUNED_RUN)
def test_what_concerns_tuning_is_not_said_of_a_control_or_of_a_run_that_tuned_nothing(rule: str):
    run = RULES[rule][0]
    assert not texts(run, rule, control=True)
    assert not texts(replace(run, setup=replace(run.setup, mixture="")), rule)


def test_a_loss_that_is_nearly_nothing_asks_for_no_more_epochs():
    assert not texts(losses(0.02, 0.014, 0.008), "longer")
    falling = losses(2.0, 1.5, 1.4)
    collapse = replace(falling, comparisons=choosing((0.6, 0.4), (0.97, 0.03)).comparisons)
    assert texts(falling, "longer") and not texts(collapse, "longer"), "the advice is to tune less"
    assert texts(collapse, "collapse")


@pytest.mark.parametrize("code", ["en", "de"])
def test_no_language_is_suggested_for_what_tuning_itself_read_or_wrote(code: str):
    (step,) = [step for step in next_steps(alarmed(code, verdict="harmed")) if step.rule == "harm"]
    assert step.text.startswith("Tune less")
    assert not step.command


def test_a_task_without_the_pivot_is_judged_only_where_no_task_has_it() -> None:
    """The base guesses in Thai, and Thai is all that the task measures; English may be measured in another task."""
    (comparison,) = guessing(0.55, "th").comparisons
    thai = [gain for gain in comparison.gains if gain.language == "th"]
    english = [replace(gain, task="other") for gain in comparison.gains if gain.language == "en"]
    for gains, judged in (([*thai, *english], False), (thai, True)):
        findings = replace(UNCLEAR, comparisons=(replace(comparison, gains=tuple(gains)),))
        assert bool(texts(findings, "guessing")) == judged


def test_more_items_are_not_advised_for_a_model_that_guesses_in_the_pivot():
    """The twin guesses in another language only: more items there may show a gain."""
    assert not texts(guessing(0.55), "power")
    assert texts(guessing(0.55, "th"), "power") and not texts(guessing(0.55, "th"), "guessing")


def test_the_most_urgent_step_is_first():
    run = replace(defect("error"), treatment=TreatmentCheck(False, ""))
    assert [step.rule for step in next_steps(run)] == ["data", "treatment", "power"]


@pytest.mark.parametrize(("gained", "lost"), [(0.08, 0.06), (0.2, 0.16), (0.06, 0.06)])
def test_so_many_more_items_tell_the_gain_that_the_step_names_from_none(gained: float, lost: float):
    """With half of them, the broken twin, no change would seldom be called equivalent."""
    (text,) = texts(findings(comparison(gained, lost)), "power")
    (more, target), *_ = re.findall(r"([\d,]+) more items .* of ([\d.]+) points from none", text)
    copies = round(1 + int(more.replace(",", "")) / ITEMS)
    shown, equivalent = powers(gained, lost, copies, float(target) / 100)
    assert shown > equivalent == pytest.approx(0.8, abs=0.05)
    assert powers(gained, lost, copies // 2, float(target) / 100)[1] < 0.5


@pytest.mark.parametrize("margin", [0.0, 0.2])
def test_more_items_are_named_also_without_a_margin_and_where_the_items_should_have_been_enough(margin: float):
    (compared,) = UNCLEAR.comparisons
    (text,) = texts(replace(UNCLEAR, comparisons=(replace(compared, margin=margin),)), "power")
    assert int(re.findall(r"([\d,]+) more items", text)[0].replace(",", "")) >= ITEMS


@pytest.mark.parametrize("items", [12, 24])
def test_fewer_than_thirty_items_must_first_become_thirty(items: int):
    (text,) = texts(findings(comparison(0.25, 0.0, items=items)), "power")
    more = re.search(r"([\d,]+) more items", text)
    assert int(more[1].replace(",", "")) >= 30 - items if more else "at least 30 items" in text

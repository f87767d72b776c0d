"""What to do after a run, computed from its findings: a table of rules, each silent unless the findings call for it.

Pure. A rule reads the primary comparison; `docs/report.md` lists the rules for readers.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import ceil, log10

from spillover.analysis.statistics.choosing import collapsed, guessed_tasks, largest_share, one_label
from spillover.analysis.statistics.estimate import pairs_for_gain
from spillover.analysis.statistics.planning import pairs_to_settle
from spillover.analysis.statistics.verdicts import FEWEST_ITEMS
from spillover.languages import get_language
from spillover.records import EXPERIMENT_FILE, ArmMetrics, Findings, Gain, NextStep, Summary
from spillover.utils.formatting import listed, plural

FALLING = 0.03
"""Share of the held-out loss that the last epoch must take off if more epochs are to be advised."""

LEAST_FALL = 0.02
"""Nats per target token that the last epoch must take off too: what is nearly learned gains little from more epochs."""

RISING = 0.01
"""Share of the held-out loss that the last epoch must add if more questions are to be advised."""

MAX_NAMED = 3
"""Most languages or tasks that a sentence names."""


def next_steps(findings: Findings, control: bool = False) -> tuple[NextStep, ...]:
    """Return the next steps of a run, the most urgent first; none if the findings call for nothing.

    Args:
        findings: of the run, complete but for the steps.
        control: whether the mixture is a control, which is not meant to teach a translation.
    """
    taught = bool(findings.setup.mixture) and not control
    rules = ANY_RUN | TUNED_RUN if taught else ANY_RUN
    return tuple(NextStep(name, *step) for name in ORDER if name in rules for step in rules[name](findings))


Step = tuple[str, str]
"""A sentence or two that say what was seen and what to do, and the command for it; an empty text without one."""


def repair_data(findings: Findings) -> Iterator[Step]:
    """Errors in the data come first: the other numbers may measure them."""
    errors = sum(defect.severity == "error" for defect in findings.data.defects)
    if errors:
        yield f"Repair the data first: {plural(errors, 'error')} may change these numbers.", f"lint {EXPERIMENT_FILE}"


def part_test_from_training(findings: Findings) -> Iterator[Step]:
    """Test items that were tuned on measure memory."""
    if findings.data.overlap:
        yield "Take the test items out of the questions tuned on: the gains may be remembered answers.", ""


def make_treatment_take(findings: Findings) -> Iterator[Step]:
    """A null after a treatment that did not take says nothing."""
    if findings.treatment and findings.treatment.took is False:
        remedy = "more questions, more epochs, a rate 5 to 10 times as high or targets = 'all-linear' may teach more"
        command = f"run {EXPERIMENT_FILE} --set tune.learning_rate=RATE --set tune.targets=all-linear --name stronger"
        yield f"The treatment did not take, so unchanged scores say nothing: {remedy}.", command


def hold_out_more(findings: Findings) -> Iterator[Step]:
    """Pairs were held out, and too few of them to tell whether tuning took."""
    check = findings.treatment
    if check and check.took is None and (check.translations or check.retrievals):
        text = "Add questions, or hold out more of them: too few were held out to tell whether the treatment took."
        yield text, f"run {EXPERIMENT_FILE} --set tune.validation_share=0.2"


def take_a_model_that_can(findings: Findings) -> Iterator[Step]:
    """A model that guesses in the pivot, before tuning and after, has nothing that could spill over."""
    comparison = findings.comparisons[0]
    improved = {summary.task for summary in comparison.summaries if summary.verdict == "improved"}
    guessed = {task: gains for task, gains in guessed_tasks(comparison.gains).items() if task not in improved}
    for task, gains in [*guessed.items()][:MAX_NAMED]:
        first = next((gain for gain in gains if gain.group == "pivot"), gains[0])
        right, chance = 100 * first.reference.score.value, 100 * first.choices.chance if first.choices else 0.0
        shown = f"{right:.1f}% right in {get_language(first.language).name}, {chance:.1f}% by chance"
        yield (
            f"{task}: take a larger model, or ask in another way, before anything else: {comparison.reference} is not "
            f"shown to do better than guessing ({shown}).",
            "",
        )


def balance_labels(findings: Findings) -> Iterator[Step]:
    """The reference ranks items well, and one label wins nearly always: other prompts may gain more than tuning."""
    comparison = findings.comparisons[0]
    guessed = guessed_tasks(comparison.gains)
    gains = [gain for gain in comparison.gains if gain.task not in guessed and one_label(gain, gain.reference)]
    if gains:
        text = f"{comparison.reference} chooses one label in {_shares(gain.reference for gain in gains)} of the items"
        remedy = "Other words for the labels or other exemplars may gain more than tuning"
        balanced = all(gain.choices and gain.choices.discrimination for gain in gains)  # else `centered` is withheld
        measure = "the accuracy without this bias is `centered`" if balanced else "the AUC is free of this bias"
        yield f"{text} in {_languages(_codes(gains))}. {remedy}; {measure}.", ""


def tune_without_collapse(findings: Findings) -> Iterator[Step]:
    """Tuning made the arm choose one label nearly always: its gains and losses measure that."""
    gains = [gain for gain in findings.comparisons[0].gains if collapsed(gain)]
    if gains:
        before, after = (_shares(arms) for arms in ((g.reference for g in gains), (g.arm for g in gains)))
        text = f"Tune less, or with a lower rate: one label is now chosen in {after} of the items in"
        yield f"{text} {_languages(_codes(gains))} (before: {before}), so these gains and losses measure that.", ""


def tune_longer(findings: Findings) -> Iterator[Step]:
    """The held-out loss was still falling when tuning ended, and tuning has not made one label the answer to all."""
    before, after = _last_epoch(findings)
    one_sided = any(map(collapsed, findings.comparisons[0].gains))  # then the advice is to tune less
    if before - after > max(before * FALLING, LEAST_FALL) and not one_sided:
        fell = f"the held-out loss still falls, from {before:.2f} to {after:.2f} nats in the last epoch"
        yield f"Tune longer: {fell}.", f"run {EXPERIMENT_FILE} --set tune.epochs=N"


def add_questions(findings: Findings) -> Iterator[Step]:
    """The held-out loss rose again: tuning learned its examples by heart, and the epoch before is the one used."""
    before, after = _last_epoch(findings)
    if after > before * (1 + RISING):
        rose = f"the held-out loss rose from {before:.2f} to {after:.2f} nats in the last epoch"
        yield f"Add questions, not epochs: {rose}.", ""


def mend_harm(findings: Findings) -> Iterator[Step]:
    """Languages harmed beyond doubt: tune on what helps them, or less where tuning itself reads or writes them."""
    harmed = [gain for gain in findings.comparisons[0].gains if gain.verdict == "harmed"]
    unseen, others = (
        _codes([gain for gain in harmed if (gain.group == "unseen") == is_unseen]) for is_unseen in (1, 0)
    )
    if unseen:
        text = f"Ask which languages to tune on instead, since {_languages(unseen)} became worse."
        yield text, f"suggest {EXPERIMENT_FILE} --for {','.join(unseen)}"
    if others:
        text = (
            f"Tune less, or mix in plain text (recipe replay): {_languages(others)} became worse, which tuning itself"
        )
        yield f"{text} read or wrote.", ""


def settle_alarms(findings: Findings) -> Iterator[Step]:
    """Uncorrected alarms: chance raises some, new items tell which."""
    gains = findings.comparisons[0].gains
    codes = _codes(gain for gain in gains if gain.possible_harm and gain.verdict != "harmed")
    if codes:
        yield f"Measure {_languages(codes)} on new items: the possible harm there may be chance.", ""


def keep_language_of_answers(findings: Findings) -> Iterator[Step]:
    """Answers drift into another language."""
    codes = _codes(gain for gain in findings.comparisons[0].gains if gain.language_harm)
    if codes:
        text = f"Read the answers in {_languages(codes)}: fewer are in the language that was asked for."
        yield f"{text} A mixture that also writes these languages (recipe reverse) may keep them.", ""


def keep_plain_text(findings: Findings) -> Iterator[Step]:
    """Plain text is predicted worse: replay is the usual remedy."""
    first = findings.comparisons[0]
    arms = (first.reference, first.arm)
    rows = [row for row in findings.forgetting if (row.reference, row.arm) == arms and row.difference.low > 0]
    if 2 * len(rows) > sum((row.reference, row.arm) == arms for row in findings.forgetting):
        named = _languages([row.language for row in rows])
        yield f"Mix in plain text (recipe replay): the model predicts texts in {named} worse than before.", ""


def measure_more(findings: Findings) -> Iterator[Step]:
    """Inconclusive tasks: how many more items would tell a gain as large as the margin from none."""
    comparison = findings.comparisons[0]
    guessed = guessed_tasks(comparison.gains)
    unclear = [row for row in comparison.summaries if row.verdict == "inconclusive" and row.task not in guessed]
    for summary in unclear[:MAX_NAMED]:
        members = [gain for gain in comparison.gains if gain.task == summary.task and gain.group == "unseen"]
        yield _more_items(summary, members, comparison.margin), ""
    if len(unclear) > MAX_NAMED:
        yield f"Measure more items in {plural(len(unclear) - MAX_NAMED, 'further task')} without a clear result.", ""


def check_the_cause(findings: Findings) -> Iterator[Step]:
    """An improvement asks for its control, and for another seed."""
    improved = [summary.task for summary in findings.comparisons[0].summaries if summary.verdict == "improved"]
    if improved:
        tasks = listed([*improved[:MAX_NAMED], *(["others"] if len(improved) > MAX_NAMED else [])])
        swap = f"run {EXPERIMENT_FILE} --set mixture.recipe=shuffled-pairs --name control"
        text = f"Tune on shuffled pairs too: if {tasks} gains as much, the translation is not the reason."
        if findings.treatment is None or findings.treatment.has_pairs:
            yield text, "" if findings.tuning.parts else swap  # phases name their recipes in their parts
        yield (
            "Tune with another seed: one run cannot tell how much depends on it.",
            f"run {EXPERIMENT_FILE} --set seed=1 --name seed-1",
        )


def tune_on_other_languages(findings: Findings) -> Iterator[Step]:
    """The treatment took and nothing moved: more items would not help, other languages may."""
    comparison = findings.comparisons[0]
    verdicts = {summary.verdict for summary in comparison.summaries}
    if findings.treatment and findings.treatment.took and verdicts == {"equivalent"}:
        ranked = sorted((g for g in comparison.gains if g.group == "unseen"), key=lambda g: g.reference.score.value)
        codes = _codes(ranked)[:MAX_NAMED]
        text = f"Try other languages to tune on: the treatment took, and no mean moved by {100 * comparison.margin:g}"
        yield f"{text} points or more.", f"suggest {EXPERIMENT_FILE} --for {','.join(codes)}"


Rule = Callable[[Findings], Iterator[Step]]

ANY_RUN: dict[str, Rule] = {
    "data": repair_data,
    "overlap": part_test_from_training,
    "guessing": take_a_model_that_can,
    "labels": balance_labels,
    "alarms": settle_alarms,
    "power": measure_more,
}
"""Rules of every comparison: name → the function that yields its steps."""

TUNED_RUN: dict[str, Rule] = {
    "treatment": make_treatment_take,
    "held out": hold_out_more,
    "collapse": tune_without_collapse,
    "longer": tune_longer,
    "questions": add_questions,
    "harm": mend_harm,
    "answers": keep_language_of_answers,
    "forgetting": keep_plain_text,
    "cause": check_the_cause,
    "languages": tune_on_other_languages,
}
"""Rules of a run that tuned on pairs, and not as a control."""

ORDER = (
    *("data", "overlap", "guessing", "collapse", "treatment", "held out", "longer", "questions", "harm", "answers"),
    *("alarms", "forgetting", "labels", "power", "languages", "cause"),
)
"""The rules, the most urgent first."""


def _last_epoch(findings: Findings) -> tuple[float, float]:
    """Return the held-out loss before and after the last epoch, nats; (0, 0) if it was not measured."""
    before, after = findings.tuning.validation[-2:] if len(findings.tuning.validation) > 1 else (0.0, 0.0)
    return before, after


def _more_items(summary: Summary, gains: Sequence[Gain], margin: float) -> str:
    """Say how many more items a task needs. The variance per item stays as it was measured."""
    least = summary.minimum_detectable
    few = f"{summary.task}: measure at least {FEWEST_ITEMS} items, since fewer are given no verdict."
    if least is None or least >= 1 or summary.n < FEWEST_ITEMS:  # so few items say too little of what items vary
        return few
    discordance = sum(gain.fixed + gain.broken for gain in gains) / sum(gain.n for gain in gains)
    pairs = pairs_for_gain(least, discordance)
    target = margin or least / 2
    times = pairs_to_settle(target, discordance) / pairs
    times = times if times > 1 else 2.0  # enough on average, and not this time
    more = max(_rounded_up(summary.n * (times - 1)), FEWEST_ITEMS - summary.n)
    start = f"{summary.task}: {more:,} more items per language would tell a mean gain of {100 * target:.1f} points"
    return f"{start} from none with 80% power; the {summary.n:,} of this run show {100 * least:.1f}."


def _shares(arms: Iterable[ArmMetrics]) -> str:
    low, high = (f"{100 * share:.0f}" for share in largest_share(arms))
    return f"{low}%" if low == high else f"{low} to {high}%"


def _rounded_up(count: float) -> int:
    """Return the count with two significant digits, not below it."""
    unit: int = 10 ** max(0, int(log10(max(count, 1))) - 1)
    return ceil(count / unit) * unit


def _codes(gains: Iterator[Gain] | Sequence[Gain]) -> list[str]:
    return list(dict.fromkeys(gain.language for gain in gains))


def _languages(codes: Sequence[str]) -> str:
    more = [plural(len(codes) - MAX_NAMED, "more language")] if len(codes) > MAX_NAMED else []
    return listed([*(get_language(code).name for code in codes[:MAX_NAMED]), *more])

"""The questions that a reader of the page asks, in their order, each with its answer in short. Pure."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import get_args

from spillover.languages import get_language
from spillover.records import EXPERIMENT_FILE, Comparison, Findings, Gain, Severity, Verdict
from spillover.utils.formatting import listed, minutes_and_seconds, plural, points, with_interval

TITLES = {
    "took": "Did the treatment take?",
    "better": "Is it better?",
    "where": "Where?",
    "broke": "Did anything break?",
    "why": "Why?",
    "trust": "Can I trust it?",
    "repeat": "How do I repeat it?",
    "next": "What is the next step?",
}
"""Anchor of a part of the page → the question that it answers, in the order of the page."""

INSIDE = ("lens", "neurons", "patches", "geometry")
"""Figures that show the inside of the model."""

TREATMENT = frozenset({"treatment", "translations", "parts"})
"""Tables about what tuning taught."""

COLLAPSE = "collapse"
"""Rule of the next steps that speaks if tuning made one label the answer to nearly everything."""

MAX_NAMED = 3
"""Most languages that an answer names."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question of the reader."""

    name: str
    """Anchor of the part of the page that answers it in full."""
    title: str
    """The question."""
    answer: str
    """The answer in a sentence or two."""
    alarm: bool = False
    """Whether the answer is bad news."""


def questions(findings: Findings, figures: Collection[str], tables: Collection[str]) -> dict[str, Question]:
    """Return anchor → question, for those that the findings can answer.

    Args:
        findings: of the run.
        figures: names of the figures that have charts.
        tables: names of the tables that have rows.
    """
    comparison = findings.comparisons[0]
    inside = any(name in figures for name in INSIDE)
    parts = {
        "took": _took(findings) if "training" in figures or not TREATMENT.isdisjoint(tables) else None,
        "better": (_better(comparison), any(summary.verdict == "harmed" for summary in comparison.summaries)),
        "where": (f"{_where(comparison.gains)}{_tuned_on(comparison)}", False),
        "broke": _broke(findings),
        "why": (_why(inside), False) if inside or findings.provenance.experiment else None,
        "trust": _trust(findings),
        "repeat": (_repeat(findings), False),
        "next": (findings.next_steps[0].text, False) if findings.next_steps else None,
    }
    return {name: Question(name, TITLES[name], *part) for name, part in parts.items() if part}


def _took(findings: Findings) -> tuple[str, bool]:
    if findings.treatment:
        return findings.treatment.sentence, findings.treatment.took is False
    losses = findings.tuning.losses
    fall = f": the training loss went from {losses[0]:.2f} to {losses[-1]:.2f} nats" if losses else ""
    return f"No held-out pairs were measured{fall}.", False


def _better(comparison: Comparison) -> str:
    """Count the verdicts of the tasks."""
    counts = Counter(summary.verdict or "without a verdict" for summary in comparison.summaries)
    named = [f"{counts[word]} {word}" for word in (*get_args(Verdict), "without a verdict") if counts[word]]
    return f"Of {plural(len(comparison.summaries), 'task')}, {listed(named)}."


def _where(gains: Collection[Gain]) -> str:
    """Name the highest and the lowest change, and count the languages that improved."""
    ranked = sorted(gains, key=lambda gain: gain.difference.value, reverse=True)
    improved = sum(gain.verdict == "improved" for gain in gains)
    ends = f"The highest change is {_named(ranked[0])}"
    if len(ranked) > 1:
        ends += f", the lowest {_named(ranked[-1])}"
    return f"{improved} of {len(gains)} cells (task × language) improved. {ends}."


def _tuned_on(comparison: Comparison) -> str:
    """Say the change over the languages tuned on, which the verdict leaves out; empty without any."""
    means = [f"{with_interval(row.tuned)} points ({row.task})" for row in comparison.summaries if row.tuned]
    return f" Over the languages tuned on the mean change is {listed(means[:MAX_NAMED])}." if means else ""


def _named(gain: Gain) -> str:
    return f"{points(gain.difference.value)} points in {get_language(gain.language).name} ({gain.task})"


def _broke(findings: Findings) -> tuple[str, bool]:
    """Name the tasks and languages harmed, and count the languages whose texts, or whose answers, became worse."""
    comparison = findings.comparisons[0]
    gains, arms = comparison.gains, (comparison.reference, comparison.arm)
    fallen = [summary.task for summary in comparison.summaries if summary.verdict == "harmed"]
    harmed = [gain for gain in gains if gain.verdict == "harmed"]
    alarms = sum(gain.possible_harm and gain.verdict != "harmed" for gain in gains)
    strayed = sum(gain.language_harm for gain in gains)
    measured = [row for row in findings.forgetting if (row.reference, row.arm) == arms]
    forgotten = sum(row.difference.low > 0 for row in measured)
    lowest = min(gain.difference.low for gain in gains)
    excluded = f"; a loss of {-100 * lowest:.1f} points is not excluded" if lowest < 0 else ""
    clauses = [f"The mean of {listed(fallen[:MAX_NAMED])} fell"] if fallen else []
    clauses += [f"Harm in {_languages(harmed)}"] if harmed else []
    clauses = clauses or [f"No language is shown to be harmed{excluded}"]
    one_sided = any(step.rule == COLLAPSE for step in findings.next_steps)
    clauses += ["in some languages one label is now chosen nearly always (see the next step)"] if one_sided else []
    clauses += [f"possible harm in {alarms} of {len(gains)} cells"] if alarms else []
    clauses += [f"answers in another language in {plural(strayed, 'cell')}"] if strayed else []
    if measured:
        clauses.append(f"plain text is predicted worse in {forgotten} of {plural(len(measured), 'language')}")
    return f"{'; '.join(clauses)}.", bool(fallen or harmed or strayed or one_sided)


def _languages(gains: Collection[Gain]) -> str:
    names = list(dict.fromkeys(get_language(gain.language).name for gain in gains))
    more = [plural(len(names) - MAX_NAMED, "more language")] if len(names) > MAX_NAMED else []
    return listed([*names[:MAX_NAMED], *more])


def _why(inside: bool) -> str:
    if inside:
        return "The figures show what changed inside the model. They do not prove a cause."
    return "Nothing inside the model was measured. The section [analyze] of the experiment file does that."


def _trust(findings: Findings) -> tuple[str, bool]:
    """Say what is wrong with the data, and how small a gain the items would show."""
    data = findings.data
    counts = Counter(defect.severity for defect in data.defects if defect.severity != "note")
    clauses = ["Test items are among the questions tuned on"] if data.overlap else []
    if counts:
        named = (plural(counts[severity], severity) for severity in get_args(Severity) if counts[severity])
        clauses.append(f"The data have {listed([*named])}")
    elif findings.provenance.experiment:
        clauses.append("No fault was found in the data")
    clauses += ["Some items are machine-translated"] if data.translated else []
    clauses += _power(findings.comparisons[0])
    return f"{'. '.join(clauses or ['Every item and its scores are below'])}.", bool(data.overlap or counts["error"])


def _power(comparison: Comparison) -> list[str]:
    """Say which mean gain the items would show; nothing where no task has a verdict."""
    gains = [100 * least for summary in comparison.summaries if (least := summary.minimum_detectable) is not None]
    if not gains:
        return []
    low, high = (f"{end:.1f}" for end in (min(gains), max(gains)))
    reach = f"{low} points" if low == high else f"{low} to {high} points, depending on the task,"
    return [f"A mean gain of {reach} would have been seen with 80% power"]


def _repeat(findings: Findings) -> str:
    if not findings.provenance.experiment:
        return "The files that were read have their SHA-256 below."
    total = sum(cost.seconds for cost in findings.costs)
    took = f" All parts took {minutes_and_seconds(total)}." if total else ""
    return f"Copy the experiment file below, then: spillover run {EXPERIMENT_FILE}.{took}"

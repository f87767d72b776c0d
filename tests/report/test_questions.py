"""The parts of the page: the questions of a reader, in their order, with answers that agree with the findings."""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from spillover.languages import get_language
from spillover.records import Defect, Findings, Internals, NextStep
from spillover.report.questions import TITLES, Question, questions
from spillover.utils.formatting import with_interval

if TYPE_CHECKING:
    from playwright.sync_api import FloatRect, Page

Render = Callable[[Findings], dict[str, Any]]

PLACES = {
    "training": "took",
    "treatment": "took",
    "means": "better",
    "gains": "where",
    "accuracy": "where",
    "table": "where",
    "forgetting": "broke",
    "lens": "why",
    "neurons": "why",
    "patches": "why",
    "data": "trust",
    "items": "trust",
    "cost": "repeat",
    "provenance": "repeat",
}
"""Section → the part of the page that it stands in."""

WIDE, NARROW = 1440, 390


def asked(findings: Findings, figures: tuple[str, ...] = ("training", "lens")) -> dict[str, Question]:
    return questions(findings, figures, {"treatment"})


def bare(findings: Findings) -> Findings:
    """The same of a run that tuned nothing and looked at nothing inside."""
    tuning = replace(findings.tuning, losses=(), validation=(), translations=(), retrievals=(), alignments=(), parts=())
    return replace(findings, internals=Internals((), (), (), ()), tuning=tuning, treatment=None, next_steps=())


def test_the_parts_of_the_page_have_the_order_of_the_questions(findings: Findings, tables_and_page: Render):
    page = str(tables_and_page(findings)["index.html"])
    anchors = re.findall(r'<(?:section|article)[^>]* id="([a-z]+)"', page)
    parts = [name for name in anchors if name in TITLES]
    assert parts == list(TITLES)
    assert re.findall(r'<dt><a href="#([a-z]+)">', page) == parts
    within, found = "", {}
    for name in anchors:
        within = name if name in TITLES else within
        found[name] = within
    assert {name: found[name] for name in PLACES} == PLACES


def test_headings_leave_out_no_level(findings: Findings, tables_and_page: Render):
    levels = [int(level) for level in re.findall(r"<h([1-6])[ >]", str(tables_and_page(findings)["index.html"]))]
    assert levels[0] == levels.count(1) == 1
    assert all(lower <= upper + 1 for upper, lower in pairwise(levels))


def test_a_run_without_tuning_or_internals_answers_the_other_questions(findings: Findings, tables_and_page: Render):
    page = str(tables_and_page(bare(findings))["index.html"])
    assert 'id="took"' not in page
    assert "Nothing inside the model was measured." in page
    without_experiment = replace(bare(findings), provenance=replace(findings.provenance, experiment=""))
    assert list(questions(without_experiment, (), ())) == ["better", "where", "broke", "trust", "repeat"]


def test_the_page_ends_with_the_next_steps(findings: Findings, tables_and_page: Render):
    page = str(tables_and_page(findings)["index.html"])
    end = page[page.index('id="next"') :]
    first, second = findings.next_steps
    assert end.index(first.text) < end.index(f"spillover {first.command}") < end.index(second.text)
    assert "next" not in asked(replace(findings, next_steps=()))


def test_an_answer_names_the_ends_and_counts_the_verdicts(findings: Findings):
    gains = findings.comparisons[0].gains
    values = [gain.difference.value for gain in gains]
    best, worst = (gains[values.index(end)] for end in (max(values), min(values)))
    answer = asked(findings)["where"].answer
    improved = sum(gain.verdict == "improved" for gain in gains)
    assert answer.startswith(f"{improved} of {len(gains)} cells")
    assert answer.index(get_language(best.language).name) < answer.index(get_language(worst.language).name)
    for summary in findings.comparisons[0].summaries:
        assert f"{with_interval(summary.tuned)} points ({summary.task})" in answer
    without = [replace(summary, tuned=None) for summary in findings.comparisons[0].summaries]
    nothing_tuned = replace(findings.comparisons[0], summaries=tuple(without))
    assert "tuned on" not in asked(replace(findings, comparisons=(nothing_tuned,)))["where"].answer
    verdicts = [summary.verdict for summary in findings.comparisons[0].summaries]
    for verdict in set(verdicts):
        assert f"{verdicts.count(verdict)} {verdict}" in asked(findings)["better"].answer


def test_bad_news_is_an_alarm_and_no_news_is_none(findings: Findings):
    (comparison,) = findings.comparisons
    calm = [replace(gain, verdict="inconclusive", possible_harm=False) for gain in comparison.gains]
    quiet = replace(findings, comparisons=(replace(comparison, gains=tuple(calm)),), forgetting=())
    least = -100 * min(gain.difference.low for gain in calm)
    unshown = f"No language is shown to be harmed; a loss of {least:.1f} points is not excluded."
    assert asked(quiet)["broke"] == Question("broke", TITLES["broke"], unshown)
    collapse = replace(quiet, next_steps=(NextStep("collapse", "", ""),))
    assert asked(collapse)["broke"].alarm and "one label is now chosen nearly always" in asked(collapse)["broke"].answer
    harmed = replace(comparison, gains=(replace(calm[0], verdict="harmed", possible_harm=True), *calm[1:]))
    loud = asked(replace(quiet, comparisons=(harmed,)))["broke"]
    assert loud.alarm
    assert loud.answer == f"Harm in {get_language(calm[0].language).name}."
    fell = replace(comparison, gains=tuple(calm), summaries=(replace(comparison.summaries[0], verdict="harmed"),))
    fallen = asked(replace(quiet, comparisons=(fell,)))["broke"]
    assert fallen == Question("broke", TITLES["broke"], f"The mean of {comparison.summaries[0].task} fell.", alarm=True)
    worse = sum(row.difference.low > 0 for row in findings.forgetting)
    rows = (*findings.forgetting, *(replace(row, arm="mine") for row in findings.forgetting))
    answer = asked(replace(quiet, forgetting=rows))["broke"].answer  # another arm's forgetting is not this one's
    assert answer.endswith(f"plain text is predicted worse in {worse} of {len(findings.forgetting)} languages.")


def test_trust_says_the_errors_first_and_what_the_items_would_show(findings: Findings):
    trust = asked(findings)["trust"]
    assert trust.alarm
    assert trust.answer == (
        "The data have 1 error and 1 warning. A mean gain of 1.7 points would have been seen with 80% power."
    )
    notes = replace(findings.data, defects=(Defect("note", "file", "columns are separated by semicolons"),))
    assert asked(replace(findings, data=notes))["trust"].answer.startswith("No fault was found in the data.")
    (comparison,) = findings.comparisons
    first, *others = comparison.summaries
    uneven = replace(comparison, summaries=(replace(first, minimum_detectable=0.031), *others))
    assert (
        "of 1.7 to 3.1 points, depending on the task, would"
        in asked(replace(findings, comparisons=(uneven,)))["trust"].answer
    )


def places(page: "Page", name: str) -> tuple["FloatRect", "FloatRect"]:
    """Return the boxes of a section's words and of its charts."""
    words, plots = (page.locator(f"#{name} .{part}").bounding_box() for part in ("words", "plots"))
    assert words is not None
    assert plots is not None
    return words, plots


def test_a_figure_is_beside_its_sentence_if_there_is_room_and_below_it_if_not(
    findings: Findings, tables_and_page: Render, visit: Callable[..., "Page"]
):
    made = tables_and_page(findings)
    for width in (WIDE, NARROW):
        page = visit(made, width)
        for name in ("training", "gains", "accuracy", "neurons"):
            words, plots = places(page, name)
            beside = plots["x"] >= words["x"] + words["width"] and plots["y"] < words["y"] + words["height"]
            below = plots["y"] >= words["y"] + words["height"]
            assert (beside, below) == (width == WIDE, width == NARROW), name


def test_a_printed_page_is_light_and_has_no_controls(
    findings: Findings, tables_and_page: Render, visit: Callable[..., "Page"]
):
    page = visit(tables_and_page(findings), WIDE, "dark")
    page.emulate_media(media="print", color_scheme="dark")
    style = "getComputedStyle(document.querySelector(%r)).%s"
    assert page.evaluate(style % ("body", "backgroundColor")) == "rgb(255, 255, 255)"
    assert page.evaluate(style % (".chart .role-axis-label text", "fill")) == "rgb(20, 23, 28)"
    for hidden in ("#items", "details", ".chooser", ".files"):
        assert page.locator(hidden).first.is_hidden()
    assert page.locator("#provenance pre").is_visible()

"""Results in a notebook: the sentence and the tables that they show, and the data frames that they turn into."""

import json
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from places import ROOT
from spillover.records import Estimate, FinishedRun, PairedComparison, RecipeResult, RunComparison, TaskResult
from spillover.records.run import Findings
from spillover.runs.samples.compare import compare_files
from spillover.utils.formatting import with_interval

FILES = [ROOT / "examples/samples" / f"{name}.jsonl" for name in ("base", "tuned")]


@pytest.fixture(scope="module")
def findings() -> Findings:
    return compare_files(FILES)


class Tables(HTMLParser):
    """The cells of each table, the text of each paragraph; every tag has to be closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.paragraphs: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "p":
            self.paragraphs.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data
        elif self.open[-1] == "p":
            self.paragraphs[-1] += data


def accuracies(languages: Sequence[str]) -> list[list[float]]:
    """(arms, languages) shares of items whose right label has the highest score, from the files alone."""
    arms = [[json.loads(line) for line in path.read_text("utf-8").splitlines()] for path in FILES]
    return [
        [
            np.mean(
                [
                    max(range(2), key=row["logprobs"].__getitem__) == row["gold"]
                    for row in rows
                    if row["language"] == code
                ]
            )
            for code in languages
        ]
        for rows in arms
    ]


def test_a_frame_has_the_scores_of_the_files(findings: Findings) -> None:
    frame = findings.to_pandas()
    assert set(frame.reference) == {"base"} and set(frame.arm) == {"tuned"}
    assert frame.language.is_unique and len(frame) == 8
    before, after = accuracies(list(frame.language))
    assert frame.reference_score.tolist() == pytest.approx(before)
    assert frame.arm_score.tolist() == pytest.approx(after)
    assert frame.difference.to_numpy() == pytest.approx(np.subtract(after, before))
    assert (frame.difference_low <= frame.difference).all() and (frame.difference <= frame.difference_high).all()
    assert not frame.isna().all().any(), "no column is empty"
    swapped = compare_files(FILES[::-1]).to_pandas()
    assert swapped.difference.tolist() == pytest.approx([-value for value in frame.difference])
    assert swapped.difference.tolist() != pytest.approx(frame.difference.tolist())


def test_a_summary_is_one_row(findings: Findings) -> None:
    (summary,) = findings.comparisons[0].summaries
    frame = summary.to_pandas()
    assert len(frame) == 1
    before, after = accuracies(list(findings.to_pandas().language))
    assert frame.overall[0] == pytest.approx(np.mean(after) - np.mean(before))
    assert Tables(summary._repr_html_()).paragraphs == [summary.sentence]


def test_html_has_the_sentence_and_the_numbers_of_the_tables(findings: Findings) -> None:
    (comparison,) = findings.comparisons
    shown = Tables(findings._repr_html_())
    assert shown.paragraphs == [comparison.summaries[0].sentence]
    tasks, languages = shown.tables
    assert tasks[0] == ["task", "base (%)", "tuned (%)", "difference (points)", "worst language", "verdict"]
    assert [row[0] for row in tasks[1:]] == ["sentiment"]
    assert tasks[1][3] == with_interval(comparison.summaries[0].overall)
    assert [row[1] for row in languages[1:]] == [gain.language for gain in comparison.gains]
    assert [row[4] for row in languages[1:]] == [with_interval(gain.difference) for gain in comparison.gains]
    before, after = accuracies([gain.language for gain in comparison.gains])
    assert [row[2:4] for row in languages[1:]] == [
        [f"{100 * share:.1f}" for share in shares] for shares in zip(before, after, strict=True)
    ]


def test_languages_tuned_on_are_told_from_the_others() -> None:
    (comparison,) = compare_files(FILES, tuned_on=["zh", "de", "en"]).comparisons
    (summary,) = comparison.summaries
    tasks = Tables(comparison._repr_html_()).tables[0]
    assert tasks[0][3:5] == ["all languages (points)", "not tuned on (points)"]
    assert tasks[1][3:5] == [with_interval(summary.overall), with_interval(summary.unseen)]
    assert tasks[1][3] != tasks[1][4]


def test_a_change_of_nothing_has_no_sign(findings: Findings) -> None:
    (comparison,) = findings.comparisons
    gain = replace(comparison.gains[0], difference=Estimate(-0.0004, -0.01, 0.0, 60))
    cells = Tables(replace(comparison, gains=(gain,))._repr_html_()).tables[1][1]
    assert cells[4] == with_interval(gain.difference) == "0.0 [−1.0, 0.0]"


def test_names_are_escaped(findings: Findings) -> None:
    nasty = "<b>&amp;</p>"
    comparison = replace(findings.comparisons[0], arm=nasty)
    header = Tables(comparison._repr_html_()).tables[0][0]
    assert header[2] == f"{nasty} (%)"
    with pytest.raises(AssertionError):
        Tables(comparison._repr_html_().replace("&lt;", "<").replace("&gt;", ">"))


def test_runs_side_by_side() -> None:
    run = FinishedRun("a", "", "m", 1, "de=>en", "sentiment", "english", ("de", "en"), (), ())
    recipes = tuple(
        RecipeResult(name, run, 2, (TaskResult("sentiment", ("sw", "th"), (0.5, 0.6), (0.7, arm), gain),))
        for name, arm, gain in (("a", 0.8, Estimate(0.2, 0.1, 0.3, 60)), ("b", 0.6, None))
    )
    pair = PairedComparison("sentiment", "a", "b", 2, Estimate(0.1, 0.05, 0.15, 60), "improved")
    comparison = RunComparison(recipes, (pair,), ("a: The treatment took.",))
    shown = Tables(comparison._repr_html_())
    assert shown.paragraphs == ["a: The treatment took."]
    assert [row[3] for row in shown.tables[0][1:]] == ["+20.0 [+10.0, +30.0]", ""]
    assert shown.tables[1][1] == ["a", "b", "sentiment", "+10.0 [+5.0, +15.0]", "improved"]
    assert len(Tables(replace(comparison, comparisons=())._repr_html_()).tables) == 1
    frame = comparison.to_pandas()
    assert frame.groupby("run").arm.mean().to_dict() == pytest.approx({"a": 0.75, "b": 0.65})
    assert frame.columns.tolist() == ["run", "seeds", "task", "language", "reference", "arm"]

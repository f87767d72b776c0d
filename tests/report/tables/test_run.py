import csv
import io
import re
import shutil
import subprocess
import tomllib
from dataclasses import asdict, replace
from importlib.resources import files
from math import isnan
from pathlib import Path

import pytest
from rich.console import Console

from spillover.languages import languages
from spillover.records import Data, Findings, Internals, NextStep, TreatmentCheck
from spillover.report.tables import csvs, run
from spillover.report.tables.gains import summary
from spillover.report.tables.run import main, summary_text
from spillover.report.tables.table import Table, latex, markdown
from spillover.report.tables.treatment import alignment, parts, treatment
from spillover.report.tables.tuning import forgetting, training, translations
from spillover.utils.formatting import nats_with_interval, with_interval

PAPER = tomllib.loads(files("spillover.data").joinpath("published.toml").read_text(encoding="utf-8"))


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def numbers_in(value: object) -> list[float]:
    if isinstance(value, dict):
        return [number for part in value.values() for number in numbers_in(part)]
    if isinstance(value, list | tuple):
        return [number for part in value for number in numbers_in(part)]
    return [float(value)] if isinstance(value, int | float) and not isinstance(value, bool) else []


def test_main_table_is_the_papers_two_rows_of_ten(findings: Findings):
    order = list(languages())
    for first, second in zip(main(findings)[::2], main(findings)[1::2], strict=True):
        assert [*first.header[1:], *second.header[1:]] == order
        assert first.caption == second.caption


def test_difference_is_tuned_minus_base_and_the_better_is_bold(findings: Findings):
    for table in main(findings):
        base, tuned, difference = (row[1:] for row in table.rows[:3])
        for column, (b, t, d) in enumerate(zip(base, tuned, difference, strict=True), start=1):
            assert float(d.replace("−", "-")) == pytest.approx(float(t) - float(b), abs=0.11)
            if float(t) > float(b):
                assert (1, column) in table.bold
                assert (0, column) not in table.bold


def test_a_run_of_the_papers_mixture_stands_beside_the_papers_row(findings: Findings):
    rows = {row["row"]: row for row in rows_of(csvs.main(findings)) if row["task"] == "sentiment"}
    for place, code in enumerate(PAPER["setup"]["languages"]):
        assert float(rows["paper base"][code]) == PAPER["table1"]["base"][place]
        assert float(rows["paper tuned"][code]) == PAPER["table1"]["zh/de=>en"][place]
    assert float(rows["paper difference"]["th"]) == pytest.approx(88.4 - 83.0)
    setup = findings.setup
    for change in (
        replace(setup, mixture="fr=>en"),
        replace(setup, question_task="paraphrase"),
        replace(setup, labels="native"),
    ):
        other = rows_of(csvs.main(replace(findings, setup=change)))
        assert {row["row"] for row in other} == {"base", "tuned", "difference"}
    entailment = {row["row"] for row in rows_of(csvs.main(findings)) if row["task"] == "entailment"}
    assert entailment == {"base", "tuned", "difference"}, "the paper's run of entailment was tuned on its own questions"


def test_languages_that_the_paper_lacks_stand_without_its_rows(findings: Findings):
    """Also in a run of the paper's mixture: its twenty languages keep the paper's rows, the others have none."""
    (comparison,) = findings.comparisons
    gains = [gain for gain in comparison.gains if gain.task == "sentiment"]
    more = (*gains, *(replace(gain, language=code) for gain, code in zip(gains, ("yo", "ace"), strict=False)))
    made = replace(findings, comparisons=(replace(comparison, gains=more, summaries=comparison.summaries[:1]),))
    first, second, others = main(made)
    assert [len(table.rows) for table in (first, second, others)] == [6, 6, 3]
    assert others.header == ("", "yo", "ace")
    assert "the paper's" in second.caption
    assert "the paper's" not in others.caption


def test_fewer_languages_leave_out_the_empty_row(findings: Findings):
    kept = tuple(gain for gain in findings.comparisons[0].gains if gain.language in ("en", "de", "ja"))
    few = replace(findings, comparisons=(replace(findings.comparisons[0], gains=kept),))
    assert [table.header for table in main(few)] == [("", "en", "de", "ja")] * 3


def test_gains_csv_has_every_number_of_every_gain(findings: Findings):
    rows = rows_of(csvs.gains(findings))
    assert [(row["task"], row["language"]) for row in rows] == [
        (gain.task, gain.language) for gain in findings.comparisons[0].gains
    ]
    for row, gain in zip(rows, findings.comparisons[0].gains, strict=True):
        found = [float(part) for text in row.values() for part in text.split(";") if re.match(r"-?\d", part)]
        assert sorted(found) == sorted(numbers_in(asdict(gain)))


def test_what_does_not_exist_is_empty_and_moves_no_column(findings: Findings):
    first = findings.comparisons[0].gains[0]
    reference = replace(first.reference, choices=replace(first.reference.choices, auc=None))
    without = replace(first, reference=reference, choices=replace(first.choices, discrimination=None))
    changed = replace(findings, comparisons=(replace(findings.comparisons[0], gains=(without,)),))
    row = rows_of(csvs.gains(changed))[0]
    assert list(row) == list(rows_of(csvs.gains(findings))[0])
    assert [row[f"reference_auc{part}"] for part in ("", "_low", "_high", "_n")] == [""] * 4
    assert row["discrimination"] == ""
    assert float(row["arm_auc"]) == pytest.approx(0.9)


def test_lens_csv_has_a_row_a_layer_with_depth_from_0_to_1(findings: Findings):
    rows = rows_of(csvs.lens(findings))
    assert len(rows) == sum(len(t.entropy.value) for t in findings.internals.trajectories)
    assert list(rows[0])[:8] == ["arm", "task", "language", "lens", "layer", "depth", "english", "english_low"]
    assert list(rows[0])[-2:] == ["items", "distinguishable"]
    last = [row for row in rows if row["layer"] == "18"]
    assert {row["depth"] for row in last} == {"1.0"}
    assert {row["depth"] for row in rows if row["layer"] == "0"} == {"0.0"}
    assert all((row["english"] == "") == (row["language"] == "th") for row in rows)
    assert not any(isnan(float(row["entropy"])) for row in rows)


def test_markdown_keeps_its_columns_whatever_the_texts(hostile: Findings):
    nasty = Table("a | b", ("x|y", "n"), (("*a*|<b>", "1"), ("new\nline", "−2")), bold=frozenset({(0, 1)}))
    lines = markdown([nasty]).splitlines()
    assert lines[0] == r"a \| b"
    assert len(lines) == 6
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 3 for line in lines[2:])
    assert lines[4] == r"| \*a\*\|\<b\> | **1** |"
    assert not re.search(r"(?<!\\)<", markdown(main(hostile)))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles_whatever_the_texts(hostile: Findings, tmp_path: Path):
    odd = Table(
        r"\ { } $ & # ^ _ ~ % < > | [x]",
        ("[a", "*b"),
        (("[1]", "*"), (r"\input{x}", "−1 ± 2")),
        bold=frozenset({(0, 0)}),
    )
    made = [odd, *(table for make in run.TABLES.values() for table in make(hostile)[:2])]
    document = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{latex(made)}\end{{document}}"
    (tmp_path / "t.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:].decode(errors="replace")


def test_terminal_summary_fits_100_columns_and_says_the_verdicts(findings: Findings):
    def lines(width: int) -> list[str]:
        console = Console(width=width, file=io.StringIO(), record=True)
        console.print(summary_text(findings))
        return [line.rstrip() for line in console.export_text().splitlines()]

    narrow = lines(100)
    assert max(map(len, narrow)) <= 100
    tabular = [line for line in lines(200) if re.search(r"\d  +[+−]?\d", line)]
    assert len(tabular) == 27
    assert set(tabular) <= set(narrow)  # no number is wrapped or cut
    text = " ".join(narrow)
    for told in findings.comparisons[0].summaries:
        assert told.sentence in text
        assert with_interval(told.unseen) in text


def test_terminal_ends_with_the_next_steps(findings: Findings):
    console = Console(width=100, file=io.StringIO(), record=True)
    steps = (NextStep("power", "Measure more.", ""), NextStep("harm", "Ask.", "suggest experiment.toml --for th"))
    console.print(summary_text(replace(findings, next_steps=steps)))
    assert console.export_text().splitlines()[-2:] == [
        "Next: Measure more.",
        "Next: Ask. spillover suggest experiment.toml --for th",
    ]


def test_terminal_shows_markup_as_text(findings: Findings):
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(summary_text(replace(findings, setup=replace(findings.setup, model="[red]m[/red]"))))
    assert "[red]m[/red]" in console.export_text()


def test_nothing_traced_or_trained_makes_no_table(findings: Findings):
    nothing = replace(findings.tuning, losses=(), validation=(), chrf=(), translations=(), parts=(), alignments=())
    bare = replace(
        findings,
        internals=Internals((), (), (), ()),
        tuning=nothing,
        treatment=None,
        data=Data((), "", (), ()),
        costs=(),
        translation_costs=(),
        forgetting=(),
        first_prompts=(),
    )
    assert [name for name, make in run.TABLES.items() if not make(bare)] == [
        *(
            "arms",
            "fertility",
            "lengths",
            "lens",
            "geometry",
            "geometry-means",
            "geometry-languages",
            "latent",
            "neurons",
            "overlaps",
            "deactivations",
            "patches",
        ),
        *("training", "treatment", "dose", "alignment", "translations", "parts", "forgetting", "prompts"),
        *("doctor", "pairs", "quality", "cost", "characters", "licenses"),
    ]


def test_what_tuning_did_beside_the_task_is_told(findings: Findings):
    (translated,), (forgot,) = translations(findings), forgetting(findings)
    assert "the first 5 of 40 held-out examples" in translated.caption
    assert translated.rows[1] == ("German", "Gut.", "Good.", "Gut. Gut.", "Good 1.")
    assert len(translated.rows) == 5
    assert forgot.rows[0] == ("English", "60", "9000", "1.100", "1.120", "+0.020 [+0.010, +0.030]")
    assert forgot.rows[-1][-1] == "−0.037 [−0.047, −0.027]"
    assert "too long: 3 examples." in training(findings)[0].caption


def test_what_tuning_taught_is_told(findings: Findings):
    translated, found = treatment(findings)
    numbers = ("11.0", "48.0", "+37.0 [+35.0, +39.0]", "21.0", "+27.0 [+24.0, +30.0]", "+30.0 [+29.0, +31.0]")
    assert translated.rows[0] == ("all", "200", *numbers, "−1.30 [−1.40, −1.20]")
    assert [row[0] for row in translated.rows] == ["all", "Chinese", "German"]
    assert found.rows[1] == ("German", "20", "10.0", "85.0", "+75.0 [+65.0, +85.0]")
    (aligned,) = alignment(findings)
    assert aligned.rows == (("German", "cka", "20", "0.200", "0.010", "0.700", "0.020"),)
    assert "by construction" in aligned.caption


def test_what_was_drawn_from_each_part_is_told(findings: Findings):
    (mixture,) = parts(findings)
    assert mixture.rows[0] == ("1", "question-translation", "300", "600", "300", "2.00", "15,000")
    assert mixture.rows[1] == ("1", "replay", "50", "200", "50", "4.00", "9,000")
    assert [row[0] for row in mixture.rows] == ["1", "1", "2"]


def test_the_gold_margin_is_next_to_the_accuracy(findings: Findings):
    means, margins = summary(findings)
    assert [row[0] for row in means.rows] == [row[0] for row in margins.rows]
    for row, found in zip(margins.rows, findings.comparisons[0].summaries, strict=True):
        assert row[1:] == (with_interval(found.unseen), "1.7", nats_with_interval(found.margin), "0.28")


@pytest.mark.parametrize("took", [True, False, None])
def test_the_terminal_says_whether_the_treatment_took_before_any_verdict(findings: Findings, took: bool | None):
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(summary_text(replace(findings, treatment=TreatmentCheck(took, "About the treatment."))))
    text = console.export_text()
    assert text.index("About the treatment.") < text.index(findings.comparisons[0].summaries[0].sentence[:60])

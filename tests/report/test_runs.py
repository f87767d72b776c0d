"""The layouts of the paper's tables, filled with the paper's own numbers, are the paper's tables."""

import csv
import io
import shutil
import subprocess
import tomllib
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from spillover.languages import languages
from spillover.records import Estimate, FinishedRun, PairedComparison, RecipeResult, RunComparison, TaskResult
from spillover.report import runs
from spillover.report.runs import by_language, means, paired, render, sizes
from spillover.report.tables.table import Table, latex

PAPER = tomllib.loads(files("spillover.data").joinpath("published.toml").read_text(encoding="utf-8"))
CODES = tuple(languages())
PARAMETERS = {"Qwen1.5-1.8B": 1_800, "Qwen1.5-4B": 4_000, "Mistral-7B-v0.1": 7_000, "Qwen1.5-14B": 14_000}
Column = tuple[str, str, str]
"""Model, task measured, kind of labels."""


def entry(mixture: str, columns: dict[Column, tuple[list[float], list[float]]], asked: str) -> list[RecipeResult]:
    """Return a mixture's recipes, one a model and kind of labels, from columns → accuracies of base and tuned."""
    found = []
    for model, labels in dict.fromkeys((model, labels) for model, _, labels in columns):
        results = [
            TaskResult(task, CODES[: len(base)], share(base), share(tuned), Estimate(0.01, 0.0, 0.02, 500))
            for (m, task, kind), (base, tuned) in columns.items()
            if (m, kind) == (model, labels)
        ]
        name = f"{mixture} {model} {labels}"
        run = FinishedRun(name, name, model, PARAMETERS[model] * 10**6, mixture, asked, labels, ("zh", "en"), (), ())
        found.append(RecipeResult(name, run, 1, tuple(results)))
    return found


def share(percents: list[float]) -> tuple[float, ...]:
    return tuple(percent / 100 for percent in percents)


def lineup(table: str, columns: list[Column], each_language: bool = False) -> RunComparison:
    """Return the paper's table as if it were runs of ours."""
    own = {name: row for name, row in PAPER[table].items() if name != "models"}
    base, entries = own.pop("base"), []
    for mixture, row in own.items():
        cells = [(base, row)] if each_language else [([b], [t]) for b, t in zip(base, row, strict=True)]
        entries += entry(mixture, dict(zip(columns, cells, strict=True)), "sentiment")
    return RunComparison(tuple(entries), ())


def numbers(table: Table) -> dict[str, list[float]]:
    return {row[0]: [float(text) for text in row[1:]] for row in table.rows}


@pytest.mark.parametrize(
    ("table", "model", "task"), [("table1", "Mistral-7B-v0.1", "sentiment"), ("table3", "Qwen1.5-14B", "entailment")]
)
def test_tables_1_and_3_two_rows_of_ten_best_in_bold(table: str, model: str, task: str):
    found = by_language(lineup(table, [(model, task, "english")], each_language=True))
    assert [name for part in found for name in part.header[1:]] == PAPER["setup"]["languages"]
    for name, row in PAPER[table].items():
        joined = [value for part in found for value in numbers(part)[name]]
        assert joined == pytest.approx(row, abs=0.051)
    rows = list(PAPER[table].values())
    for place, part in enumerate(found):
        for column in range(10):
            values = [row[10 * place + column] for row in rows]
            best = {(row, column + 1) for row, value in enumerate(values) if value == max(values)}
            assert {cell for cell in part.bold if cell[1] == column + 1} == best


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("table2", [(model, "sentiment", "english") for model in PAPER["table2"]["models"]]),
        ("table4", [(model, "sentiment", "english") for model in PAPER["table4"]["models"]]),
        ("table5", [("Qwen1.5-14B", task, "english") for task in ("sentiment", "entailment")]),
        ("table6", [("Mistral-7B-v0.1", "sentiment", kind) for kind in ("native", "agnostic")]),
    ],
)
def test_tables_2_4_5_and_6_a_row_a_mixture_and_a_column_what_varies(table: str, columns: list[Column]):
    (found,) = means(lineup(table, columns))
    for name, row in PAPER[table].items():
        if name != "models":
            assert numbers(found)[name] == pytest.approx(row, abs=0.051)
    varying = {"table2": 0, "table4": 0, "table5": 1, "table6": 2}[table]
    assert list(found.header[1:]) == [column[varying] for column in columns]


def test_gain_against_model_size_begins_with_the_smallest():
    (found,) = sizes(lineup("table2", [(model, "sentiment", "english") for model in PAPER["table2"]["models"]]))
    parameters = [float(row[1].replace(",", "")) for row in found.rows]
    assert parameters == sorted(parameters)
    assert found.rows[0][0] == "Qwen1.5-1.8B"
    assert found.rows[0][-1] == "+1.0 [0.0, +2.0]"


def test_every_table_is_written_in_every_format_and_csv_holds_its_numbers():
    made = lineup("table1", [("Mistral-7B-v0.1", "sentiment", "english")], each_language=True)
    mean = PairedComparison("sentiment", "a & b", "c_d", 17, Estimate(-0.02, -0.03, -0.01, 500), "harmed")
    thai = replace(mean, languages=1, language="th", difference=Estimate(1 / 3, 0.0, 0.5, 500), verdict="inconclusive")
    made = RunComparison(made.recipes, (mean,), per_language=(thai,))
    found = render(made)
    assert set(found) == {f"{name}.{end}" for name in runs.TABLES for end in ("md", "tex", "csv")}
    rows = list(csv.reader(io.StringIO(found["paired.csv"])))
    assert rows[0] == ["task", "first", "second", "languages", "difference", "low", "high", "verdict"]
    assert rows[1] == ["sentiment", "a & b", "c_d", "17", "-0.02", "-0.03", "-0.01", "harmed"]
    (row,) = csv.DictReader(io.StringIO(found["paired_by_language.csv"]))
    assert (row["language"], float(row["difference"]), row["verdict"]) == ("th", 1 / 3, "inconclusive")
    assert "| th | +33.3 \\[0.0, +50.0\\] | inconclusive |" in found["paired_by_language.md"]
    assert paired(RunComparison(made.recipes, ())) == []


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_its_latex_compiles(tmp_path: Path):
    made = lineup("table1", [("Mistral-7B-v0.1", "sentiment", "english")], each_language=True)
    tables = [table for make in runs.TABLES.values() for table in make(made)]
    document = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{latex(tables)}\end{{document}}"
    (tmp_path / "t.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:].decode(errors="replace")

"""Samples of lm-evaluation-harness: metrics, filters, log-probabilities of choices, results folders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sample_files import TIME, harness_row, scores, write_lines, write_results, written_row
from spillover.errors import SpilloverError
from spillover.runs.samples import harness
from spillover.runs.samples.read import read_arms


def test_choices_are_read_with_their_log_probabilities(tmp_path: Path) -> None:
    values = scores(1.0)
    path = write_lines(
        tmp_path / f"samples_xnli_de_{TIME}.jsonl", [harness_row(n, "de", v) for n, v in enumerate(values)]
    )
    samples = harness.read(path, "")
    assert [list(sample.logprobs) for sample in samples] == values
    assert [sample.gold for sample in samples] == [number % 2 for number in range(len(values))]
    assert {(sample.task, sample.labels) for sample in samples} == {("xnli_de", (" yes", " no"))}
    assert [sample.score for sample in samples] == [float(v[n % 2] > v[1 - n % 2]) for n, v in enumerate(values)]
    assert samples[3].cluster == samples[2].cluster != samples[4].cluster  # one premise


def spelled(row: dict[str, Any]) -> None:
    row["target"] = ("yes", "no")[int(row["target"])]


def listed_arguments(row: dict[str, Any]) -> None:
    row["arguments"] = [[pair["arg_0"], pair["arg_1"]] for pair in row["arguments"].values()]


def several_golds(row: dict[str, Any]) -> None:
    row["target"], row["acc"] = "[0, 1]", 1.0


def alike_choices(row: dict[str, Any]) -> None:
    for pair in row["arguments"].values():
        pair["arg_1"] = " the same"


def infinite(row: dict[str, Any]) -> None:
    row["resps"][0][0][0] = "-inf"


@pytest.mark.parametrize(
    ("change", "read"),
    [(spelled, True), (listed_arguments, True), (several_golds, False), (alike_choices, False), (infinite, False)],
)
def test_what_does_not_explain_the_accuracy_is_not_read_as_choices(
    change: Callable[[dict[str, Any]], None], read: bool, tmp_path: Path
) -> None:
    rows = [harness_row(n, "de", values) for n, values in enumerate(scores(1.0))]
    for row in rows:
        change(row)
    samples = harness.read(write_lines(tmp_path / "a.jsonl", rows), "")
    assert all(bool(sample.logprobs) == read for sample in samples)
    assert [sample.score for sample in samples] == [row["acc"] for row in rows]


def test_a_metric_and_a_filter_are_chosen_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [written_row(n, score, name) for name, score in (("strict", 0.0), ("loose", 1.0)) for n in range(3)]
    path = write_lines(tmp_path / "samples_mgsm_de.jsonl", rows)
    assert [sample.score for sample in harness.read(path, "")] == [0.0] * 3
    assert "reads strict" in " ".join(capsys.readouterr().err.split())
    assert [sample.score for sample in harness.read(path, "exact_match,loose")] == [1.0] * 3
    with pytest.raises(SpilloverError, match="found no filter 'lose'; did you mean 'loose'"):
        harness.read(path, "exact_match,lose")
    with pytest.raises(SpilloverError, match="line 1: found no 'bleu'; choose from exact_match"):
        harness.read(path, "bleu")
    choices = write_lines(tmp_path / "b.jsonl", [harness_row(0, "de", [-1.0, -2.0])])
    assert [(s.score, s.logprobs) for s in harness.read(choices, "acc_norm")] == [(0.0, ())]


def test_arms_are_read_by_one_metric_and_one_filter(tmp_path: Path) -> None:
    """A file's first filter is read unless one is named, and tools write them in any order."""
    filters = {"strict": 0.0, "loose": 1.0}
    one, other, choices = tmp_path / "a.jsonl", tmp_path / "b.jsonl", tmp_path / "c.jsonl"
    write_lines(one, [written_row(n, score, name) for name, score in filters.items() for n in range(3)])
    write_lines(other, [written_row(n, score, name) for name, score in reversed(filters.items()) for n in range(3)])
    write_lines(choices, [harness_row(n, "de", [-1.0, -2.0]) for n in range(3)])
    for second, metric in ((other, "exact_match,loose"), (choices, "acc,none")):
        sentence = rf"^compare: samples de: found scores by 'exact_match,strict' in .*a.jsonl and by '{metric}' in .*"
        with pytest.raises(SpilloverError, match=sentence + "expected one metric in all arms; name it by --metric"):
            read_arms([one, second], language="de")
    with pytest.raises(SpilloverError, match="found scores by 'exact_match,strict' in"):
        read_arms([one, other], "exact_match", "de")
    for name, score in filters.items():
        arms = read_arms([one, other], f"exact_match,{name}", "de").samples
        assert [[sample.score for sample in rows] for rows in arms.values()] == [[score] * 3] * 2


def test_of_a_results_folder_the_latest_file_of_each_task_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_results(tmp_path / "model", 0.0, time="2025-01-01T00-00-00.000001")
    assert len(harness.read(write_results(tmp_path / "model", 9.0), "")) == 80
    assert all(sample.score for sample in harness.read(tmp_path, ""))
    assert "leaves out 2 older files" in " ".join(capsys.readouterr().err.split())
    write_results(tmp_path / "other", 1.0)
    with pytest.raises(
        SpilloverError, match=r"found samples in 2 folders \(model, other\), expected those of one model"
    ):
        harness.read(tmp_path, "")


def test_a_file_cut_off_is_refused_with_its_line(tmp_path: Path) -> None:
    path = write_lines(tmp_path / f"samples_a_de_{TIME}.jsonl", [written_row(0, 1.0), written_row(1, 1.0)])
    path.write_text(path.read_text("utf-8")[:-30], encoding="utf-8")
    with pytest.raises(SpilloverError, match="line 2"):
        harness.read(path, "")


@pytest.mark.parametrize("column", sorted(harness.COLUMNS))
def test_a_row_without_a_column_is_refused(column: str, tmp_path: Path) -> None:
    rows = [written_row(0, 1.0), {key: value for key, value in written_row(1, 1.0).items() if key != column}]
    path = write_lines(tmp_path / f"samples_a_de_{TIME}.jsonl", rows)
    with pytest.raises(SpilloverError, match=f"line 2: found no column '{column}'"):
        harness.read(path, "")


def test_means_without_samples_are_refused_with_the_option_that_writes_samples(tmp_path: Path) -> None:
    means = tmp_path / f"results_{TIME}.json"
    means.write_text("{}", encoding="utf-8")
    for path in (means, tmp_path):
        assert harness.matches(path)
        with pytest.raises(SpilloverError, match=r"expected .* the harness writes with --log_samples"):
            harness.read(path, "")

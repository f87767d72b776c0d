"""`spillover compare` on other tools' files: items matched, languages found, gates tested, what differs refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from calls import Call
from sample_files import (
    TIME,
    Row,
    harness_row,
    inspect_log,
    scores,
    write_archive,
    write_lines,
    write_results,
    written_row,
)
from spillover.analysis.statistics.gains import compare_pairs
from spillover.errors import SpilloverError
from spillover.records import Outcome, Prediction, Sample
from spillover.runs.samples.compare import compare_samples
from spillover.runs.samples.read import is_samples, read_arms

pytestmark = pytest.mark.usefixtures("without_pictures")
GOLD = [number % 2 for number in range(40)]


def predictions(skill: float) -> list[Prediction]:
    """The same scores as those of `write_results`."""
    return [
        Prediction(str(n), "xnli", code, GOLD[n], tuple(values))
        for seed, code in enumerate(("en", "de"))
        for n, values in enumerate(scores(skill, seed=seed))
    ]


def test_samples_of_the_harness_have_the_numbers_of_the_same_predictions_of_a_run(tmp_path: Path) -> None:
    paths = [write_results(tmp_path / name, skill) for name, skill in (("weak", 0.2), ("strong", 2.0))]
    arms = read_arms(paths)
    found = compare_samples(arms.samples, paths)
    pairs = {str(n): str(n - n % 2) for n in range(40)}  # two hypotheses of one premise
    by_run = {"weak": predictions(0.2), "strong": predictions(2.0)}
    expected = compare_pairs(
        by_run, [("weak", "strong")], (), pivot="", margin=0.02, clusters={"xnli": pairs}, tuned=False
    )
    assert found.comparisons == expected
    assert found.comparisons[0].sentence.startswith("Over all languages: improved in xnli (+")
    assert all(gain.choices and gain.arm.choices and gain.arm.choices.auc for gain in expected[0].gains)
    wrong = {"weak": predictions(0.2), "strong": predictions(1.9)}
    assert found.comparisons != compare_pairs(wrong, [("weak", "strong")], (), pivot="", clusters={"xnli": pairs})


def test_answers_are_compared_by_their_scores(tmp_path: Path) -> None:
    values = {"a": [0.0, 0.5] * 20, "b": [1.0, 0.5] * 20}
    paths = [
        write_lines(
            tmp_path / name / f"samples_mgsm_sw_{TIME}.jsonl", [written_row(n, v) for n, v in enumerate(values[name])]
        )
        for name in values
    ]
    found = compare_samples(read_arms(paths).samples, paths)
    outcomes = {
        name: [Outcome(str(n), "mgsm", "sw", v, "right" if v == 1 else "wrong") for n, v in enumerate(of_arm)]
        for name, of_arm in values.items()
    }
    assert found.comparisons == compare_pairs(outcomes, [("a", "b")], (), pivot="", tuned=False)
    assert found.item_answers[0].scores == tuple(map(tuple, values.values()))
    assert found.item_scores == ()


def test_items_in_another_order_are_matched_by_their_content(tmp_path: Path) -> None:
    rows = [harness_row(n, "de", values) for n, values in enumerate(scores(1.0))]
    moved = [{**row, "doc_id": n} for n, row in enumerate(reversed(rows))]
    paths = [write_lines(tmp_path / f"samples_{name}.jsonl", part) for name, part in (("a", rows), ("b", moved))]
    gain = compare_samples(read_arms(paths, language="de").samples, paths).comparisons[0].gains[0]
    assert (gain.fixed, gain.broken, gain.reference.score) == (0, 0, gain.arm.score)
    samples = read_arms(paths, language="de").samples
    blind = {name: [replace(sample, digest="") for sample in of_arm] for name, of_arm in samples.items()}
    with pytest.raises(SpilloverError, match=r"samples, de, item '0': found golds \(0, 1\) in the two arms"):
        compare_samples(blind, paths)


def fewer(rows: list[Sample]) -> list[Sample]:
    return rows[:-2]


def another_text(rows: list[Sample]) -> list[Sample]:
    return [*rows[:-1], replace(rows[-1], digest="else")]


def another_language(rows: list[Sample]) -> list[Sample]:
    return [replace(sample, language="th") if sample.language == "de" else sample for sample in rows]


def twice(rows: list[Sample]) -> list[Sample]:
    return [*rows, rows[-1]]


REFUSALS: dict[Callable[[list[Sample]], list[Sample]], str] = {
    fewer: r"compare: xnli, en: a has item '38', which b lacks \(2 items are in one of them only\), expected the same",
    another_text: r"xnli, en: item '39' has another content in a than in b \(1 of 40 items differ\), expected the same",
    another_language: r"compare: a has xnli, de, which b lacks",
    twice: "compare: xnli, en: b has item '39' twice, expected each once",
}


@pytest.mark.parametrize("change", REFUSALS)
def test_what_does_not_hold_the_same_items_is_refused(
    change: Callable[[list[Sample]], list[Sample]], tmp_path: Path
) -> None:
    paths = [write_results(tmp_path / name, 1.0) for name in ("a", "b")]
    samples = read_arms(paths).samples
    with pytest.raises(SpilloverError, match=REFUSALS[change]):
        compare_samples({"a": samples["a"], "b": change(list(samples["b"]))}, paths)


def test_languages_stand_in_a_column_in_the_name_or_in_the_option(tmp_path: Path) -> None:
    def languages(rows: list[Row], name: str = "items.jsonl", language: str = "") -> list[tuple[str, str]]:
        paths = [write_lines(tmp_path / arm / name, rows) for arm in ("a", "b")]
        return [(sample.task, sample.language) for sample in read_arms(paths, language=language).samples["b"]]

    row = {"item": 1, "correct": 1}
    assert languages([row | {"language": "Swahili"}, row | {"language": "zh-CN"}]) == [
        ("samples", "sw"),
        ("samples", "zh"),
    ]
    assert languages([row], language="deu_Latn") == [("samples", "de")]
    assert languages([row | {"task": "xnli_de"}]) == [("xnli", "de")]
    assert languages([row | {"task": "xnli_de", "language": "de"}]) == [("xnli", "de")]
    assert languages([row | {"task": "xnli_de", "language": "th"}]) == [("xnli_de", "th")]
    assert languages([written_row(0, 1.0)], f"samples_mgsm_direct_th_{TIME}.jsonl") == [("mgsm_direct", "th")]
    with pytest.raises(SpilloverError, match="found no language in task 'samples', expected a column with it"):
        languages([row])
    with pytest.raises(SpilloverError, match="language: found 'klingon', expected a language code"):
        languages([row | {"language": "klingon"}])


def test_languages_that_this_project_does_not_have_are_compared_too(tmp_path: Path, call: Call) -> None:
    for name, skill in (("a", 0.1), ("b", 2.0)):
        write_results(tmp_path / name, skill, languages=("de", "br", "oss_Cyrl"))
    arms = read_arms([tmp_path / "a", tmp_path / "b"])
    assert [(row.code, row.name, row.script) for row in arms.brought] == [
        ("br", "Breton", "Latin"),
        ("os", "Ossetic", "Cyrillic"),
    ]
    ended = call("compare", tmp_path / "a", tmp_path / "b")
    assert ended.status == 0, ended.err
    assert "over 3 languages" in " ".join(ended.out.split())


def test_arms_are_called_by_what_tells_them_apart(tmp_path: Path) -> None:
    rows = [{"item": 1, "language": "sw", "correct": 1}]
    files = [write_lines(tmp_path / place, rows) for place in ("x/base.jsonl", "y/tuned.jsonl", "y/base.jsonl")]
    logs = [write_archive(tmp_path / f"{name}.eval", inspect_log({"q": "C"}, model=f"lab/{name}")) for name in "mn"]
    assert list(read_arms(files[:2]).samples) == ["base", "tuned"]
    assert list(read_arms([files[0], files[2]]).samples) == ["x", "y"]
    assert list(read_arms(logs).samples) == ["lab/m", "lab/n"]
    with pytest.raises(SpilloverError, match=r"found .*base.jsonl twice, expected the results of different arms"):
        read_arms([files[0], files[0]])
    with pytest.raises(SpilloverError, match=r"found only .*base.jsonl, expected two files or more"):
        read_arms(files[:1])


def test_a_verdict_and_its_gates_through_the_command_line(tmp_path: Path, call: Call) -> None:
    weak, strong, middle = (
        write_results(tmp_path / n, s) for n, s in (("weak", 0.2), ("strong", 2.0), ("middle", 1.0))
    )
    ended = call("compare", weak, strong, middle, "--gate", "overall>=0", "--gate", "xnli:de>=-5")
    assert ended.status == 0, ended.err
    assert "xnli: improved over 2 languages" in " ".join(ended.out.split())
    assert ended.out.count(": holds, since") == 2
    ended = call("compare", strong, weak, "--gate", "worst>=0")
    assert ended.status == 1
    assert "gate worst>=0, xnli: broken, since the 95% interval begins at" in ended.err
    ended = call("compare", weak, strong, "--tuned-on", "de")
    assert "improved over 1 language not tuned on" in " ".join(ended.out.split())


def test_the_page_shows_other_tools_results_and_nothing_that_a_run_alone_has(tmp_path: Path, call: Call) -> None:
    weak, strong = (write_results(tmp_path / n, s) for n, s in (("weak", 0.2), ("strong", 2.0)))
    ended = call("compare", weak, strong, "--name", "both", "--runs", tmp_path / "runs")
    assert ended.status == 0, ended.err
    report = tmp_path / "runs" / "both" / "report"
    page = (report / "index.html").read_text("utf-8")
    assert "strong compared with weak (results of other tools)" in page
    assert 'id="items"' in page
    assert 'id="data"' not in page
    assert 'id="experiment-file"' not in page
    assert {path.name for path in (report / "tables").iterdir()} >= {"gains.csv", "items.csv", "accuracy.md"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("weak", "missing.jsonl"),
            "missing.jsonl: found no such file, expected one with the results of an evaluation",
        ),
        (("weak", "notes.txt"), "notes.txt: found neither samples of lm-evaluation-harness nor a log of inspect"),
        (("weak", "strong", "--metric", "bleu"), "found no 'bleu'; choose from acc, acc_norm"),
        (("weak", "strong", "--gate", "th>=0"), "--gate th>=0: found 'th', which task 'xnli' will have no value of"),
        (
            ("demo", "longer", "--language", "sw"),
            "found 'sw', an option of other tools' files, expected runs without it",
        ),
        (("demo", "weak"), "compare: found the run demo and the file weak, expected only runs or only files"),
        (("weak", "log.json"), "expected the same in both"),
    ],
)
def test_each_refusal_is_one_sentence(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, skill in (("weak", 0.2), ("strong", 2.0)):
        write_results(Path(name), skill)
    Path("notes.txt").touch()
    Path("log.json").write_text(json.dumps(inspect_log({"q1": "C"})), encoding="utf-8")
    ended = call("compare", *arguments)
    assert (ended.status, ended.err.count("\n")) == (2, 1), ended.err
    assert sentence in ended.err


def test_a_run_folder_is_no_file_of_another_tool(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "both", 1.0)
    assert is_samples(folder)
    (folder / "experiment.toml").touch()
    assert not is_samples(folder)
    assert not is_samples(tmp_path / "demo")
    assert is_samples(tmp_path / "lost.csv.gz")

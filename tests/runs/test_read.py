"""`spillover compare` and `run --gate` through the real command line, on run folders written by hand."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from calls import Call
from spillover.errors import SpilloverError
from spillover.experiment import dump_experiment, parse_experiment
from spillover.records import CLUSTERS_FILE, Prediction
from spillover.runs import read
from spillover.runs.read import read_run
from spillover.store import write_predictions


def write_run(
    runs: Path, name: str, skill: float, seed: int = 0, to: tuple[str, ...] = ("zh",), items: int = 60
) -> Path:
    """Write what `compare` reads of a run folder."""
    folder = runs / name
    table = {
        "seed": seed,
        "translate": {"to": list(to)},
        "evaluate": {"tasks": ["sentiment"], "languages": ["en", "th"]},
    }
    folder.mkdir(parents=True)
    (folder / "experiment.toml").write_text(dump_experiment(parse_experiment(table, "test")), encoding="utf-8")
    (folder / "provenance.json").write_text(json.dumps({"parameters": "1000000"}), encoding="utf-8")
    threes = {"sentiment": {str(i): str(i - i % 3) for i in range(items)}}
    (folder / CLUSTERS_FILE).write_text(json.dumps(threes), encoding="utf-8")
    random = np.random.default_rng(seed)
    for arm, lift in (("base", 0.0), ("tuned", skill)):
        for code in ("en", "th", "sw"):  # sw is left over from an evaluation before
            scores = random.normal(size=(items, 2)) - 4
            scores[np.arange(items), np.arange(items) % 2] += lift
            rows = [Prediction(str(i), "sentiment", code, i % 2, tuple(row)) for i, row in enumerate(scores.tolist())]
            place = folder / "predictions" / arm / "sentiment" / f"{code}.parquet"
            place.parent.mkdir(parents=True, exist_ok=True)
            write_predictions(place, rows, ("positive", "negative"))
    return folder


def test_a_run_folder_is_read_without_what_an_earlier_evaluation_left(tmp_path: Path):
    found = read_run(write_run(tmp_path, "a", 1.0))
    assert {p.language for p in found.reference} == {p.language for p in found.arm} == {"en", "th"}
    assert (found.mixture, found.parameters, found.seen) == ("zh=>en", 1_000_000, ("zh", "en"))
    again = read_run(write_run(tmp_path, "b", 1.0, seed=5))
    assert again.recipe_digest == found.recipe_digest
    assert read_run(write_run(tmp_path, "c", 1.0, to=("de",))).recipe_digest != found.recipe_digest


def test_runs_from_before_clusters_were_kept_are_read_and_that_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    read.mention_independence.cache_clear()
    folders = [write_run(tmp_path, name, 1.0) for name in ("old", "older")]
    assert [read_run(folder).clusters["sentiment"]["5"] for folder in folders] == ["3", "3"]
    assert capsys.readouterr().err == ""
    for folder in folders:
        (folder / CLUSTERS_FILE).unlink()
        assert read_run(folder).clusters == {}
    message = " ".join(capsys.readouterr().err.split())
    said = "found runs without a clusters.json: their items count as independent; `spillover report` writes it"
    assert message == said


def test_compare_prints_and_writes_its_tables(call: Call, tmp_path: Path):
    for name, skill, to in (("strong", 2.0, ("zh",)), ("weak", 0.1, ("de",))):
        write_run(tmp_path, name, skill, to=to)
    ended = call("compare", "strong", tmp_path / "weak", "--runs", tmp_path, "--name", "both")
    assert ended.status == 0, ended.err
    assert "improved" in ended.out
    assert "zh=>en" in ended.out
    written = {path.name for path in (tmp_path / "both" / "tables").iterdir()}
    assert written >= {"paired.csv", "paired.md", "paired_by_language.tex", "by_language.md", "means.csv", "sizes.md"}


def test_what_is_no_finished_run_is_refused(tmp_path: Path):
    write_run(tmp_path, "a", 1.0)
    with pytest.raises(SpilloverError, match=r"compare: .*nothing: found no experiment.toml, expected the folder"):
        read_run(tmp_path / "nothing")


def test_the_installed_command_refuses_in_one_line(tmp_path: Path):
    write_run(tmp_path, "a", 1.0)
    write_run(tmp_path, "b", 1.0, items=50)
    code = "import sys; sys.argv[0] = 'spillover'; from spillover.cli import main; main()"
    command = [sys.executable, "-c", code, "compare", "a", "b", "--runs", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "sentiment, en: run a has an item '50' that b lacks (10 ids differ)" in done.stderr

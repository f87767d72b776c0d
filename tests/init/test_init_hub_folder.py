"""`spillover init DIR`: a set of the hub that was downloaded becomes an experiment, in each layout that the hub has."""

import csv
import json
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import ClassLabel, Value

from calls import Call
from hub_sets import write_split
from spillover.errors import SpilloverError
from spillover.experiment import load_experiment
from spillover.init import read_corpus
from spillover.stages.inputs import Inputs

CODES = ("en", "de", "es")
SCHEMA = {"text": Value("string"), "mood": ClassLabel(names=["angry", "calm"])}
STARTER = Path(str(files("spillover").joinpath("data", "starter", "sentiment", "items")))


def columns(code: str, start: int, stop: int, **changed: list[int]) -> dict[str, list[Any]]:
    """Return rows of the starter corpus as a set of the hub has them."""
    rows = [json.loads(line) for line in (STARTER / f"{code}.jsonl").read_text("utf-8").splitlines()][start:stop]
    labels = [int(row["label"] == "positive") for row in rows]
    return {"text": [row["text"] for row in rows], "mood": labels} | changed


def write_set(folder: Path, **changed: list[int]) -> None:
    for code in CODES:
        write_split(folder, code, "test", SCHEMA, columns(code, 0, 40, **changed))
        write_split(folder, code, "train", SCHEMA, columns(code, 40, 60))


def plain(folder: Path) -> None:
    """Leave `en/test-00000-of-00001.parquet` as it is."""


def below_data(folder: Path) -> None:
    """`data/en/test-00000-of-00001.parquet`."""
    for code in CODES:
        shutil.move(folder / code, folder / "data" / code)


def converted(folder: Path) -> None:
    """`en/test/0000.parquet`, as the hub's own conversion."""
    for file in sorted(folder.rglob("*.parquet")):
        part = file.parent / file.name.partition("-")[0] / "0000.parquet"
        part.parent.mkdir()
        file.rename(part)


def as_csv(folder: Path) -> None:
    """`German/test.csv`, with classes by their numbers."""
    for code, name in zip(CODES, ("English", "German", "spa_Latn"), strict=True):
        for file in sorted((folder / code).iterdir()):
            table = datasets.Dataset.from_parquet(str(file), keep_in_memory=True)
            place = folder / name / f"{file.name.partition('-')[0]}.csv"
            place.parent.mkdir(exist_ok=True)
            with place.open("w", encoding="utf-8", newline="") as target:
                csv.writer(target).writerows([table.column_names, *(row.values() for row in table)])
        shutil.rmtree(folder / code)


LAYOUTS = {"plain": plain, "below data": below_data, "converted": converted, "CSV": as_csv}


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def no_answer(flag: str, question: str, default: str, obvious: bool = False) -> str:
    return default


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_has_the_same_rows(layout: str) -> None:
    write_set(Path("moods"))
    LAYOUTS[layout](Path("moods"))
    corpus = read_corpus(Path("moods"), "", no_answer)
    names = ("0", "1") if layout == "CSV" else ("angry", "calm")
    for part, (start, stop) in ((corpus.rows, (0, 40)), (corpus.questions, (40, 60))):
        assert tuple(part) == CODES
        for code in CODES:
            expected = columns(code, start, stop)
            assert [row.cells["text"] for row in part[code]] == expected["text"]
            assert [str(row.cells["mood"]) for row in part[code]] == [names[label] for label in expected["mood"]]
    assert corpus.form == "a folder for each language" and corpus.name == "moods"
    assert "test is measured and train is tuned on" in corpus.notes


def test_it_becomes_an_experiment_with_copies(call: Call, tiny: Callable[[str], Path]) -> None:
    write_set(Path("moods"))
    below_data(Path("moods"))
    write_split(Path("moods/data"), "en", "dev", SCHEMA, columns("en", 0, 5))
    ended = call("init", "moods", "--model", tiny("llama"), "--paired")
    assert ended.status == 0, ended
    assert "Rows: en 40, de 40, es 40 (a folder for each language)" in ended.out
    assert "Rows only to tune on: en 20, de 20, es 20" in ended.out and "Note: not read: dev." in ended.out
    inputs = Inputs(load_experiment(Path("moods-experiment/experiment.toml")))
    measured = {item.fields[0] for item in inputs.items["moods-experiment/task.toml", "de"]}
    assert measured < set(columns("de", 0, 40)["text"]) and len(measured) == 38
    assert {question.fields[0] for question in inputs.questions} == set(columns("en", 40, 60)["text"])


def test_parts_of_a_split_are_one_table() -> None:
    for code in CODES:
        write_split(Path("moods"), code, "test", SCHEMA, columns(code, 0, 40))
        (Path("moods") / code / "test-00000-of-00001.parquet").rename(
            Path("moods") / code / "test-00000-of-00002.parquet"
        )
        write_split(Path("moods"), code, "test", SCHEMA, columns(code, 40, 60))
        (Path("moods") / code / "test-00000-of-00001.parquet").rename(
            Path("moods") / code / "test-00001-of-00002.parquet"
        )
    corpus = read_corpus(Path("moods"), "", no_answer)
    assert [row.cells["text"] for row in corpus.rows["de"]] == columns("de", 0, 60)["text"]
    assert not corpus.questions


def test_a_split_with_secret_labels_is_not_measured() -> None:
    write_set(Path("moods"), mood=[-1] * 40)
    for code in CODES:
        write_split(Path("moods"), code, "validation", SCHEMA, columns(code, 0, 30))
    corpus = read_corpus(Path("moods"), "", no_answer)
    assert {code: len(rows) for code, rows in corpus.rows.items()} == dict.fromkeys(CODES, 30)
    assert "validation is measured and train is tuned on" in corpus.notes


def test_a_set_without_configurations_says_its_languages_in_its_rows() -> None:
    folder = Path("moods/data")
    for split, (start, stop) in {"test": (0, 4), "train": (4, 8)}.items():
        rows: dict[str, list[Any]] = {"text": [], "mood": [], "lang": []}
        for code in CODES:
            each = columns(code, start, stop)
            rows = {key: [*values, *(each | {"lang": [code] * 4})[key]] for key, values in rows.items()}
        write_split(folder, "", split, SCHEMA | {"lang": Value("string")}, rows)
    corpus = read_corpus(Path("moods"), "", no_answer)
    assert corpus.form == "the column 'lang' names the language" and tuple(corpus.rows) == CODES
    assert [row.cells["text"] for row in corpus.questions["es"]] == columns("es", 4, 8)["text"]


def test_one_of_several_configurations_has_to_be_named(call: Call) -> None:
    for name in ("main", "socratic"):
        write_split(Path("moods"), name, "test", SCHEMA, columns("en", 0, 4))
    ended = call("init", "moods")
    assert ended.status == 2
    assert "moods: found the configurations main, socratic" in ended.err and "spillover init moods/main" in ended.err
    assert len(read_corpus(Path("moods/main"), "en", no_answer).rows["en"]) == 4


def test_languages_without_a_common_split_are_refused() -> None:
    write_split(Path("moods"), "en", "train", SCHEMA, columns("en", 0, 4))
    write_split(Path("moods"), "de", "test", SCHEMA, columns("de", 0, 4))
    with pytest.raises(
        SpilloverError, match="moods: found no split that all its languages have, expected one such as test"
    ):
        read_corpus(Path("moods"), "", no_answer)


def test_rows_of_a_pivot_are_needed_to_tune_on() -> None:
    """German alone has a training split: nothing there can be translated from English."""
    for code in CODES:
        write_split(Path("moods"), code, "test", SCHEMA, columns(code, 0, 4))
    write_split(Path("moods"), "de", "train", SCHEMA, columns("de", 4, 8))
    assert not read_corpus(Path("moods"), "", no_answer).questions


BROKEN = {
    "a pointer of Git LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "`git lfs pull` gets it",
    ),
    "an empty file": (b"", "empty, cut off or not parquet"),
    "half a file": (b"PAR1\x00\x00", "empty, cut off or not parquet"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_is_one_sentence(fault: str, call: Call) -> None:
    write_set(Path("moods"))
    content, message = BROKEN[fault]
    Path("moods/en/test-00000-of-00001.parquet").write_bytes(content)
    ended = call("init", "moods")
    assert ended.status == 2 and "moods/en/test-00000-of-00001.parquet" in ended.err
    assert message in " ".join(ended.err.split()), ended

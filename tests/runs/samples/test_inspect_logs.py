"""Logs of inspect: archives and JSON, scorers, epochs, what is broken off."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sample_files import inspect_log, write_archive
from spillover.errors import SpilloverError
from spillover.runs.samples import inspect

VALUES = {"q1": "C", "q2": "I", "q3": "P", "q4": 0.25, "q5": True}
SCORES = [1.0, 0.0, 0.5, 0.25, 1.0]


def test_an_archive_and_a_json_file_hold_the_same_samples(tmp_path: Path) -> None:
    log = inspect_log(VALUES)
    archive, text = write_archive(tmp_path / "a.eval", log), tmp_path / "a.json"
    text.write_text(json.dumps(log), encoding="utf-8")
    assert inspect.matches(archive)
    assert inspect.matches(text)
    samples = inspect.read(archive, "")
    assert samples == inspect.read(text, "")
    assert [sample.score for sample in samples] == SCORES
    assert {(s.task, s.language, s.answer, s.golds) for s in samples} == {("sums", "sw", "A", ("A",))}
    assert inspect.label(archive) == "mock/a"


def zstandard(path: Path, log: dict[str, Any]) -> Path:
    """Write an archive as inspect does since 2026: every entry is compressed by a method that `zipfile` lacks."""
    plain = write_archive(path.with_suffix(".plain"), log)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.infolist():
            packed = pa.Codec("zstd").compress(source.read(entry), asbytes=True)
            target.writestr(entry.filename, packed)
    data, offset = bytearray(path.read_bytes()), 0
    for signature, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        offset = 0
        while (offset := data.find(signature, offset)) >= 0:
            data[offset + place : offset + place + 2] = (93).to_bytes(2, "little")
            offset += 4
    path.write_bytes(data)
    return path


def test_the_compression_that_zipfile_lacks_is_read(tmp_path: Path) -> None:
    log = inspect_log(VALUES)
    path = zstandard(tmp_path / "new.eval", log)
    with zipfile.ZipFile(path) as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {inspect.ZSTANDARD}
    assert [sample.score for sample in inspect.read(path, "")] == SCORES


def test_epochs_are_averaged(tmp_path: Path) -> None:
    log = inspect_log({"q1": "C"})
    log["samples"] += [{**inspect_log({"q1": value})["samples"][0], "epoch": n} for n, value in ((2, "I"), (3, "I"))]
    assert [sample.score for sample in inspect.read(write_archive(tmp_path / "a.eval", log), "")] == [1 / 3]


def test_one_of_several_scores_is_named(tmp_path: Path) -> None:
    log = inspect_log({"q1": {"style": 1, "truth": 0}})
    log["samples"][0]["scores"]["match"] = {"value": "C"}
    path = write_archive(tmp_path / "a.eval", log)
    assert [inspect.read(path, name)[0].score for name in ("choice/style", "choice/truth", "match")] == [1.0, 0.0, 1.0]
    several = (
        "sample 'q1': found several scores, expected --metric with one; choose from choice/style, choice/truth, match"
    )
    with pytest.raises(SpilloverError, match=several):
        inspect.read(path, "")
    with pytest.raises(SpilloverError, match="found no score 'mach'; did you mean 'match'"):
        inspect.read(path, "mach")


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        (inspect_log(VALUES, status="error"), "found the status 'error', expected a log that ended with 'success'"),
        (inspect_log({}), "found no samples, expected at least one"),
        (inspect_log({"q1": 7}), "sample 'q1': choice: found 7, expected a score between 0 and 1, or true or false"),
        (inspect_log({"q1": float("nan")}), "sample 'q1': choice: found nan, expected a score between 0 and 1"),
        (inspect_log({}, samples=[{"epoch": 1}]), "sample number 1: not as inspect writes it: KeyError"),
        (inspect_log({}, samples=["q1"]), "sample number 1: not as inspect writes it: TypeError"),
        (inspect_log({}, samples=[{"id": 1, "scores": [0.5]}]), "sample number 1: not as inspect writes it: Attr"),
        (inspect_log({"q1": {}}), "sample 'q1': found no score, expected every sample scored"),
    ],
)
def test_what_is_not_whole_is_refused(log: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(log), encoding="utf-8")
    with pytest.raises(SpilloverError, match=sentence):
        inspect.read(path, "")


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.eval", inspect_log(VALUES))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(SpilloverError, match=r"a.eval: cut off or not a log of inspect: File is not a zip file"):
        inspect.read(path, "")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("_journal/start.json", "{}")
    with pytest.raises(SpilloverError, match=r"found no header.json, expected a log that ended"):
        inspect.read(path, "")

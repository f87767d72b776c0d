"""Run folders: nothing is made twice, nothing half-made or damaged is ever read, and records come back as they were."""

import hashlib
import json
import math
import multiprocessing
import os
import shutil
import signal
import socket
from collections.abc import Callable
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from spillover.errors import SpilloverError
from spillover.experiment import TuneConfig
from spillover.records import Curve, Example, Pair, Prediction, Question
from spillover.store import (
    Store,
    digest,
    locks,
    read_predictions,
    read_records,
    stages,
    write_arrays,
    write_predictions,
    write_records,
    write_text,
)
from spillover.utils import marker
from spillover.utils.digests import sha256_of

GUARD = 120
"""Seconds after which a process that should have answered long ago is given up."""


class Maker:
    """Writes one file into a stage's folder and counts how often it was asked to."""

    def __init__(self, content: str = "made", name: str = "file.txt") -> None:
        self.content, self.name, self.calls = content, name, 0

    def __call__(self, folder: Path) -> None:
        self.calls += 1
        assert list(folder.iterdir()) == [], "a stage begins in an empty folder"
        (folder / self.name).write_text(self.content, encoding="utf-8")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the store tells the user."""
    lines: list[str] = []
    for module in (locks, stages):
        monkeypatch.setattr(module, "notify", lines.append)
    return lines


def events(store: Store) -> list[dict[str, Any]]:
    path = store.run / "log.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


# A stage is made once for its inputs


def test_the_same_inputs_are_not_made_again(tmp_path: Path, said: list[str]) -> None:
    write = Maker()
    first = Store(tmp_path, "a").get_or_make("kind", [1, "x"], "file.txt", write)
    again = Store(tmp_path, "a").get_or_make("kind", [1, "x"], "file.txt", write)
    elsewhere = Store(tmp_path, "b").get_or_make("kind", (1, "x"), "other/file.txt", write)
    assert write.calls == 1
    assert first == again == elsewhere
    assert (tmp_path / "b" / "other" / "file.txt").read_text("utf-8") == "made"
    assert [event["stage"] for event in events(Store(tmp_path, "a"))] == [first.key]
    assert events(Store(tmp_path, "b")) == []
    assert said == []


def test_other_inputs_or_another_kind_are_another_stage(tmp_path: Path) -> None:
    store, write = Store(tmp_path, "a"), Maker()
    keys = {
        store.get_or_make(kind, inputs, f"{kind}/file.txt", write).key
        for kind in ("one", "two")
        for inputs in ([1], [2], ["1"])
    }
    assert len(keys) == write.calls == 6


def test_a_key_depends_on_kind_and_inputs_alone(tmp_path: Path) -> None:
    here = Store(tmp_path / "x", "a").get_or_make("kind", {"b": 1, "a": [2]}, "file.txt", Maker())
    there = Store(tmp_path / "y", "b").get_or_make("kind", {"a": [2], "b": 1}, "link/file.txt", Maker("other"))
    assert here.key == there.key == f"kind-{digest({'a': [2], 'b': 1})}"


def test_a_digest_tells_values_apart() -> None:
    question = Question("t", "1", "de", ("a", "b"))
    values: list[object] = [
        1, "1", None, True, 1.5, "", [], [[]], ["a", "b"], ["ab"], ["a,b"], {"a": 1}, {"a": "1"}, "é", "e\u0301",
        question, Question("t", "1", "de", ("ab",)), Question("t", "1", "en", ("a", "b")),
        TuneConfig(), TuneConfig(epochs=1),
    ]  # fmt: skip
    digests = [digest(value) for value in values]
    assert len(set(digests)) == len(values)
    assert digests == [digest(value) for value in values]
    assert all(len(found) == 16 and set(found) <= set("0123456789abcdef") for found in digests)
    assert digest(question) == digest(Question("t", "1", "de", ("a", "b")))
    assert digest("a", "b") != digest("ab") != digest("b", "a")


def test_a_digest_is_the_same_on_every_machine() -> None:
    written = '[["zh", 1, 0.1, {"a": "ü", "b": null}]]'
    assert digest(["zh", 1, 0.1, {"b": None, "a": "ü"}]) == hashlib.sha256(written.encode()).hexdigest()[:16]


# What is half made does not exist


@pytest.mark.parametrize("fault", [ValueError, SpilloverError, KeyboardInterrupt], ids=lambda fault: fault.__name__)
def test_what_was_interrupted_is_made_from_the_start(
    tmp_path: Path, said: list[str], fault: type[BaseException]
) -> None:
    store = Store(tmp_path, "a")

    def fails(folder: Path) -> None:
        (folder / "half.txt").write_text("half", encoding="utf-8")
        (folder / "deep").mkdir()
        raise fault("no more")

    with pytest.raises(fault):
        store.get_or_make("kind", 1, "file.txt", fails)
    assert not (tmp_path / "a" / "file.txt").exists()
    assert not [path for path in store.stages.iterdir() if path.name == f"kind-{digest(1)}"]
    write = Maker()
    stage = store.get_or_make("kind", 1, "file.txt", write)
    assert write.calls == 1
    assert sorted(path.name for path in stage.path.iterdir()) == ["complete.json", "file.txt"]
    assert said == []


def killed(runs: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "half.txt").write_text("half", encoding="utf-8")
        os.kill(os.getpid(), signal.SIGKILL)

    Store(runs, "a").get_or_make("kind", 1, "file.txt", write)


def test_a_killed_process_leaves_neither_a_stage_nor_a_lock(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=killed, args=(tmp_path,))
    process.start()
    process.join(GUARD)
    assert process.exitcode == -signal.SIGKILL
    assert list(tmp_path.glob(".stages/*/half.txt")), "the process was killed before it wrote anything"
    assert not (tmp_path / "a" / "file.txt").exists()
    stage = Store(tmp_path, "a").get_or_make("kind", 1, "file.txt", Maker())
    assert sorted(path.name for path in stage.path.iterdir()) == ["complete.json", "file.txt"]


def test_without_its_marker_a_stage_does_not_exist(tmp_path: Path, said: list[str]) -> None:
    write = Maker()
    stage = Store(tmp_path, "a").get_or_make("kind", 1, "file.txt", write)
    (stage.path / "complete.json").unlink()
    Store(tmp_path, "a").get_or_make("kind", 1, "file.txt", write)
    assert write.calls == 2
    assert said == [], "a stage that never was finished is no damage"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a file cut off": lambda folder: cut(folder / "file.txt"),
    "a byte changed": lambda folder: flip(folder / "file.txt"),
    "a file gone": lambda folder: (folder / "file.txt").unlink(),
    "a file too many": lambda folder: (folder / "more.txt").write_text("x", encoding="utf-8"),
    "the marker cut off": lambda folder: cut(folder / "complete.json"),
    "the marker empty": lambda folder: (folder / "complete.json").write_text("", encoding="utf-8"),
    "the marker without files": lambda folder: (folder / "complete.json").write_text("{}", encoding="utf-8"),
    "the marker something else": lambda folder: (folder / "complete.json").write_text("[]", encoding="utf-8"),
}

NOTICED = {
    "a file cut off": ("file.txt", "damaged since it was written"),
    "a byte changed": ("file.txt", "damaged since it was written"),
    "a file gone": ("file.txt", "gone"),
    "a file too many": ("more.txt", "was not there when the folder was complete"),
} | {damage: ("complete.json", "cannot be read") for damage in DAMAGE if damage.startswith("the marker")}
"""Damage → the file that is named, and what is said of it."""


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_damaged_is_made_again_and_said_so(tmp_path: Path, said: list[str], damage: str) -> None:
    write = Maker()
    stage = Store(tmp_path, "a").get_or_make("kind", 1, "file.txt", write)
    DAMAGE[damage](stage.path)
    Store(tmp_path, "a").get_or_make("kind", 1, "file.txt", write)
    assert write.calls == 2
    file, what = NOTICED[damage]
    assert said == [f"{stage.path / file}: {what}; making {stage.key} again"]
    assert (tmp_path / "a" / "file.txt").read_text("utf-8") == "made"
    Store(tmp_path, "a").get_or_make("kind", 1, "file.txt", write)
    assert write.calls == 2


# Links


def test_a_link_with_a_files_name_leads_to_that_file(tmp_path: Path) -> None:
    store = Store(tmp_path, "a")
    file = store.get_or_make("kind", 1, "deep/er/file.txt", Maker("one"))
    folder = store.get_or_make("kind", 2, "whole", Maker("two"))
    assert (tmp_path / "a" / "deep" / "er" / "file.txt").resolve() == (file.path / "file.txt").resolve()
    assert (tmp_path / "a" / "whole").resolve() == folder.path.resolve()
    assert (tmp_path / "a" / "whole" / "file.txt").read_text("utf-8") == "two"


def test_a_link_follows_the_last_inputs_and_old_stages_stay(tmp_path: Path) -> None:
    store = Store(tmp_path, "a")
    one, two = (store.get_or_make("kind", n, "file.txt", Maker(str(n))) for n in (1, 2))
    assert (tmp_path / "a" / "file.txt").read_text("utf-8") == "2"
    assert (one.path / "file.txt").read_text("utf-8") == "1"
    store.get_or_make("kind", 1, "file.txt", Maker("never"))
    assert (tmp_path / "a" / "file.txt").read_text("utf-8") == "1"
    assert two.path.is_dir()
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"file.txt", "log.jsonl"}, "no link half made"


def test_links_survive_a_move(tmp_path: Path) -> None:
    Store(tmp_path / "runs", "a").get_or_make("kind", 1, "deep/file.txt", Maker())
    (tmp_path / "runs").rename(tmp_path / "moved")
    assert (tmp_path / "moved" / "a" / "deep" / "file.txt").read_text("utf-8") == "made"
    write = Maker()
    Store(tmp_path / "moved", "a").get_or_make("kind", 1, "deep/file.txt", write)
    assert write.calls == 0


def test_seconds_are_summed_over_the_stages_used(tmp_path: Path) -> None:
    for _ in range(2):  # the second time nothing is made, and it took as long
        store = Store(tmp_path, "a")
        stages = [
            store.get_or_make(kind, n, f"{kind}-{n}", Maker()) for kind, n in (("b", 1), ("a", 1), ("b", 2), ("b", 2))
        ]
        parts = {stage.key: stage.marker["seconds"] for stage in stages}
        found = {cost.stage: cost for cost in store.costs()}
        assert list(found) == ["b", "a"]
        assert 10**6 < found["a"].peak_memory < 10**12
        assert found["b"].seconds == pytest.approx(sum(v for k, v in parts.items() if k.startswith("b")))


# Two processes


def second(runs: Path, answers: "Queue[str]") -> None:
    setattr(locks, "notify", answers.put)  # noqa: B010 - mypy refuses the other way
    write = Maker("second")
    stage = Store(runs, "b").get_or_make("kind", 1, "file.txt", write)
    answers.put(f"{write.calls} {(stage.path / 'file.txt').read_text('utf-8')}")


def test_of_two_processes_one_makes_the_stage_and_the_other_waits(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    answers: Queue[str] = context.Queue()
    other = context.Process(target=second, args=(tmp_path, answers))

    def write(folder: Path) -> None:
        other.start()
        assert (
            answers.get(timeout=GUARD)
            == f"kind-{digest(1)}: waiting for process {os.getpid()} on {socket.gethostname()}"
        )
        Maker("first")(folder)

    try:
        Store(tmp_path, "a").get_or_make("kind", 1, "file.txt", write)
        assert answers.get(timeout=GUARD) == "0 first"
    finally:
        if other.pid:
            other.join(GUARD)
            other.kill()
    assert other.exitcode == 0
    assert (tmp_path / "b" / "file.txt").read_text("utf-8") == "first"


def on_the_same_run(runs: Path, answers: "Queue[str]") -> None:
    setattr(locks, "notify", answers.put)  # noqa: B010 - mypy refuses the other way
    Store(runs, "a").get_or_make("kind", 2, "file.txt", Maker("second"))
    answers.put("done")


def test_of_two_processes_on_one_run_folder_the_second_waits_for_the_end_of_the_first(tmp_path: Path) -> None:
    """Else the links of two experiments would stand beside each other, and a report tell of both."""
    context = multiprocessing.get_context("spawn")
    answers: Queue[str] = context.Queue()
    other = context.Process(target=on_the_same_run, args=(tmp_path, answers))
    store = Store(tmp_path, "a")
    try:
        store.get_or_make("kind", 1, "file.txt", Maker("first"))
        other.start()
        assert answers.get(timeout=GUARD) == f"run-a: waiting for process {os.getpid()} on {socket.gethostname()}"
        store.get_or_make("kind", 3, "more.txt", Maker("first", "more.txt"))
        assert (tmp_path / "a" / "file.txt").read_text("utf-8") == "first"
        Store(tmp_path, "b").get_or_make("kind", 3, "more.txt", Maker("never"))  # other runs of this process go on
        del store
        assert answers.get(timeout=GUARD) == "done"
    finally:
        if other.pid:
            other.join(GUARD)
            other.kill()
    assert (tmp_path / "a" / "file.txt").read_text("utf-8") == "second"
    assert (tmp_path / "a" / "more.txt").read_text("utf-8") == "first"


def test_what_a_dead_process_left_locked_is_free(tmp_path: Path, said: list[str]) -> None:
    for name in (f"kind-{digest(1)}", "run-a"):
        (tmp_path / ".stages").mkdir(exist_ok=True)
        (tmp_path / ".stages" / f"{name}.lock").touch()
        (tmp_path / ".stages" / f"{name}.holder").write_text("process 999999999 on elsewhere")
    Store(tmp_path, "a").get_or_make("kind", 1, "file.txt", Maker())
    assert said == []


# Large files


def test_a_large_file_is_read_again_only_where_it_was_written_to(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marker, "ALWAYS_HASH_BELOW", 3)
    write = Maker()
    stage = Store(tmp_path, "a").get_or_make("kind", 1, "file.txt", write)
    read: list[str] = []

    def sum_of(path: Path) -> str:
        read.append(path.name)
        return sha256_of(path)

    monkeypatch.setattr(marker, "sha256_of", sum_of)
    Store(tmp_path, "a").get_or_make("kind", 1, "file.txt", write)
    assert read == []
    times = (stage.path / "file.txt").stat()
    while (stage.path / "file.txt").stat().st_ctime_ns == times.st_ctime_ns:  # the system's clock ticks slowly
        flip(stage.path / "file.txt")
        os.utime(stage.path / "file.txt", ns=(times.st_atime_ns, times.st_mtime_ns))
        flip(stage.path / "file.txt")
        flip(stage.path / "file.txt")
    Store(tmp_path, "a").get_or_make("kind", 1, "file.txt", write)
    assert read[0] == "file.txt"
    assert write.calls == 2
    assert "file.txt: damaged since it was written" in said[0]


# The run folder itself


@pytest.mark.parametrize("name", ["", ".", "..", ".stages", ".hidden", "a/b", "/a", "a/"])
def test_a_run_has_the_name_of_a_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(SpilloverError, match=r"--name: found .*, expected the name of a folder, without a path"):
        Store(tmp_path, name)


def test_opening_a_run_writes_nothing(tmp_path: Path) -> None:
    Store(tmp_path / "runs", "a")
    assert list(tmp_path.iterdir()) == []


WRITES: dict[str, Callable[[Store], object]] = {
    "make": lambda store: store.get_or_make("kind", 1, "file.txt", Maker()),
    "save": lambda store: store.save("experiment.toml", "seed = 0"),
    "replace": lambda store: store.replace("report", "x", lambda: {"index.html": "x"}),
}


@pytest.mark.parametrize("how", WRITES)
def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path, how: str) -> None:
    (tmp_path / "runs").write_text("a file where a folder should be", encoding="utf-8")
    with pytest.raises(SpilloverError, match=r"runs.*: cannot write.*: (Not a directory|File exists)"):
        WRITES[how](Store(tmp_path / "runs", "a"))


def test_an_error_without_a_number_still_says_something(tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        raise OSError("the library's own words")  # as pyarrow raises it

    with pytest.raises(SpilloverError, match="the library's own words"):
        Store(tmp_path, "a").get_or_make("kind", 1, "file.txt", fails)


def test_a_saved_text_replaces_the_old_one(tmp_path: Path) -> None:
    store = Store(tmp_path, "a")
    for text in ("first", "zweite ü\u2028 \r\n"):
        assert store.save("deep/x.txt", text) == tmp_path / "a" / "deep" / "x.txt"
    assert (tmp_path / "a" / "deep" / "x.txt").read_bytes() == "zweite ü\u2028 \r\n".encode()
    assert [path.name for path in (tmp_path / "a" / "deep").iterdir()] == ["x.txt"]


def test_a_write_that_fails_leaves_the_old_text(tmp_path: Path) -> None:
    write_text(tmp_path / "x.txt", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "x.txt", "new \ud800")
    assert (tmp_path / "x.txt").read_text("utf-8") == "old"


def test_a_replaced_folder_holds_nothing_of_the_old_one(tmp_path: Path) -> None:
    store = Store(tmp_path, "a")
    store.replace("report", "old", lambda: {"index.html": "old", "figures/a.svg": "old"})
    (tmp_path / "a" / ".report.new").mkdir()  # as a process killed in between leaves it
    made = store.replace("report", "new", lambda: {"index.html": "ü", "tables/a.png": b"\x00\xff"})
    assert made == tmp_path / "a" / "report"
    found = {path.relative_to(tmp_path / "a").as_posix() for path in (tmp_path / "a").rglob("*") if path.is_file()}
    assert found == {"report/complete.json", "report/index.html", "report/tables/a.png"}
    assert (tmp_path / "a" / "report" / "index.html").read_bytes() == "ü".encode()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["report"]


def test_a_folder_of_the_runs_own_is_made_again_only_for_other_inputs_or_after_damage(tmp_path: Path) -> None:
    store, made = Store(tmp_path, "a"), []

    def contents() -> dict[str, str]:
        made.append(1)
        return {"index.html": "x"}

    for inputs, expected in (("one", 1), ("one", 1), ("two", 2), ("two", 2)):
        folder = store.replace("report", inputs, contents)
        assert len(made) == expected
    (folder / "index.html").write_text("y")
    store.replace("report", "two", contents)
    assert (len(made), (folder / "index.html").read_text()) == (3, "x")


# Records

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
texts = st.tuples(words) | st.tuples(words, words)
numbers = st.floats(allow_nan=False)
curves = st.lists(numbers, max_size=4).map(tuple)
RECORDS: dict[type, st.SearchStrategy[Any]] = {
    Question: st.builds(Question, words, words, words, texts),
    Pair: st.builds(Pair, words, words, words, words, texts, texts),
    Example: st.builds(Example, words, words, words, words),
    Curve: st.builds(Curve, curves, curves, curves),
}


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_records_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, kind: type, data: st.DataObject
) -> None:
    rows = data.draw(st.lists(RECORDS[kind], max_size=5))
    path = tmp_path_factory.mktemp("records") / "rows.parquet"
    write_records(path, kind, rows)
    found: list[Any] = read_records(path, kind)
    assert found == rows
    assert [hash(row) for row in found] == [hash(row) for row in rows], "tuples, not lists"
    shutil.rmtree(path.parent)


def test_a_number_that_is_none_stays_none(tmp_path: Path) -> None:
    nan = math.nan
    write_records(tmp_path / "t", Curve, [Curve((nan, 1.0), (nan, nan), (0.5, 0.25))])
    (found,) = read_records(tmp_path / "t", Curve)
    assert math.isnan(found.value[0])
    assert found.value[1:] == (1.0,)
    assert all(map(math.isnan, found.low))
    assert found.high == (0.5, 0.25)


@settings(deadline=None, max_examples=40)
@given(
    labels=st.lists(words, min_size=2, max_size=4, unique=True),
    rows=st.lists(st.tuples(words, st.integers(0, 3)), max_size=5),
    data=st.data(),
)
def test_predictions_come_back_with_every_score(
    tmp_path_factory: pytest.TempPathFactory, labels: list[str], rows: list[tuple[str, int]], data: st.DataObject
) -> None:
    score = st.floats(max_value=0, allow_nan=False)
    scores = st.tuples(*[score] * len(labels))
    by_length, content_free = data.draw(st.booleans()), data.draw(scores) if rows else ()
    expected = [
        Prediction(id, "quiz", "de", gold, data.draw(scores), data.draw(scores) if by_length else (), content_free)
        for id, gold in rows
    ]
    path = tmp_path_factory.mktemp("predictions") / "de.parquet"
    write_predictions(path, expected, labels)
    assert read_predictions(path, "quiz", "de") == expected
    shutil.rmtree(path.parent)


def test_arrays_come_back_with_their_names(tmp_path: Path) -> None:
    last = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    write_arrays(tmp_path / "x.safetensors", last=last, turned=np.ascontiguousarray(last.transpose(2, 0, 1)))
    found = load_file(tmp_path / "x.safetensors")
    assert set(found) == {"last", "turned"}
    np.testing.assert_array_equal(found["last"], last)
    np.testing.assert_array_equal(found["turned"], last.transpose(2, 0, 1))

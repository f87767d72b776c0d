"""Runs at an address: a machine goes on from there alone, and never reads what is half there."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import combinations
from pathlib import Path
from uuid import uuid4

import pytest

from calls import Call
from spillover.errors import SpilloverError
from spillover.records import ADDRESS_FILE, Pair
from spillover.store import Store, address_of, digest, open_runs, pull_all_runs, write_records
from spillover.store.mirror import Mirror
from spillover.store.remote import Remote
from spillover.store.stages import build
from spillover.utils.marker import MARKER, is_complete

FILE = "questions.parquet"

Machine = Callable[[str], Path]
"""Name of a machine → its copy of the runs at the address."""


@pytest.fixture
def machine(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return a function that goes to a machine: each has a cache of its own, and all have the same address."""

    def go_to(name: str) -> Path:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        return open_runs(address)

    return go_to


class Maker:
    """Writes two files into an artifact's folder, and counts how often."""

    def __init__(self, content: str = "made") -> None:
        self.content, self.calls = content, 0

    def __call__(self, folder: Path) -> None:
        self.calls += 1
        (folder / "deep").mkdir()
        (folder / "deep" / "one.txt").write_text(f"{self.content} one", encoding="utf-8")
        (folder / "two.txt").write_text(f"{self.content} two", encoding="utf-8")


def contents(folder: Path) -> dict[str, str]:
    """Return the files of a folder, and of the folders that its links lead to, but for markers and locks."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    ignored = (MARKER, ADDRESS_FILE)
    return {
        path.relative_to(folder).as_posix(): path.read_text("utf-8")
        for path in files
        if path.name not in ignored and path.suffix not in (".lock", ".holder", ".jsonl")
    }


def work(runs: Path, make: Callable[[Path], None], name: str = "run") -> None:
    """Do a small run: an artifact, a file and a report."""
    with closing(Store(runs, name)) as store:
        store.get_or_make("kind", [1], "links/two.txt", make)
        store.save("experiment.toml", "seed = 0")
        store.replace("report", ["inputs"], lambda: {"index.html": "page", "tables/gains.csv": "1"})
        store.save("done.json", "{}")
        store.push()


def test_another_machine_makes_nothing_that_is_at_the_address(machine: Machine):
    first, second = Maker(), Maker()
    work(machine("a"), first)
    there = machine("b")
    assert contents(there) == {}
    with closing(Store(there, "run")) as store:
        artifact = store.get_or_make("kind", [1], "links/two.txt", second)
        assert store.replaced("report", ["inputs"]) == store.run / "report"
    assert (first.calls, second.calls) == (1, 0)
    assert is_complete(artifact.path)
    assert contents(there) == contents(machine("a"))
    assert float(artifact.marker["seconds"]) >= 0, "what it cost to make is kept"


def test_a_reader_gets_the_whole_run_with_its_links(machine: Machine):
    work(machine("a"), Maker())
    work(machine("a"), Maker(), "other")
    with closing(Store(machine("b"), "grid").child_run("inner")) as store:
        store.save("experiment.toml", "")
        store.push()
    reader = machine("c")
    with closing(Store(reader, "run")) as store:
        store.pull()
    assert (reader / "run" / "links" / "two.txt").read_text("utf-8") == "made two"
    assert not (reader / "other").exists()
    pull_all_runs(reader)
    assert {path.parent.relative_to(reader).as_posix() for path in reader.rglob("experiment.toml")} == {
        "run", "other", "grid/inner"
    }  # fmt: skip


def test_only_the_needed_artifacts_are_brought(machine: Machine):
    with closing(Store(machine("a"), "run")) as store:
        for kind in ("predictions", "traces"):
            store.get_or_make(kind, [1], f"{kind}/two.txt", Maker(kind))
        store.push()
    reader = machine("b")
    with closing(Store(reader, "run")) as store:
        store.pull(["predictions"])
    assert (reader / "run" / "predictions" / "two.txt").exists()
    assert not (reader / "run" / "traces").exists(), "no link leads nowhere"


def test_a_read_only_store_brings_what_is_there_and_makes_nothing(machine: Machine):
    work(machine("a"), Maker())
    reader = Store(machine("b"), "run").read_only()
    assert reader.get_or_make("kind", [1], "links/two.txt", Maker()).path.is_dir()
    assert not reader.run.exists()


def test_a_machine_knows_which_kinds_the_address_holds_without_bringing_them(machine: Machine):
    assert not Store(machine("first"), "run").holds(["trace"])
    with closing(Store(machine("first"), "run")) as store:
        store.get_or_make("trace", [1], "links/two.txt", Maker())
    fresh = Store(machine("second"), "run")
    assert fresh.holds(["answers", "trace"])
    assert not fresh.holds(["answers"])
    assert not list(fresh.stages.glob("trace-*")), "nothing is brought"


@pytest.mark.parametrize("fault", ["torn marker", "no marker", "torn file", "no file"])
def test_what_is_damaged_at_the_address_is_made_again_and_replaced(machine: Machine, address: str, fault: str):
    work(machine("a"), Maker())
    remote, place = Remote(address), f".stages/kind-{digest([1])}"
    marker = json.loads(remote.read(f"{place}/{MARKER}"))
    file = f"{place}/{marker['files']['two.txt'][:16]}/two.txt"
    name = f"{place}/{MARKER}" if "marker" in fault else file
    if fault.startswith("no"):
        remote.remove(name)
    else:
        remote.write(name, remote.read(name)[:3])
    second, third = Maker(), Maker()
    work(machine("b"), second)
    work(machine("c"), third)
    assert (second.calls, third.calls) == (1, 0)
    assert contents(machine("c")) == contents(machine("b"))


def test_a_push_that_failed_is_made_up_for(machine: Machine, address: str, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise SpilloverError("the network is away")

    make, here = Maker(), machine("a")
    with monkeypatch.context() as patch:
        patch.setattr(Remote, "put", fail)
        with pytest.raises(SpilloverError, match="the network is away"):
            work(here, make)
    assert Remote(address).read("run/done.json") is None
    work(here, make)
    assert make.calls == 1, "what is finished here stays"
    there = machine("b")
    work(there, make)
    assert make.calls == 1


def test_two_machines_add_to_one_run(machine: Machine):
    for name in ("a", "b"):
        with closing(Store(machine(name), "run")) as store:
            store.get_or_make(name, [1], f"{name}/two.txt", Maker())
            store.save(f"{name}.txt", name)
            store.push()
    reader = machine("c")
    with closing(Store(reader, "run")) as store:
        store.pull()
    assert {"a.txt", "b.txt", "a/two.txt", "b/two.txt"} <= contents(reader / "run").keys()


def test_a_report_that_lost_a_file_loses_it_everywhere(machine: Machine):
    def write(runs: Path, *names: str) -> None:
        with closing(Store(runs, "run")) as store:
            store.replace("report", names, lambda: dict.fromkeys(names, "text"))
            store.push()

    def read(runs: Path) -> Path | None:
        with closing(Store(runs, "run")) as store:
            store.pull()
            return store.replaced("report", ("a", "b"))

    write(machine("a"), "a", "b", "c")
    assert read(machine("b")) is None
    write(machine("a"), "a", "b")
    assert read(machine("b")) is not None
    assert read(machine("c")) is not None


def test_commands_that_read_bring_the_runs(machine: Machine, address: str, call: Call):
    with closing(Store(machine("a"), "one")) as store:
        store.get_or_make("questions", [1], "questions.parquet", lambda folder: write_records(folder / FILE, Pair, []))
        store.save("experiment.toml", "")
        store.replace("report", ["inputs"], lambda: {"index.html": "page"})
        store.push()
    machine("b")
    ended = call("status", "--runs", address)
    assert ended.status == 0, ended.err
    assert "/one: translate missing, build missing, tune missing, evaluate missing, analyze missing" in ended.out
    machine("c")
    ended = call("status", "one", "--runs", address)
    assert f"questions  done     {FILE}" in ended.out.splitlines(), ended.err
    ended = call("status", "two", "--runs", address)
    assert (ended.status, "found no experiment.toml" in ended.err) == (2, True)


# Two machines at once

Operation = tuple[str, bytes]
"""Name of a file at the address, and its content."""


class Recorder(Remote):
    """Records what is written, in order, and writes nothing."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        super().__init__(f"memory://{uuid4().hex}")

    def put(self, path: Path, name: str) -> None:
        self.operations.append((name, path.read_bytes()))


def pushed(path: Path) -> list[Operation]:
    """Return the operations of pushing an artifact."""
    recorder = Recorder()
    Mirror(path.parents[1], recorder).push_artifact(path)
    return recorder.operations


def without_digests(operations: list[Operation]) -> list[Operation]:
    """The twin: files of the same name are the same file, whatever is in them."""
    return [("/".join(part for part in name.split("/") if len(part) != 16), content) for name, content in operations]


def interleaved(one: list[Operation], other: list[Operation]) -> Iterator[list[Operation]]:
    """Yield every order of both machines' operations, and of each only the first ones."""
    total = len(one) + len(other)
    for places in combinations(range(total), len(one)):
        rows = iter(one), iter(other)
        order = [next(rows[place not in places]) for place in range(total)]
        yield from (order[:count] for count in range(total + 1))


def pulled(operations: list[Operation], path: Path, twin: bool) -> dict[str, str] | None:
    """Return the files that a third machine gets after these operations; None if it gets no artifact."""
    remote = Remote(f"memory://{uuid4().hex}")
    for name, content in operations:
        remote.write(name, content)
    if twin:
        names = {name for name, _ in operations}
        if not any(name.endswith(MARKER) for name in names):
            return None
        return {name.split("/", 2)[2]: remote.read(name).decode() for name in names if not name.endswith(MARKER)}
    shutil.rmtree(path, ignore_errors=True)
    return contents(path) if Mirror(path.parents[1], remote).pull_artifact(path) else None


@pytest.fixture
def makers(tmp_path: Path) -> list[Path]:
    """One artifact as two machines made it, with other content."""
    paths = [tmp_path / name / ".stages" / "kind-1" for name in ("a", "b")]
    for path in paths:
        path.parent.mkdir(parents=True)
        build(path, Maker(path.parts[-3]), resumable=False)
    return paths


@pytest.mark.parametrize("twin", [False, True])
def test_in_every_order_of_two_pushes_a_third_machine_gets_one_whole_or_nothing(
    makers: list[Path], tmp_path: Path, twin: bool
):
    operations = [pushed(path) for path in makers]
    if twin:
        operations = [without_digests(rows) for rows in operations]
    place = tmp_path / "c" / ".stages" / "kind-1"
    place.parent.mkdir(parents=True)
    seen = [pulled(order, place, twin) for order in interleaved(*operations)]
    wholes = [contents(path) for path in makers]
    assert all(whole in seen for whole in (None, *wholes))
    assert all(files is None or files in wholes for files in seen) is not twin


# Addresses


def test_an_address_has_one_copy_and_a_copy_one_address(machine: Machine, address: str):
    here = machine("a")
    assert address_of(here) == address
    assert open_runs(f"{address}/") == here
    assert open_runs(f"{address}-more") != here
    assert address_of(here.parent) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nothing://bucket", "--runs: cannot reach nothing://bucket: Protocol not known: nothing"),
        ("file:///proc/nothing/here", "--runs: cannot reach file:///proc/nothing/here: "),
    ],
)
def test_an_address_that_cannot_be_reached_is_one_sentence(
    text: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(SpilloverError) as caught:
        work(open_runs(text), Maker())
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)


def test_a_bucket_that_is_missing_is_not_made(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import s3fs

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(SpilloverError, match=f"--runs: cannot reach s3://{bucket}-gone/runs: "):
        work(open_runs(f"s3://{bucket}-gone/runs"), Maker())
    assert f"{bucket}-gone" not in s3fs.S3FileSystem(skip_instance_cache=True).ls("")

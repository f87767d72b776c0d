"""Full and read-only disks, damaged files, clocks that jump: one sentence each, and nothing lost."""

import itertools
import json
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest
import tomli_w

import calls
from spillover.errors import SpilloverError
from spillover.experiment import Experiment, dump_experiment
from spillover.records import Prediction
from spillover.runs.read import read_run
from spillover.store import Store, write_predictions
from spillover.utils.marker import MARKER, is_complete

STARTER = Path(str(files("spillover").joinpath("data", "starter")))
KINDS = ("questions", "pairs", "examples")

Build = Callable[[Path], str]


@pytest.fixture
def build(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Build:
    """Return a function that runs the first three stages into `runs`, and returns what is refused, if anything is.

    The output is captured in memory: a limit on the size of files would stop what `call` captures it in.
    """
    path = tmp_path / "small.toml"
    tasks = {"tasks": ["sentiment"], "languages": ["en"]}
    table = {"questions": {"limit": 40}, "translate": {"to": ["de"]}, "evaluate": tasks}
    path.write_text(tomli_w.dumps(table), encoding="utf-8")

    def build(runs: Path) -> str:
        capsys.readouterr()
        status = calls.run("build", path, "--runs", runs)
        refused = capsys.readouterr().err
        if status == 0:
            return ""
        assert status == 2
        assert refused.startswith("spillover: ")
        assert refused.count("\n") == 1, refused
        return refused

    return build


def stages(runs: Path) -> dict[str, bytes]:
    """Return what the finished stages hold, each of which has to be whole."""
    found = {}
    for folder in runs.glob(".stages/*/"):
        if folder.suffix != ".partial":
            assert is_complete(folder), folder
            for path in folder.glob("*.parquet"):
                found[f"{folder.name}/{path.name}"] = path.read_bytes()
    return found


def times(runs: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in runs.glob(f".stages/*/{MARKER}")}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 512 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_one_sentence_and_with_room_the_run_goes_on(build: Build, disk: Path, tmp_path: Path) -> None:
    """However much room there is: for nothing, for the first stages, for half of a file."""
    assert build(tmp_path / "plenty") == ""
    runs, ballast, refused = disk / "runs", disk / "ballast", []
    runs.mkdir()
    for kib in itertools.count(0, 4):
        ballast.unlink(missing_ok=True)
        free = shutil.disk_usage(disk).free
        ballast.write_bytes(bytes(max(0, free - 1024 * kib)))
        before = times(runs)
        refused.append(build(runs))
        assert times(runs).items() >= before.items(), "what was finished is not made again"
        stages(runs)
        if not refused[-1]:
            break
    assert len(refused) > 5
    for sentence in refused[:-1]:
        assert "No space left on device; make room and run the same command again" in sentence
    assert stages(runs) == stages(tmp_path / "plenty")


def test_a_limit_on_the_size_of_files_is_one_sentence(build: Build, tmp_path: Path) -> None:
    """Where nothing can be mounted, this too stops the writers in the middle of a file."""
    assert build(tmp_path / "plenty") == ""
    runs, before = tmp_path / "runs", resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in (10, 1000, 3000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            refused = build(runs)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert "File too large; raise the limit on the size of files" in refused
        stages(runs)
    assert build(runs) == ""
    assert stages(runs) == stages(tmp_path / "plenty")


def test_a_disk_that_turned_read_only_is_one_sentence(build: Build, disk: Path) -> None:
    assert build(disk / "runs") == ""
    before = times(disk / "runs")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for runs in (disk / "runs", disk / "others"):
        assert "Read-only file system; expected a folder that may be written, such as another --runs" in build(runs)
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert build(disk / "runs") == ""
    assert times(disk / "runs") == before


def test_a_folder_that_may_not_be_written_is_one_sentence(build: Build, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("nothing is forbidden to root")
    (tmp_path / "closed").mkdir(mode=0o555)
    assert "Permission denied; expected a folder that may be written" in build(tmp_path / "closed" / "runs")
    assert "Permission denied; expected a folder that may be written" in build(tmp_path / "closed")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "a flipped byte": lambda path: flip(path, path.stat().st_size // 2),
    "its last byte flipped": lambda path: flip(path, path.stat().st_size - 1),
    "empty": lambda path: os.truncate(path, 0),
    "gone": lambda path: path.unlink(),
}


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_named_and_its_stage_alone_made_again(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, damage: str
) -> None:
    said: list[str] = []
    monkeypatch.setattr("spillover.store.stages.notify", said.append)
    build(tmp_path)
    expected, before = stages(tmp_path), times(tmp_path)
    (file,) = tmp_path.glob(f".stages/{kind}-*/*.parquet")
    DAMAGE[damage](file)
    assert build(tmp_path) == ""
    what = "gone" if damage == "gone" else "damaged since it was written"
    assert said == [f"{file}: {what}; making {file.parent.name} again"]
    assert stages(tmp_path) == expected
    assert {name for name, at in times(tmp_path).items() if at != before[name]} == {file.parent.name}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder whose predictions are stages."""
    store = Store(tmp_path / "runs", "a")
    evaluate = Experiment().evaluate.model_copy(update={"tasks": ("sentiment",), "languages": ("en",)})
    store.save("experiment.toml", dump_experiment(Experiment().model_copy(update={"evaluate": evaluate})))
    store.save("provenance.json", json.dumps({}))
    rows = [Prediction(str(i), "sentiment", "en", 0, (-1.0, -2.0)) for i in range(9)]
    for arm in ("base", "tuned"):
        store.get_or_make(
            "predictions",
            arm,
            f"predictions/{arm}/sentiment/en.parquet",
            lambda folder: write_predictions(folder / "en.parquet", rows, ("positive", "negative")),
        )
    return store.run


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_finished_run_that_is_damaged_is_not_read(run: Path, damage: str) -> None:
    assert len(read_run(run).reference) == 9
    DAMAGE[damage]((run / "predictions" / "tuned" / "sentiment" / "en.parquet").resolve())
    with pytest.raises(SpilloverError, match=r"en\.parquet: .*; run the experiment again, which makes anew") as caught:
        read_run(run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["truncated", "empty"])
def test_nor_is_one_that_was_copied_without_its_markers(run: Path, tmp_path: Path, damage: str) -> None:
    copied = shutil.copytree(run, tmp_path / "copy")
    assert len(read_run(copied).reference) == 9
    DAMAGE[damage](copied / "predictions" / "base" / "sentiment" / "en.parquet")
    with pytest.raises(SpilloverError, match=r"en\.parquet: cannot read it: .*; run the experiment again"):
        read_run(copied)


def test_a_clock_that_jumps_changes_nothing(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert build(tmp_path / "steady") == ""
    jumps = itertools.cycle((0.0, 4e9, 1.0, 2e9, -1e6))
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    monkeypatch.setattr(time, "time_ns", lambda: int(next(jumps) * 1e9))
    assert build(tmp_path / "runs") == ""
    assert stages(tmp_path / "runs") == stages(tmp_path / "steady")
    before = {path: path.read_bytes() for path in tmp_path.glob(f"runs/.stages/*/{MARKER}")}
    for path in tmp_path.glob("runs/.stages/*/*"):  # as if the first were written in 2096, the next in 1970, …
        os.utime(path, (next(jumps), abs(next(jumps))))
    assert build(tmp_path / "runs") == ""
    assert {path: path.read_bytes() for path in before} == before, "nothing is made again"

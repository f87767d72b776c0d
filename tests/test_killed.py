"""Killed with SIGKILL wherever it writes, the whole pipeline ends as if nothing had happened."""

import resource
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tomli_w

from killing import Point, run
from spillover.errors import SpilloverError
from spillover.records import Question, Tuning
from spillover.store import read_records, stages
from spillover.utils.marker import MARKER, is_complete

MARK = r"\.partial/complete\.json$"

POINTS = (
    Point("questions", "os.rename", r"small/experiment\.toml$", torn=True),
    Point("questions", "written", r"/questions-\w+\.partial/questions\.parquet$", torn=True),
    Point("questions", "os.rename", r"/questions-\w+" + MARK, torn=True),
    Point("questions", "os.rename", r"/questions-\w+$"),
    Point("questions", "os.rename", r"small/questions\.parquet$"),
    Point("translate", "written", r"^translations\.sqlite$"),
    Point("translate", "written", r"/pairs-\w+\.partial/de\.parquet$", torn=True),
    Point("translate", "os.rename", r"/pairs-\w+" + MARK, torn=True),
    Point("translate", "os.symlink", r"small/pairs/"),
    Point("build", "written", r"/examples-\w+\.partial/examples\.parquet$", torn=True),
    Point("build", "os.rename", r"/examples-\w+" + MARK),
    Point("build", "os.rename", r"/examples-\w+$"),
    Point("tune", "written", r"/checkpoint-1/adapter_model\.safetensors$", torn=True),
    Point("tune", "written", r"/checkpoint-1/optimizer\.pt$", torn=True),
    Point("tune", "os.rename", r"/checkpoint-1/complete\.json$", torn=True),
    Point("tune", "written", r"/checkpoint-2/adapter_model\.safetensors$", torn=True),
    Point("tune", "written", r"/adapter-\w+\.partial/adapter_model\.safetensors$", torn=True),
    Point("tune", "written", r"/adapter-\w+\.partial/history\.json$", torn=True),
    Point("tune", "os.rename", r"/adapter-\w+$"),
    Point("evaluate", "written", r"/predictions-\w+\.partial/\w+\.parquet$", torn=True),
    Point("evaluate", "os.rename", r"/predictions-\w+" + MARK, torn=True, nth=2),
    Point("evaluate", "os.rename", r"/predictions-\w+$"),
    Point("evaluate", "os.symlink", r"small/predictions/tuned/"),
    Point("analyze", "os.rename", r"/lens-\w+" + MARK),
    Point("analyze", "written", r"/trace-\w+\.partial/\w+\.safetensors$", torn=True, nth=2),
    Point("analyze", "os.rename", r"/reading-\w+$"),
    Point("analyze", "written", r"/patch-\w+\.partial/\w+\.safetensors$", torn=True),
    Point("analyze", "os.symlink", r"small/geometry/"),
    Point("report", "written", r"/bits-per-byte-\w+\.partial/\w+\.parquet$", torn=True, nth=2),
    Point("report", "written", r"/\.report\.new/tables/items\.csv$", torn=True),
    Point("report", "os.rename", r"/\.report\.new/complete\.json$", torn=True),
    Point("report", "os.rename", r"small/report$"),
    Point("report", "os.rename", r"small/provenance\.json$", torn=True),
)
"""In the pipeline's order: each run goes on from what the one before left, and dies a little later."""


@pytest.fixture(scope="module")
def experiment(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything once, and little of it: two steps of tuning, four cells."""
    table = {
        "model": {"name": str(tiny("llama")), "dtype": "float32"},
        "questions": {"limit": 10},
        "translate": {"to": ["de"], "with": "killing:Engine"},
        "tune": {"epochs": 2, "learning_rate": 1e-2, "validation_share": 0.1, "dropout": 0.3, "translations": 0},
        "evaluate": {"tasks": ["sentiment"], "languages": ["en", "sw"], "limit": 6},
        "analyze": {"limit": 4, "texts": 2, "patch": 1},
    }
    path = tmp_path_factory.mktemp("killed") / "small.toml"
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def unbroken(experiment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folders of a run that nobody disturbed."""
    home = tmp_path_factory.mktemp("unbroken")
    assert run(["run", str(experiment), "--runs", str(home / "runs")], home) == 0, (home / "output").read_text()
    return home / "runs"


def contents(folder: Path) -> dict[str, bytes]:
    """Return what a finished stage holds, but for its marker, which says how long it took."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MARKER)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def assert_nothing_half_made_counts(runs: Path, unbroken: Path) -> None:
    """Check that each stage there is, is the unbroken run's to the byte, and that each link leads to one."""
    for folder in (runs / ".stages").iterdir():
        if folder.is_dir() and folder.suffix != ".partial":
            assert is_complete(folder), folder
            assert contents(folder) == contents(unbroken / ".stages" / folder.name), folder
    for link in (path for path in (runs / "small").rglob("*") if path.is_symlink() and not path.name.startswith(".")):
        assert link.exists(), link
    report = runs / "small" / "report"
    assert is_complete(report) or not report.exists()


def results(runs: Path) -> dict[str, bytes]:
    """Return predictions, tables and charts, and what was tuned, file by file; not what it cost, which varies."""
    found = {}
    for name in ("predictions", "adapter", "report/tables", "report/figures"):
        for path in sorted((runs / "small" / name).rglob("*")):
            if path.is_file() and path.name != MARKER and path.stem not in ("cost", "characters"):
                found[path.relative_to(runs).as_posix()] = path.read_bytes()
    return found


def test_killed_at_every_kind_of_write_it_ends_like_an_unbroken_run(
    experiment: Path, unbroken: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    command = ["run", str(experiment), "--runs", str(runs)]
    for point in POINTS:
        assert run(command, tmp_path, point) == -signal.SIGKILL, (point, (tmp_path / "output").read_text())
        assert_nothing_half_made_counts(runs, unbroken)
    assert run(command, tmp_path) == 0, (tmp_path / "output").read_text()
    assert_nothing_half_made_counts(runs, unbroken)
    found, expected = results(runs), results(unbroken)
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
    assert not list(runs.rglob("*.partial"))
    assert not list((runs / "small").rglob(".*")), "nothing that a kill left lies about"
    hits = [line.partition(":")[0] for line in (tmp_path / "hits").read_text().splitlines()]
    assert hits == [point.stage for point in POINTS]
    assert len(hits) >= 25
    assert min(Counter(hits).values()) >= 3


def tune_within(size: int) -> None:
    """Let tuning write no file larger than this, in bytes: what a full disk does to torch and safetensors."""
    from spillover.models.tuning import tune as module

    real = module.tune

    def tune(*arguments: Any) -> Tuning:  # noqa: ANN401
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        return real(*arguments)

    setattr(module, "tune", tune)  # noqa: B010


@pytest.fixture
def runs(unbroken: Path, tmp_path: Path) -> Path:
    """A copy of the unbroken run's folders."""
    return shutil.copytree(unbroken, tmp_path / "runs", symlinks=True)


class Untuned(NamedTuple):
    """Run folders whose adapter is gone."""

    command: list[str]
    """Arguments that make it again."""
    adapter: Path
    """Where it was."""
    contents: dict[str, bytes]
    """What it held."""


@pytest.fixture
def untuned(experiment: Path, runs: Path) -> Untuned:
    (adapter,) = runs.glob(".stages/adapter-*/")
    expected = contents(adapter)
    shutil.rmtree(adapter)
    return Untuned(["tune", str(experiment), "--runs", str(runs)], adapter, expected)


@pytest.mark.parametrize("size", [2_000, 14_000])
def test_a_disk_that_fills_up_in_tuning_is_one_sentence_and_loses_nothing(
    untuned: Untuned, tmp_path: Path, size: int
) -> None:
    assert run(untuned.command, tmp_path, prepare=partial(tune_within, size)) == 2
    refused = [line for line in (tmp_path / "output").read_text().splitlines() if line.startswith("spillover: ")]
    assert len(refused) == 1
    assert "cannot write stage 'adapter': " in refused[0]
    assert "Traceback" not in (tmp_path / "output").read_text()
    assert run(untuned.command, tmp_path) == 0
    assert contents(untuned.adapter) == untuned.contents


def test_a_flipped_byte_in_an_adapter_is_noticed_and_the_run_mends_it(
    experiment: Path, unbroken: Path, runs: Path, tmp_path: Path
) -> None:
    (weights,) = runs.glob(".stages/adapter-*/adapter_model.safetensors")
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    assert run(["export", "model", str(runs / "small"), str(tmp_path / "model")], tmp_path) == 2
    assert f"{weights}: damaged since it was written; run the experiment again" in (tmp_path / "output").read_text()
    assert not (tmp_path / "model").exists()
    assert run(["run", str(experiment), "--runs", str(runs)], tmp_path) == 0
    told = "".join((tmp_path / "output").read_text().split())  # lines are wrapped where they may be
    assert f"{weights}:damagedsinceitwaswritten;making{weights.parent.name}again" in told
    assert results(runs) == results(unbroken)


def test_a_signal_in_tuning_is_one_sentence_and_the_same_command_goes_on(
    untuned: Untuned, runs: Path, tmp_path: Path
) -> None:
    point = Point("tune", "os.rename", r"/checkpoint-2/complete\.json$", number=signal.SIGTERM)
    assert run(untuned.command, tmp_path, point) == 143
    output = (tmp_path / "output").read_text()
    assert f"spillover: interrupted by SIGTERM; all that is finished is kept in {runs / 'small'}, " in output
    assert "Traceback" not in output
    assert list(untuned.adapter.with_name(f"{untuned.adapter.name}.partial").rglob("checkpoint-1"))
    assert run(untuned.command, tmp_path) == 0
    assert contents(untuned.adapter) == untuned.contents


def in_place() -> None:
    """Write stages where they belong at once, and trust what is there: what this project does not do."""
    for name, function in (
        ("partial_folder", lambda path: path),
        ("integrity_error", lambda path: "" if path.exists() else "not there"),
        ("is_complete", lambda path: False),
    ):
        setattr(stages, name, function)


def test_written_in_place_a_torn_file_would_be_read(experiment: Path, tmp_path: Path) -> None:
    """So the test above can fail."""
    command = ["questions", str(experiment), "--runs", str(tmp_path / "runs")]
    torn = Point("questions", "written", r"/questions-\w+/questions\.parquet$", torn=True)
    assert run(command, tmp_path, torn, prepare=in_place) == -signal.SIGKILL
    assert run(command, tmp_path, prepare=in_place) == 0, "what is torn is trusted"
    (file,) = (tmp_path / "runs").glob(".stages/questions-*/questions.parquet")
    with pytest.raises(SpilloverError, match="cannot read it"):
        read_records(file, Question)

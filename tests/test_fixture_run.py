"""A run folder made by version 0.1.0 still opens: what was computed then is read, not computed again."""

import json
import tarfile
from pathlib import Path

import pytest

from calls import Call
from spillover.records import Example
from spillover.store import read_records

ARCHIVE = Path(__file__).parent / "fixtures" / "run-0.1.0.tar.gz"
"""Model, data, experiment file and the run folder `runs/before`, as version 0.1.0 left them."""

CHANGED = {"pairs": "more is checked of a translation than in 0.1.0, so the checks are run again"}
"""Kind of stage that is made anew on purpose → why."""

ADDED = {
    "fertility.parquet": "0.1.0 did not count the tokens of a language's texts",
    "first_prompts.parquet": "0.1.0 did not show an arm's first prompt",
}
"""Link of a stage that 0.1.0 did not have → why."""

RUN = Path("runs", "before")

Links = dict[str, str]
"""Link in the run folder → the stage it leads to."""


@pytest.fixture
def unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which 0.1.0 was called, now the working directory, as `experiment.toml` needs it."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def links() -> Links:
    stages = Path("runs", ".stages").resolve()
    return {
        str(link.relative_to(RUN)): link.resolve().relative_to(stages).parts[0]
        for link in RUN.rglob("*")
        if link.is_symlink()
    }


def kind(stage: str) -> str:
    return stage.rpartition("-")[0]


def made() -> list[str]:
    """Return the stages that were made, by the run's log."""
    rows = map(json.loads, (RUN / "log.jsonl").read_text("utf-8").splitlines())
    return [row["stage"] for row in rows if row["event"] == "made"]


@pytest.mark.usefixtures("unpacked", "one_thread", "without_pictures")
def test_a_run_folder_of_the_first_version_opens(call: Call) -> None:
    old, then, stages = links(), made(), {path.name for path in Path("runs", ".stages").iterdir()}
    assert len(old) == len(set(then)) == len(stages) == 37, "the archive is what it was"

    ended = call("run", "experiment.toml", "--name", "before")
    assert ended.status == 0, ended.err
    assert {kind(stage) for stage in made()[len(then) :]} == {*CHANGED, "fertility", "first_prompts"}
    new = links()
    assert new.keys() == old.keys() | ADDED.keys()
    assert {kind(stage) for link, stage in old.items() if new[link] != stage} == set(CHANGED)
    assert (RUN / "report" / "index.html").stat().st_size > 0

    assert call("run", "experiment.toml", "--name", "now", "--set", "seed=1").status == 0
    again = call("compare", RUN, "runs/now")
    assert again.status == 0, again.err
    assert "sentiment" in again.out
    assert "before: Whether the treatment took is not known" in " ".join(again.out.split())
    assert call("export", "data", "experiment.toml", "examples", "--name", "before").status == 0
    (lines,) = (path.read_text("utf-8").splitlines() for path in Path("examples").glob("*.jsonl"))
    assert len(lines) == len(read_records(RUN / "examples.parquet", Example)) > 0
    assert call("export", "model", RUN, "tuned").status == 0
    assert (Path("tuned") / "model.safetensors").exists()
    assert made()[len(then) + len(CHANGED) + len(ADDED) :] == [], "what reads a run makes nothing"


@pytest.mark.usefixtures("unpacked", "one_thread", "without_pictures")
def test_another_model_is_not_taken_for_the_first(call: Call) -> None:
    """The broken twin: the test above would see what is made anew."""
    weights = Path("model", "model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    before = len(made())
    assert call("evaluate", "experiment.toml", "--name", "before").status == 0
    assert {"adapter", "predictions"} <= {kind(stage) for stage in made()[before:]}

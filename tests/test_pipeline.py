"""One run asks each source once per language, whatever its stages read."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w

from calls import Call
from counting import REQUESTS
from spillover.experiment import Experiment
from spillover.stages.inputs import Inputs

ITEMS, TO = ("de", "en", "th"), ("de", "zh")


@pytest.fixture
def experiment(tiny: Callable[[str], Path], tmp_path: Path) -> Path:
    """All that reads questions or items: pairs, leakage, lint, lenses, patches, geometry, forgotten texts."""
    table = {
        "model": {"name": str(tiny("llama")), "dtype": "float32"},
        "questions": {"source": "counting:Source", "limit": 8},
        "translate": {"to": list(TO)},
        "mixture": {"allow_overlap": True},
        "tune": {"epochs": 1, "translations": 0, "validation_share": 0},
        "evaluate": {"source": "counting:Source", "tasks": ["sentiment"], "languages": list(ITEMS), "limit": 4},
        "analyze": {"limit": 4, "texts": 2, "patch": 1, "metrics": ["cka"]},
    }
    path = tmp_path / "counted.toml"
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    REQUESTS.clear()
    return path


def expected() -> dict[tuple[str, str, str], int]:
    questions = {("questions", "sentiment", code): 1 for code in ("en", *TO)}
    return questions | {("items", "sentiment", code): 1 for code in ITEMS}


@pytest.mark.usefixtures("one_thread", "without_pictures")
def test_all_seven_stages_ask_a_source_once_per_language(call: Call, experiment: Path, tmp_path: Path) -> None:
    ended = call("run", experiment, "--runs", tmp_path / "runs")
    assert ended.status == 0, ended.err
    assert dict(REQUESTS) == expected()


@pytest.mark.parametrize("recipe", ["both", "two-stage", "annotated-multilingual"])
def test_every_recipe_asks_once(call: Call, experiment: Path, tmp_path: Path, recipe: str) -> None:
    ended = call("build", experiment, "--runs", tmp_path / "runs", "--set", f"mixture.recipe={recipe}")
    assert ended.status == 0, ended.err
    assert set(REQUESTS.values()) == {1}, REQUESTS


def test_fails_where_nothing_is_remembered(
    call: Call, experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken twin: questions and items are read whenever somebody asks."""
    monkeypatch.setattr(Inputs, "questions_in", lambda self, code: self.question_source.questions(self.task, code))
    monkeypatch.setattr(Inputs, "items_in", lambda self, task, code: self._source(task)[0].items(task, code))
    call("lint", experiment)
    assert call("build", experiment, "--runs", tmp_path / "runs").status == 0
    assert max(REQUESTS["questions", "sentiment", code] for code in TO) > 1


@pytest.mark.usefixtures("one_thread")
def test_a_run_of_three_arms(call: Call, experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third arm, the base model under another name, changes nothing in the first two, and gains nothing itself."""
    from spillover import pipeline
    from spillover.stages.arms import Arm

    assert call("run", experiment, "--runs", tmp_path / "runs", "--name", "two").status == 0
    made = pipeline.Run.arms.func
    monkeypatch.setattr(
        pipeline.Run, "arms", property(lambda run: (*made(run), Arm("again", run.experiment, None))), raising=True
    )
    monkeypatch.setattr(Experiment, "pairs", property(lambda _: [("base", "tuned"), ("base", "again")]))
    ended = call("run", experiment, "--runs", tmp_path / "runs", "--name", "three")
    assert ended.status == 0, ended.err
    two, three = tmp_path / "runs" / "two", tmp_path / "runs" / "three"
    for folder in ("predictions", "traces", "readings", "patches", "explorer", "bits-per-byte"):
        assert sorted(path.name for path in (three / folder).iterdir()) == ["again", "base", "tuned"]
    of_all_arms = {"geometry", "first_prompts.parquet"}
    links = [link for link in two.rglob("*") if link.is_symlink() and of_all_arms.isdisjoint(link.parts)]
    assert all((three / link.relative_to(two)).resolve() == link.resolve() for link in links)

    def rows(folder: Path, name: str) -> list[dict[str, str]]:
        return list(csv.DictReader((folder / "report" / "tables" / name).open(encoding="utf-8", newline="")))

    gains = [row for row in rows(three, "gains.csv") if row["arm"] == "again"]
    assert [float(row["difference"]) for row in gains] == [0.0] * len(ITEMS)
    assert len(rows(three, "gains.csv")) == 2 * len(rows(two, "gains.csv"))
    for name in ("forgetting.csv", "latent.csv"):
        assert [row for row in rows(three, name) if row["arm"] == "tuned"] == rows(two, name)
    assert {row["arm"] for row in rows(three, "neurons.csv")} in (set(), {"base", "tuned", "again"})
    assert (three / "report" / "figures" / "gains-again-base-sentiment.png").exists()

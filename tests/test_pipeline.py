"""One run asks each source once per language, whatever its stages read."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w

from calls import Call
from counting import REQUESTS
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


@pytest.mark.usefixtures("one_thread")
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

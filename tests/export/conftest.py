"""A small finished run, made once, and the command line in this process."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w

from calls import Call


def write_corpus(root: Path) -> None:
    """Write eight questions and four items, one of which is a question too."""
    texts = {
        code: [f"{word} {number}" for number in range(8)] for code, word in (("en", "Good day"), ("de", "Guten Tag"))
    }
    for code, lines in texts.items():
        for kind, chosen in (("questions", lines), ("items", [lines[0], "x", "y", "z"])):
            path = root / "sentiment" / kind / f"{code}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = [
                {"id": f"{kind}{n}", "text": text, "label": ("positive", "negative")[n % 2]}
                for n, text in enumerate(chosen)
            ]
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny: Callable[[str], Path]) -> Path:
    """A folder with an experiment in it, its overlap allowed."""
    place = tmp_path_factory.mktemp("export")
    write_corpus(place / "corpus")
    table = {
        "model": {"name": str(tiny("llama")), "dtype": "float32"},
        "questions": {"source": f"folder:{place / 'corpus'}"},
        "translate": {"to": ["de"]},
        "mixture": {"allow_overlap": True, "frame": "task-frame"},
        "tune": {"epochs": 2, "learning_rate": 1e-1, "batch": 2},
        "evaluate": {"tasks": ["sentiment"], "languages": ["en", "de"]},
        "analyze": {"limit": 0},
    }
    (place / "small.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
    return place


@pytest.fixture
def run(call: Call, folder: Path, without_pictures: None) -> Path:
    """The run folder; all but the first test find it made."""
    made = folder / "runs" / "small"
    if not (made / "report").is_dir():
        ended = call("run", folder / "small.toml", "--runs", folder / "runs")
        assert ended.status == 0, ended.err
    return made

"""A small experiment on a tiny model and a few of the starter's items, and what its run folder holds."""

import json
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import tomli_w

from calls import Call, Ended

STARTER = Path(str(files("spillover").joinpath("data", "starter")))
SIZES = {"sentiment": 8, "entailment": 6}
"""Task → how many of its items."""
QUESTIONS = 24
LANGUAGES = ("en", "de", "sw")
LATER = "nl"
"""A language whose items are there, and which the evaluation gets later."""

STAGES = ("questions", "translate", "build", "tune", "evaluate", "analyze", "report")
"""The stages' commands, in the order of the pipeline."""


def write_corpus(root: Path) -> Path:
    """Write a few of the starter's items and questions, one file in each format."""
    for task, count in SIZES.items():
        for code in (*LANGUAGES, LATER):
            rows = [json.loads(line) for line in lines_of(STARTER / task / "items" / f"{code}.jsonl")[:count]]
            place = root / task / "items" / code
            place.parent.mkdir(parents=True, exist_ok=True)
            if code == "sw":
                place.with_suffix(".json").write_text(json.dumps(rows), encoding="utf-8")
            else:
                lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
                place.with_suffix(".jsonl").write_text(lines, encoding="utf-8")
    for code in ("en", "de"):
        place = root / "sentiment" / "questions" / f"{code}.jsonl"
        place.parent.mkdir(parents=True, exist_ok=True)
        first = lines_of(STARTER / "sentiment" / "questions" / f"{code}.jsonl")[:QUESTIONS]
        place.write_text("\n".join(first), encoding="utf-8")
    return root


def lines_of(path: Path) -> list[str]:
    return path.read_text("utf-8").removesuffix("\n").split("\n")


def write_experiment(path: Path, model: Path, corpus: Path) -> Path:
    table = {
        "model": {"name": str(model), "dtype": "float32"},
        "questions": {"source": f"folder:{corpus}"},
        "translate": {"to": ["de"]},
        "tune": {"epochs": 1, "learning_rate": 1e-2},
        "evaluate": {"tasks": list(SIZES), "languages": list(LANGUAGES)},
        "analyze": {"limit": 4},
    }
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    return path


def made(runs: Path, name: str = "small") -> Counter[str]:
    """Return how many stages of which kind a run has made so far."""
    log = runs / name / "log.jsonl"
    events = [json.loads(line) for line in lines_of(log)] if log.exists() else []
    return Counter(event["stage"].rpartition("-")[0] for event in events if event["event"] == "made")


def times(runs: Path) -> dict[str, int]:
    """Return file → time of its last change, for every finished stage."""
    paths = (runs / ".stages").rglob("*")
    stored = (path for path in paths if path.is_file() and path.suffix not in (".lock", ".holder"))
    return {path.relative_to(runs).as_posix(): path.stat().st_mtime_ns for path in stored}


def unfinished(runs: Path) -> list[str]:
    """Return what is under the run folders and is not whole: stages without a marker, links to nowhere."""
    stages = [path for path in runs.glob(".stages/*") if path.is_dir() and not (path / "complete.json").is_file()]
    broken = [path for path in runs.rglob("*") if path.is_symlink() and not path.exists()]
    halves = [path for path in runs.glob("*/.*") if path.parent.name != ".stages"]
    return sorted(path.relative_to(runs).as_posix() for path in (*stages, *broken, *halves))


class Step(NamedTuple):
    """What one command left."""

    ended: Ended
    made: Counter[str]
    """How many stages of which kind it made."""
    unfinished: list[str]
    """What is not whole after it."""


class SmallRun(NamedTuple):
    """A run folder that the stages' commands filled one by one, before `run` came to it."""

    folder: Path
    steps: dict[str, Step]
    """Command → what it left."""
    before: dict[str, int]
    """The times of the stages' files before `run`."""
    after: dict[str, int]
    """The times of the stages' files after `run`."""


def run_stages(call: Call, experiment: Path, runs: Path) -> SmallRun:
    """Call every stage's command in their order, then `run`."""
    steps = {stage: take_step(call, stage, experiment, runs) for stage in STAGES}
    before = times(runs)
    steps["run"] = take_step(call, "run", experiment, runs)
    return SmallRun(runs / experiment.stem, steps, before, times(runs))


def take_step(call: Call, command: str, experiment: Path, runs: Path) -> Step:
    """Call one command."""
    earlier = made(runs)
    ended = call(command, experiment, "--runs", runs)
    return Step(ended, made(runs) - earlier, unfinished(runs))

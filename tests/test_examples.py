"""The files in `examples/`: each is a valid experiment, and the arms differ in what they say they do."""

import csv
import runpy
import sys
import tomllib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from places import ROOT
from spillover.analysis.statistics.calibrate import centered
from spillover.analysis.statistics.estimate import macro_auc
from spillover.analysis.statistics.pairing import is_correct, pair_arms
from spillover.experiment import Experiment, load_experiment
from spillover.organism.grammar import WORLDS, make_lexicon
from spillover.plugins import EXECUTORS
from spillover.records import Prediction
from spillover.runs.read import read_run
from spillover.sources import open_source
from spillover.sources.replay import read_replay
from spillover.stages.build import expected_examples
from spillover.sweep import load_grid
from spillover.sweep.plan import plan_tasks
from spillover.tasks import open_task

EXAMPLES = ROOT / "examples"
GRIDS = {
    "english-first-dose.toml": 2,
    "english-first-order.toml": 9,
    "english-first.toml": 12,
    "recipes.toml": 9,
    "search.toml": 16,
    "sentiment-dose.toml": 2,
    "small-grid.toml": 8,
    "paper-grid.toml": 216,
}
"""File whose keys may be lists of values → experiments in it."""

ARMS = ("question-translation", "shuffled-pairs", "copy", "annotated-english")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.name)
def test_each_example_is_an_experiment(path: Path) -> None:
    if path.name not in GRIDS:
        load_experiment(path)


@pytest.mark.parametrize("name", GRIDS)
def test_each_combination_of_a_grid_is_an_experiment(name: str) -> None:
    trials = load_grid(EXAMPLES / name)
    assert len({trial.name for trial in trials}) == len({trial.experiment.model_dump_json() for trial in trials})
    assert len(trials) == GRIDS[name]


def test_what_is_learned_first_is_a_twentieth_of_the_pairs() -> None:
    translation, _, annotated = (trial.experiment for trial in load_grid(EXAMPLES / "english-first-order.toml")[:3])
    assert expected_examples(translation, 6000) == [(24_000, 0.05), (6000, 1)], "four languages; then English alone"
    assert expected_examples(annotated, 6000) == [(6000, 1)]


def test_the_papers_grid_has_its_models_and_mixtures_and_shares_its_adapters() -> None:
    paper = tomllib.loads(files("spillover.data").joinpath("published.toml").read_text("utf-8"))
    trials = [trial.experiment for trial in load_grid(EXAMPLES / "paper-grid.toml")]
    assert {trial.model.name.partition("/")[2] for trial in trials} == set(paper["setup"]["models"])
    assert {trial.mixture_name for trial in trials} == {name for name in paper["table1"] if name != "base"}
    lora, optimizer = paper["setup"]["lora"], paper["setup"]["optimiser"]
    for trial in trials:
        assert trial.questions.limit == paper["setup"]["questions_per_direction"]
        assert (trial.tune.rank, trial.tune.alpha, list(trial.tune.targets)) == tuple(lora.values())
        for key in ("learning_rate", "warmup_ratio", "batch", "epochs", "cutoff", "validation_share"):
            assert getattr(trial.tune, key) == optimizer[key]
    tasks = plan_tasks(load_grid(EXAMPLES / "paper-grid.toml"), Path("runs"), "paper-grid")
    assert sum(task.step == "tune" for task in tasks) == 216 / 3


def test_the_recipes_differ_in_the_mixture_alone_and_the_first_is_the_organisms_own() -> None:
    trials = [trial.experiment for trial in load_grid(EXAMPLES / "recipes.toml")]
    names = [trial.mixture_name for trial in trials]
    assert names[0] == "qsa/qsb=>qpa"
    assert names[-1] == "qsa/qsb=>qpa (shuffled)"
    assert len(set(names)) == len(trials) == 9
    rest = [trial.model_dump(exclude={"mixture"}) for trial in trials]
    assert all(table == rest[0] for table in rest)
    own = load_experiment(EXAMPLES / "organism.toml")
    alike = ("model", "questions", "translate", "mixture", "tune", "languages", "report")
    assert all(getattr(trials[0], name) == getattr(own, name) for name in alike)


def test_the_texts_of_replay_are_the_pivots_and_none_is_an_item() -> None:
    (trial,) = [t.experiment for t in load_grid(EXAMPLES / "recipes.toml") if "replay" in t.experiment.mixture_name]
    source = open_source("organism", {}, "test")
    with trial.registered():
        rows = read_replay("folder:" + str(EXAMPLES / "organism-replay"), False, "test")
        items = {item.fields[0] for item in source.items(open_task("organism:related"), "qpa")}
    words = {word for row in rows for word in row.target.split()} - {"Text:", "Polarity:", "negative", "positive"}
    assert words <= set(make_lexicon(WORLDS["organism"]).words["qpa"].values())
    assert {row.language for row in rows} == {"qpa"}
    assert not {line.removeprefix("Text: ") for row in rows for line in row.target.splitlines()} & items


def test_the_arms_differ_in_the_recipe_and_in_what_it_needs_alone() -> None:
    def rest(experiment: Experiment) -> dict[str, Any]:
        table = experiment.model_dump()
        del table["mixture"]["recipe"], table["questions"]["limit"]
        return table

    arms = [load_experiment(EXAMPLES / f"arm-{name}.toml") for name in ARMS]
    assert tuple(arm.mixture.recipe for arm in arms) == ARMS
    assert all(rest(arm) == rest(arms[0]) for arm in arms)
    limits = [arm.questions.limit for arm in arms]
    assert limits[:3] == limits[:1] * 3
    assert limits[3] > limits[0], "a label has fewer tokens than a question"


@pytest.mark.usefixtures("one_thread", "without_pictures")
def test_a_grid_is_halved_and_its_arms_laid_side_by_side(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def example(name: str, *arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        capsys.readouterr()
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    monkeypatch.setitem(EXECUTORS, "local", "instant:inline")
    monkeypatch.chdir(tmp_path)
    grid = {
        "model": {"name": str(tiny("llama")), "dtype": "float32", "threads": 1},
        "questions": {"limit": 8},
        "translate": {"to": ["de"]},
        "tune": [{"epochs": 1, "learning_rate": rate, "translations": 0} for rate in (1e-3, 1e-1, 2e-1)],
        "evaluate": {"tasks": ["sentiment"], "languages": ["en", "de", "sw", "th"]},
        "analyze": {"limit": 0, "texts": 0},
    }
    path = tmp_path / "grid.toml"
    path.write_text(tomli_w.dumps(grid), encoding="utf-8")
    example("halving.py", path, 4, 8, 12, "--runs", tmp_path / "runs")
    with (tmp_path / "runs" / "grid-12" / "halving.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["items"] for row in rows] == ["4", "4", "4", "8", "8", "12"]
    first, second, third = ([row for row in rows if row["items"] == items] for items in ("4", "8", "12"))
    for rung in (first, second):
        gains = [float(row["auc_gain"]) for row in rung]
        assert gains == sorted(gains, reverse=True)
    assert {row["arm"] for row in second} == {row["arm"] for row in first[:2]}
    assert third[0]["arm"] == second[0]["arm"]
    assert {row["languages"] for row in rows} == {"2"}, "English and German were tuned on"
    adapters = {path for path in (tmp_path / "runs" / ".stages").glob("adapter-*") if path.is_dir()}
    assert len(adapters) == 3, "no rung tunes again"
    winner = tmp_path / "runs" / "grid-12" / third[0]["arm"]
    tuned = [p for p in read_run(winner).arm if isinstance(p, Prediction)]
    areas = {
        code: 100 * roc_auc_score([p.gold for p in own], [p.logprobs[1] - p.logprobs[0] for p in own])
        for code, own in ((code, [p for p in tuned if p.language == code]) for code in ("en", "de", "sw", "th"))
    }
    assert float(third[0]["auc"]) == pytest.approx((areas["sw"] + areas["th"]) / 2, abs=0.01)
    laid_out = tmp_path / "arms.csv"
    printed = example("arms.py", laid_out, winner, winner)
    laid = list(csv.DictReader(laid_out.read_text(encoding="utf-8").splitlines()))
    assert [row["arm"] for row in laid] == ["base"] * 4 + ["question-translation"] * 8
    for row in laid[4:]:
        assert float(row["auc"]) == pytest.approx(areas[row["language"]], abs=0.01)
        assert row["tuned_on"] == str(int(row["language"] in ("en", "de")))
        assert (row["n"], row["seed"], row["task"]) == ("12", "0", "sentiment")
        own = [p for p in tuned if p.language == row["language"]]
        right = sum((p.logprobs[1] > p.logprobs[0]) == p.gold for p in own)
        assert float(row["accuracy"]) == pytest.approx(100 * right / 12, abs=0.01)
    gain = sum(
        float(row["auc"]) * (1 if row["arm"] != "base" else -2) / 4 for row in laid if row["language"] in ("sw", "th")
    )
    (line,) = printed.splitlines()[2:]
    assert line.startswith("| sentiment | question-translation |"), "two seeds of one arm, nothing to subtract"
    assert float(line.split("|")[-2].split()[0]) == pytest.approx(gain, abs=0.06)


def test_the_first_arm_is_set_against_each_other_on_the_same_items() -> None:
    arms = runpy.run_path(str(EXAMPLES / "arms.py"))
    rng = np.random.default_rng(0)
    gold = np.arange(40) % 2
    base = rng.normal(size=(40, 2))
    better = base + 0.7 * (gold[:, None] == np.arange(2))

    def arm(recipe: str, seed: int, tuned: NDArray[np.float64]) -> Any:  # noqa: ANN401
        def predictions(scores: dict[str, NDArray[np.float64]]) -> list[Prediction]:
            return [
                Prediction(f"{item:02}", "sentiment", code, int(gold[item]), tuple(row))
                for code, rows in scores.items()
                for item, row in enumerate(rows.tolist())
            ]

        after = {"en": base[::-1], "sw": tuned, "th": tuned}
        cells = pair_arms(predictions(dict.fromkeys(after, base)), predictions(after))
        return arms["Arm"](recipe, seed, frozenset({"en"}), cells)

    shifted = base + np.array([5.0, 0.0])  # one label preferred: accuracy falls to a half, nothing is told apart worse
    found = arms["gains"]([arm("a", 0, better), arm("a", 1, base), arm("b", 0, shifted)], "sentiment")
    margin = base[:, 1] - base[:, 0]
    area = roc_auc_score(gold, margin)
    expected = 50 * (roc_auc_score(gold, better[:, 1] - better[:, 0]) - area)
    assert found["a"][0, 2] == pytest.approx(expected), "the mean of a seed that gains and one that does not"
    assert found["b"][0, 0] == pytest.approx(50 - 100 * ((margin > 0) == gold).mean())
    assert found["b"][:, 1:] == pytest.approx(np.zeros((len(found["b"]), 2)), abs=1e-9)
    assert found["a"][1:, 2].std() > 0


def test_the_arms_measures_are_the_runs_own_on_each_draw() -> None:
    measures = runpy.run_path(str(EXAMPLES / "arms.py"))["measures"]
    rng = np.random.default_rng(1)
    scores, gold = rng.normal(size=(30, 3)).round(1), np.arange(30) % 3  # rounded: some margins tie
    counts = np.vstack([np.ones(30), rng.multinomial(30, np.full(30, 1 / 30), size=4)]).astype(int)
    for drawn, found in zip(counts, measures(scores, gold, counts), strict=True):
        items = np.repeat(np.arange(30), drawn)
        own, golds = scores[items], gold[items]
        expected = is_correct(own, golds).mean(), is_correct(centered(own), golds).mean(), macro_auc(own, golds).value
        assert found == pytest.approx(100 * np.array(expected))

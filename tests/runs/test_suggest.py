"""`spillover suggest` through the real command line: run folders written by hand, a tiny model that is traced."""

import json
from collections.abc import Callable
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from calls import Call, Ended
from spillover.experiment import dump_experiment, parse_experiment
from spillover.languages import languages
from spillover.records import Prediction
from spillover.store import write_predictions

pytestmark = pytest.mark.usefixtures("one_thread")
POOL = ("zh", "de", "fr", "sw", "hi")
MIXTURES = (*((code,) for code in POOL), *combinations(POOL, 2))
ITEMS = 200


@pytest.fixture
def experiment(tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("spillover.analysis.statistics.suggest.PERMUTATIONS", 99)
    table = {
        "model": {"name": str(tiny("llama")), "dtype": "float32"},
        "evaluate": {"tasks": ["sentiment"], "limit": 6, "languages": ["en"]},
        "analyze": {"limit": 4},
    }
    path = tmp_path / "small.toml"
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    return path


def write_run(runs: Path, model: str, to: tuple[str, ...], gain: float, number: int) -> None:
    """Write a finished run whose arms differ by `gain` in every language."""
    folder, random = runs / f"run{number}", np.random.default_rng(number)
    table = {"model": {"name": model}, "translate": {"to": list(to)}, "evaluate": {"tasks": ["sentiment"]}}
    folder.mkdir(parents=True)
    (folder / "experiment.toml").write_text(dump_experiment(parse_experiment(table, "test")), encoding="utf-8")
    (folder / "provenance.json").write_text(json.dumps({"parameters": "1000"}), encoding="utf-8")
    for arm, skill in (("base", 0.5), ("tuned", 0.5 + gain)):
        for code in ("en", "th", "bn", "ms"):
            wins = random.permutation(ITEMS) < skill * ITEMS
            rows = [
                Prediction(str(i), "sentiment", code, i % 2, (0.0, -1.0) if win == (i % 2 == 0) else (-1.0, 0.0))
                for i, win in enumerate(wins.tolist())
            ]
            place = folder / "predictions" / arm / "sentiment" / f"{code}.parquet"
            place.parent.mkdir(parents=True, exist_ok=True)
            write_predictions(place, rows, ("positive", "negative"))


Suggest = Callable[..., Ended]


@pytest.fixture
def suggest(call: Call, experiment: Path, monkeypatch: pytest.MonkeyPatch) -> Suggest:
    """Return a function that asks for suggestions with these options."""
    monkeypatch.setenv("COLUMNS", "200")
    return partial(call, "suggest", experiment, "--runs", experiment.parent / "runs")


def flat(text: str) -> str:
    return " ".join(text.split())


def test_without_a_run_it_guesses_by_likeness_and_says_so(suggest: Suggest, experiment: Path) -> None:
    ended = suggest("--for", "no,is")
    assert ended.status == 0, ended.err
    found = flat(ended.out)
    assert "Which languages help no, is is not known: no mixture was measured." in found
    assert "A guess, by likeness alone:" in found
    for predictor in ("script", "family", "fertility", "alignment"):
        assert predictor in found
    assert "of 136" in found, "two of the 17 that are neither the pivot nor asked about"
    traces = sorted((experiment.parent / "runs").glob(".stages/trace-*/complete.json"))
    assert len(traces) == len(languages())
    times = [path.stat().st_mtime_ns for path in traces]
    assert flat(suggest("--for", "no,is").out) == flat(ended.out)
    assert [path.stat().st_mtime_ns for path in traces] == times, "traced once"


def test_it_learns_from_the_runs_of_this_model_which_language_helps(
    suggest: Suggest, experiment: Path, tiny: Callable[[str], Path]
) -> None:
    runs = experiment.parent / "runs"
    for number, to in enumerate(MIXTURES):
        write_run(runs, str(tiny("llama")), to, 0.04 + 0.2 * ("fr" in to) / len(to), number)
    write_run(runs, "another-model", ("fr",), -0.4, 99)
    found = suggest("--for", "th,bn", "--among", ",".join(POOL), "--set", "analyze.limit=0")
    assert found.status == 0, found.err
    assert found.err.count("clusters.json") <= 1, "said once, not of each run"
    text = flat(found.out)
    assert "Tune on French and" in text or "and French" in text.partition(":")[0]
    assert "predicted mean gain in th, bn +" in text
    assert "leaving out one of 15 mixtures at a time" in text
    assert "alignment" not in text, "nothing is traced where the experiment traces nothing"
    few = suggest("--for", "th", "--from", "run0", "--from", str(runs / "run1"), "--set", "analyze.limit=0")
    assert "2 mixtures were measured, too few to learn from. Of the measured mixtures, " in flat(few.out)


def test_runs_that_differ_for_no_reason_teach_nothing(
    suggest: Suggest, experiment: Path, tiny: Callable[[str], Path]
) -> None:
    gains = np.random.default_rng(1).normal(0.05, 0.03, len(MIXTURES))
    for number, (to, gain) in enumerate(zip(MIXTURES, gains.tolist(), strict=True)):
        write_run(experiment.parent / "runs", str(tiny("llama")), to, gain, number)
    text = flat(suggest("--for", "th,bn,ms", "--set", "analyze.limit=0").out)
    assert "is not known: the measured mixtures predict no better than their mean." in text
    assert "gained most: +" in text


REFUSED = {
    "an unknown target": (("--for", "xx"), "--for: found 'xx', expected a language with items; choose from en, zh"),
    "no target": (("--for", " ,"), "--for: found no language, expected at least one"),
    "an unknown choice": (("--for", "th", "--among", "thai"), "--among: found 'thai'"),
    "the pivot": (("--for", "th", "--among", "de,en"), "and not the pivot 'en'"),
    "more than there are": (("--for", "th", "--among", "de,fr", "--k", "3"), "--k: found 3 of de, fr"),
    "too many": (("--for", "th", "--k", "9"), "expected at most 20,000; name fewer with --among"),
    "no run": (("--for", "th", "--from", "nothing"), "found no experiment.toml"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_cannot_be_answered_is_refused(suggest: Suggest, experiment: Path, fault: str) -> None:
    options, words = REFUSED[fault]
    ended = suggest(*options)
    assert ended.status == 2
    assert words in ended.err
    assert not (experiment.parent / "runs").exists()

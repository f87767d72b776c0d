"""Any two arms, through the command line: other models, adapters made elsewhere, translated items, other exemplars."""

# ruff: noqa: ANN401 - sections of an experiment hold anything

import csv
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from calls import Call
from spillover.experiment import ArmConfig, Experiment
from spillover.records import Completion, Prediction, Question
from spillover.sources import open_source
from spillover.store import read_predictions, read_records
from spillover.sweep.grid import Trial
from spillover.sweep.plan import plan_tasks
from spillover.tasks import open_task
from tiny_models import save_adapter

pytestmark = pytest.mark.usefixtures("one_thread", "without_pictures")

LANGUAGES = ("en", "de", "th")


class Reverser:
    """An engine that writes each text backward, in Latin letters that tell where it was."""

    version = "1"

    def translate(self, texts: Sequence[str], source: str, target: str) -> Sequence[str]:
        """Translate."""
        return [f"({source}) {text[::-1]}" for text in texts]


def write(path: Path, model: Path, arms: dict[str, Any], **sections: Any) -> Path:
    table: dict[str, Any] = {
        **{key: sections.pop(key) for key in ("primary", "compare") if key in sections},
        "model": {"name": str(model), "dtype": "float32"},
        "evaluate": {"tasks": ["sentiment"], "languages": list(LANGUAGES), "limit": 4},
        "analyze": {"limit": 4, "forgetting": 2, "patch": 1, "metrics": ["cka"]},
        "arms": arms,
        **sections,
    }
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    return path


def predictions(run: Path, arm: str, language: str) -> list[Prediction]:
    return read_predictions(run / f"predictions/{arm}/sentiment/{language}.parquet", "sentiment", language)


def logprobs(run: Path, arm: str, language: str) -> list[tuple[float, ...]]:
    return [prediction.logprobs for prediction in predictions(run, arm, language)]


def rows(run: Path, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "report" / "tables" / name).open(encoding="utf-8", newline="")))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def test_ten_lines_compare_two_models(call: Call, tiny: Callable[[str], Path], tmp_path: Path, runs: Path) -> None:
    """Nothing is tuned, and no question is read: their source does not exist."""
    arms = {"one": {}, "other": {"model": str(tiny("qwen2")), "dtype": "bfloat16"}}
    evaluate = {"source": "starter", "tasks": ["sentiment"], "languages": ["en", "de"], "limit": 4}
    nowhere = {"source": "folder:/nowhere"}
    path = write(tmp_path / "two.toml", tiny("llama"), arms, questions=nowhere, evaluate=evaluate)
    ended = call("run", path, "--runs", runs)
    assert ended.status == 0, ended.err
    run = runs / "two"
    assert not any((run / name).exists() for name in ("adapter", "examples.parquet", "questions.parquet"))
    assert logprobs(run, "one", "de") != logprobs(run, "other", "de")
    assert {(row["reference"], row["arm"], row["group"]) for row in rows(run, "gains.csv")} == {
        ("one", "other", "unseen")
    }
    assert "Over all languages: " in ended.out
    assert "not tuned on" not in (run / "report" / "index.html").read_text("utf-8").partition("<nav")[0]
    assert call("tune", path, "--runs", runs).err.endswith("so this experiment tunes nothing\n")
    again = call("run", run / "experiment.toml", "--runs", runs, "--name", "two")
    assert again.status == 0, again.err
    assert call("run", path, "--runs", runs, "--name", "seed", "--set", "seed=1").status == 0
    compared = call("compare", run, runs / "seed")
    assert compared.status == 0, compared.err
    assert "other − one" in compared.out
    assert call("export", "model", run, tmp_path / "model").status == 2
    dry = call("run", path, "--runs", runs, "--dry-run")
    assert "tune" not in dry.out
    assert "evaluate: nothing" in dry.out


def test_an_arm_of_every_kind(
    call: Call, tiny: Callable[[str], Path], tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spillover.plugins import TRANSLATION_ENGINES

    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):  # where translations are kept
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setitem(sys.modules, "reversing", sys.modules[__name__])
    monkeypatch.setitem(TRANSLATION_ENGINES, "reverser", "reversing:Reverser")
    arms = {
        "base": {},
        "tuned": {"adapter": "tune"},
        "mine": {"adapter": str(save_adapter(tiny("llama"), tmp_path / "mine"))},
        "instruct": {"model": str(tiny("qwen2"))},
        "translate-test": {"ask": "translate-test"},
        "self-translate": {"ask": "self-translate"},
        "english-shots": {"shots": "en"},
        "zero-shot": {"shots": 0},
    }
    path = write(
        tmp_path / "all.toml",
        tiny("llama"),
        arms,
        primary=["mine", "base"],
        compare=[["mine", "instruct"]],
        questions={"limit": 8},
        translate={"to": ["zh"], "with": "reverser"},
        mixture={"allow_overlap": True},
        tune={"epochs": 1, "batch": 2, "learning_rate": 1e-2, "translations": 0, "validation_share": 0},
    )
    ended = call("run", path, "--runs", runs)
    assert ended.status == 0, ended.err
    run = runs / "all"
    scores = {(arm, code): logprobs(run, arm, code) for arm in arms for code in LANGUAGES}
    for arm in arms:
        assert [p.id for p in predictions(run, arm, "th")] == [p.id for p in predictions(run, "base", "th")]
    for arm in list(arms)[1:]:
        assert scores[arm, "de"] != scores["base", "de"], arm
    for arm in ("translate-test", "self-translate", "english-shots"):
        assert scores[arm, "en"] == scores["base", "en"], "English is not translated, and has its own exemplars"

    thai = {item.id: item for item in open_source("starter", {}, "test").items(open_task("sentiment"), "th")}
    translated = read_records(run / "translated-items/translate-test/sentiment/th.parquet", Question)
    assert [(q.language, q.fields) for q in translated] == [
        ("en", (f"(th) {thai[q.id].fields[0][::-1]}",)) for q in translated
    ]
    own = read_records(run / "self-translations/self-translate/sentiment/de.parquet", Question)
    assert [q.id for q in own] == [p.id for p in predictions(run, "base", "de")]
    assert all("\n" not in text for q in own for text in q.fields)

    pairs = list(dict.fromkeys((row["reference"], row["arm"]) for row in rows(run, "gains.csv")))
    assert pairs[0] == ("base", "mine")
    assert pairs[-1] == ("instruct", "mine")
    assert set(pairs) == {("base", arm) for arm in list(arms)[1:]} | {("instruct", "mine")}
    assert sorted(path.name for path in (run / "traces").iterdir()) == ["base", "mine", "tuned"]
    forgotten = {(row["reference"], row["arm"]) for row in rows(run, "forgetting.csv")}
    assert forgotten == {("base", arm) for arm in ("tuned", "mine", "instruct")} | {("instruct", "mine")}
    page = (run / "report" / "index.html").read_text("utf-8")
    assert "<li>zero-shot: " in page
    made = len((run / "log.jsonl").read_text("utf-8").splitlines())
    assert call("run", path, "--runs", runs).status == 0
    again = [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()[made:]]
    assert [line for line in again if line["event"] == "made"] == [], "all is read a second time"


@pytest.mark.parametrize("method", ["lora", "full"])
def test_arms_that_are_the_defaults_change_no_digest(
    call: Call, tiny: Callable[[str], Path], tmp_path: Path, runs: Path, method: str
) -> None:
    """And what one experiment tuned is the adapter of another."""
    targets = {"targets": "all-linear"} if method == "full" else {}
    tune = {"method": method, "learning_rate": 1e-2, "epochs": 1, "batch": 2, "translations": 0, "validation_share": 0}
    sections: dict[str, Any] = {
        "questions": {"limit": 8},
        "mixture": {"allow_overlap": True},
        "tune": tune | targets,
    }
    for name, arms in (("without", {}), ("with", {"base": {}, "tuned": {"adapter": "tune"}})):
        path = write(tmp_path / f"{name}.toml", tiny("llama"), arms, **sections)
        ended = call("evaluate", path, "--runs", runs)
        assert ended.status == 0, ended.err
    links = [
        {str(link.relative_to(runs / name)): link.resolve() for link in (runs / name).rglob("*") if link.is_symlink()}
        for name in ("without", "with")
    ]
    assert links[0] == links[1]
    path = write(tmp_path / "again.toml", tiny("llama"), {"base": {}, "again": {"adapter": str(runs / "with/adapter")}})
    ended = call("evaluate", path, "--runs", runs)
    assert ended.status == 0, ended.err
    expected = logprobs(runs / "with", "tuned", "th")
    assert logprobs(runs / "again", "again", "th") == [pytest.approx(row, abs=1e-4) for row in expected]


def test_an_adapter_that_is_not_there_is_refused_before_tuning(
    call: Call, tiny: Callable[[str], Path], tmp_path: Path, runs: Path
) -> None:
    arms = {"base": {}, "tuned": {"adapter": "tune"}, "mine": {"adapter": str(tmp_path / "nowhere")}}
    ended = call("evaluate", write(tmp_path / "early.toml", tiny("llama"), arms), "--runs", runs)
    assert ended.status == 2
    assert "arms.mine.adapter: found" in ended.err
    assert not (runs / "early" / "examples.parquet").exists()


def test_a_translating_reference_has_no_prompts_to_show(
    call: Call, tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    path = write(tmp_path / "own.toml", tiny("llama"), {"own": {"ask": "self-translate"}, "plain": {}})
    ended = call("prompts", path)
    assert ended.status == 2
    assert "the reference, 'own', translates its items first" in ended.err


@pytest.mark.parametrize(
    ("primary", "compare", "expected"),
    [
        (None, (), [("a", "b"), ("a", "c")]),
        (("c", "b"), (), [("b", "c"), ("a", "b"), ("a", "c")]),
        (("a", "c"), (), [("c", "a"), ("a", "b")]),
        (None, (("c", "b"), ("b", "c"), ("a", "b")), [("a", "b"), ("a", "c"), ("b", "c")]),
    ],
)
def test_pairs_are_compared_once_and_the_primary_one_is_first(
    primary: tuple[str, str] | None, compare: tuple[tuple[str, str], ...], expected: list[tuple[str, str]]
) -> None:
    arms = {name: ArmConfig() for name in "abc"}
    assert Experiment(arms=arms, primary=primary, compare=compare).pairs == expected


def test_answers_in_words_are_translated_if_they_are_numbers(
    call: Call, tiny: Callable[[str], Path], tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setitem(sys.modules, "reversing", sys.modules[__name__])

    def experiment(task: str) -> Path:
        evaluate = {"tasks": [task], "languages": ["en", "de"], "limit": 1}
        arms = {"base": {}, "translate-test": {"ask": "translate-test"}}
        return write(
            tmp_path / f"{task}.toml", tiny("llama"), arms, evaluate=evaluate, translate={"with": "reversing:Reverser"}
        )

    ended = call("evaluate", experiment("arithmetic"), "--runs", runs)
    assert ended.status == 0, ended.err
    answers = {
        (arm, code): read_records(runs / f"arithmetic/answers/{arm}/arithmetic/{code}.parquet", Completion)
        for arm in ("base", "translate-test")
        for code in ("en", "de")
    }
    assert answers["base", "en"] == answers["translate-test", "en"]
    assert answers["base", "de"] != answers["translate-test", "de"]
    refused = call("evaluate", experiment("reading"), "--runs", runs)
    assert refused.status == 2
    assert "cannot compare, expected one of number, letter" in refused.err


def test_a_sweep_over_arms_that_are_not_tuned_neither_translates_nor_tunes(tmp_path: Path) -> None:
    arms = {"base": ArmConfig(), "zero-shot": ArmConfig(shots=0)}
    experiments = [Experiment(arms=arms, seed=seed) for seed in (0, 1)]
    trials = [Trial(f"seed={e.seed}", "", e) for e in experiments]
    assert {task.step for task in plan_tasks(trials, tmp_path, "grid")} == {"base", "run"}


def test_exemplars_of_an_arm(call: Call, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    """The prompts command shows the reference's; so each way of asking is the reference once."""

    def prompts(**arm: Any) -> dict[str, dict[str, str]]:
        path = write(tmp_path / "shots.toml", tiny("llama"), {"first": arm, "second": {}})
        ended = call("prompts", path, "--limit", 1)
        assert ended.status == 0, ended.err
        return {line["language"]: line for line in map(json.loads, ended.out.splitlines())}

    plain, english, none, one = prompts(), prompts(shots="en"), prompts(shots=0), prompts(shots=1)
    assert english["th"]["header"] == plain["en"]["header"] != plain["th"]["header"]
    assert none["th"]["header"] == ""
    assert plain["th"]["header"].startswith(one["th"]["header"])
    assert one["th"]["header"].count("\n\n") == 1
    bodies = [lines["th"]["body"] for lines in (plain, english, none, one)]
    assert len(set(bodies)) == 1


@pytest.mark.parametrize(
    ("arms", "more", "sentence"),
    [
        ({"one": {}}, {}, "arms: found 'one' alone"),
        ({"one": {"adapter": "tune"}, "two": {}}, {}, "arms.one.adapter: found 'tune' in the first arm"),
        ({"one": {}, "two": {"adapter": "tune", "model": "x/y"}}, {}, "arms.two.model: found 'x/y'"),
        ({"one": {}, "two": {"ask": "translate-test"}}, {}, "with translate.with = 'parallel'"),
        ({"one": {}, "two": {}}, {"primary": ["three", "one"]}, "primary: found 'three'"),
        ({"one": {}, "two": {}}, {"compare": [["two", "two"]]}, "compare: found ['two', 'two']"),
        ({"one": {}, "two": {"shots": 9}}, {}, "arms.two.shots: found 9, expected 0 to 2"),
        ({"one": {}, "two": {"adapter": "nowhere"}}, {}, "arms.two.adapter: found 'nowhere'"),
        ({"one": {}, "two": {"system": "Be kind."}}, {}, "arms.two: system: found 'Be kind.' with template = 'none'"),
        (
            {"one": {}, "two": {"quantize": "nf4"}},
            {"evaluate": {"engine": "compiled"}},
            "arms.two: quantize: found 'nf4', expected 'none' with evaluate.engine = 'compiled'",
        ),
        ({"one": {}, "two": {"shot": 1}}, {}, "unknown key 'arms.two.shot'"),
        ({"one": {}, "Two!": {}}, {}, "Two!"),
    ],
)
def test_arms_that_cannot_be_compared_are_refused(
    arms: dict[str, Any],
    more: dict[str, Any],
    sentence: str,
    call: Call,
    tiny: Callable[[str], Path],
    tmp_path: Path,
    runs: Path,
) -> None:
    ended = call("evaluate", write(tmp_path / "wrong.toml", tiny("llama"), arms, **more), "--runs", runs)
    assert ended.status == 2
    assert sentence in ended.err

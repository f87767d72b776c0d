"""`spillover init hub:ID`: a set of the hub becomes an experiment that reads it there, or that has copies."""

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import ClassLabel, List, Value

from calls import Call
from hub_sets import write_hub_set, write_split
from spillover.experiment import load_experiment
from spillover.stages.inputs import Inputs
from spillover.utils.hub import read_lock

STARTER = Path(str(files("spillover").joinpath("data", "starter", "sentiment", "items")))
TEXT = Value("string")
POLARITY = {"text": TEXT, "label": ClassLabel(names=["negative", "positive"])}
MOOD = {"text": TEXT, "mood": ClassLabel(names=["angry", "calm"])}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def model(tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a model to check against, in a working folder of its own, without a network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()
    return tiny("llama")


def columns(code: str, label: str, start: int, stop: int) -> dict[str, list[Any]]:
    """Return rows of the starter corpus as a set of the hub has them."""
    rows = [json.loads(line) for line in (STARTER / f"{code}.jsonl").read_text("utf-8").splitlines()][start:stop]
    return {
        "text": [row["text"] for row in rows],
        label: [int(row["label"] == "positive") for row in rows],
    }


def reviews(id: str, codes: tuple[str, ...], schema: dict[str, Any], test: int = 40) -> None:
    """Write a set with the first reviews of the starter corpus in `test`, and the others in `train`."""
    label = next(name for name in schema if name != "text")
    write_hub_set(Path(), id, list(codes), schema)
    for code in codes:
        write_split(Path(id), code, "test", schema, columns(code, label, 0, test))
        write_split(Path(id), code, "train", schema, columns(code, label, test, 60))


def test_a_set_of_a_task_that_ships_is_read_from_the_hub(call: Call, model: Path) -> None:
    reviews("me/reviews", ("en", "de", "es"), POLARITY)
    ended = call("init", "hub:me/reviews", "--model", model)
    assert ended.status == 0, ended
    assert "Rows: en 40, de 40, es 40 (a configuration for each language)" in ended.out
    assert "Rows only to tune on: en 20, de 20, es 20" in ended.out
    assert "--unpaired says that they are not" in ended.out
    experiment = load_experiment(Path("reviews/experiment.toml"))
    assert experiment.questions.source == experiment.evaluate.source == "hub:me/reviews"
    assert not Path("reviews/data").exists()
    inputs = Inputs(experiment)
    assert [len(rows) for rows in inputs.items.values()] == [40, 40, 40] and len(inputs.questions) == 20
    assert inputs.items["sentiment", "de"][0].fields[0] == columns("de", "label", 0, 1)["text"][0]


def test_a_task_of_ones_own_has_copies_of_both_splits(call: Call, model: Path) -> None:
    reviews("me/moods", ("en", "de", "es"), MOOD)
    ended = call("init", "hub:me/moods", "--model", model)
    assert ended.status == 0, ended
    text = Path("moods/experiment.toml").read_text("utf-8")
    assert "from hub:me/moods, test and train, revision not known." in text and "copied to data/" in text
    inputs = Inputs(load_experiment(Path("moods/experiment.toml")))
    measured = {item.fields[0] for item in inputs.items["moods/task.toml", "en"]}
    tuned = {question.fields[0] for question in inputs.questions}
    assert measured < set(columns("en", "mood", 0, 40)["text"]) and len(measured) == 38
    assert tuned == set(columns("en", "mood", 40, 60)["text"])


def test_the_commit_that_was_read_is_pinned(call: Call, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reviews("me/reviews", ("en", "de", "es"), POLARITY)
    monkeypatch.setattr("spillover.init.hub.revision", lambda kind, id: COMMIT)
    call("init", "hub:me/reviews", "--model", model)
    assert read_lock(Path("reviews/experiment.toml")) == {"datasets": {"me/reviews": COMMIT}}
    call("init", "hub:me/reviews", "--model", model, "--task", "mood", "--out", "copied")
    assert f"revision {COMMIT}" in Path("copied/experiment.toml").read_text("utf-8")
    assert not read_lock(Path("copied/experiment.toml")), "copies need no hub"


def test_texts_in_both_splits_are_copied_once(call: Call, model: Path) -> None:
    reviews("me/reviews", ("en", "de", "es"), POLARITY)
    for code in ("en", "de", "es"):
        write_split(Path("me/reviews"), code, "train", POLARITY, columns(code, "label", 30, 60))
    ended = call("init", "hub:me/reviews", "--model", model)
    assert ended.status == 0 and "Note: left out: 10 texts to tune on, since they are measured." in ended.out, ended
    inputs = Inputs(load_experiment(Path("reviews/experiment.toml")))
    assert len(inputs.questions) == 20 and Path("reviews/data").exists()


def test_secret_labels_are_not_measured(call: Call, model: Path) -> None:
    reviews("me/reviews", ("en", "de", "es"), POLARITY)
    names = ("train", "validation", "test")
    write_hub_set(Path(), "me/reviews", ["en", "de", "es"], POLARITY, 3, names, label=[-1, -1, -1])
    for code in ("en", "de", "es"):
        write_split(Path("me/reviews"), code, "validation", POLARITY, columns(code, "label", 0, 40))
        write_split(Path("me/reviews"), code, "train", POLARITY, columns(code, "label", 40, 60))
    ended = call("init", "hub:me/reviews", "--model", model)
    assert ended.status == 0 and "Rows: en 40" in ended.out, ended
    assert "hub:me/reviews, validation and train" in Path("reviews/experiment.toml").read_text("utf-8")


def test_four_choices_in_one_table(call: Call, model: Path) -> None:
    schema = {"question": TEXT, "choices": List(TEXT), "answer": ClassLabel(names=["A", "B", "C", "D"])}
    nouns = ("river", "mountain", "planet", "engine", "parliament", "violin", "vaccine", "desert", "novel", "bridge")
    verbs = ("praised", "rejected", "measured", "painted", "sold", "mentioned")
    pairs = [(noun, verb) for noun in nouns for verb in verbs]
    rows: dict[str, list[Any]] = {
        "question": [f"Which part of the {noun} was {verb} by the committee in its report?" for noun, verb in pairs],
        "choices": [[f"{noun} {word}" for word in ("north", "south", "east", "west")] for noun, _ in pairs],
        "answer": [(3 * place + place // 6) % 4 for place in range(len(pairs))],
    }
    write_hub_set(Path(), "me/quiz", ["default"], schema, len(pairs), ("test",), **rows)
    ended = call("init", "hub:me/quiz", "--model", model)
    assert ended.status == 0 and "Rows: en 60 (one language)" in ended.out, ended
    inputs = Inputs(load_experiment(Path("quiz/experiment.toml")))
    right = dict(zip(rows["question"], rows["answer"], strict=True))
    assert all(item.gold == right[item.fields[0]] for item in inputs.items["quiz/task.toml", "en"])


def test_large_splits_are_read_in_part(call: Call, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reviews("me/reviews", ("en", "de", "es"), POLARITY)
    monkeypatch.setattr("spillover.init.hub.MAX_ROWS", 34)
    ended = call("init", "hub:me/reviews", "--model", model)
    assert "34 of the 40 rows of me/reviews/test are read in each language, chosen at random" in ended.out, ended
    items = Inputs(load_experiment(Path("reviews/experiment.toml"))).items
    right = {code: columns(code, "label", 0, 60)["text"] for code in ("en", "de")}
    for english, german in zip(items["sentiment", "en"], items["sentiment", "de"], strict=True):
        assert right["en"].index(english.fields[0]) == right["de"].index(german.fields[0]), "the same rows"


BAD = {
    "no set": ("hub:", "expected hub:ID or hub:ID:CONFIG"),
    "a configuration that is not there": ("hub:me/two:third", "choose from first, second"),
    "which configuration": ("hub:me/two", "expected hub:me/two:CONFIG; choose from first, second"),
    "a set out of reach": ("hub:nobody/nothing", "run init where there is a network, or give it the set's files"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_set_that_cannot_be_read_is_one_sentence(case: str, call: Call, model: Path) -> None:
    write_hub_set(Path(), "me/two", ["first", "second"], POLARITY)
    source, words = BAD[case]
    ended = call("init", source, "--model", model)
    assert ended.status == 2 and words in ended.err.splitlines()[-1] and "Traceback" not in ended.err, ended

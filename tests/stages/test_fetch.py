"""`spillover fetch` against a hub on loopback: the models that it downloads and pins, and runs without any hub."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import datasets
import pytest
import tomli_w

import spillover.sources.hub_set  # noqa: F401 - first imported while `obstacle` is replaced, it would keep that
from calls import Call
from hubs import MODEL, NEW, OLD, Hub
from spillover.errors import SpilloverError
from spillover.sources import open_source
from spillover.tasks import open_labeled_task
from spillover.utils.hub import (
    OFFLINE_VARIABLES,
    download,
    pinned,
    pinning,
    read_lock,
    revision,
    write_lock,
)


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    table = {
        "model": {"name": "owner/model", "dtype": "float32"},
        "questions": {"limit": 4},
        "translate": {"to": ["de"]},
        "evaluate": {"tasks": ["sentiment"], "languages": ["en"], "limit": 2},
    }
    (tmp_path / "my.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
    return tmp_path / "my.toml"


def test_what_was_fetched_is_all_that_a_run_needs(call: Call, hub: Hub, experiment: Path, tmp_path: Path) -> None:
    fetched = call("fetch", experiment, "--runs", tmp_path / "runs")
    assert fetched.status == 0, fetched.err
    assert read_lock(experiment) == {"models": {"owner/model": OLD}}
    hub.repositories[MODEL][NEW] = tmp_path  # the hub goes on, the lock does not
    hub.requests.clear()
    linted = call("--offline", "lint", experiment)
    assert linted.status == 0, linted.err
    assert not hub.requests


def test_the_model_of_quality_estimation_is_fetched_and_pinned_too(
    call: Call, hub: Hub, experiment: Path, tmp_path: Path, tiny: Callable[[str], Path]
) -> None:
    options = ("translate.quality=metricx", "translate.quality_model=owner/model", f"model.name={tiny('llama')}")
    settings = [part for option in options for part in ("--set", option)]
    fetched = call("fetch", experiment, "--runs", tmp_path / "runs", *settings)
    assert fetched.status == 0, fetched.err
    assert read_lock(experiment) == {"models": {"owner/model": OLD}}


def test_a_tuned_run_keeps_its_lock_and_is_exported_with_the_same_base(
    call: Call, hub: Hub, experiment: Path, tmp_path: Path
) -> None:
    options = ("--runs", tmp_path / "runs", "--set", "translate.with=parallel", "--set", "tune.epochs=1")
    assert call("fetch", experiment, *options).status == 0
    tuned = call("tune", experiment, *options)
    assert tuned.status == 0, tuned.err
    hub.repositories[MODEL][NEW] = tmp_path / "nothing"
    exported = call("export", "model", tmp_path / "runs/my", tmp_path / "merged")
    assert exported.status == 0, exported.err
    assert (tmp_path / "merged/config.json").exists()

    experiment.with_suffix(".lock.toml").unlink()
    assert call("questions", experiment, *options).status == 0
    assert read_lock(tmp_path / "runs/my/experiment.toml") == {}, "the run folder follows"


def test_offline_nothing_is_asked(call: Call, hub: Hub) -> None:
    missing = call("--offline", "models", "path", "owner/model")
    assert missing.status == 2
    assert "model.name: cannot get 'owner/model' from the hub (it is not in the cache, and this process works " in (
        missing.err
    )
    assert not hub.requests
    assert {os.environ[name] for name in OFFLINE_VARIABLES} == {"1"}, "nor do processes that this one starts"


def test_another_commit_than_the_cached_one_is_missed(
    experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    with (
        pinned({"models": {"owner/model": NEW}}),
        pytest.raises(SpilloverError, match=f"not in the cache at {NEW}, and"),
    ):
        download("owner/model", ["*.json"], "model.name", "anything")


def test_a_download_is_of_the_pinned_commit_and_is_recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[object] = []

    def snapshot_download(id: str, **options: object) -> str:
        asked.append(options.get("revision"))
        return str(tmp_path / "snapshots" / str(options.get("revision", NEW)))

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    with pinned({"models": {"owner/model": OLD}}):
        download("owner/model", ["*"], "model.name", "anything")
        with pinning() as commits, pinning() as same:
            download("owner/model", ["*"], "model.name", "anything")
            download("owner/model", ["*.json"], "model.name", "anything")
    download("owner/model", ["*"], "model.name", "anything")
    assert asked == [OLD, None, NEW, None], "the newest is looked up once, and read from then on"
    assert commits == same == {"models": {"owner/model": NEW}, "datasets": {}}, "outside the block nothing is recorded"


def test_a_data_set_is_read_at_the_pinned_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    revisions: list[object] = []

    def load_dataset(id: str, *arguments: object, **options: object) -> datasets.Dataset:
        revisions.append(options.get("revision"))
        return datasets.Dataset.from_dict({"question": ["How many?"], "answer": ["4"]})

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    monkeypatch.setattr("spillover.sources.reach.obstacle", str)
    source, task = open_source("hub:openai/gsm8k", {}, "test"), open_labeled_task("sentiment")
    with pinned({"datasets": {"openai/gsm8k": NEW}}):
        assert [question.fields for question in source.questions(task, "en")] == [("How many?",)]
    list(source.questions(task, "en"))
    assert revisions == [NEW, None]


@pytest.mark.model
def test_a_lock_is_read_with_its_experiment(
    call: Call, experiment: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[object] = []

    def snapshot_download(id: str, **options: object) -> str:
        seen.append(options.get("revision"))
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    write_lock(experiment, {"models": {"owner/model": OLD}, "datasets": {}})
    ended = call("lint", experiment)
    assert ended.status == 2
    assert seen == [OLD]
    assert revision("models", "owner/model") is None, "nothing outlives the command"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[models", "cannot read the lock"),
        ("[others]\n", "expected the tables models and datasets"),
        ("[models]\na = 1", "expected"),
    ],
)
def test_a_broken_lock_is_one_sentence(call: Call, experiment: Path, text: str, message: str) -> None:
    experiment.with_suffix(".lock.toml").write_text(text, encoding="utf-8")
    ended = call("lint", experiment)
    assert ended.status == 2
    assert message in ended.err


def test_a_source_that_is_streamed_cannot_be_fetched(call: Call, experiment: Path, tmp_path: Path) -> None:
    sets = ("--set", "questions.source=stream:openai/gsm8k", "--runs", tmp_path / "runs")
    ended = call("fetch", experiment, *sets)
    assert ended.status == 2
    assert "questions.source: found 'stream:openai/gsm8k', which is read from the network each time" in ended.err


def test_the_questions_of_an_unrelated_control_are_fetched_too(
    call: Call, tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[tuple[str, object]] = []

    def load_dataset(id: str, config: str, **options: object) -> datasets.Dataset:
        reads.append((config, options.get("revision")))
        return datasets.Dataset.from_dict({"sentence1": ["a"], "sentence2": ["b"], "label": [1]})

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    monkeypatch.setattr("spillover.sources.reach.obstacle", str)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda api, id, revision: SimpleNamespace(sha=NEW))
    table = {
        "model": {"name": str(tiny("llama"))},
        "questions": {"limit": 2},
        "translate": {"to": ["de"]},
        "mixture": {
            "recipe": "unrelated",
            "unrelated": {"source": "hub:google-research-datasets/paws-x", "task": "paraphrase"},
        },
        "evaluate": {"tasks": ["sentiment"], "languages": ["en"], "limit": 2},
    }
    (tmp_path / "u.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
    ended = call("fetch", tmp_path / "u.toml", "--runs", tmp_path / "runs")
    assert ended.status == 0, ended.err
    assert {("en", NEW), ("de", NEW)} <= set(reads)
    assert read_lock(tmp_path / "u.toml") == {"datasets": {"google-research-datasets/paws-x": NEW}}

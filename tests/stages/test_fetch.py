"""`spillover fetch` against a hub on loopback: what it downloads, what it pins, and runs without any hub."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import datasets
import pytest
import tomli_w
from huggingface_hub import constants

from calls import Call
from serving import serving
from spillover.errors import SpilloverError
from spillover.sources import open_source
from spillover.tasks import open_labeled_task
from spillover.utils.hub import (
    OFFLINE_SETTINGS,
    OFFLINE_VARIABLES,
    download,
    pinned,
    read_lock,
    recorded,
    revision,
    write_lock,
)

OLD, NEW = "1" * 40, "2" * 40
"""Commits of the repository."""


@dataclass
class Hub:
    """One repository, `owner/model`, with a folder per commit; the last one is its main branch."""

    commits: dict[str, Path]
    requests: list[str] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append(f"{handler.command} {handler.path}")
        path = handler.path.partition("?")[0]
        if path.startswith("/api/models/owner/model/tree/"):
            commit = path.rpartition("/")[2]
            rows = [
                {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": digest(file.read_bytes())}
                for file in sorted(self.commits[commit].iterdir())
            ]
            self.send(handler, json.dumps(rows).encode(), commit)
        elif path.startswith("/api/models/owner/model"):
            asked = path.rpartition("/revision/")[2] if "/revision/" in path else "main"
            commit = list(self.commits)[-1] if asked == "main" else asked
            files = [{"rfilename": file.name} for file in sorted(self.commits[commit].iterdir())]
            self.send(handler, json.dumps({"id": "owner/model", "sha": commit, "siblings": files}).encode(), commit)
        elif path.startswith("/owner/model/resolve/"):
            commit, _, name = path.removeprefix("/owner/model/resolve/").partition("/")
            self.send(handler, (self.commits[commit] / name).read_bytes(), commit)
        else:
            handler.send_error(404)

    def send(self, handler: BaseHTTPRequestHandler, content: bytes, commit: str) -> None:
        handler.send_response(200)
        headers = {"ETag": f'"{digest(content)}"', "X-Repo-Commit": commit}
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(content)


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()[:40]


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


@pytest.fixture
def hub(tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one commit, which the libraries of this process ask; their cache is empty."""
    served = Hub({OLD: tiny("llama")})
    with serving(lambda handler, body: served.answer(handler)) as address:
        for name in OFFLINE_VARIABLES:
            monkeypatch.setenv(name, "0")
        for name in OFFLINE_SETTINGS:
            monkeypatch.setattr(f"{name}.HF_HUB_OFFLINE", False)
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        yield served


def test_what_was_fetched_is_all_that_a_run_needs(call: Call, hub: Hub, experiment: Path, tmp_path: Path) -> None:
    fetched = call("fetch", experiment, "--runs", tmp_path / "runs")
    assert fetched.status == 0, fetched.err
    assert read_lock(experiment) == {"models": {"owner/model": OLD}}
    hub.commits[NEW] = tmp_path  # the hub goes on, the lock does not
    hub.requests.clear()
    linted = call("--offline", "lint", experiment)
    assert linted.status == 0, linted.err
    assert not hub.requests


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
    with recorded() as commits:
        download("owner/model", ["*"], "model.name", "anything")
        with pinned({"models": {"owner/model": OLD}}):
            download("owner/model", ["*"], "model.name", "anything")
            assert commits == {"owner/model": OLD}
    download("owner/model", ["*"], "model.name", "anything")
    assert asked == [None, OLD, None]
    assert commits == {"owner/model": OLD}, "outside the block nothing is recorded"


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
    monkeypatch.setattr("spillover.stages.fetch.latest_revision", lambda id, where: NEW)
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

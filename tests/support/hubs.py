"""A hub on loopback, with the answers that the hub's own libraries read: repositories of models and of data sets."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, unquote

import datasets
import pytest
from huggingface_hub import HfFileSystem, constants

from serving import serving
from spillover.sources.reach import obstacle
from spillover.utils.hub import OFFLINE_SETTINGS, OFFLINE_VARIABLES

OLD, NEW = "1" * 40, "2" * 40
"""Commits of each repository."""

MODEL, SET = "models/owner/model", "datasets/owner/Two-Choices"
"""Repositories of the hub."""


@dataclass
class Hub:
    """Repositories such as `models/owner/model`, each with a folder per commit; the last one is its main branch."""

    repositories: dict[str, dict[str, Path]]
    requests: list[str] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        self.requests.append(f"{handler.command} {handler.path}")
        path = unquote(handler.path.partition("?")[0]).removeprefix("/api").lstrip("/")
        kind = "" if path.startswith(("models/", "datasets/")) else "models/"
        name = next((name for name in self.repositories if f"{kind}{path}/".startswith(f"{name}/")), "")
        if not name:
            self.refuse(handler, "RepoNotFound")
            return
        action, _, rest = f"{kind}{path}"[len(name) + 1 :].partition("/")
        asked, _, file = rest.partition("/")
        commits = self.repositories[name]
        commit = list(commits)[-1] if asked in ("", "main") else asked
        if commit not in commits:
            self.refuse(handler, "RevisionNotFound")
        elif action == "resolve" and not (commits[commit] / file).is_file():
            self.refuse(handler, "EntryNotFound")
        elif action == "resolve":
            self.send(handler, (commits[commit] / file).read_bytes(), commit)
        else:
            self.send(handler, json.dumps(self.listing(action, commit, commits[commit], name, body)).encode(), commit)

    def listing(self, action: str, commit: str, folder: Path, name: str, body: bytes) -> object:
        """The commit and its files, or a row per file: of the whole tree, or of the paths that are asked for."""
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        if action in ("", "revision"):
            siblings = [{"rfilename": str(path.relative_to(folder))} for path in files]
            return {"id": name.partition("/")[2], "sha": commit, "siblings": siblings}
        asked = parse_qs(body.decode()).get("paths", []) if action == "paths-info" else None
        rows = [(str(path.relative_to(folder)), path.read_bytes()) for path in files]
        return [
            {"type": "file", "path": path, "size": len(content), "oid": digest(content)}
            for path, content in rows
            if asked is None or path in asked
        ]

    def refuse(self, handler: BaseHTTPRequestHandler, code: str) -> None:
        handler.send_response(404)
        handler.send_header("X-Error-Code", code)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def send(self, handler: BaseHTTPRequestHandler, content: bytes, commit: str) -> None:
        handler.send_response(200)
        headers = {"ETag": f'"{digest(content)}"', "X-Repo-Commit": commit}
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(content)


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()[:40]


@contextmanager
def hub_on_loopback(repositories: dict[str, dict[str, Path]], folder: Path) -> Iterator[Hub]:
    """Let the libraries of this process ask a hub with these repositories; their caches are in `folder`, empty."""
    served = Hub(repositories)
    with serving(served.answer) as address, pytest.MonkeyPatch.context() as monkeypatch:
        for name in OFFLINE_VARIABLES:
            monkeypatch.setenv(name, "0")
        for name in OFFLINE_SETTINGS:
            monkeypatch.setattr(f"{name}.HF_HUB_OFFLINE", False)
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", address)
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "datasets")
        monkeypatch.setattr(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", False)
        HfFileSystem.clear_instance_cache()
        obstacle.cache_clear()
        yield served
    obstacle.cache_clear()

"""The Hugging Face hub: where models are downloaded, the revisions that a lock pins, and work without a network.

A lock is a file beside the experiment, `my.lock.toml`, which `spillover fetch` writes. It names the commit of every
model and data set. Within `pinned`, those commits are read, whatever the hub has now.
"""

import os
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import tomli_w

from spillover.errors import SpilloverError, first_line

Kind = Literal["models", "datasets"]
Revisions = Mapping[str, Mapping[str, str]]
"""Kind → id on the hub → commit."""

OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
"""Environment variables that keep the hub's libraries in their caches."""
OFFLINE_SETTINGS = ("huggingface_hub.constants", "datasets.config")
"""Modules that read such a variable once, when they are imported."""
NOTE = "# Revisions that `spillover fetch` found. Runs of the experiment read them. Delete the file to unpin them.\n"
"""First line of a lock."""
REMEDY = "run `spillover fetch EXPERIMENT` where there is a network"

_PINNED: ContextVar[Revisions] = ContextVar("revisions that a lock pins", default=MappingProxyType({}))
_NEW: ContextVar[dict[str, dict[str, str]] | None] = ContextVar("revisions that are being pinned", default=None)


def work_offline() -> None:
    """Keep this process, and those that it starts, from asking the hub for anything."""
    for name in OFFLINE_VARIABLES:
        os.environ[name] = "1"
    for name in OFFLINE_SETTINGS:
        if name in sys.modules:
            sys.modules[name].HF_HUB_OFFLINE = True  # type: ignore[attr-defined]


def works_offline() -> bool:
    """Return whether `work_offline` was called, or the user's environment says the same."""
    return os.environ.get(OFFLINE_VARIABLES[0], "").upper() in ("1", "ON", "YES", "TRUE")  # as the library reads it


@contextmanager
def pinned(revisions: Revisions) -> Iterator[None]:
    """Read these revisions for the duration of the block. Threads started within do so in a copy of the context."""
    token = _PINNED.set(revisions)
    try:
        yield
    finally:
        _PINNED.reset(token)


@contextmanager
def pinning() -> Iterator[Revisions]:
    """Yield the table of the newest commits of all models and data sets that the block reads; it grows meanwhile.

    A commit is looked up once; after that the block reads this one. A block within such a block has the same table.
    """
    if (outer := _NEW.get()) is not None:
        yield outer
        return
    commits: dict[str, dict[str, str]] = {"models": {}, "datasets": {}}
    token = _NEW.set(commits)
    try:
        with pinned(commits):
            yield commits
    finally:
        _NEW.reset(token)


def revisions() -> Revisions:
    """Return all commits that are pinned here."""
    return _PINNED.get()


def revision(kind: Kind, id: str) -> str | None:
    """Return the commit that is pinned for a model or data set; None if none is."""
    return _PINNED.get().get(kind, {}).get(id)


def dataset_revision(id: str, branch: str | None = None) -> str | None:
    """Return the commit that is pinned for a data set; None if none is. Where commits are pinned, look it up first.

    Args:
        id: `owner/name`.
        branch: the branch or tag that a reader names itself. The lock calls it `owner/name@branch`.

    Raises:
        SpilloverError: the commit is to be pinned, and the hub cannot be reached or has no such id.
    """
    key = f"{id}@{branch}" if branch else id
    commit, new = revision("datasets", key), _NEW.get()
    if commit is None and new is not None:
        commit = new["datasets"][key] = _newest_commit(id, branch)
    return commit


def is_pinning() -> bool:
    """Return whether the newest commits of all that is read are being pinned here."""
    return _NEW.get() is not None


def dataset_snapshot(id: str, commit: str, pattern: str) -> Path:
    """Return a folder with some files of a data set at a commit, downloaded if they are not in the cache.

    Args:
        id: `owner/name`.
        commit: the whole commit.
        pattern: path of the files in the data set, perhaps with `*` in it.

    Raises:
        SpilloverError: they cannot be had; offline: they are not in the cache.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(id, repo_type="dataset", revision=commit, allow_patterns=[pattern]))
    except (OSError, ValueError) as error:
        reason = f"{first_line(error)}; {REMEDY}"
        raise SpilloverError(f"cannot get {pattern!r} of {id!r} at {commit} from the hub ({reason})") from error


def _newest_commit(id: str, branch: str | None) -> str:
    from huggingface_hub import HfApi

    try:
        return str(HfApi().dataset_info(id, revision=branch).sha)
    except (OSError, ValueError) as error:
        raise SpilloverError(f"cannot get the revision of {id!r} from the hub ({first_line(error)})") from error


def download(id: str, patterns: Sequence[str], where: str, expected: str) -> Path:
    """Return the folder of a model of the hub, downloaded if it is not in the cache.

    Args:
        id: `owner/name`.
        patterns: the files that are needed.
        where: the key that names the model, for errors.
        expected: what the key may hold, for errors.

    Raises:
        SpilloverError: the model cannot be had; offline: it is not in the cache.
    """
    from huggingface_hub import is_offline_mode, snapshot_download

    commit = revision("models", id)
    options = {"revision": commit} if commit else {}
    try:
        folder = Path(snapshot_download(id, allow_patterns=list(patterns), **options))
    except (OSError, ValueError) as error:  # every exception of the hub's client is one of these
        at = f" at {commit}" if commit else ""
        offline = f"it is not in the cache{at}, and this process works offline; {REMEDY}"
        reason = offline if is_offline_mode() else first_line(error)
        raise SpilloverError(f"{where}: cannot get {id!r} from the hub ({reason}); expected {expected}") from error
    if (new := _NEW.get()) is not None:
        new["models"][id] = folder.name  # the cache calls the folder of a snapshot by its commit
    return folder


def lock_path(experiment: Path) -> Path:
    """Return the path of the lock of an experiment file."""
    return experiment.with_suffix(".lock.toml")


def read_lock(experiment: Path) -> Revisions:
    """Return the revisions that the lock of an experiment file pins; none if it has no lock.

    Raises:
        SpilloverError: the lock cannot be read.
    """
    path = lock_path(experiment)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SpilloverError(
            f"{path}: cannot read the lock: {error}; delete it, or run `spillover fetch` again"
        ) from error
    rows = [row for kind in ("models", "datasets") for row in table.get(kind, {}).items()]
    if not table.keys() <= {"models", "datasets"} or not all(isinstance(part, str) for row in rows for part in row):
        raise SpilloverError(
            f"{path}: expected the tables models and datasets, each of id = commit, as fetch writes it"
        )
    return table


def lock_text(revisions: Revisions) -> str:
    """Return the lock of these revisions, as TOML."""
    return NOTE + tomli_w.dumps({kind: dict(sorted(rows.items())) for kind, rows in revisions.items() if rows})


def write_lock(experiment: Path, revisions: Revisions) -> Path:
    """Write the lock of an experiment file; return its path."""
    path = lock_path(experiment)
    path.write_text(lock_text(revisions), encoding="utf-8")
    return path

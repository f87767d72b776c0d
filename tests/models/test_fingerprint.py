"""A model's fingerprint is of every byte: two models that differ anywhere never share a stage's key."""

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from spillover.models.locate import PATTERNS, WEIGHTS, fingerprint
from spillover.utils import digests
from spillover.utils.digests import content_digest

SIZES = [1 << 10, (1 << 20) + 1, 1 << 21, (1 << 21) + 1, 5 << 20]
"""Sizes of a weight file on either side of every limit there is."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own, in which a digest is kept at once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "SETTLED", 0.0)
    return tmp_path / "cache" / "spillover" / "digests.sqlite"


def model_of(folder: Path, weights: bytes) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def sampled(folder: Path) -> str:
    """The fingerprint as it was: of each weight file its size and 1 MiB at each end."""
    sha = hashlib.sha256()
    for path in sorted({path for pattern in PATTERNS for path in folder.glob(pattern)}):
        content = path.read_bytes()
        sha.update(f"{path.name}:{len(content)}:".encode())
        ends = [content[: 1 << 20], content[max(0, len(content) - (1 << 20)) :]]
        sha.update(b"".join(ends) if path.match(WEIGHTS) else content)
    return sha.hexdigest()[:16]


def differs_anywhere(place: Path, size: int, of: Callable[[Path], str]) -> bool:
    weights = bytes(size)
    found = {of(model_of(place / "zero", weights))}
    for place_of_byte in (0, size // 3, size // 2, size - 1):
        changed = bytearray(weights)
        changed[place_of_byte] = 1
        found.add(of(model_of(place / str(place_of_byte), bytes(changed))))
    return len(found) == 5


@pytest.mark.parametrize("size", SIZES)
def test_one_byte_anywhere_makes_another_fingerprint(tmp_path: Path, size: int) -> None:
    assert differs_anywhere(tmp_path, size, fingerprint)


def test_reading_the_ends_alone_takes_two_models_for_one(tmp_path: Path) -> None:
    assert not differs_anywhere(tmp_path, SIZES[-1], sampled)


def test_a_change_of_a_named_chat_template_is_noticed(tmp_path: Path) -> None:
    """The folder is the one in which transformers saves the templates beside the default one."""
    folder = model_of(tmp_path / "model", b"weights")
    plain = fingerprint(folder)
    named = folder / "additional_chat_templates" / "tool_use.jinja"
    named.parent.mkdir()
    prints = {plain}
    for template in ("{{ messages }}", "{{ message }}"):
        named.write_text(template)
        prints.add(fingerprint(folder))
    assert len(prints) == 3


@pytest.mark.parametrize("size", SIZES)
def test_runs_of_small_models_keep_their_keys(tmp_path: Path, size: int) -> None:
    """Two readings of 1 MiB were the whole file up to 2 MiB; beyond that the old key cannot be trusted."""
    folder = model_of(tmp_path / "model", os.urandom(size))
    assert (fingerprint(folder) == sampled(folder)) is (size <= 1 << 21)


def test_a_byte_in_the_middle_is_seen_after_the_digest_was_remembered(tmp_path: Path) -> None:
    """Changed in its place, with the size and the time of its last writing set back."""
    folder = model_of(tmp_path / "model", bytes(5 << 20))
    path = folder / "model.safetensors"
    before, status = fingerprint(folder), path.stat()
    with path.open("r+b") as file:
        file.seek(2 << 20)
        file.write(b"\1")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert fingerprint(folder) != before


def test_a_large_file_is_read_once_while_it_does_not_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(5 << 20))
    reads: list[Path] = []
    read = digests.sha256_of

    def counted(file: Path) -> str:
        reads.append(file)
        return read(file)

    monkeypatch.setattr(digests, "sha256_of", counted)
    assert content_digest(path) == content_digest(path) == hashlib.sha256(bytes(5 << 20)).hexdigest()
    assert len(reads) == 1
    shutil.copy(path, tmp_path / "other")
    (tmp_path / "other").replace(path)
    assert content_digest(path) == hashlib.sha256(bytes(5 << 20)).hexdigest()
    assert len(reads) == 2, "another inode is another file"


def test_a_file_that_changed_a_moment_ago_is_not_remembered(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second change within one tick of the clock would leave no trace."""
    monkeypatch.setattr(digests, "SETTLED", 60.0)
    path = tmp_path / "file"
    path.write_bytes(bytes(5 << 20))
    content_digest(path)
    assert not cache.exists() or not sqlite3.connect(cache).execute("SELECT * FROM digests").fetchall()


def test_a_file_of_the_hubs_cache_is_known_by_its_name(tmp_path: Path) -> None:
    """A large file has its SHA-256 for a name there; a small one has another digest of 40 digits."""
    blobs, snapshot = (tmp_path / "models--owner--model" / name for name in ("blobs", "snapshots/1"))
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for name in ("a" * 64, "b" * 40):
        (blobs / name).write_bytes(b"content")
        (snapshot / f"{name[0]}.safetensors").symlink_to(blobs / name)
    assert content_digest(snapshot / "a.safetensors") == "a" * 64
    assert content_digest(snapshot / "b.safetensors") == hashlib.sha256(b"content").hexdigest()


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(b"no database"), lambda path: path.mkdir()])
def test_a_cache_that_cannot_be_used_costs_nothing_but_time(
    tmp_path: Path, cache: Path, spoil: Callable[[Path], object]
) -> None:
    cache.parent.mkdir(parents=True)
    spoil(cache)
    path = tmp_path / "file"
    path.write_bytes(bytes(5 << 20))
    assert content_digest(path) == hashlib.sha256(bytes(5 << 20)).hexdigest()


def test_many_at_once_agree(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * (5 << 20))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(content_digest, paths * 8))
    assert found == [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths] * 8

"""Stages that go on after a kill, and processes launched together, of which one writes."""

import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from spillover.errors import SpilloverError
from spillover.store import Store
from spillover.utils.threads import note_threads


def write_two(folder: Path) -> None:
    """Write one file a call; the second call finds the first's."""
    (folder / ("second" if (folder / "first").exists() else "first")).touch()
    if not (folder / "second").exists():
        raise KeyboardInterrupt


def test_what_is_resumable_goes_on_from_what_was_left(tmp_path: Path) -> None:
    store = Store(tmp_path, "run")
    with pytest.raises(KeyboardInterrupt):
        store.get_or_make("kind", "inputs", "link", write_two, resumable=True)
    assert not (tmp_path / "run" / "link").exists()
    stage = store.get_or_make("kind", "inputs", "link", write_two, resumable=True)
    assert sorted(path.name for path in stage.path.iterdir()) == ["complete.json", "first", "second"]
    assert not list(tmp_path.rglob("*.partial"))


def test_the_seconds_are_those_of_all_attempts(tmp_path: Path) -> None:
    """Each killed attempt counts from its beginning to the last file that it left."""
    store, lengths = Store(tmp_path, "run"), (100.0, 30.0)

    def write(folder: Path) -> None:
        names = [str(length) for length in lengths if not (folder / str(length)).exists()]
        if names:
            (folder / names[0]).touch()
            raise KeyboardInterrupt

    for length in lengths:
        with pytest.raises(KeyboardInterrupt):
            store.get_or_make("kind", "inputs", "link", write, resumable=True)
        begun = next(tmp_path.rglob(str(length))).stat().st_mtime - length
        os.utime(next(tmp_path.rglob(".attempt")), (begun, begun))
    later = store.get_or_make("kind", "inputs", "link", write, resumable=True)
    assert later.marker["seconds"] == pytest.approx(sum(lengths), abs=5)
    assert sorted(path.name for path in later.path.iterdir()) == ["100.0", "30.0", "complete.json"]
    assert store.costs()[0].seconds == later.marker["seconds"]


def test_the_numbers_of_threads_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of one process for most results, those of all attempts for what is resumed. Costs have them per kind."""
    store = Store(tmp_path, "run")

    def write(folder: Path) -> None:
        note_threads(folder)
        write_two(folder)

    for number in (2, 1):
        monkeypatch.setattr("spillover.utils.threads.threads_in_use", lambda number=number: number)
        with suppress(KeyboardInterrupt):
            tuned = store.get_or_make("tuned", "inputs", "tuned", write, resumable=True)
        scored = store.get_or_make("scored", number, "scored", lambda folder: (folder / "file").touch())
    monkeypatch.setattr("spillover.utils.threads.threads_in_use", lambda: 0)
    store.get_or_make("read", "inputs", "read", lambda folder: (folder / "file").touch())
    assert {cost.stage: cost.threads for cost in store.costs()} == {"scored": (1, 2), "tuned": (1, 2), "read": ()}
    assert scored.marker["threads"] == [1]
    assert sorted(path.name for path in tuned.path.iterdir()) == ["complete.json", "first", "second"]


def test_what_is_not_begins_again(tmp_path: Path) -> None:
    store = Store(tmp_path, "run")
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            store.get_or_make("kind", "inputs", "link", write_two)
        assert not list(tmp_path.rglob("*.partial"))


def test_what_was_refused_begins_again(tmp_path: Path) -> None:
    """It would be refused once more, so nothing of it is kept."""

    def refuse(folder: Path) -> None:
        (folder / "first").touch()
        raise SpilloverError("no")

    with pytest.raises(SpilloverError):
        Store(tmp_path, "run").get_or_make("kind", "inputs", "link", refuse, resumable=True)
    assert not list(tmp_path.rglob("*.partial"))


@pytest.fixture
def follower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    with monkeypatch.context() as patched:
        patched.setenv("RANK", "1")
        return Store(tmp_path, "run")


def test_a_process_that_does_not_lead_waits_and_writes_nothing(tmp_path: Path, follower: Store) -> None:
    made: list[Path] = []

    def never(folder: Path) -> None:
        pytest.fail("a process that does not lead makes nothing")

    following = threading.Thread(target=lambda: made.append(follower.get_or_make("kind", 1, "link", never).path))
    following.start()
    follower.log("event")
    follower.save("text", "text")
    assert not list(tmp_path.iterdir())
    stage = Store(tmp_path, "run").get_or_make("kind", 1, "link", lambda folder: (folder / "file").touch())
    following.join(timeout=10)
    assert made == [stage.path]


def test_it_takes_part_in_what_is_made_together(tmp_path: Path, follower: Store) -> None:
    """Neither can end without the other, so a follower that waited for the lock would wait forever."""
    both, ended = threading.Barrier(2, timeout=10), []

    def together(folder: Path) -> None:
        both.wait()
        ended.append(folder)

    following = threading.Thread(target=lambda: follower.get_or_make("kind", 1, "link", together, resumable=True))
    following.start()
    Store(tmp_path, "run").get_or_make("kind", 1, "link", together, resumable=True)
    following.join(timeout=10)
    assert not following.is_alive()
    assert len(ended) == 2
    assert len(set(ended)) == 1

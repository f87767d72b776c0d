"""What a run tells of its progress where nobody watches a terminal: lines of text, or JSON objects."""

import io
import json
from collections.abc import Callable, Iterator
from threading import Event

import pytest
from rich.console import Console

from calls import Call
from spillover.utils import progress


class Lines(io.StringIO):
    """Standard error that says when a line arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = Event()

    def write(self, text: str) -> int:
        """Write, and wake up who waits for a line."""
        written = super().write(text)
        self.arrived.set()
        return written

    def next(self) -> str:
        """Return the next line that is written from now on, which waits at most a few seconds for it."""
        self.arrived.clear()
        assert self.arrived.wait(self.patience), "silence"
        return self.getvalue().splitlines()[-1]

    patience = 5.0


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    progress.report_as_json(False)  # whatever command ran before
    monkeypatch.setattr(progress, "console", Console(file=Lines(), get_time=clock, highlight=False, emoji=False))
    monkeypatch.setitem(progress.PERIODS, "text", 0.01)
    monkeypatch.setitem(progress.PERIODS, "json", 0.01)
    return clock


@pytest.fixture
def lines(clock: Clock) -> Lines:
    assert isinstance(progress.console.file, Lines)
    return progress.console.file


@pytest.fixture
def as_json(clock: Clock) -> Iterator[None]:
    progress.report_as_json(True)
    yield
    progress.report_as_json(False)


def work(clock: Clock, between: Callable[[], str]) -> list[str]:
    """Do 40 of 100 items at two a second, then wait; return the lines before the first item and after the last."""
    with progress.bar("evaluate (items)", 100) as shown:
        told = [between()]
        for now in (10, 20):
            clock.now = now
            shown.advance(20, note="loss 0.5")
        told.append(between())
        clock.now = 25
    return told


def test_lines_say_stage_share_rate_and_time_left(clock: Clock, lines: Lines) -> None:
    """Of 100 items 40 are done at two a second, so 60 are left for 30 seconds; in the end 40 took 25 seconds."""
    assert work(clock, lines.next) == [
        "evaluate (items): 0 of 100, time left unknown",
        "evaluate (items): 40 of 100, 2.0/s, loss 0.5, 30 s left",
    ]
    assert lines.getvalue().splitlines()[-1] == "evaluate (items): 40 of 100, 1.6/s, loss 0.5, 25 s"


def test_slow_work_has_seconds_each_and_a_time_left(clock: Clock, lines: Lines) -> None:
    """Steps of 40 seconds: the rate of the last half minute would not exist."""
    with progress.bar("tune (steps)", 10) as shown:
        for now in (40, 80, 120):
            clock.now = now
            shown.advance(1)
        assert lines.next() == "tune (steps): 3 of 10, 40.0 s each, 5 min left"


@pytest.mark.usefixtures("as_json")
def test_json_has_the_same_as_fields(clock: Clock, lines: Lines) -> None:
    texts = work(clock, lines.next)
    progress.notify("a :warning: [note]\nin Türkçe")
    *_, end, note = map(json.loads, lines.getvalue().splitlines())
    first, later = map(json.loads, texts)
    common = {"stage": "evaluate (items)", "total": 100}
    assert first | common == first
    assert (first["event"], first["done"], first["rate"], first["left"]) == ("progress", 0, None, None)
    assert later | common | {"event": "progress", "done": 40, "rate": 2, "left": 30, "seconds": 20} == later
    assert end | common | {"event": "end", "done": 40, "rate": 1.6, "left": 0, "seconds": 25} == end
    assert later["note"] == "loss 0.5"
    assert note == {"event": "note", "text": "a :warning: [note]\nin Türkçe"}


def test_a_bar_that_waits_for_progress_is_silent(clock: Clock, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin: lines that only progress prints leave a long item silent."""
    monkeypatch.setitem(progress.PERIODS, "text", 3600.0)
    monkeypatch.setattr(Lines, "patience", 0.05)
    with pytest.raises(AssertionError, match="silence"):
        work(clock, lines.next)


def test_a_block_that_fails_still_tells_how_far_it_came(clock: Clock, lines: Lines) -> None:
    def fail() -> str:
        clock.now = 4
        raise RuntimeError("full")

    with pytest.raises(RuntimeError, match="full"):
        work(clock, fail)
    assert lines.getvalue().splitlines()[-1] == "evaluate (items): 0 of 100, 4 s"


def test_errors_of_the_command_line_are_json_too_if_asked_for(call: Call) -> None:
    sentence = "nowhere.toml: "
    asked, plain = call("--json-progress", "lint", "nowhere.toml"), call("lint", "nowhere.toml")
    assert (asked.status, plain.status) == (2, 2)
    error = json.loads(asked.err)
    assert (error["event"], error["status"]) == ("error", 2)
    assert error["text"] == plain.err.rstrip("\n")
    assert sentence in plain.err

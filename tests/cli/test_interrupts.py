"""Ctrl-C and SIGTERM: one sentence, the shells' exit status, and nothing that stays locked."""

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from calls import Call
from places import ROOT
from spillover import pipeline
from spillover.store import locks

DEMO = ROOT / "examples" / "demo.toml"

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


@pytest.fixture(params=list(NAMES), ids=list(NAMES.values()))
def number(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> signal.Signals:
    """A signal that reaches the process in the stage of the questions, which has the run folder's lock then."""
    number: signal.Signals = request.param

    def work(run: pipeline.Run) -> None:
        run.store.log("at work")
        signal.raise_signal(number)

    monkeypatch.setitem(pipeline.STAGES, "questions", work)
    return number


def test_one_sentence_says_what_is_kept_and_how_to_go_on(call: Call, number: signal.Signals, tmp_path: Path) -> None:
    ended = call("questions", DEMO, "--runs", tmp_path)
    assert ended.status == 128 + number
    (sentence,) = ended.err.splitlines()
    assert sentence.startswith(f"spillover: interrupted by {NAMES[number]}; ")
    assert f"is kept in {tmp_path / 'demo'}" in sentence
    assert "the same command goes on from there" in sentence


def test_the_lock_and_the_signals_are_free_again(
    call: Call, number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [signal.getsignal(other) for other in NAMES]
    call("questions", DEMO, "--runs", tmp_path)
    assert [signal.getsignal(other) for other in NAMES] == before
    monkeypatch.setattr(locks, "notify", lambda text: pytest.fail(text))  # who waits for a lock says so
    with locks.acquire(tmp_path / ".stages" / "run-demo"):
        pass


def test_the_sentence_is_json_if_asked_for(call: Call, number: signal.Signals, tmp_path: Path) -> None:
    event = json.loads(call("--json-progress", "questions", DEMO, "--runs", tmp_path).err)
    assert (event["event"], event["status"]) == ("interrupted", 128 + number)
    assert str(tmp_path / "demo") in event["text"]


STUBBORN = """
    import os, signal, sys, threading, time
    from spillover import cli

    def work():
        threading.Thread(target=time.sleep, args=(60,)).start()  # as a translator's request that is under way
        os.kill(os.getpid(), signal.SIGTERM)
        while {swallows}:
            try:
                time.sleep(60)
            except BaseException:
                pass

    cli.app.command("work")(work)
    sys.argv = ["spillover", "work"]
    cli.{entry}()
"""
"""A command that lasts a minute whatever signal comes."""


def stubborn(swallows: bool, entry: str) -> "subprocess.Popen[str]":
    code = textwrap.dedent(STUBBORN.format(swallows=swallows, entry=entry))
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)


def test_a_library_that_swallows_the_signal_or_waits_for_threads_does_not_stop_the_end() -> None:
    """The time limit is for a machine that is busy; without the second thread each would take a minute."""
    for process in [stubborn(swallows, "command") for swallows in (True, False)]:
        _, told = process.communicate(timeout=30)
        assert process.returncode == 143, told
        assert told.startswith("spillover: interrupted by SIGTERM; nothing half-made is left")
        assert len(told.splitlines()) == 1


def test_without_the_end_of_the_process_threads_are_waited_for() -> None:
    """The twin: `main` ends the command, not the process."""
    process = stubborn(False, "main")
    assert process.stderr
    assert process.stderr.readline()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.kill()
    process.communicate()

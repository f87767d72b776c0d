"""Engines: each text once, each field by itself, everything kept at once, whatever happens then."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any, cast

import pytest

from quiz import quiz, texts_of
from spillover.errors import SpilloverError
from spillover.records import Question
from spillover.translate import open_translator
from spillover.translate.engine import Engine, EngineTranslator
from spillover.translate.memory import MemoryKey, TranslationMemory
from spillover.translate.translator import QuestionsIn


def nothing(language: str) -> list[Question]:
    raise AssertionError("an engine asks for no questions of the source")


OWN: QuestionsIn = nothing


class Shout:
    """Writes in capitals; remembers what it was asked."""

    version = "1"
    batch = 2

    def __init__(self) -> None:
        self.seen: list[str] = []

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        self.seen += texts
        return [f"{target}:{text.upper()}" for text in texts]


class Fails(Shout):
    """Cannot do `bad`."""

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        if "bad" in texts:
            raise SpilloverError("the engine is gone")
        return super().translate(texts, source, target)


class Picky(Shout):
    """Knows no Thai."""

    def require(self, source: str, target: str) -> None:
        if target == "th":
            raise SpilloverError("no Thai")


def by_text(engine: Engine, identity: str = "shout 1", budget: int = 0) -> EngineTranslator:
    return EngineTranslator(engine, identity, TranslationMemory(), budget)


def test_fields_are_translated_one_by_one_and_each_text_once() -> None:
    engine = Shout()
    questions = [Question("quiz", id, "en", fields) for id, fields in (("a", ("x", "y")), ("b", ("y", "x")))]
    found = by_text(engine).translate(questions, "es")
    assert found == [
        Question("quiz", "a", "es", ("es:X", "es:Y")),
        Question("quiz", "b", "es", ("es:Y", "es:X")),
    ]
    assert engine.seen == ["x", "y"]
    assert by_text(engine).translate([], "es") == []


def test_a_language_that_the_engine_lacks_is_refused_while_characters_are_counted() -> None:
    """The twin, an engine that says nothing before it is asked to translate, has its characters counted."""
    questions, engine = quiz("a"), Picky()
    assert by_text(engine).characters(questions, "es") == by_text(Shout()).characters(questions, "th") == (1, 0)
    with pytest.raises(SpilloverError, match="no Thai"):
        by_text(engine).characters(questions, "th")
    assert not engine.seen


def test_what_was_translated_is_never_translated_again() -> None:
    by_text(Shout()).translate(quiz("a", "b"), "es")
    again = Shout()
    assert texts_of(by_text(again).translate(quiz("b", "c", "a"), "es")) == ["es:B", "es:C", "es:A"]
    assert again.seen == ["c"]


OTHERS = [("shout 2", "en", "es"), ("shout 1", "de", "es"), ("shout 1", "en", "de")]


@pytest.mark.parametrize(("identity", "source", "target"), OTHERS)
def test_another_engine_or_direction_translates_anew(identity: str, source: str, target: str) -> None:
    by_text(Shout()).translate(quiz("a"), "es")
    other = Shout()
    by_text(other, identity).translate([Question("quiz", "0", source, ("a",))], target)
    assert other.seen == ["a"]


def test_what_came_before_a_failure_is_kept() -> None:
    with pytest.raises(SpilloverError, match="the engine is gone"):
        by_text(Fails()).translate(quiz("a", "b", "bad", "c", "d", "e"), "es")
    again = Shout()
    by_text(again).translate(quiz("a", "b", "bad", "c", "d", "e"), "es")
    assert again.seen == ["bad", "c", "d", "e"]


def test_batches_under_way_beside_a_failure_are_kept_too() -> None:
    class Slow(Shout):
        """Two batches at once: the one with `bad` fails only when the other has begun, which ends only after that."""

        jobs = 2

        def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
            if "bad" in texts:
                assert begun.wait(10)
                failed.set()
                raise SpilloverError("the engine is gone")
            begun.set()
            assert failed.wait(10)
            return super().translate(texts, source, target)

    from threading import Event

    begun, failed = Event(), Event()
    with pytest.raises(SpilloverError, match="the engine is gone"):
        by_text(Slow()).translate(quiz("bad", "x", "a", "b"), "es")
    assert TranslationMemory().known(MemoryKey("shout 1", "en", "es"), ["a", "b", "bad", "x"]) == {
        "a": "es:A",
        "b": "es:B",
    }


SCRIPT = """
import os, signal
class Thing:
    version, batch = "1", 2
    def translate(self, texts, source, target):
        with open("seen", "a") as seen:
            seen.write("".join(text + "\\n" for text in texts))
        if os.environ.get("KILL") in texts:
            os.kill(os.getpid(), signal.SIGKILL)
        return [text.upper() for text in texts]
"""
MAIN = """
from spillover.records import Question
from spillover.translate import open_translator
questions = [Question("quiz", str(n), "en", (f"text {n}",)) for n in range(20)]
found = open_translator(lambda code: [], "my_engine:Thing").translate(questions, "es")
assert [q.fields[0] for q in found] == [f"TEXT {n}" for n in range(20)]
"""


def test_a_killed_run_loses_what_was_under_way_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "my_engine.py").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "main.py").write_text(MAIN, encoding="utf-8")

    def run(kill: str) -> int:
        command, environment = [sys.executable, "main.py"], os.environ | {"KILL": kill}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True).returncode

    assert [run("text 5"), run("text 13"), run("none")] == [-signal.SIGKILL, -signal.SIGKILL, 0]
    seen = (tmp_path / "seen").read_text(encoding="utf-8").splitlines()
    assert sorted(seen) == sorted([f"text {n}" for n in (*range(20), 4, 5, 12, 13)])
    assert run("text 0") == 0, "a finished one asks the engine for nothing"


def test_a_full_disk_is_one_sentence_and_loses_nothing(own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect

    def small(*arguments: Any, **options: Any) -> sqlite3.Connection:  # noqa: ANN401
        connection = connect(*arguments, **options)
        connection.execute("PRAGMA max_page_count = 20")
        return connection

    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", small)
        memory = TranslationMemory()
    texts = [f"{number} " * 500 for number in range(40)]
    with pytest.raises(SpilloverError, match=r"cannot keep translations here: database or disk is full; what was kept"):
        EngineTranslator(Shout(), "shout 1", memory).translate(quiz(*texts), "es")
    again = Shout()
    by_text(again).translate(quiz(*texts), "es")
    assert 0 < len(again.seen) < len(texts)


def test_two_processes_may_share_the_memory(own_folders: Path) -> None:
    here, there, direction = TranslationMemory(), TranslationMemory(), MemoryKey("shout 1", "en", "es")
    here.add(direction, {"a": "A"})
    there.add(direction, {"a": "another", "b": "B"})
    assert here.known(direction, ["a", "b", "c"]) == {"a": "A", "b": "B"}


def test_a_file_that_is_no_memory_is_refused(own_folders: Path) -> None:
    own_folders.parent.mkdir(parents=True)
    own_folders.write_text("anything but a database, and long enough to be seen as none" * 20, encoding="utf-8")
    with pytest.raises(SpilloverError, match=r"sqlite: cannot keep translations here: file is not a database"):
        TranslationMemory()


def test_the_memory_says_in_plain_sql_what_it_holds(own_folders: Path) -> None:
    by_text(Shout()).translate(quiz("a"), "es")
    rows = sqlite3.connect(own_folders).execute("SELECT * FROM translations").fetchall()
    assert rows == [("shout 1", "en", "es", "a", "es:A")]


def test_characters_are_those_of_texts_never_translated() -> None:
    engine = Shout()
    opened, questions = by_text(engine), quiz("abc", "de", "abc")
    assert (opened.characters(questions, "es"), opened.characters([], "es"), engine.seen) == ((5, 0), (0, 0), [])
    opened.translate(quiz("abc"), "es")
    assert (opened.characters(questions, "es"), opened.characters(questions, "de")) == ((2, 3), (5, 0))


def test_what_came_back_is_told_even_if_the_engine_failed_half_way() -> None:
    class Tires(Shout):
        batch = 1

        def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
            if texts[0] == "stop":
                raise SpilloverError("tired")
            return super().translate(texts, source, target)

    told: list[tuple[str, int]] = []

    def log(*, language: str, characters: int, seconds: float) -> None:
        assert seconds >= 0
        told.append((language, characters))

    opened = EngineTranslator(Tires(), "tires 1", TranslationMemory(), log=log)
    opened.translate(quiz("abc", "de", "abc"), "es")
    opened.translate(quiz("abc", "de"), "es")  # from memory
    with pytest.raises(SpilloverError, match="tired"):
        opened.translate(quiz("abc", "f", "stop", "never sent"), "es")
    assert told == [("es", 5), ("es", 1)]


def test_a_budget_stops_before_anything_is_translated() -> None:
    engine = Shout()
    bounded = by_text(engine, budget=10)
    bounded.translate(quiz("12345", "12345"), "es")
    with pytest.raises(SpilloverError, match=r"translate.budget: en→de needs 6 characters .* found 5 of 10 left"):
        bounded.translate(quiz("123456"), "de")
    assert engine.seen == ["12345"]
    bounded.translate(quiz("12345"), "es")


@pytest.mark.parametrize("given", [["one"], ["one", "two", "three"], ["one", None]])
def test_a_wrong_number_of_translations_is_refused_and_not_kept(given: list[str]) -> None:
    class Miscounts(Shout):
        def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
            return given

    with pytest.raises(SpilloverError, match=rf"'shout' returned {len(given)} translations of 2 texts"):
        by_text(Miscounts()).translate(quiz("a", "b"), "es")
    assert TranslationMemory().known(MemoryKey("shout 1", "en", "es"), ["a", "b"]) == {}


def test_an_edited_engine_of_ones_own_translates_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    code = dedent("""
        class Thing:
            def translate(self, texts, source, target):
                return ["{} " + text for text in texts]
    """)
    for word in ("first", "second"):
        name = f"engine_{word}"
        (tmp_path / f"{name}.py").write_text(code.replace("{}", word), encoding="utf-8")
        monkeypatch.setitem(sys.modules, "edited_engine", __import__(name))
        found = open_translator(OWN, "edited_engine:Thing").translate(quiz("a"), "es")
        assert texts_of(found) == [f"{word} a"]


def test_a_key_that_an_engine_does_not_take_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "my_engines", sys.modules[__name__])
    for key in ("model", "endpoint"):
        for name in ("parallel", "my_engines:Shout"):
            with pytest.raises(SpilloverError, match=rf"translate\.{key}: found 'x', but '{name}' takes no {key}"):
                open_translator(OWN, name, **cast(Any, {key: "x"}))

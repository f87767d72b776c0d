"""A child process that runs the command line and kills itself where it is told to, as `kill -9` would.

Audit events say where it is: Python's own for opening, renaming and linking, and `written`, which the writers wrapped
here raise when their file is there. A torn file is cut in half first: what a kill amid the writing leaves.
"""

import json
import os
import re
import signal
import sqlite3
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import forkserver, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

PATHS = {"os.rename": 1, "os.symlink": 1, "open": 0, "written": 0}
"""Audit event → which of its arguments is the path concerned."""

SERVER = get_context("forkserver")
SERVER.set_forkserver_preload(["preloaded"])


def child(target: Callable[..., object], *arguments: object) -> BaseProcess:
    """Return a process, not started yet, that is forked from one that has imported `preloaded` and run nothing.

    Python 3.11 does not tell the forking process where this process finds modules.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        forkserver.ensure_running()
    return SERVER.Process(target=target, args=arguments)


@dataclass(frozen=True)
class Point:
    """Where to die."""

    stage: str
    """The stage of the pipeline that is being made."""
    event: str
    """The audit event."""
    path: str
    """A pattern that is found in the path concerned."""
    torn: bool = False
    """Whether the file being written is cut in half first."""
    nth: int = 1
    """At which such event."""
    number: signal.Signals = signal.SIGKILL
    """The signal."""


class Engine:
    """A user's own engine, whose translations are kept in SQLite: it turns texts around."""

    version = "1"

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """Return each text with its words in the other order."""
        return [" ".join(reversed(text.split())) for text in texts]


class _Connection(sqlite3.Connection):
    """Says when it has written rows that are not committed."""

    def executemany(self, *given: Any) -> sqlite3.Cursor:  # noqa: ANN401
        """Write rows."""
        done = super().executemany(*given)
        sys.audit("written", "translations.sqlite")
        return done


def _telling(write: Callable[..., object], place: int) -> Callable[..., object]:
    """Wrap a writer so that it says what it has written; `place` is the argument that is the path."""

    def told(*given: object, **named: object) -> object:
        done = write(*given, **named)
        sys.audit("written", str(given[place]))
        return done

    return told


def _wrap_writers() -> None:
    import peft.peft_model
    import pyarrow.parquet as pq
    import torch

    from spillover.store import formats

    for owner, name, place in (
        (pq, "write_table", 1),
        (formats, "save_file", 1),
        (peft.peft_model, "safe_save_file", 1),
        (torch, "save", 1),
        (Path, "write_bytes", 0),
        (Path, "write_text", 0),
    ):
        setattr(owner, name, _telling(getattr(owner, name), place))
    setattr(sqlite3, "connect", partial(sqlite3.connect, factory=_Connection))  # noqa: B010 - mypy refuses the other way


def _arm(point: Point, log: Path) -> None:
    """Die at the point, and say so in the log."""
    _wrap_writers()
    seen = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event != point.event or not re.search(point.path, str(arguments[PATHS[event]])):
            return
        seen += 1
        if seen == point.nth:
            file = arguments[0]  # of a renaming: what is renamed
            if point.torn:
                os.truncate(file, os.stat(file).st_size // 2)  # noqa: PTH116
            with log.open("a") as lines:
                lines.write(f"{point.stage}: {event} {arguments[PATHS[event]]}\n")
            os.kill(os.getpid(), point.number)

    sys.addaudithook(hook)


def die_in_tuning(how: str, step: int) -> None:
    """Keep a checkpoint every three steps, and die at one of them.

    Args:
        how: "in step", "before the marker of" or "after the marker of" the step's checkpoint; "not"; and "without its
            generator's state", which goes on from a checkpoint with other random numbers.
        step: counted from 1.
    """
    from spillover.models.tuning import checkpoints, trainer

    advance, committed = trainer.Callbacks.on_log, checkpoints.commit

    def die(at: int) -> None:
        if at == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_log(self: Any, *arguments: object, logs: dict[str, float], **named: object) -> None:  # noqa: ANN401
        advance(self, *arguments, logs=logs, **named)
        die(self._trainer.state.global_step if "loss" in logs and how == "in step" else 0)

    def commit(folder: Path, at: int, best: int | None) -> None:
        die(at if how == "before the marker of" else 0)
        committed(folder, at, best)
        die(at if how == "after the marker of" else 0)

    changes: list[tuple[object, str, object]] = [
        (trainer, "SAVE_EVERY", 3),
        (trainer.Callbacks, "on_log", on_log),
        (checkpoints, "commit", commit),
    ]
    if how == "without its generator's state":
        changes.append((trainer.TargetTrainer, "_load_rng_state", lambda self, checkpoint: None))
    for owner, name, change in changes:
        setattr(owner, name, change)


def go_to_machine(folder: Path, dtype: str) -> None:
    """Be on a machine that has its own cache in this folder, and on which `auto` stands for this dtype."""
    from spillover.models import load

    os.environ["XDG_CACHE_HOME"] = str(folder)
    setattr(load, "dtype_of_machine", lambda: dtype)  # noqa: B010 - mypy refuses the other way


def _write_specifications() -> None:
    """Let a picture's file hold its chart's specification, and leave the charts' library out of the page.

    Drawing takes seconds in each process; what is drawn is in the specification.
    """
    import vl_convert

    from spillover.report import run

    setattr(run, "bundle", lambda: "")  # noqa: B010
    for name, content in (
        ("vegalite_to_svg", lambda chart, **_: json.dumps(chart)),
        ("svg_to_png", lambda svg, **_: svg.encode()),
    ):
        setattr(vl_convert, name, content)


def _run(arguments: Sequence[str], home: Path, point: Point | None, prepare: Callable[[], None] | None) -> None:
    import torch

    from spillover import cli

    torch.set_num_threads(1)
    output = os.open(home / "output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ["XDG_DATA_HOME"] = str(home)
    _write_specifications()
    if prepare:
        prepare()
    if point:
        _arm(point, home / "hits")
    sys.argv = ["spillover", *arguments]
    cli.main()


def run(arguments: Sequence[str], home: Path, point: Point | None = None, prepare: Any = None) -> int:  # noqa: ANN401
    """Run the command line in a child and return its exit status, negative for the signal that killed it.

    Args:
        arguments: what follows `spillover`.
        home: a folder for the user's data, the child's `output` and its `hits`.
        point: where to die.
        prepare: a function of a module that the child calls first.
    """
    process = child(_run, arguments, home, point, prepare)
    process.start()
    process.join(300)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode

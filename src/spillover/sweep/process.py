"""Processes of a sweep: each never sees Ctrl-C, and ends with the process that started it."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process
from threading import Thread
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Process:
    """A process that calls functions, one after the other. If it dies, a call raises `BrokenProcessPool`."""

    def __init__(self, environment: dict[str, str]) -> None:
        """Set the environment's variables in the process. It starts with the first call."""
        # spawned, not forked: a fork of a process with threads may hang, and CUDA refuses it
        self._pool = ProcessPoolExecutor(1, get_context("spawn"), initializer=_begin, initargs=(environment,))

    def submit(
        self, function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Future[Result]:
        """Let the process call a function of a module."""
        with _uninterrupted():
            return self._pool.submit(function, *args, **kwargs)

    def end(self) -> None:
        """End the process after the call under way."""
        self._pool.shutdown(cancel_futures=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let a process that the block starts never see Ctrl-C. It ends with this process, which reports the signal."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(environment: dict[str, str]) -> None:
    os.environ |= environment
    Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    if parent := parent_process():
        connection.wait([parent.sentinel])
        os._exit(1)

"""The executor `local`: worker processes on this machine, each with one model in memory."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from math import ceil
from multiprocessing import connection, get_context, parent_process
from threading import Thread

from spillover.sweep.plan import SweepTask
from spillover.sweep.resources import Resources
from spillover.sweep.schedule import Schedule, TaskOutcome

DIED = "the worker died (killed, or out of memory?)"


def local(schedule: Schedule, resources: Resources, work: Callable[[SweepTask], TaskOutcome]) -> None:
    """Do a schedule's tasks in `resources.workers` processes. A process that dies is replaced."""
    pools: dict[int, ProcessPoolExecutor] = {}  # one process each, so that a dead process is known by its task
    flying: dict[Future[TaskOutcome], tuple[int, SweepTask]] = {}
    free = list(range(resources.workers or 1))[::-1]
    try:
        while schedule.open:
            while free and (task := schedule.next()):
                slot = free.pop()
                flying[_submit(pools, slot, resources.gpus, work, task)] = (slot, task)
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                slot, task = flying.pop(future)
                free.append(slot)
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    pools.pop(slot).shutdown()
                    outcome = TaskOutcome(DIED)
                schedule.ended(task, outcome)
    finally:
        for pool in pools.values():
            pool.shutdown(cancel_futures=True)


def _submit(
    pools: dict[int, ProcessPoolExecutor],
    slot: int,
    gpus: float,
    work: Callable[[SweepTask], TaskOutcome],
    task: SweepTask,
) -> Future[TaskOutcome]:
    """Give a task to a slot's process; start one if there is none, or if it died while idle."""
    try:
        return pools[slot].submit(work, task)
    except (KeyError, BrokenProcessPool):
        # spawned, not forked: a fork of a process with threads may hang, and CUDA refuses it
        pools[slot] = ProcessPoolExecutor(1, get_context("spawn"), initializer=_begin, initargs=(slot, gpus))
        with _uninterrupted():
            return pools[slot].submit(work, task)


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


def _begin(slot: int, gpus: float) -> None:
    """Begin a worker that sees only its GPUs, and ends with the process that started it."""
    if gpus:
        first = int(slot * gpus)
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(first, first + ceil(gpus))))
    Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    if parent := parent_process():
        connection.wait([parent.sentinel])
        os._exit(1)

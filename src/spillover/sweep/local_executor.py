"""The executor `local`: worker processes on this machine, each with one model in memory."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from math import ceil
from pathlib import Path

from spillover.errors import SpilloverError
from spillover.sweep.plan import SweepTask
from spillover.sweep.process import Process
from spillover.sweep.resources import Resources
from spillover.sweep.schedule import Schedule, TaskOutcome
from spillover.utils.threads import WORKERS

DIED = "the worker died (killed, or out of memory?)"


def local(schedule: Schedule, resources: Resources, work: Callable[[SweepTask], TaskOutcome]) -> None:
    """Do a schedule's tasks in `resources.workers` processes. A process that dies is replaced.

    Raises:
        SpilloverError: the machine has too few GPUs for these workers.
    """
    environments = _environments(resources)
    processes: dict[int, Process] = {}
    flying: dict[Future[TaskOutcome], tuple[int, SweepTask]] = {}
    free = list(range(len(environments)))[::-1]
    try:
        while schedule.open:
            while free and (task := schedule.next()):
                slot = free.pop()
                flying[_submit(processes, slot, environments[slot], work, task)] = (slot, task)
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                slot, task = flying.pop(future)
                free.append(slot)
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    processes.pop(slot).end()
                    outcome = TaskOutcome(DIED)
                schedule.ended(task, outcome)
    finally:
        for process in processes.values():
            process.end()


def _submit(
    processes: dict[int, Process],
    slot: int,
    environment: dict[str, str],
    work: Callable[[SweepTask], TaskOutcome],
    task: SweepTask,
) -> Future[TaskOutcome]:
    """Give a task to a slot's process; start one if there is none, or if it died while idle."""
    try:
        return processes[slot].submit(work, task)
    except (KeyError, BrokenProcessPool):
        processes[slot] = Process(environment)
        return processes[slot].submit(work, task)


def _environments(resources: Resources) -> list[dict[str, str]]:
    """Return the variables of each worker, which takes its share of the cores and sees only its GPUs."""
    workers = resources.workers or 1
    cores = {WORKERS: str(workers)}
    if not resources.gpus:
        return [cores] * workers
    shares = share_gpus(workers, resources.gpus, visible_gpus())
    return [cores | {"CUDA_VISIBLE_DEVICES": ",".join(names)} for names in shares]


def share_gpus(workers: int, gpus: float, names: Sequence[str]) -> list[list[str]]:
    """Return the names of each worker's GPUs. No GPU has more workers than it has room for.

    Args:
        workers: number of workers.
        gpus: GPUs of each: a whole number, or a part of one.
        names: names of all GPUs; empty: unknown, so they are counted from 0.

    Raises:
        SpilloverError: there are too few GPUs.
    """
    sharing = int(1 / gpus + 1e-9) if gpus < 1 else 1  # 1 / (1 / 3) is below 3 in floating point for some thirds
    count = ceil(gpus)
    needed = ceil(workers / sharing) * count
    if names and needed > len(names):
        raise SpilloverError(
            f"--gpus: found {gpus:g} for each of {workers} workers, expected at most the {len(names)} GPUs that this "
            "process sees; choose fewer --workers"
        )
    listed = names or [str(place) for place in range(needed)]
    starts = (worker // sharing * count for worker in range(workers))
    return [list(listed[start : start + count]) for start in starts]


def visible_gpus() -> list[str]:
    """Return the names of the NVIDIA GPUs that this process may use; empty if nothing says which there are."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip()]
    return [str(place) for place, _ in enumerate(Path("/dev").glob("nvidia[0-9]*"))]

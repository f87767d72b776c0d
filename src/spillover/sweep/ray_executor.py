"""The executor `ray`: tasks on a Ray cluster, or on a new one of this machine that listens on loopback alone.

Ray ends every process that is connected to a head that died. So a process of its own is connected (`ray_driver.py`),
and this one outlives it: it waits for the head to come back, connects again, and does again what was under way.
"""

import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool

from spillover.errors import SpilloverError, UnreachableError
from spillover.sweep import ray_driver
from spillover.sweep.plan import SweepTask
from spillover.sweep.process import Process
from spillover.sweep.resources import Resources
from spillover.sweep.schedule import Schedule, TaskOutcome
from spillover.utils.progress import notify

PATIENCE = 600.0
"""Seconds to wait for a cluster that was lost."""

PAUSE = 5.0
"""Seconds between two tries to connect."""


def ray(schedule: Schedule, resources: Resources, work: Callable[[SweepTask], TaskOutcome]) -> None:
    """Do a schedule's tasks on a cluster, `resources.workers` at a time, or as many as it has room for.

    Raises:
        SpilloverError: the cluster cannot be reached, or was lost and did not come back within `PATIENCE`.
    """
    flying: dict[str, SweepTask] = {}
    driver = _connect(resources, work)
    fresh: list[SweepTask] = []
    room, is_warned = 0, False
    try:
        while schedule.open:
            while len(flying) < room and (task := schedule.next()):
                flying[task.key] = task
                fresh.append(task)
            try:
                advance = driver.submit(ray_driver.advance, fresh).result()
            except (BrokenProcessPool, UnreachableError):
                driver.end()
                driver = _reconnect(resources, work)
                fresh = list(flying.values())  # what their workers finished is reused
                continue
            fresh, room = [], advance.room
            if not (advance.fits or is_warned):
                is_warned = True
                notify(f"--gpus: no node of the cluster has {resources.gpus:g} GPUs; waiting for one that has")
            for key, outcome in advance.ended:
                schedule.ended(flying.pop(key), outcome)
    finally:
        driver.end()


def _connect(resources: Resources, work: Callable[[SweepTask], TaskOutcome]) -> Process:
    """Start a process and let it connect to the cluster."""
    driver = Process(ray_driver.environment(resources))
    try:
        driver.submit(ray_driver.connect, resources, work).result()
    except BrokenProcessPool as error:
        driver.end()
        raise UnreachableError(f"--on: cannot reach {resources.address!r}: Ray ended the process") from error
    except BaseException:
        driver.end()
        raise
    return driver


def _reconnect(resources: Resources, work: Callable[[SweepTask], TaskOutcome]) -> Process:
    """Connect again as soon as the cluster is back."""
    name = resources.address or "this machine"
    notify(f"Ray: lost the cluster of {name}; waiting up to {PATIENCE / 60:.0f} minutes for it to come back")
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            driver = _connect(resources, work)
        except UnreachableError:
            time.sleep(PAUSE)
            continue
        notify(f"Ray: connected to the cluster of {name} again; the tasks that were under way begin again")
        return driver
    raise SpilloverError(
        f"--on: lost the cluster of {name}, and it did not come back within {PATIENCE / 60:.0f} minutes; what is "
        "finished stays, and the same command goes on"
    )

"""The executor `ray`: tasks on a Ray cluster, or on a fresh one of this machine that listens on loopback alone.

Ray reports no usage and shows no dashboard. All nodes have to see the folder of runs, and to have this package.
"""

import logging
import os
from collections.abc import Callable
from typing import Any

from spillover.errors import SpilloverError
from spillover.sweep.plan import SweepTask
from spillover.sweep.resources import Resources
from spillover.sweep.schedule import Schedule, TaskOutcome

RETRIES = 3
"""How often a task is done again whose node or process died: every stage that it had finished is there already."""

LOOPBACK = "127.0.0.1"


def ray(board: Schedule, means: Resources, work: Callable[[SweepTask], TaskOutcome]) -> None:
    """Do a board's tasks on a cluster, as many at a time as it has room for, or `means.workers`."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if means.on.partition(":")[0] in ("", LOOPBACK):  # else Ray takes the machine's own address for this one
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    import ray  # which reads them

    fresh: dict[str, Any] = {"address": "local", "include_dashboard": False, "_node_ip_address": LOOPBACK}
    try:
        ray.init(**({"address": means.on} if means.on else fresh), log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise SpilloverError(f"--on: cannot reach {means.on!r}: {str(error).strip().partition(chr(10))[0]}") from error
    try:
        _drive(board, means, ray, ray.remote(max_retries=RETRIES, max_calls=0)(work))
    finally:
        ray.shutdown()


def _drive(board: Schedule, means: Resources, ray: Any, remote: Any) -> None:  # noqa: ANN401 - Ray is imported late
    flying: dict[Any, SweepTask] = {}
    while board.open:
        while len(flying) < (means.workers or _room(ray.cluster_resources(), means.gpus)) and (task := board.next()):
            cpus = task.experiment.model.threads or 1
            flying[remote.options(num_cpus=cpus, num_gpus=means.gpus).remote(task)] = task
        ready = ray.wait(list(flying), num_returns=1, timeout=1)[0] if flying else []
        for one in ready:
            board.ended(flying.pop(one), _outcome(ray, one))


def _room(resources: dict[str, float], gpus: float) -> int:
    """Return how many tasks the cluster has room for; Ray queues what does not fit after all."""
    found = resources.get("GPU", 0) / gpus if gpus else resources.get("CPU", 0)
    return max(1, int(found))


def _outcome(ray: Any, one: Any) -> TaskOutcome:  # noqa: ANN401
    try:
        outcome: TaskOutcome = ray.get(one)
        return outcome
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        return TaskOutcome(f"{type(cause).__name__}: {str(cause).strip().partition(chr(10))[0]}")

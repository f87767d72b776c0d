"""The executor `ray`: tasks on a Ray cluster, or on a new one of this machine that listens on loopback alone.

Ray reports no usage and shows no dashboard. All nodes need the folder of runs and this package.
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
"""Number of times that a task is repeated if its node or process died. Its finished artifacts are reused."""

LOOPBACK = "127.0.0.1"


def ray(schedule: Schedule, resources: Resources, work: Callable[[SweepTask], TaskOutcome]) -> None:
    """Do a schedule's tasks on a cluster, `resources.workers` at a time, or as many as it has room for."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if resources.address.partition(":")[0] in ("", LOOPBACK):  # else Ray uses the machine's own address
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    import ray  # reads these variables on import

    fresh: dict[str, Any] = {"address": "local", "include_dashboard": False, "_node_ip_address": LOOPBACK}
    try:
        ray.init(
            **({"address": resources.address} if resources.address else fresh),
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise SpilloverError(
            f"--on: cannot reach {resources.address!r}: {str(error).strip().partition(chr(10))[0]}"
        ) from error
    try:
        _drive(schedule, resources, ray, ray.remote(max_retries=RETRIES, max_calls=0)(work))
    finally:
        ray.shutdown()


def _drive(schedule: Schedule, resources: Resources, ray: Any, remote: Any) -> None:  # noqa: ANN401 - Ray is imported late
    flying: dict[Any, SweepTask] = {}
    while schedule.open:
        while len(flying) < (resources.workers or _room(ray.cluster_resources(), resources.gpus)) and (
            task := schedule.next()
        ):
            cpus = task.experiment.model.threads or 1
            flying[remote.options(num_cpus=cpus, num_gpus=resources.gpus).remote(task)] = task
        ready = ray.wait(list(flying), num_returns=1, timeout=1)[0] if flying else []
        for reference in ready:
            schedule.ended(flying.pop(reference), _outcome(ray, reference))


def _room(totals: dict[str, float], gpus: float) -> int:
    """Return the number of tasks that the cluster has room for. Ray queues any excess."""
    count = totals.get("GPU", 0) / gpus if gpus else totals.get("CPU", 0)
    return max(1, int(count))


def _outcome(ray: Any, reference: Any) -> TaskOutcome:  # noqa: ANN401
    try:
        outcome: TaskOutcome = ray.get(reference)
        return outcome
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        return TaskOutcome(f"{type(cause).__name__}: {str(cause).strip().partition(chr(10))[0]}")

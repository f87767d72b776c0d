"""The process that is connected to a Ray cluster. It ends if the head of the cluster dies.

Ray reports no usage and shows no dashboard. All nodes need this package, and the folder of runs or its address.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from spillover.errors import SpilloverError, UnreachableError
from spillover.plugins import missing_package
from spillover.sweep.plan import SweepTask
from spillover.sweep.resources import Resources
from spillover.sweep.schedule import TaskOutcome

RETRIES = 3
"""Number of times that a task is repeated if its node or process died. Its finished artifacts are reused."""

LOOPBACK = "127.0.0.1"

WAIT = 1.0
"""Most seconds that a call waits for a task to end."""

OVERVIEW = 5.0
"""Seconds between two looks at the nodes of the cluster, which may come and go."""


def environment(resources: Resources) -> dict[str, str]:
    """Return the variables that Ray reads when it is imported."""
    on_loopback = resources.address.partition(":")[0] in ("", LOOPBACK)  # else Ray uses the machine's own address
    return {"RAY_USAGE_STATS_ENABLED": "0"} | ({"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"} if on_loopback else {})


@dataclass(slots=True)
class Cluster:
    """The cluster that this process is connected to."""

    ray: Any
    """The module."""
    resources: Resources
    """The workers and their GPUs."""
    remote: Any
    """The function that does a task, as Ray calls it."""
    flying: dict[Any, str] = field(default_factory=dict)
    """Ray's reference of a task under way → the task's key."""
    room: int = 1
    """Number of tasks that the cluster has room for."""
    seen: float = -OVERVIEW
    """When the nodes were looked at."""
    fits: bool = True
    """Whether some node has the GPUs of a task."""


@dataclass(frozen=True, slots=True)
class Advance:
    """What a call of `advance` learned."""

    room: int
    """Number of tasks that the cluster has room for."""
    fits: bool
    """Whether some node has the GPUs of a task."""
    ended: list[tuple[str, TaskOutcome]]
    """Key and outcome of each task that ended."""


_clusters: list[Cluster] = []
"""The one cluster, once this process is connected."""


def connect(resources: Resources, work: Callable[[SweepTask], TaskOutcome]) -> None:
    """Connect this process to a cluster, or start one.

    Raises:
        SpilloverError: Ray is not installed.
        UnreachableError: no cluster answers at the address, or it refuses this process.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise SpilloverError(missing_package(error, "--executor")) from error
    fresh: dict[str, Any] = {"address": "local", "include_dashboard": False, "_node_ip_address": LOOPBACK}
    try:
        ray.init(
            **({"address": resources.address} if resources.address else fresh),
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UnreachableError(f"--on: cannot reach {resources.address!r}: {_reason(error)}") from error
    _clusters.append(Cluster(ray, resources, ray.remote(max_retries=RETRIES, max_calls=0)(work)))


def _reason(error: BaseException) -> str:
    """Return the first line of an error, and the remedy if the cluster wants a token."""
    line, cause = str(error).strip().partition("\n")[0], error.__cause__ or error.__context__
    while cause:
        if "InvalidAuthToken" in str(cause):
            return f"{line}; it wants a token: set RAY_AUTH_MODE=token, and copy its ~/.ray/auth_token here"
        cause = cause.__cause__ or cause.__context__
    return line


def advance(tasks: Sequence[SweepTask]) -> Advance:
    """Hand tasks to the cluster, wait until some task ends or a second passes, and return what ended.

    Raises:
        UnreachableError: the connection was lost.
    """
    (cluster,) = _clusters
    try:
        _look(cluster)
        for task in tasks:
            options = {"num_cpus": task.experiment.model.threads or 1, "num_gpus": cluster.resources.gpus}
            cluster.flying[cluster.remote.options(**options).remote(task)] = task.key
        ended = [(cluster.flying.pop(reference), _outcome(cluster.ray, reference)) for reference in _ready(cluster)]
        return Advance(cluster.room, cluster.fits, ended)
    except ConnectionError as error:  # of `ray://`, whose process lives on
        raise UnreachableError(f"--on: lost {cluster.resources.address!r}: {error}") from error


def _ready(cluster: Cluster) -> list[Any]:
    """Return the references of all tasks that ended; wait for one if none did."""
    references = list(cluster.flying)
    if references and cluster.ray.wait(references, num_returns=1, timeout=WAIT)[0]:
        ready: list[Any] = cluster.ray.wait(references, num_returns=len(references), timeout=0)[0]
        return ready
    return []


def _look(cluster: Cluster) -> None:
    """Count the tasks that the cluster has room for. Ray queues any excess.

    All GPUs of a task are on one node, so what is left over on two nodes is no room.
    """
    if time.monotonic() - cluster.seen < OVERVIEW:
        return
    gpus = cluster.resources.gpus
    nodes = [node["Resources"] for node in cluster.ray.nodes() if node["Alive"]]
    rooms = [int(node.get("GPU", 0) / gpus + 1e-9) if gpus else int(node.get("CPU", 0)) for node in nodes]
    cluster.room = cluster.resources.workers or max(1, sum(rooms))
    cluster.fits, cluster.seen = any(rooms) or not gpus, time.monotonic()


def _outcome(ray: Any, reference: Any) -> TaskOutcome:  # noqa: ANN401 - Ray is imported late
    try:
        outcome: TaskOutcome = ray.get(reference)
        return outcome
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        return TaskOutcome(f"{type(cause).__name__}: {str(cause).strip().partition(chr(10))[0]}")

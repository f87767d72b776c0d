"""The workers of a sweep, and their resources."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resources:
    """The number of workers, and the resources of each."""

    workers: int = 0
    """Tasks at a time; 0: one on this machine, as many as fit on a cluster."""
    address: str = ""
    """Address of a cluster: `auto`, `ray://HOST:PORT`, `HOST:PORT`; empty: a fresh one on this machine alone."""
    gpus: float = 0.0
    """GPUs that each task has for itself; 0.5: two tasks share one."""

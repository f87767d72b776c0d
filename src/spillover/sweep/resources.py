"""With what a sweep is done. Knows no executor."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resources:
    """Workers and what each of them has."""

    workers: int = 0
    """Tasks at a time; 0: one on this machine, as many as fit on a cluster."""
    on: str = ""
    """Address of a cluster: `auto`, `ray://HOST:PORT`, `HOST:PORT`; empty: a fresh one on this machine alone."""
    gpus: float = 0.0
    """GPUs that each task has for itself; 0.5: two tasks share one."""

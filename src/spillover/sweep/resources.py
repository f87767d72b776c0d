"""The workers of a sweep, and their resources."""

from dataclasses import dataclass

from spillover.errors import SpilloverError


@dataclass(frozen=True, slots=True)
class Resources:
    """The number of workers, and the resources of each."""

    workers: int = 0
    """Tasks at a time; 0: one on this machine, as many as fit on a cluster."""
    address: str = ""
    """Address of a cluster: `auto`, `ray://HOST:PORT`, `HOST:PORT`; empty: a fresh one on this machine alone."""
    gpus: float = 0.0
    """GPUs that each task has for itself, all of one machine; 0.5: two tasks share one."""

    def __post_init__(self) -> None:
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise SpilloverError(f"--gpus: found {self.gpus:g}, expected a whole number, or a part of one such as 0.5")

"""The cores of this machine, and how busy they are."""

import os


def cores() -> frozenset[int]:
    """Return the numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def is_busy(threads: int) -> bool:
    """Return whether other processes leave fewer than `threads` cores, by the mean of the last minute."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] + threads > len(cores()) + 0.5

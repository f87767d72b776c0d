"""This process's rank among those that `accelerate launch` started. Asking imports no torch.

Only the main process writes. The other processes share in tuning, and end after it.
"""

import os


def rank() -> int:
    """Return this process's number among those launched together; 0 if it is alone."""
    return int(os.environ.get("RANK", "0"))


def processes() -> int:
    """Return the number of processes launched together; 1 if this process is alone."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Return whether this process is the first of those launched together, or alone."""
    return rank() == 0

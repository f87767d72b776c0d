"""Which of the processes that `accelerate launch` started this is. Imports no torch, so it can be asked at once.

Only the process that leads writes, and only tuning is shared: the others join it, and end after it.
"""

import os


def rank() -> int:
    """Return this process's number among those launched together; 0 where it is alone."""
    return int(os.environ.get("RANK", "0"))


def is_main_process() -> bool:
    """Return whether this process is the first of those launched together, or alone."""
    return rank() == 0

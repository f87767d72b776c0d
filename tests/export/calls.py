"""What a call of the command line leaves."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ended:
    """What a call of the command line left."""

    status: object
    out: str
    err: str


Call = Callable[..., Ended]

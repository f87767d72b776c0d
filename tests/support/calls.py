"""What a call of the command line leaves."""

from collections.abc import Callable
from typing import NamedTuple


class Ended(NamedTuple):
    """What a call of the command line left."""

    status: int
    out: str
    err: str


Call = Callable[..., Ended]

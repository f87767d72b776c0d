"""Calls of the command line in this process."""

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from spillover import cli


class Ended(NamedTuple):
    """What a call of the command line left."""

    status: int
    out: str
    err: str


Call = Callable[..., Ended]


def run(*arguments: object) -> int:
    """Run `spillover` with these arguments and return its exit status; the `call` fixture also returns its output."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["spillover", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 0
    return 0

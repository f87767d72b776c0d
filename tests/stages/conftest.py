"""A hub for the tests of `spillover fetch`."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hubs import MODEL, OLD, Hub, hub_on_loopback


@pytest.fixture
def hub(tiny: Callable[[str], Path], tmp_path: Path) -> Iterator[Hub]:
    """A hub with one model of one commit, which the libraries of this process ask; their caches are empty."""
    with hub_on_loopback({MODEL: {OLD: tiny("llama")}}, tmp_path) as served:
        yield served

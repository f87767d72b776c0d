"""Ray, where it is installed: on loopback, without reporting usage."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

# Ray reads these when it is imported, whichever test does that first.
os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}


@pytest.fixture
def ray_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip where Ray is not installed; else let its workers find the stand-ins beside this file."""
    if find_spec("ray") is None:
        pytest.skip("ray is not installed: pip install 'spillover[ray]'")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "support"), prepend=os.pathsep)

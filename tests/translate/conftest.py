"""Nothing that a test translates or converts lands among the user's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import Server, serving


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return tmp_path / "XDG_DATA_HOME" / "spillover" / "translations.sqlite"


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that gives the answers that a test prepares."""
    prepared = Server()
    with serving(prepared.answer) as prepared.address:
        yield prepared

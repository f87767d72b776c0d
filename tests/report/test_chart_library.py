"""The charts' library: made once for a user, the same afterwards, made again where the cache cannot be used."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from spillover.report.chart_library import bundle

SCRIPT = "window.vegaEmbed = '\r\n∅';"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A fresh cache, and the versions for which the library was made; making it takes seconds."""
    versions: list[str] = []

    def make(snippet: str, vl_version: str) -> str:
        assert "vegaEmbed" in snippet
        versions.append(vl_version)
        return f"\n{SCRIPT}\n"

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("vl_convert.javascript_bundle", make)
    bundle.cache_clear()
    yield versions
    bundle.cache_clear()


def test_the_next_process_reads_what_the_first_made(made: list[str]) -> None:
    first = bundle()
    bundle.cache_clear()
    assert bundle() == first == SCRIPT, "every byte, line ends included"
    assert len(made) == 1


def test_another_version_is_made_anew(made: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    bundle()
    bundle.cache_clear()
    monkeypatch.setattr("spillover.report.chart_library.version", lambda _: "another")
    bundle()
    assert len(made) == 2


def test_without_a_cache_it_is_made_each_time(made: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        bundle.cache_clear()
        assert bundle() == SCRIPT
    assert len(made) == 2

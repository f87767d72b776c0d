"""Fixtures of all tests: the command line, a tokenizer, tiny models."""

import gc
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from calls import Call, Ended, run
from marks import is_fast, mark, markers_of
from tiny_models import save_model, train_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="only the tests without a marker: no model, process, browser")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave a module without fast tests out before its import, which may take seconds."""
    return True if config.getoption("fast") and markers_of(collection_path) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        mark(item)
    if config.getoption("fast"):
        items[:] = [item for item in items if is_fast(item)]


def pytest_collection_finish() -> None:
    """Spare what is imported now from garbage collection, which then has far less to look through."""
    gc.freeze()


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs `spillover` with these arguments, in this process."""

    def captured(*arguments: object) -> Ended:
        capfd.readouterr()
        status = run(*arguments)
        return Ended(status, *capfd.readouterr())

    return captured


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the pictures of charts out of reports, which take most of their time; the page has its charts."""
    for name in ("run", "grid"):
        monkeypatch.setattr(f"spillover.report.{name}.pictures", lambda *_: {})


@pytest.fixture(scope="session")
def tokenizer() -> "PreTrainedTokenizerFast":
    """A small tokenizer that every script goes through."""
    return train_tokenizer()


@pytest.fixture(scope="session")
def tokenizer_folder(tokenizer: "PreTrainedTokenizerFast", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same tokenizer, saved."""
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Models this small are slower with more threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny(tokenizer: "PreTrainedTokenizerFast", tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function: kind of model → folder of a tiny one, made once."""
    from transformers.utils import logging

    logging.set_verbosity_error()

    @cache
    def make(kind: str) -> Path:
        folder = tmp_path_factory.mktemp(kind)
        save_model(kind, tokenizer, folder)
        return folder

    return make

"""The public API: what type checkers see of it is what runs, and it costs nothing before use."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import spillover


def test_the_stub_names_what_is_imported_when_first_used() -> None:
    stub = ast.parse(Path(spillover.__file__).with_suffix(".pyi").read_text("utf-8"))
    told = {
        alias.asname: node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name  # else it is not exported again
    }
    assert set(told) == set(spillover.__all__)
    for name, module in told.items():
        assert getattr(spillover, name) is getattr(import_module(str(module)), name)


def test_the_public_names_are_there_and_cost_nothing_before_use() -> None:
    for name in spillover.__all__:
        assert callable(getattr(spillover, name)), name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        getattr(spillover, "nothing")  # noqa: B009 - mypy knows that it is not there
    code = "import sys, spillover; sys.exit(bool({'torch', 'numpy', 'spillover.pipeline'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

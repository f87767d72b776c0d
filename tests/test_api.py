"""What type checkers see of the public API is what runs."""

import ast
from importlib import import_module
from pathlib import Path

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

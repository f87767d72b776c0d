"""Variables are nouns: no pronoun or participle stands for a value in a function that does not fit in a glance."""

import ast
from collections.abc import Iterator

import pytest

from test_layers import package_sources

PRONOUNS = {"asked", "found", "given", "kept", "own", "told"}
"""Names that say nothing of what they hold."""

LINES = 10
"""A function of at most so many lines is read at once, whatever its variables are called."""


def pronouns(text: str) -> Iterator[str]:
    """Yield `line: name` for every variable and parameter of a longer function that is called by a pronoun."""
    for function in ast.walk(ast.parse(text)):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if (function.end_lineno or 0) - function.lineno < LINES:
            continue
        for node in ast.walk(function):
            match node:
                case ast.Name(name, ast.Store()) | ast.arg(name) if name in PRONOUNS:
                    yield f"{node.lineno}: {name}"


@pytest.mark.parametrize("module", package_sources())
def test_no_variable_is_called_by_a_pronoun(module: str) -> None:
    assert list(pronouns(package_sources()[module])) == []


def test_a_pronoun_is_caught_in_a_long_function_alone() -> None:
    long, short = "\n".join(["    pass"] * LINES), "    pass"
    assert list(pronouns(f"def f(own):\n    found = own\n{long}\n")) == ["1: own", "2: found"]
    assert list(pronouns(f"def f(own):\n    found = own\n{short}\n")) == []

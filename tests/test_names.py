"""Variables of the package are nouns: no pronoun or participle stands for a value in a function of some length.

Private names are private: tests and benchmarks neither use nor patch any.
"""

import ast
from collections.abc import Iterator

import pytest

from places import ROOT, package_sources

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


def test_no_variable_is_called_by_a_pronoun() -> None:
    assert [f"{module}, {place}" for module, text in package_sources().items() for place in pronouns(text)] == []


def test_a_pronoun_is_caught_in_a_long_function_alone() -> None:
    long, short = "\n".join(["    pass"] * LINES), "    pass"
    assert list(pronouns(f"def f(own):\n    found = own\n{long}\n")) == ["1: own", "2: found"]
    assert list(pronouns(f"def f(own):\n    found = own\n{short}\n")) == []


ELSEWHERE = {
    "_encode_pair",
    "_forward_hooks",
    "_forward_pre_hooks",
    "_instances",
    "_load_from_checkpoint",
    "_load_rng_state",
    "_repr_html_",
    "_repr_mimebundle_",
}
"""Names of torch, transformers, lm-evaluation-harness and notebooks that have no public counterpart."""

SCRIPTS = [path for folder in ("tests", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in ELSEWHERE


def private_names(text: str) -> Iterator[str]:
    """Yield `line: name` for every private name that is imported, patched, or read of anything but `self`."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Attribute(ast.Name("self" | "cls")):
                continue
            case ast.Attribute(attr=name):
                names = [name]
            case ast.ImportFrom(names=aliases):
                names = [alias.name for alias in aliases]
            case ast.Call(ast.Attribute(attr="setattr" | "delattr"), arguments):
                strings = [argument.value for argument in arguments if isinstance(argument, ast.Constant)]
                names = [str(string).rpartition(".")[2] for string in strings]
            case _:
                continue
        yield from (f"{node.lineno}: {name}" for name in names if private(name))


def test_no_private_name_is_reached_for() -> None:
    assert len(SCRIPTS) > 100
    assert [f"{path}, {name}" for path in SCRIPTS for name in private_names(path.read_text("utf-8"))] == []


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("module._digest(root)", "_digest"),
        ("from spillover.report import _digest", "_digest"),
        ("patch.setattr(module, '_digest', None)", "_digest"),
        ("patch.setattr('spillover.report._digest', None)", "_digest"),
        ("self._digest = module.digest, module.__name__", ""),
    ],
)
def test_a_private_name_is_caught(line: str, name: str) -> None:
    assert list(private_names(line)) == ([f"1: {name}"] if name else [])

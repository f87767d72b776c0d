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
    "_C",
    "_encode_pair",
    "_forward_hooks",
    "_forward_pre_hooks",
    "_instances",
    "_load_from_checkpoint",
    "_load_rng_state",
    "_make_wrapper_subclass",
    "_repr_html_",
    "_repr_mimebundle_",
    "_set_only_lift_cpu_tensors",
    "_setup_privateuseone_for_python_backend",
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


MODULE_LINES, FUNCTION_LINES = 300, 40
"""Most lines of a module, and most lines of a function besides its docstring."""

LONG = {
    "pipeline": "it imports the work of every stage, and names every part of a run",
    "cli.init: init": "typer reads the options of a command from its parameters",
    "cli.runs: compare": "typer reads the options of a command from its parameters",
    "cli.runs: sweep": "typer reads the options of a command from its parameters",
    "report.run: _page": "it lists the values that the page's template reads",
}
"""Module, or module and function, that is longer → the reason."""


def long_parts(name: str, text: str) -> Iterator[str]:
    """Yield the module's name if it is long, and `module: function` for each long function."""
    if len(text.splitlines()) > MODULE_LINES:
        yield name
    for function in ast.walk(ast.parse(text)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            first = function.body[0]
            documented = ast.get_docstring(function, clean=False) is not None
            docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
            if (function.end_lineno or 0) - function.lineno + 1 - docstring > FUNCTION_LINES:
                yield f"{name}: {function.name}"


def test_modules_and_functions_are_short() -> None:
    parts = [part for name, text in package_sources().items() for part in long_parts(name, text)]
    assert sorted(parts) == sorted(LONG), "a part is too long, or a reason is no longer needed"


def test_a_long_part_is_caught() -> None:
    long = "    pass\n" * FUNCTION_LINES
    assert list(long_parts("m", f"def f():\n{long}")) == ["m: f"]
    assert list(long_parts("m", f"def f():\n{long[9:]}")) == []
    docstring = "\n".join(["line"] * 20)
    assert list(long_parts("m", f'def f():\n    """{docstring}"""\n{long[9:]}')) == []
    assert list(long_parts("m", "x = 1\n" * (MODULE_LINES + 1))) == ["m"]

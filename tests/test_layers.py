"""The layers of the package: each row imports only rows below it, siblings never import each other.

Imports are read from the source with `ast`, those inside functions and `import_module("…")` included, so that nothing
is imported to find out what would be.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

import pytest

from places import package_sources

LAYERS = (
    ("cli",),
    ("forecast", "sweep"),
    ("pipeline",),
    ("export", "init", "lint", "runs"),
    ("harness", "stages"),
    ("mixture", "models", "sources"),
    ("analysis", "report", "store", "tasks", "translate"),
    ("experiment", "organism"),
    ("utils",),
    ("languages", "plugins"),
    ("errors", "records"),
)
"""From the top to the bottom."""

RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}

MODELS_ONLY = {"torch"}
"""What only modules under `models` may import, wherever in the module."""

HEAVY = {"torch", "transformers", "altair", "ray", "pandas"}
"""What `cli` may not import before the arguments are parsed."""


@cache
def parsed(text: str) -> ast.Module:
    """Parse a module once, for all the packages that it stands in here."""
    return ast.parse(text)


@cache
def importing(text: str) -> tuple[ast.AST, ...]:
    """Return the nodes of a module that can import something, also those inside functions."""
    return tuple(
        node
        for node in ast.walk(parsed(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and "import" in node.func.id)
    )


def imported(name: str, nodes: Iterable[ast.AST], modules: Mapping[str, str]) -> Iterator[str]:
    """Yield the absolute dotted name of everything that a module's nodes import."""
    for node in nodes:
        match node:
            case ast.Import(names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module, names, level):
                base = absolute(name, module or "", level, modules)
                for alias in names:  # `from package import module` imports the module, `from module import name` not
                    inner = f"{base}.{alias.name}"
                    yield inner if inner.removeprefix("spillover.") in modules else base
            case ast.Call(ast.Name("import_module" | "__import__"), [ast.Constant(str(target)), *_]):
                yield target


def absolute(name: str, module: str, level: int, modules: Mapping[str, str]) -> str:
    """Return the dotted name that `from ..module` means inside the module `name` of the package."""
    if not level:
        return module
    is_package = any(other.startswith(f"{name}.") for other in modules)
    here = ["spillover", *name.split(".")]
    parts = here[: len(here) - level + is_package]
    return ".".join([*parts, module] if module else parts)


def at_import(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the nodes that run when a module is imported: none inside functions, none only type checkers see."""
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            pending += node.orelse
            continue
        yield node
        pending += ast.iter_child_nodes(node)


def violations(modules: Mapping[str, str]) -> list[str]:
    """Return what breaks the layers in a package given as dotted module name → text; "" is the package itself."""
    found = []
    for name, text in modules.items():
        row = name.partition(".")[0]
        if row and row not in RANKS:
            found.append(f"{name}: stands in no layer")
            continue
        for target in imported(name, importing(text), modules):
            top, _, inner = target.partition(".")
            if top in MODELS_ONLY and row != "models":
                found.append(f"{name}: imports {top}, which only models may")
            if top != "spillover":
                continue
            other = inner.partition(".")[0]
            if not row or not other:
                found.append(f"{name or 'spillover'}: imports {target}, but the public API stands above all layers")
            elif other not in RANKS:
                found.append(f"{name}: imports {target}, which stands in no layer")
            elif other != row and RANKS[other] <= RANKS[row]:
                found.append(f"{name}: imports {target}, which does not stand below it")
        if row == "cli":
            heavy = {target.partition(".")[0] for target in imported(name, at_import(parsed(text)), modules)} & HEAVY
            found += [f"{name}: imports {target} before the arguments are parsed" for target in sorted(heavy)]
    return found


def test_every_module_imports_only_what_stands_below_it() -> None:
    assert violations(package_sources()) == []


def arrows(modules: Mapping[str, str]) -> set[tuple[str, str]]:
    """Return (room, room that it imports), for the rooms at the top of the package."""
    pairs = set()
    for name, text in modules.items():
        room = name.partition(".")[0]
        for target in imported(name, importing(text), modules):
            top, _, inner = target.partition(".")
            other = inner.partition(".")[0]
            if top == "spillover" and room and other not in ("", room):
                pairs.add((room, other))
    return pairs


def test_the_house_can_be_overlooked() -> None:
    """A newcomer sees the rooms at one glance. Layers without siblings' imports leave no circle between them."""
    assert len(RANKS) <= 26, "rooms at the top of the package"
    assert len(arrows(package_sources())) <= 160, "imports between them"
    assert arrows({"cli": "from spillover.store import Store", "store": "import spillover.errors"}) == {
        ("cli", "store"),
        ("store", "errors"),
    }


def test_every_layer_is_there() -> None:
    rows = {name.partition(".")[0] for name in package_sources()} - {""}
    assert rows == set(RANKS), "a row that no module bears, or a module without a row"


FAULTS: dict[str, tuple[str, str, str]] = {
    "upward": ("records", "from spillover.tasks import Task", "records: imports spillover.tasks, which does not"),
    "upward in a function": (
        "tasks.task",
        "def f():\n    import spillover.store",
        "tasks.task: imports spillover.store",
    ),
    "upward for types only": (
        "mixture.recipes",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from spillover.pipeline import Run",
        "mixture.recipes: imports spillover.pipeline",
    ),
    "sibling": (
        "models.load",
        "from spillover.sources import open_source",
        "models.load: imports spillover.sources",
    ),
    "sibling by a relative import": (
        "report.run",
        "from ..analysis import statistics",
        "report.run: imports spillover.analysis",
    ),
    "sibling from a package itself": (
        "report",
        "from ..analysis import statistics",
        "report: imports spillover.analysis",
    ),
    "sibling as a name of the package": (
        "store.run",
        "from spillover import tasks",
        "store.run: imports spillover.tasks",
    ),
    "upward by name": ("plugins", "import_module('spillover.cli')", "plugins: imports spillover.cli"),
    "through the public API": (
        "stages.items",
        "from spillover import Store",
        "stages.items: imports spillover, but the public API",
    ),
    "the public API itself": ("", "from spillover.store import Store", "spillover: imports spillover.store"),
    "torch": ("analysis.statistics.gains", "import torch.nn", "analysis.statistics.gains: imports torch"),
    "torch in a function": ("stages.items", "def f():\n    from torch import Tensor", "stages.items: imports torch"),
    "heavy": ("cli", "import pandas as pd", "cli: imports pandas before"),
    "heavy in a branch": (
        "cli",
        "try:\n    import altair\nexcept ImportError:\n    pass",
        "cli: imports altair before",
    ),
    "without a layer": ("helpers", "x = 1", "helpers: stands in no layer"),
    "of what has no layer": (
        "stages.items",
        "import spillover.helpers",
        "stages.items: imports spillover.helpers, which stands in no",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str) -> None:
    name, line, expected = FAULTS[fault]
    modules = dict(package_sources())
    modules[name] = f"{modules.get(name, '')}\n{line}\n"
    assert any(message.startswith(expected) for message in violations(modules))


ALLOWED = {
    "down": ("pipeline", "import spillover.errors"),
    "its own package": ("report.run", "from spillover.report.tables.run import main_tables"),
    "its own package, relatively": ("models.merge", "from .load import Model"),
    "torch under models": ("models", "import torch"),
    "heavy in a function": ("cli", "def f():\n    import pandas"),
    "heavy for types only": ("cli", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import transformers"),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_what_is_allowed_is_not_caught(case: str) -> None:
    name, line = ALLOWED[case]
    modules = dict(package_sources())
    modules[name] = f"{modules.get(name, '')}\n{line}\n"
    assert violations(modules) == []

"""The findings of a run for people: tables, figures and one page."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

SUFFIXES = (".py", ".j2", ".js", ".css", ".toml")
"""Endings of the files that a drawing depends on: code, templates, scripts, styles, names of languages."""


@cache
def code_digest() -> str:
    """Return a digest of the code that draws findings. If it changes, a report is drawn again.

    It covers this package with its folders, every module of the project that the package imports (directly or not),
    and the project's data.
    """
    return drawing_digest(files("spillover"))


def drawing_digest(root: Traversable) -> str:
    """Return the digest of the drawing code in the project's package at `root`."""
    paths = dict(_files(root))
    drawing = {name for name in paths if name.startswith(("report/", "data/")) and name.endswith(SUFFIXES)}
    pending = [name for name in drawing if name.endswith(".py")]
    while pending:
        modules = set(_imports(paths[pending.pop()].read_text(encoding="utf-8"))) & paths.keys()
        pending += modules - drawing
        drawing |= modules
    sha = hashlib.sha256()
    for name in sorted(drawing):
        sha.update(name.encode() + b"\0" + paths[name].read_bytes() + b"\0")
    return sha.hexdigest()[:16]


def _files(folder: Traversable, within: str = "") -> Iterator[tuple[str, Traversable]]:
    """Yield (path within `folder`, file) of every file of a folder, sub-folders included."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files(entry, f"{within}{entry.name}/")
        else:
            yield f"{within}{entry.name}", entry


def _imports(source: str) -> Iterator[str]:
    """Yield the possible files of the project's modules that `source` imports, as paths within the package."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ImportFrom(str(module), names):
                imported = [module, *(f"{module}.{alias.name}" for alias in names)]
            case ast.Import(names):
                imported = [alias.name for alias in names]
            case _:
                continue
        for name in imported:
            package, _, module = name.partition(".")
            if package == "spillover":
                path = module.replace(".", "/")
                yield from (f"{path}.py", f"{path}/__init__.py")

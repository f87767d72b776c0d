"""Runs the cells of a notebook in this process and keeps their outputs, without Jupyter.

    python docs/generate/notebook.py examples/notebook.ipynb

It does what the notebook needs: the value of a cell's last line, as text, HTML or a picture, and what the cell prints.
"""

import ast
import io
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import chdir, redirect_stdout
from pathlib import Path
from types import MappingProxyType
from typing import Any

Cell = dict[str, Any]
Output = dict[str, Any]


def executed(path: Path, replaced: Mapping[str, str] = MappingProxyType({})) -> list[Cell]:
    """Return the cells of a notebook after they ran in its folder, in one namespace, with texts in them replaced."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    names: dict[str, Any] = {"__name__": "__main__"}
    with chdir(path.parent):
        return [_executed(cell, names, replaced) for cell in cells]


def _executed(cell: Cell, names: dict[str, Any], replaced: Mapping[str, str]) -> Cell:
    if cell["cell_type"] != "code":
        return cell
    code = "".join(cell["source"])
    for text, other in replaced.items():
        code = code.replace(text, other)
    return cell | {"outputs": list(_outputs(code, names))}


def _outputs(code: str, names: dict[str, Any]) -> Iterator[Output]:
    """Run a cell and yield what Jupyter keeps of it: the text printed, then the value of the last line."""
    tree, value = ast.parse(code), None
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(tree, "<cell>", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
    if printed.getvalue():
        yield {"name": "stdout", "output_type": "stream", "text": _lines(printed.getvalue())}
    if value is not None:
        data = {kind: _lines(text) for kind, text in _bundle(value).items()}
        yield {"data": data, "execution_count": None, "metadata": {}, "output_type": "execute_result"}


def _bundle(value: Any) -> dict[str, str]:  # noqa: ANN401 - whatever a cell ends with
    """Return a value as a notebook shows it: kind of content → text."""
    if hasattr(value, "_repr_mimebundle_"):
        shown = value._repr_mimebundle_()
        bundle: dict[str, str] = shown[0] if isinstance(shown, tuple) else shown
        return bundle
    if hasattr(value, "_repr_html_"):
        return {"text/html": value._repr_html_()}
    return {"text/plain": repr(value)}


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def save(path: Path) -> None:
    """Run a notebook and write it with its outputs."""
    notebook = json.loads(path.read_text("utf-8"))
    notebook["cells"] = executed(path)
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    save(Path(sys.argv[1]))

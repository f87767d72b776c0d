"""The notebook in `examples/`: its cells run, and its saved outputs are what they give."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import notebook
from places import ROOT

NOTEBOOK = ROOT / "examples" / "notebook.ipynb"


@pytest.mark.usefixtures("one_thread")
def test_the_notebook_runs_and_its_outputs_are_saved(tiny: Callable[[str], Path]) -> None:
    """A tiny model takes the place of Gemma, so the last outputs differ from those saved, but not in their kind."""
    saved = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    ran = notebook.executed(
        NOTEBOOK, {"gemma-3-270m": str(tiny("llama")), "count, languages, folder = 60": "count, languages, folder = 2"}
    )
    assert len(saved) <= 14 and NOTEBOOK.stat().st_size < 100_000

    def contents(cells: list[dict[str, Any]]) -> list[dict[str, list[str]]]:
        return [output["data"] for cell in cells if cell["cell_type"] == "code" for output in cell["outputs"]]

    kinds = [list(content) for content in contents(saved)]
    assert kinds == [list(content) for content in contents(ran)]
    assert kinds == [["text/html"], ["text/html"], ["image/svg+xml"], ["text/html"], ["text/html"]]
    compared, numbers, chart, *_ = contents(ran)
    assert [compared, numbers] == contents(saved)[:2]
    assert "gain in points" in "".join(chart["image/svg+xml"])


def test_a_cell_s_output_is_what_it_prints_and_its_last_value(tmp_path: Path) -> None:
    cells = ["x = 2\nprint(x)", "x + 1", "y = x", "None"]
    path = tmp_path / "small.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": [code]} for code in cells]}), "utf-8")
    printed, value, *nothing = (cell["outputs"] for cell in notebook.executed(path, {"x = 2": "x = 5"}))
    assert [output["text"] for output in printed] == [["5\n"]]
    assert [output["data"] for output in value] == [{"text/plain": ["6"]}]
    assert nothing == [[], []]

"""The notebooks in `examples/`: their cells run, and their saved outputs are what they give."""

import json
import re
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

import notebook
from places import ROOT
from spillover.export.trace import export_trace

NOTEBOOK = ROOT / "examples" / "notebook.ipynb"
ON_TRACES = ROOT / "examples" / "transformerlens.ipynb"


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


class Cache:
    """What the notebook uses of TransformerLens's `ActivationCache`, which is no dependency of this project."""

    def __init__(self, states: Mapping[str, torch.Tensor], model: Any) -> None:  # noqa: ANN401 - a stand-in
        self.states, self.model = states, model

    def __getitem__(self, key: tuple[str, int]) -> torch.Tensor:
        return self.states[f"blocks.{key[1]}.hook_{key[0]}"]

    def accumulated_resid(self, layer: int, incl_mid: bool) -> torch.Tensor:
        blocks = range(self.model.cfg.n_layers)
        assert (layer, incl_mid) == (-1, False)
        return torch.stack([*(self["resid_pre", block] for block in blocks), self["resid_post", blocks[-1]]])


@pytest.fixture
def states(tmp_path: Path) -> Path:
    """Exported traces of two arms and languages."""
    for place, arm in enumerate(("base", "tuned")):
        for number, language in enumerate(("en", "th")):
            path = tmp_path / "run" / "traces" / arm / "sentiment" / f"{language}.safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            random = np.random.default_rng((place, number))
            arrays = {name: random.normal(1, 1, (6, 5, 4)).astype(np.float32) for name in ("last", "body_mean")}
            save_file(arrays | {"ids": np.frombuffer(b"abcdef", np.uint8).reshape(6, 1)}, path)
    (tmp_path / "run" / "experiment.toml").write_text('[model]\nname = "some/model"\n', encoding="utf-8")
    export_trace(tmp_path / "run", tmp_path / "states", "transformerlens")
    return tmp_path / "states"


def similarities(run: Path, arm: str, centered: bool = True) -> list[float]:
    """Return per layer the mean cosine of the same items in Thai and English, item by item."""
    stored: list[NDArray[np.float64]] = [
        load_file(run / "traces" / arm / "sentiment" / f"{code}.safetensors")["body_mean"][:, :-1].astype(np.float64)
        for code in ("th", "en")
    ]
    one, other = (states - states.mean(axis=0) * centered for states in stored)
    cosines = [
        [float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in zip(one[:, k], other[:, k], strict=True)]
        for k in range(one.shape[1])
    ]
    return [round(float(np.mean(layer)), 2) for layer in cosines]


def test_the_notebook_on_traces_gives_the_naive_similarities(states: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With TransformerLens where it is installed. A twin that leaves the mean in has other numbers."""
    if find_spec("transformer_lens") is None:
        monkeypatch.setitem(sys.modules, "transformer_lens", SimpleNamespace(ActivationCache=Cache))
    replaced = {'Path("../states"), "polarity-related", "qpa"': f'Path({str(states)!r}), "sentiment", "en"'}
    outputs = [cell["outputs"] for cell in notebook.executed(ON_TRACES, replaced) if cell["cell_type"] == "code"]
    kinds = [["text/plain"], ["text/plain"], ["text/html"], ["image/svg+xml"], ["text/html"]]
    saved = [cell for cell in json.loads(ON_TRACES.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    for cells in (outputs, [cell["outputs"] for cell in saved]):
        assert [list(output["data"]) for of_cell in cells for output in of_cell] == kinds
    table = re.findall(r"<td>([-\d.]+)</td>", "".join(outputs[2][0]["data"]["text/html"]))
    expected = [value for arm in ("base", "tuned") for value in similarities(states.parent / "run", arm)]
    assert [float(cell) for cell in table] == pytest.approx(expected, abs=0.0101)
    twin = [value for arm in ("base", "tuned") for value in similarities(states.parent / "run", arm, centered=False)]
    assert [float(cell) for cell in table] != pytest.approx(twin, abs=0.0101)

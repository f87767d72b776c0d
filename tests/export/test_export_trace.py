"""Exported traces against the stored ones, under the names and shapes that TransformerLens documents."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from calls import Call
from spillover.export import trace as module
from spillover.export.trace import export_trace

ITEMS, LAYERS, WIDTH = 3, 5, 4


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with traces of two arms."""
    folder = tmp_path / "run"
    for place, arm in enumerate(("base", "tuned")):
        path = folder / "traces" / arm / "sentiment" / "th.safetensors"
        path.parent.mkdir(parents=True)
        last = np.random.default_rng(place).normal(size=(2, ITEMS, LAYERS, WIDTH)).astype(np.float32)
        ids = np.array([b"a1", b"b22", b"c"])
        arrays = {"last": last[0], "body_mean": last[1], "ids": ids.view(np.uint8).reshape(ITEMS, -1)}
        save_file(arrays, path)
    (folder / "experiment.toml").write_text('[model]\nname = "some/model"\n', encoding="utf-8")
    return folder


def check(run: Path, folder: Path) -> None:
    export_trace(run, folder, "transformerlens")
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    assert index["model"] == "some/model"
    assert {(c["arm"], c["position"]) for c in index["cells"]} == {
        (arm, position) for arm in ("base", "tuned") for position in ("last", "body_mean")
    }
    for cell in index["cells"]:
        assert cell["ids"] == ["a1", "b22", "c"]
        states = load_file(folder / cell["file"])
        stored = load_file(run / "traces" / cell["arm"] / "sentiment" / "th.safetensors")[cell["position"]]
        blocks = LAYERS - 2  # beside the embedding, and the last block's states once more after the norm
        assert len(states) == 2 * blocks
        for name, array in states.items():
            block, end = re.fullmatch(r"blocks\.(\d+)\.hook_resid_(pre|post)", name).groups()
            assert array.shape == (ITEMS, 1, WIDTH), "(batch, pos, d_model)"
            np.testing.assert_array_equal(array[:, 0], stored[:, int(block) + (end == "post")])


def test_the_cache_has_the_documented_names_and_shapes(run: Path, tmp_path: Path) -> None:
    check(run, tmp_path / "states")


def test_fails_where_a_block_is_named_one_too_high(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = module.transformerlens
    monkeypatch.setitem(module.FORMATS, "transformerlens", lambda states: plain(np.roll(states, 1, axis=1)))
    with pytest.raises(AssertionError):
        check(run, tmp_path / "states")


def test_an_activation_cache_reads_it(run: Path, tmp_path: Path) -> None:
    """With the package itself, where it is installed."""
    lens = pytest.importorskip("transformer_lens", reason="TransformerLens is no dependency of this project")
    torch = pytest.importorskip("torch")
    export_trace(run, tmp_path / "states", "transformerlens")
    states = load_file(tmp_path / "states" / "last" / "base" / "sentiment" / "th.safetensors")
    cache = lens.ActivationCache({name: torch.from_numpy(array) for name, array in states.items()}, None)
    assert cache["resid_post", 2].shape == (ITEMS, 1, WIDTH)


def test_the_command_writes_it_and_refuses_the_rest(call: Call, run: Path, tmp_path: Path) -> None:
    done = call("export", "trace", run, tmp_path / "states", "--to", "transformerlens")
    assert done.status == 0, done.err
    assert (tmp_path / "states" / "body_mean" / "tuned" / "sentiment" / "th.safetensors").exists()
    for arguments, message in (
        ((run, tmp_path / "states"), "expected the name of a folder that does not exist"),
        ((tmp_path, tmp_path / "new"), "found no traces, expected the folder of a finished run"),
        ((run, tmp_path / "new", "--to", "nnsight"), "--to: found 'nnsight'"),
    ):
        refused = call("export", "trace", *arguments)
        assert refused.status == 2
        assert message in refused.err

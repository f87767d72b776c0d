"""Go on from a run's trace in TransformerLens.

    spillover export trace runs/demo states --to transformerlens
    pip install transformer-lens
    python examples/transformerlens.py states

Prints, per arm and language, how similar the states of each layer are to the English states of the same items: the
cosine of the mean difference to the other items. It reads the residual stream as an `ActivationCache`, so every method
of a cache works on it: `accumulated_resid`, `stack_activation`, `apply_ln_to_stack`, `logit_attrs`. Those that need
weights get `TransformerBridge.boot_transformers(name)` in place of the stand-in below.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors.torch import load_file
from transformer_lens import ActivationCache


def load_cache(folder: Path, cell: dict[str, object]) -> ActivationCache:
    """Return the states of one cell, each (items, 1, width)."""
    states = load_file(folder / str(cell["file"]))
    layers = sum(name.endswith("hook_resid_post") for name in states)
    # methods that only read states ask a model for its number of blocks, and for nothing else
    return ActivationCache(states, SimpleNamespace(cfg=SimpleNamespace(n_layers=layers)))


def similarity(cache: ActivationCache, english: ActivationCache) -> torch.Tensor:
    """Return per layer the mean cosine of the same items, the mean of all items taken away."""
    ours, theirs = (
        torch.stack([c["resid_pre", 0], *(c["resid_post", layer] for layer in range(c.model.cfg.n_layers))])[:, :, 0]
        for c in (cache, english)
    )
    ours, theirs = (states - states.mean(dim=1, keepdim=True) for states in (ours, theirs))
    return torch.cosine_similarity(ours, theirs, dim=-1).mean(dim=1)


def main(folder: Path) -> None:
    """Print a line per arm, task and language."""
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    cells = {(c["arm"], c["task"], c["language"]): c for c in index["cells"] if c["position"] == "body_mean"}
    for (arm, task, language), cell in cells.items():
        if language != "en" and (arm, task, "en") in cells:
            english = load_cache(folder, cells[arm, task, "en"])
            values = similarity(load_cache(folder, cell), english)
            print(arm, task, language, *(f"{value:.2f}" for value in values.tolist()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

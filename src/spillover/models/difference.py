"""The difference of a fully tuned model to its base: the tuned values of the rows that differ, and no others.

Values are kept rather than subtracted. So a base with the difference put in is the tuned model to the bit, and taking
it out gives the base back to the bit.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

NAME = "difference.safetensors"
"""The file, in the adapter's place. A weight `w` has its values under `w`, and their rows under `w:rows`."""

ROWS = ":rows"
"""Ends the name of the rows (n,) whose values are kept; without it all values of a weight are."""


def is_difference(folder: Path) -> bool:
    """Whether a folder holds the difference of a fully tuned model rather than an adapter."""
    return (folder / NAME).is_file()


def write_difference(folder: Path, tuned: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> None:
    """Write the values of `tuned` that differ from `base`: by rows where a matrix differs in some of them alone."""
    values: dict[str, Tensor] = {}
    for name, weight in tuned.items():
        differs = (weight != base[name]).reshape(len(weight), -1).any(dim=1)
        rows = differs.nonzero()[:, 0]
        if len(rows) == len(weight):
            values[name] = weight.detach().contiguous()
        elif len(rows):
            values |= {name: weight.detach()[rows].contiguous(), f"{name}{ROWS}": rows}
    save_file(values, folder / NAME, metadata={"format": "pt"})


@torch.no_grad()
def put_in(network: Any, folder: Path) -> Callable[[], None]:  # noqa: ANN401 - a class per architecture
    """Put a difference into its base model, in the dtype of the base; return what takes it out again."""
    values, originals = load_file(folder / NAME), {}
    for name in (name for name in values if not name.endswith(ROWS)):
        weight = network.get_parameter(name).data
        rows = values.get(f"{name}{ROWS}", torch.arange(len(weight))).to(weight.device)
        originals[name] = (rows, weight[rows].clone())
        weight[rows] = values[name].to(weight)

    def take_out() -> None:
        for name, (rows, before) in originals.items():
            network.get_parameter(name).data[rows] = before

    return take_out

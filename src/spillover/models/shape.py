"""The sizes of a model's matrices, from its configuration alone: no weight is read, and nothing is downloaded."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spillover.models.locate import ALIASES, GGUF, SHIPPED, WEIGHTS, alias_folder, gguf_folder
from spillover.utils.hub import revision
from spillover.utils.paths import expanded_path


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The sizes that say how much a model computes per token. Of experts, those that one token passes count."""

    layers: int
    """Number of blocks."""
    width: int
    """Size of a hidden state."""
    inner: int
    """Size inside the MLP of a block. It has three matrices; a model without a gate has two, so it counts too much."""
    queries: int
    """Size of all heads' queries together."""
    keys: int
    """Size of all heads' keys together, and of their values."""
    head: int
    """Size of one head."""
    vocabulary: int
    """Number of rows of the unembedding."""

    @property
    def block(self) -> int:
        """Number of weights of one block that a token is multiplied with."""
        return self.width * (2 * self.queries + 2 * self.keys + 3 * self.inner)

    @property
    def maps(self) -> dict[str, tuple[int, int]]:
        """Usual name of a block's linear map → its sizes of input and output."""
        return {
            "q_proj": (self.width, self.queries),
            "k_proj": (self.width, self.keys),
            "v_proj": (self.width, self.keys),
            "o_proj": (self.queries, self.width),
            "gate_proj": (self.width, self.inner),
            "up_proj": (self.width, self.inner),
            "down_proj": (self.inner, self.width),
        }


SHAPES = {"gemma-3-270m": ModelShape(18, 640, 2048, 1024, 256, 256, 262_144)}
"""Alias → its sizes, for a model that is not unpacked yet."""

KEYS = {
    "layers": ("num_hidden_layers", "n_layer", "n_layers"),
    "width": ("hidden_size", "n_embd", "d_model"),
    "inner": ("intermediate_size", "n_inner", "ffn_dim"),
    "heads": ("num_attention_heads", "n_head", "num_heads"),
    "key_heads": ("num_key_value_heads",),
    "head": ("head_dim",),
    "vocabulary": ("vocab_size",),
    "experts": ("num_experts_per_tok",),
    "expert": ("moe_intermediate_size",),
}
"""Size → the keys of `config.json` that name it in different architectures."""


def model_shape(name: str) -> ModelShape | None:
    """Return the sizes of a model; None if its configuration is not on this machine, or does not name them.

    Args:
        name: an alias, a model that ships, a folder, or a hub id.
    """
    if name in SHAPES:
        return SHAPES[name]
    try:
        config = json.loads((_folder(name, "config.json") / "config.json").read_text(encoding="utf-8"))
        return _shape(config | (config.get("text_config") or {}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return None  # the model is not here yet, or `load` will refuse it with the reason


def is_here(name: str) -> bool:
    """Return whether the files of a model or adapter are on this machine: nothing need be unpacked or downloaded."""
    return any(any(_folder(name, config).glob(WEIGHTS)) for config in ("config.json", "adapter_config.json"))


def _folder(name: str, config: str) -> Path:
    """Return the folder that has a model's or adapter's configuration, a file of this name, if it is here."""
    if name in ALIASES:
        return alias_folder(name)
    folder = SHIPPED.get(name, expanded_path(name))
    if folder.suffix.lower() == GGUF and folder.is_file():
        return gguf_folder(folder)
    if not folder.is_dir() and name.count("/") == 1:
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(name, config, revision=revision("models", name))
        return Path(cached).parent if isinstance(cached, str) else folder
    return folder


def _shape(config: Mapping[str, Any]) -> ModelShape:
    sizes = {size: next((int(config[key]) for key in keys if config.get(key)), 0) for size, keys in KEYS.items()}
    if not all(sizes[size] for size in ("layers", "width", "heads", "vocabulary")):
        raise KeyError("a size is missing")
    head = sizes["head"] or sizes["width"] // sizes["heads"]
    inner = sizes["inner"] or 4 * sizes["width"]
    if sizes["experts"]:
        inner = sizes["experts"] * (sizes["expert"] or inner)
    return ModelShape(
        layers=sizes["layers"],
        width=sizes["width"],
        inner=inner,
        queries=sizes["heads"] * head,
        keys=(sizes["key_heads"] or sizes["heads"]) * head,
        head=head,
        vocabulary=sizes["vocabulary"],
    )

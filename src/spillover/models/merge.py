"""Merge an adapter into its base model: one folder of weights that plain `transformers` loads."""

from pathlib import Path

from spillover.models.adapter import merge_in
from spillover.models.load import load


def merge(name: str, dtype: str, adapter: Path, folder: Path) -> None:
    """Write the base model with the adapter's update added to its weights, and its tokenizer.

    Args:
        name: the base model: an alias, a hub id or a folder.
        dtype: the dtype in which the weights are added and saved; `auto` is resolved by `resolve_dtype`.
        adapter: folder of a PEFT adapter, or of a fully tuned model's difference.
        folder: folder that the model is written to, as safetensors.

    Raises:
        SpilloverError: the base cannot be loaded.
    """
    base = load(name, dtype)
    network = merge_in(base.network, adapter)
    network.save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)

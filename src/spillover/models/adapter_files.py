"""The files of an adapter made elsewhere: its folder, and whether its configuration belongs to a base model.

Torch is not imported: a wrong adapter is refused before the base is loaded.
"""

import json
import shlex
from pathlib import Path
from typing import Any

from spillover.errors import SpilloverError
from spillover.models.locate import PATTERNS, fingerprint, locate
from spillover.utils.hub import download
from spillover.utils.paths import expanded_path

CONFIG, WEIGHTS, PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
"""The files that peft writes; in older versions the weights were pickled, and reading them may run code."""

DIFFERENCE = "difference.safetensors"
"""The file of a fully tuned model's difference (`models/difference.py`)."""

QUANTIZED = ("-unsloth-bnb-4bit", "-bnb-4bit", "-bnb-8bit", "-4bit", "-8bit")
"""Ends of the names of quantized copies. An adapter tuned on one belongs to the model itself too."""


def locate_adapter(name: str, base: str, where: str) -> Path:
    """Return the folder of an adapter made elsewhere.

    Args:
        name: a folder, or a hub id (downloaded).
        base: the model it is put into, as the experiment names it.
        where: the key of the experiment that names the adapter, for errors.

    Raises:
        SpilloverError: there is no such adapter, its files are not as they should be, or it names another base.
    """
    path = expanded_path(name)
    folder = path if path.is_dir() else _downloaded(name, where)
    if (folder / DIFFERENCE).is_file():  # a fully tuned model of another run
        return folder
    if not (folder / CONFIG).is_file():
        raise SpilloverError(f"{where}: folder {name!r} holds no {CONFIG}, expected an adapter that peft has saved")
    if not (folder / WEIGHTS).is_file():
        raise SpilloverError(f"{where}: {_no_weights(folder, name)}")
    _require_base(_config(folder, name, where), base, name, where)
    return folder


def _downloaded(name: str, where: str) -> Path:
    if name.count("/") != 1 or name.startswith((".", "/", "~", "$")):
        raise SpilloverError(
            f"{where}: found {name!r}, expected 'tune', the folder of an adapter, or a hub id such as owner/adapter"
        )
    return download(name, PATTERNS, where, "'tune', a folder, or a reachable hub id")


def _no_weights(folder: Path, name: str) -> str:
    if not (folder / PICKLED).is_file():
        return f"folder {name!r} holds no {WEIGHTS}, expected an adapter that peft has saved"
    command = (
        'python -c "import sys, torch; from safetensors.torch import save_file; '
        f"save_file(torch.load(sys.argv[1] + '/{PICKLED}', weights_only=True), sys.argv[1] + '/{WEIGHTS}')\" "
        f"{shlex.quote(str(folder))}"
    )
    return (
        f"the weights of {name!r} are {PICKLED}, which may run code when it is read, expected safetensors; if you "
        f"trust it, convert it with: {command}"
    )


def _config(folder: Path, name: str, where: str) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise SpilloverError(f"{where}: {CONFIG} of {name!r} is cut off or not JSON: {error}") from error
    if not isinstance(config, dict):
        raise SpilloverError(f"{where}: {CONFIG} of {name!r} holds a {type(config).__name__}, expected an object")
    return config


def _require_base(config: dict[str, Any], base: str, name: str, where: str) -> None:
    """Refuse an adapter that names another base: another hub id, or a local model with other content."""
    named = str(config.get("base_model_name_or_path") or "")
    folder = expanded_path(named) if named else None
    if folder is not None and folder.is_dir() and (folder / "config.json").is_file():
        belongs = fingerprint(folder) == fingerprint(locate(base))
    elif expanded_path(base).exists() or not named or named.startswith((".", "/", "~")):
        return  # one of the two is a path that says nothing of the other; the shapes of the weights are checked later
    else:
        belongs = _short(named) == _short(base)
    if not belongs:
        raise SpilloverError(
            f"{where}: {name!r} was made for {named!r}, expected an adapter of {base!r}; name that model in the "
            "arm or the first arm, or another adapter"
        )


def _short(name: str) -> str:
    """Return a model's name without its owner and without the end of a quantized copy."""
    short = name.rstrip("/").rpartition("/")[2].lower()
    return next((short.removesuffix(end) for end in QUANTIZED if short.endswith(end)), short)

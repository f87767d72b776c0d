"""Tiny random models and their tokenizer, made from configurations; nothing is downloaded.

Weights get `initializer_range` 0.5: with the default a dropped prefix moves the scores by less than any tolerance.
`families` has a tiny model of every family that `transformers` knows, `tiny_translators` has translation models.
torch is imported when a model is made: most
tests need none.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from spillover.sources import open_source
from spillover.tasks import open_task

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerFast

WINDOW = 16
"""Positions of the sliding window, of the kinds that have one."""
SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "initializer_range": 0.5,
}
LANGUAGES = ("en", "de", "ru", "th", "zh", "hi")
"""The languages that the tokenizer is trained on."""


def train_tokenizer() -> "PreTrainedTokenizerFast":
    """Train a byte-level BPE of 800 words on the starter corpus: every script goes in, words split unevenly."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    task, source = open_task("sentiment"), open_source("starter", {}, "test")
    texts = [item.fields[0] for language in LANGUAGES for item in source.items(task, language)]
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=800, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="</s>")


def save_model(kind: str, tokenizer: "PreTrainedTokenizerFast", folder: Path) -> None:
    """Save a model of a kind and its tokenizer, as plain transformers loads them."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(_config(kind, len(tokenizer))).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def save_adapter(base: Path, folder: Path, seed: int = 1) -> Path:
    """Save a random LoRA adapter of a model, made by plain peft; return its folder."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(folder)
    return folder


def _config(kind: str, vocabulary: int) -> "PreTrainedConfig":
    import transformers

    ends = {"vocab_size": vocabulary, "bos_token_id": 0, "eos_token_id": 1}
    shape = SHAPE | ends | {"pad_token_id": 1}
    small = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "initializer_range": 0.5}
    match kind:
        case "llama":
            return transformers.LlamaConfig(**shape)
        case "tied":
            return transformers.LlamaConfig(**shape, tie_word_embeddings=True)
        case "qwen2":
            return transformers.Qwen2Config(**shape)
        case "mistral":
            return transformers.MistralConfig(**shape, sliding_window=WINDOW)
        case "gemma3":
            layers = ["sliding_attention", "full_attention", "sliding_attention"]
            return transformers.Gemma3TextConfig(
                **shape, head_dim=8, sliding_window=WINDOW, layer_types=layers, query_pre_attn_scalar=8
            )
        case "gpt_neox":
            del shape["num_key_value_heads"]
            return transformers.GPTNeoXConfig(**shape)
        case "gpt2":
            return transformers.GPT2Config(**ends, **small)
        case "mamba":
            return transformers.MambaConfig(
                **ends, hidden_size=32, num_hidden_layers=2, state_size=4, initializer_range=0.5
            )
        case _:
            raise ValueError(kind)

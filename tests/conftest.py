"""Tiny random models and their tokenizer, made once a session from configurations; nothing is downloaded.

Weights get `initializer_range` 0.5: with the default a dropped prefix moves the scores by less than any tolerance.
"""

import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from calls import Call, Ended
from marks import mark
from spillover import cli
from spillover.sources import open_source
from spillover.tasks import open_task

if TYPE_CHECKING:  # most tests need no model, and torch costs seconds
    from transformers import PreTrainedConfig, PreTrainedTokenizerFast

WINDOW = 16
SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "initializer_range": 0.5,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        mark(item)


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return a function that runs `spillover` with these arguments, in this process."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["spillover", *map(str, arguments)])
        capfd.readouterr()
        status: object = None
        try:
            cli.main()
        except SystemExit as end:
            status = end.code
        captured = capfd.readouterr()
        return Ended(status if isinstance(status, int) else 0, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def tokenizer() -> "PreTrainedTokenizerFast":
    """A byte-level BPE of 800 words, trained on the starter corpus: every script goes in, words split unevenly."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    task, source = open_task("sentiment"), open_source("starter", {}, "test")
    texts = [
        item.fields[0] for language in ("en", "de", "ru", "th", "zh", "hi") for item in source.items(task, language)
    ]
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=800, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="</s>")


@pytest.fixture(scope="session")
def tokenizer_folder(tokenizer: "PreTrainedTokenizerFast", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same tokenizer, saved."""
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Models this small are slower with more threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny(tokenizer: "PreTrainedTokenizerFast", tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function: kind of architecture → folder of a model that plain transformers loads."""
    import torch
    from transformers import AutoModelForCausalLM

    from spillover.models.load import logging

    logging.set_verbosity_error()

    @cache
    def make(kind: str) -> Path:
        torch.manual_seed(0)
        folder = tmp_path_factory.mktemp(kind)
        AutoModelForCausalLM.from_config(_config(kind, len(tokenizer))).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return make


def _config(kind: str, vocabulary: int) -> "PreTrainedConfig":
    from transformers import Gemma3TextConfig, GPTNeoXConfig, LlamaConfig, MistralConfig, Qwen2Config

    shape = SHAPE | {"vocab_size": vocabulary, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    if kind == "llama":
        return LlamaConfig(**shape)
    if kind == "qwen2":
        return Qwen2Config(**shape)
    if kind == "mistral":
        return MistralConfig(**shape, sliding_window=WINDOW)
    if kind == "gemma3":
        layers = ["sliding_attention", "full_attention", "sliding_attention"]
        return Gemma3TextConfig(**shape, head_dim=8, sliding_window=WINDOW, layer_types=layers, query_pre_attn_scalar=8)
    if kind == "gpt_neox":
        return GPTNeoXConfig(**{name: value for name, value in shape.items() if name != "num_key_value_heads"})
    raise ValueError(kind)

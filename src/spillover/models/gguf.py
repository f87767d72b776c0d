"""From a GGUF file to a folder of safetensors with its tokenizer, by transformers' own converter."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import gguf as library
import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES
from transformers.utils import logging

from spillover.errors import SpilloverError, first_line
from spillover.utils.progress import Bar

ARCHITECTURES = sorted({*GGUF_SUPPORTED_ARCHITECTURES} - {"general", "tokenizer"})
"""The architectures that transformers can convert, by GGUF's names. The two names taken out are parts of a file."""
UNPACKED = {library.GGMLQuantizationType.F32, library.GGMLQuantizationType.F16}
"""Types of numbers that float32 holds exactly. Packed types, which are coarser, are dequantized to bfloat16."""


def convert(gguf: Path, folder: Path, name: str, progress: Bar) -> None:
    """Write the model of a GGUF file into its folder as safetensors, with its tokenizer; remove the file.

    The weights are dequantized, because packed weights can be neither tuned nor saved.

    Args:
        gguf: the file, in `folder`.
        folder: the folder that the model is written to.
        name: the user's name for the model, for errors.
        progress: advances by three parts.

    Raises:
        SpilloverError: the file is damaged, or transformers cannot convert its architecture.
    """
    logging.disable_progress_bar()
    with _read_once():
        try:
            kinds = {tensor.tensor_type for tensor in library.GGUFReader(str(gguf)).tensors}
            network, info = AutoModelForCausalLM.from_pretrained(
                folder,
                gguf_file=gguf.name,
                quantization_config=GgufConfig(dequantize=True),
                dtype=torch.float32 if kinds <= UNPACKED else torch.bfloat16,
                trust_remote_code=False,
                output_loading_info=True,
            )
            progress.advance()
            tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=gguf.name, trust_remote_code=False)
            progress.advance()
        except Exception as error:  # a field that is missing or cut off makes the converter raise almost anything
            reason = first_line(error).rstrip(".")
            raise SpilloverError(
                f"model.name: cannot convert the GGUF file of {name!r}: {type(error).__name__}: {reason}; expected a "
                f"whole file of an architecture among {', '.join(ARCHITECTURES)}, or the model's safetensors"
            ) from error
    if absent := sorted(info["missing_keys"]):  # transformers would fill them with random numbers
        raise SpilloverError(
            f"model.name: the GGUF file of {name!r} has no weights for {absent[0]!r} ({len(absent)} are missing); "
            "expected all of a model in one file"
        )
    tokenizer.save_pretrained(folder)
    network.save_pretrained(folder)
    gguf.unlink()
    progress.advance()


@contextmanager
def _read_once() -> Iterator[None]:
    """Let gguf read a file into memory once, during the block.

    transformers opens the file three times (configuration, weights, tokenizer). Each time, reading a vocabulary of
    262,144 words takes as long as all the rest, and most of that time goes into slicing a memory map.
    """
    reader, memmap = library.GGUFReader, np.memmap

    def in_memory(path: Any, **options: object) -> Any:  # noqa: ANN401 - as `np.memmap`
        return np.fromfile(path, np.uint8)

    library.GGUFReader, np.memmap = cache(reader), in_memory  # type: ignore[misc,assignment]
    try:
        yield
    finally:
        library.GGUFReader, np.memmap = reader, memmap  # type: ignore[misc]

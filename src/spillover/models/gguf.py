"""From a GGUF file to a folder of safetensors with its tokenizer, by transformers' own converter."""

from functools import cache
from pathlib import Path
from unittest.mock import patch

import gguf as library
import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES
from transformers.utils import logging

from spillover.errors import SpilloverError
from spillover.utils.progress import Bar

ARCHITECTURES = sorted({*GGUF_SUPPORTED_ARCHITECTURES} - {"general", "tokenizer"})
"""The architectures that transformers can convert, in GGUF's words. The two taken out name parts of a file."""
UNPACKED = {library.GGMLQuantizationType.F32, library.GGMLQuantizationType.F16}
"""Types of numbers that float32 holds exactly. Packed types are dequantized to bfloat16, finer than they are."""


def convert(gguf: Path, folder: Path, name: str, progress: Bar) -> None:
    """Write a GGUF file's weights, dequantized, as safetensors with its tokenizer into its folder; remove the file.

    Dequantized because the packed form can be neither tuned nor saved.

    Args:
        gguf: the file, in `folder`.
        folder: where the model goes.
        name: what the user calls the model, for errors.
        progress: advances by three parts.

    Raises:
        SpilloverError: the file is damaged, or transformers cannot convert its architecture.
    """
    logging.disable_progress_bar()
    # transformers opens the file three times (configuration, weights, tokenizer), and each reading of a vocabulary of
    # 262,144 words takes as long as all the rest; most of that is the slicing of a memory map, slower than an array's
    in_memory = patch("gguf.gguf_reader.np.memmap", lambda path, **options: np.fromfile(path, np.uint8))
    with in_memory, patch("gguf.GGUFReader", cache(library.GGUFReader)):
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
        except Exception as error:  # the converter raises whatever a field that is missing or cut makes it raise
            reason = str(error).strip().partition("\n")[0].rstrip(".")
            raise SpilloverError(
                f"model.name: cannot convert the GGUF file of {name!r}: {type(error).__name__}: {reason}; expected a "
                f"whole file of an architecture among {', '.join(ARCHITECTURES)}, or the model's safetensors"
            ) from error
    if absent := sorted(info["missing_keys"]):  # transformers would go on with random numbers
        raise SpilloverError(
            f"model.name: the GGUF file of {name!r} has no weights for {absent[0]!r} ({len(absent)} are missing); "
            "expected all of a model in one file"
        )
    tokenizer.save_pretrained(folder)
    network.save_pretrained(folder)
    gguf.unlink()
    progress.advance()

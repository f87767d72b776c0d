"""From a network in memory to a GGUF file, which llama.cpp reads: the same weights, without a tokenizer.

It knows Gemma 3 alone. llama.cpp's own converter also needs a tokenizer that it knows, so it refuses random models.
"""

from pathlib import Path
from typing import Any

import gguf
import torch

TYPES = {torch.float32: gguf.GGMLQuantizationType.F32, torch.bfloat16: gguf.GGMLQuantizationType.BF16}
"""Dtype of a network → type of the numbers in its file. Norms are always float32, as llama.cpp wants them."""


def write_gguf(network: Any, path: Path) -> None:  # noqa: ANN401 - a class per architecture
    """Write a Gemma 3 network, on the CPU, in its own dtype.

    Raises:
        SystemExit: the network is of another architecture, or of a dtype that is not in `TYPES`.
    """
    config = network.config
    if config.model_type != "gemma3_text" or network.dtype not in TYPES:
        raise SystemExit(
            f"--rivals llama.cpp: found {config.model_type} in {network.dtype}, expected gemma3_text in float32 or "
            "bfloat16; choose other rivals"
        )
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.GEMMA3])
    _add_sizes(writer, config)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GEMMA3, config.num_hidden_layers)
    for name, weight in network.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        is_norm = name.endswith("norm.weight")
        kind = gguf.GGMLQuantizationType.F32 if is_norm else TYPES[network.dtype]
        numbers = (weight.float() + 1 if is_norm else weight.float()).numpy()  # Gemma multiplies by 1 + weight
        writer.add_tensor(
            names.get_name(name, try_suffixes=(".weight",)), gguf.quants.quantize(numbers, kind), raw_dtype=kind
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_sizes(writer: gguf.GGUFWriter, config: Any) -> None:  # noqa: ANN401
    if config.query_pre_attn_scalar != config.head_dim:
        raise SystemExit(
            f"--rivals llama.cpp: found query_pre_attn_scalar {config.query_pre_attn_scalar}, expected head_dim "
            f"{config.head_dim}, which llama.cpp takes for it; choose other rivals"
        )
    writer.add_tokenizer_model("no_vocab")
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_sliding_window(config.sliding_window)
    writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config.layer_types])
    writer.add_rope_freq_base(config.rope_parameters["full_attention"]["rope_theta"])
    writer.add_rope_freq_base_swa(config.rope_parameters["sliding_attention"]["rope_theta"])
    if config.final_logit_softcapping:
        writer.add_final_logit_softcapping(config.final_logit_softcapping)

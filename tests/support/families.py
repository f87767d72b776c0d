"""Tiny random models of every causal family that `transformers` knows, from configurations shrunk key by key."""

import re
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

LAYERS, WIDTH, WINDOW = 4, 32, 8

SMALL: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "embed_dim", "emb_dim", "embedding_size"), WIDTH),
    **dict.fromkeys(("word_embed_proj_dim", "dim", "lru_width", "n_dim", "attention_hidden_size"), WIDTH),
    **dict.fromkeys(("input_embedding_size", "output_embedding_size"), WIDTH),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "num_blocks"), LAYERS),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("intermediate_size", "n_inner", "ffn_dim", "decoder_ffn_dim"), 48),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"), 1024),
    **dict.fromkeys(("sliding_window", "local_attention", "window_size", "attention_window_size"), WINDOW),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "num_experts_per_token", "n_group", "topk_group"), 2),
    **dict.fromkeys(("moe_intermediate_size", "moe_ffn_hidden_size", "shared_expert_intermediate_size"), WIDTH),
    **dict.fromkeys(("head_dim", "global_head_dim", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"), 8),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim", "rotary_dim", "kv_channels", "laurel_rank"), 8),
    **dict.fromkeys(("mamba_d_state", "state_size", "chunk_size", "mamba_chunk_size"), 8),
    **dict.fromkeys(("mamba_d_head", "mamba_head_dim", "q_lora_rank", "kv_lora_rank"), 16),
    **dict.fromkeys(("mamba_n_heads", "linear_num_value_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "linear_num_key_heads", "mamba_expand", "expand"), 2),
    **dict.fromkeys(("n_shared_experts", "first_k_dense_replace", "mamba_n_groups"), 1),
    "hidden_size_per_layer_input": 8,
    "num_kv_shared_layers": 0,
    "is_decoder": True,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
"""Sizes by the names that configurations have for them; those a configuration lacks are left out."""

LATENT = {"num_key_value_heads": 4}
"""Attention over latents, which has as many heads for keys as for queries."""

CHANGES: dict[str, dict[str, Any]] = {
    "cohere": {"logit_scale": 0.3},
    "cohere2": {"logit_scale": 0.3},
    "cohere2_moe": {"logit_scale": 0.3},
    "falcon_h1": {"lm_head_multiplier": 0.3, "mamba_d_ssm": 64},
    "gemma2": {"final_logit_softcapping": 5.0},
    "gemma3_text": {"final_logit_softcapping": 5.0},
    "granite": {"logits_scaling": 4.0},
    "granitemoe": {"logits_scaling": 4.0},
    "granitemoeshared": {"logits_scaling": 4.0},
    "hyperclovax": {"logits_scaling": 0.3},
    "nanochat": {"final_logit_softcapping": 5.0},
    "recurrent_gemma": {"logits_soft_cap": 5.0},
    "xlstm": {"output_logit_soft_cap": 5.0, "num_heads": 4, "head_dim": 8, "num_blocks": 2},
    "bamba": {"attn_layer_indices": [1, 3]},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2, "logits_scaling": 4.0},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "mamba_dt_rank": 8},
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2, "num_dense_layers": 1},
    "mamba2": {"num_heads": 4, "head_dim": 16, "n_groups": 1},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "kimi_linear": LATENT | {"layer_types": ["linear_attention", "full_attention"] * 2},
    "prophetnet": {"num_decoder_layers": 2, "num_encoder_layers": 2, "num_decoder_attention_heads": 4, "ngram": 2},
    "xlm": {"causal": True},
    **dict.fromkeys(("axk1", "axk2", "deepseek_v2", "deepseek_v3", "deepseek_v32", "glm4_moe_lite"), LATENT),
    **dict.fromkeys(("glm_moe_dsa", "longcat_flash", "minicpm3", "youtu"), LATENT),
}
"""What a family needs beside its sizes: scales and caps other than 1, which a fault would miss, and its layers."""

LISTS = ("layer_types", "mlp_layer_types", "layers_block_type")
"""Keys with one entry a layer."""


def build(kind: str, vocabulary: int, **more: object) -> Any:  # noqa: ANN401
    """Return a random network of a family in evaluation mode, in float32; raises whatever its configuration does."""
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(config(kind, vocabulary, **more), dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if any(part in name for part in ("A_log", "dt_", "time_", "rg_lru", "recurrent_param", ".D")):
                continue  # decays, which must stay decays
            noise = torch.randn(parameter.shape, generator=generator)
            wide = parameter.dim() >= 2
            parameter.copy_(noise * 0.35 * (32 / parameter.shape[-1]) ** 0.5 if wide else parameter + 0.2 * noise)
    return network


def config(kind: str, vocabulary: int, **more: object) -> PreTrainedConfig:
    """Return a family's configuration with `SMALL` sizes and its `CHANGES`; what it refuses by name is left out."""
    default = CONFIG_MAPPING[kind]()
    options = _shrunk(default, vocabulary) | CHANGES.get(kind, {}) | more
    text = getattr(default, "text_config", None)
    if isinstance(text, PreTrainedConfig):
        options["text_config"] = {**text.to_dict(), **_shrunk(text, vocabulary)}
    for _ in range(6):
        try:
            return CONFIG_MAPPING[kind](**options)
        except (TypeError, AttributeError, NotImplementedError) as error:
            named = re.search(r"(?:argument|property|setting of) [`'](\w+)[`']", str(error))
            refused = {named[1]} & options.keys() if named else set()
            if not (refused := refused or options.keys() & set(LISTS)):
                raise
            options = {key: value for key, value in options.items() if key not in refused}
    raise ValueError(f"{kind}: no configuration of this size")


def _shrunk(default: PreTrainedConfig, vocabulary: int) -> dict[str, Any]:
    sizes = SMALL | {"vocab_size": vocabulary, "vocab_size_per_layer_input": vocabulary}
    options = {key: value for key, value in sizes.items() if hasattr(default, key)}
    for key in LISTS:
        if isinstance(entries := getattr(default, key, None), list | tuple):
            options[key] = list(entries)[:LAYERS]
    return options

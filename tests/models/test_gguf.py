"""GGUF files as models: what is read is the model that was written, or one sentence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from spillover.errors import SpilloverError
from spillover.models.load import load
from spillover.models.locate import fingerprint, locate

gguf = pytest.importorskip("gguf", reason="the demo's packages are not installed")
pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
"""Names of a layer's modules → GGUF's, as llama.cpp writes them."""
OUTSIDE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def gguf_name(name: str) -> str:
    module, _, kind = name.rpartition(".")
    if module in OUTSIDE:
        return f"{OUTSIDE[module]}.{kind}"
    _, _, layer, inner = module.split(".", 3)
    return f"blk.{layer}.{NAMES[inner]}.{kind}"


def write_gguf(folder: Path, path: Path, architecture: str = "qwen2", left_out: str = "nothing") -> None:
    """Write a model as llama.cpp's converter does, in float32."""
    config, tokens = AutoConfig.from_pretrained(folder), json.loads((folder / "tokenizer.json").read_text("utf-8"))
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_embedding_length(config.hidden_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(config.vocab_size)
    vocabulary = tokens["model"]["vocab"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(sorted(vocabulary, key=vocabulary.__getitem__))
    writer.add_token_types([3, 3, *[1] * (len(vocabulary) - 2)])
    writer.add_token_merges([" ".join(merge) for merge in tokens["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    for name, weight in load_file(folder / "model.safetensors").items():
        if left_out not in name:
            writer.add_tensor(gguf_name(name), weight.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_a_gguf_file_or_a_folder_with_one_is_the_model_in_it(tiny: Callable[[str], Path], place: Path) -> None:
    folder = tiny("qwen2")
    write_gguf(folder, place / "mine.gguf")
    (place / "folder").mkdir()
    shutil.copy(place / "mine.gguf", place / "folder" / "renamed.GGUF".lower())
    (place / "folder" / "config.json").write_text("{}")  # as repositories of the hub have one beside it
    model = load(str(place / "mine.gguf"), "float32")
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        expected = AutoModelForCausalLM.from_pretrained(folder)(ids).logits
        assert torch.allclose(model.network(ids.to(model.device)).logits.cpu(), expected, atol=1e-4)
    text = "Der Tee ist heiß."
    assert model.tokenize([text])[0] == AutoTokenizer.from_pretrained(folder)(text)["input_ids"]
    assert locate(str(place / "folder")) == locate(str(place / "mine.gguf")), "known by its content"
    assert (place / "mine.gguf").is_file()


def test_another_byte_in_the_middle_is_another_model(tiny: Callable[[str], Path], place: Path) -> None:
    path = place / "mine.gguf"
    write_gguf(tiny("qwen2"), path)
    before = fingerprint(locate(str(path)))
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 4] ^= 1
    path.write_bytes(content)
    assert fingerprint(locate(str(path))) != before


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize(
    ("architecture", "left_out", "spoil", "said"),
    [
        ("clip", "nothing", None, "cannot convert .*clip is not supported yet; expected .* among bloom, .*qwen2"),
        ("qwen2", "layers.2.mlp.down_proj", None, r"has no weights for 'model.layers.2.mlp.down_proj.weight' \(1 are"),
        ("qwen2", "nothing", cut, "cannot convert the GGUF file"),
        ("qwen2", "nothing", lambda path: path.write_bytes(b"GGUF!"), "cannot convert the GGUF file"),
        ("qwen2", "nothing", lambda path: shutil.copy(path, path.with_name("b.gguf")), "holds 2 GGUF files"),
    ],
)
def test_what_cannot_be_converted_is_one_sentence(
    tiny: Callable[[str], Path],
    place: Path,
    architecture: str,
    left_out: str,
    spoil: Callable[[Path], object] | None,
    said: str,
) -> None:
    folder = place / "folder"
    folder.mkdir()
    write_gguf(tiny("qwen2"), folder / "a.gguf", architecture, left_out)
    if spoil:
        spoil(folder / "a.gguf")
    with pytest.raises(SpilloverError, match=f"model.name: .*{said}") as error:
        locate(str(folder))
    assert "\n" not in str(error.value)
    made = place / "cache" / "spillover" / "models"
    assert not made.is_dir() or not [path for path in made.iterdir() if path.is_dir()]


def test_a_gguf_file_that_is_not_there_is_said(place: Path) -> None:
    with pytest.raises(SpilloverError, match=r"found 'a/b\.gguf', expected an alias, .* or a GGUF file"):
        locate("a/b.gguf")


@pytest.mark.parametrize("name", ["", "a-00002-of-00002.gguf"])
def test_a_gguf_file_in_parts_says_how_to_join_them(place: Path, name: str) -> None:
    folder = place / "folder"
    folder.mkdir()
    for part in (1, 2):
        (folder / f"a-0000{part}-of-00002.gguf").write_bytes(b"GGUF")
    said = "is one of 2 parts .*: llama-gguf-split --merge a-00001-of-00002.gguf a.gguf"
    with pytest.raises(SpilloverError, match=said):
        locate(str(folder / name))

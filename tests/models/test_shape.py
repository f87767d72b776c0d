"""The sizes of a model are read from its configuration, in the spelling of its architecture."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from spillover.models.locate import ALIASES, parameters
from spillover.models.shape import SHAPES, is_here, model_shape


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma3"])
def test_the_weights_of_blocks_and_vocabulary_are_nearly_all(kind: str, tiny: Callable[[str], Path]) -> None:
    """The rest are norms and biases."""
    folder = tiny(kind)
    shape = model_shape(str(folder))
    tied = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("tie_word_embeddings", True)
    count = shape.layers * shape.block + (1 if tied else 2) * shape.vocabulary * shape.width
    assert count == pytest.approx(parameters(folder), rel=0.03)


def test_an_alias_has_its_sizes_before_it_is_unpacked() -> None:
    assert SHAPES.keys() == ALIASES.keys()
    shape = SHAPES["gemma-3-270m"]
    assert shape.layers * shape.block + shape.vocabulary * shape.width == pytest.approx(268e6, rel=0.002)


def test_other_spellings_and_experts_are_read(tmp_path: Path) -> None:
    """Of 8 experts, a token passes 2."""
    (tmp_path / "config.json").write_text(json.dumps({"n_layer": 2, "n_embd": 8, "n_head": 2, "vocab_size": 50}))
    shape = model_shape(str(tmp_path))
    assert (shape.layers, shape.width, shape.inner, shape.queries, shape.keys, shape.head) == (2, 8, 32, 8, 8, 4)
    experts = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 3}
    sizes = {"num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 4, "num_key_value_heads": 1}
    text = json.dumps({"text_config": {**sizes, **experts, "intermediate_size": 99, "head_dim": 4, "vocab_size": 50}})
    (tmp_path / "config.json").write_text(text)
    shape = model_shape(str(tmp_path))
    assert (shape.inner, shape.queries, shape.keys) == (6, 16, 4)


def test_a_model_that_is_not_here_has_no_sizes(tmp_path: Path) -> None:
    """Nothing is downloaded to find out."""
    for name in ("nobody/nothing", str(tmp_path), str(tmp_path / "gone")):
        assert model_shape(name) is None
        assert not is_here(name)
    (tmp_path / "config.json").write_text("{}")
    assert model_shape(str(tmp_path)) is None


def test_a_saved_model_is_here(tiny: Callable[[str], Path]) -> None:
    assert is_here(str(tiny("llama")))
    assert is_here("organism")

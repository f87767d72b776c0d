"""A run whose weights or embedding rows were tuned: every stage works, and what is exported is the tuned model."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from calls import Call
from spillover.export.hub import contents
from tiny_models import SHAPE

pytestmark = [
    pytest.mark.usefixtures("one_thread", "without_pictures"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),  # as `load` does for users
]


@pytest.mark.parametrize(
    ("tune", "said"),
    [
        ({"method": "full", "embeddings": "seen"}, "All weights and the embedding rows of the tokens that occur"),
        ({"method": "full", "layers": "ends"}, "All weights in blocks ends without the embedding"),
        (
            {"method": "dora", "targets": ["q_proj"], "embeddings": "seen"},
            "DoRA of rank 8 on q_proj and the embedding rows of the tokens that occur",
        ),
        ({"targets": [], "embeddings": "seen"}, "The embedding rows of the tokens that occur"),
    ],
)
def test_every_stage_works_and_the_export_is_the_tuned_model(
    call: Call, folder: Path, tiny: Callable[[str], Path], tmp_path: Path, tune: dict[str, Any], said: str
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

    from spillover.models.load import load

    name = tmp_path / "tied"
    tokenizer = AutoTokenizer.from_pretrained(tiny("llama"))
    torch.manual_seed(0)
    shape = SHAPE | {"vocab_size": len(tokenizer), "tie_word_embeddings": True, "bos_token_id": 0, "eos_token_id": 1}
    AutoModelForCausalLM.from_config(LlamaConfig(**shape)).save_pretrained(name)
    tokenizer.save_pretrained(name)
    table = {
        "model": {"name": str(name), "dtype": "float32"},
        "questions": {"source": f"folder:{folder / 'corpus'}"},
        "translate": {"to": ["de"]},
        "mixture": {"allow_overlap": True},
        "tune": {"epochs": 1, "learning_rate": 1e-2, "batch": 2, "translations": 2, "validation_share": 0.3} | tune,
        "evaluate": {"tasks": ["sentiment"], "languages": ["en", "de"]},
        "analyze": {"limit": 4, "patch": 1},
    }
    (tmp_path / "small.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
    ended = call("run", tmp_path / "small.toml", "--runs", tmp_path / "runs")
    assert ended.status == 0, ended.err
    run = tmp_path / "runs" / "small"
    assert call("export", "model", run, tmp_path / "model").status == 0
    card = (tmp_path / "model" / "README.md").read_text("utf-8")
    assert said in card

    ids = torch.tensor([[5, 6, 7, 8, 301]])
    with torch.inference_mode():
        base = AutoModelForCausalLM.from_pretrained(name)(ids).logits
        here = load(str(name), "float32", adapter=run / "adapter").network(ids).logits
        exported = AutoModelForCausalLM.from_pretrained(tmp_path / "model")(ids).logits
    assert (here - base).abs().max() > 1e-3
    torch.testing.assert_close(exported, here, rtol=1e-4, atol=1e-3)

    for path, content in contents(run).items():
        (tmp_path / "hub" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "hub" / path).write_bytes(content)
    (code,) = re.findall("```python\n(.*?)```", (tmp_path / "hub" / "README.md").read_text("utf-8"), re.DOTALL)
    found: dict[str, Any] = {}
    code = code.replace('"BASE"', repr(str(name))).replace("THIS REPOSITORY", str(tmp_path / "hub"))
    exec(code.replace('"difference', f'"{tmp_path}/hub/difference'), found)
    with torch.inference_mode():
        torch.testing.assert_close(found["model"](ids).logits, here, rtol=1e-4, atol=1e-3)

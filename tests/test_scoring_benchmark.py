"""llama.cpp in the benchmark of scoring: its file of weights, the tries that it reads, and its scores."""

import json
import time
from collections.abc import Iterator
from copy import deepcopy
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from places import ROOT
from spillover.models.inference.encode import Encoded, encode, shared_prefix
from spillover.models.inference.prefix import PrefixReader
from spillover.models.model import Model
from spillover.models.scoring.score import score
from spillover.records import Prompt
from spillover.sources import open_source
from spillover.tasks import open_task

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 7,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "query_pre_attn_scalar": 32,
    "sliding_window": 16,
    "vocab_size": 2048,
    "max_position_embeddings": 1024,
    "initializer_range": 0.3,
    "final_logit_softcapping": 20.0,
}
"""A tiny Gemma 3, whose prompts are longer than its window."""


@pytest.fixture(scope="module")
def bench() -> Iterator[SimpleNamespace]:
    """The modules of the benchmark, which are scripts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield SimpleNamespace(
            **{
                name: import_module(name)
                for name in ("gguf_file", "llama_cpp_rival", "scoring", "scoring_profile", "shapes", "workload")
            }
        )


@pytest.fixture(scope="module")
def model(bench: SimpleNamespace) -> Model:
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(AutoConfig.for_model("gemma3_text", **SIZES))
    for name, weight in network.named_parameters():
        if name.endswith("norm.weight"):
            torch.nn.init.normal_(weight, std=0.3)
    return Model(network.eval(), bench.shapes.tokenizer(), chat=False)


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    task = open_task("entailment")
    return [task.prompt(item) for item in open_source("starter", {}, "test").items(task, "en")[:7]]


def logits(network: Any) -> torch.Tensor:  # noqa: ANN401
    with torch.inference_mode():
        values: torch.Tensor = network(torch.arange(3, 43)[None]).logits
    return values


@pytest.mark.parametrize("is_broken", [False, True])
def test_a_file_has_the_weights_of_the_network(
    is_broken: bool, bench: SimpleNamespace, model: Model, tmp_path: Path
) -> None:
    """The oracle is transformers' own reader; the twin writes the weights of norms without the 1."""
    expected = logits(model.network)
    if is_broken:
        network = AutoModelForCausalLM.from_config(model.network.config)
        weights = model.network.state_dict()
        network.load_state_dict({name: part - int(name.endswith("norm.weight")) for name, part in weights.items()})
    else:
        network = model.network
    bench.gguf_file.write_gguf(network, tmp_path / "model.gguf")
    again = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf", config=model.network.config)
    assert torch.allclose(logits(again.eval()), expected, atol=1e-4) is not is_broken


def test_another_architecture_is_refused(bench: SimpleNamespace, tmp_path: Path) -> None:
    other = bench.shapes.random_model(bench.shapes.SHAPES["toy"], torch.float32, torch.device("cpu"))
    with pytest.raises(SystemExit, match=r"found llama in torch\.float32, expected gemma3_text in float32 or"):
        bench.gguf_file.write_gguf(other.network, tmp_path / "model.gguf")


def read(trie: Any, sequence: int) -> list[int]:  # noqa: ANN401
    """Return the tokens that a sequence sees, as llama.cpp does: those that belong to it, by position."""
    mine = [at for at, owners in enumerate(trie.sequences) if sequence in owners]
    assert [trie.positions[at] for at in mine] == list(range(trie.prefix, trie.prefix + len(mine)))
    return [trie.tokens[at] for at in mine]


def holds(trie: Any, encoded: list[Encoded]) -> bool:  # noqa: ANN401
    """Return whether the last token of every step is preceded by its choice's own tokens in some sequence."""
    for number, steps in trie.steps.items():
        for choice, path in zip(encoded[number].choices, steps, strict=True):
            for end, (at, token) in enumerate(path, encoded[number].boundary):
                texts = [read(trie, owner)[: end - trie.prefix] for owner in trie.sequences[at]]
                if token != choice[end] or not texts or any(text != list(choice[trie.prefix : end]) for text in texts):
                    return False
    return True


@pytest.mark.parametrize("is_broken", [False, True])
def test_a_trie_reads_what_each_choice_begins_with(
    is_broken: bool, bench: SimpleNamespace, model: Model, prompts: list[Prompt]
) -> None:
    encoded = encode(model, prompts, "error")
    trie = bench.llama_cpp_rival.SharedTrie(shared_prefix(encoded))
    for number, item in enumerate(encoded):
        assert trie.fits(item, 10_000, 256)
        before = len(trie.tokens), trie.count
        trie.add(number, item)
        assert not bench.llama_cpp_rival.SharedTrie(trie.prefix).fits(item, 3, 256)
        assert len(trie.tokens) > before[0]
        assert trie.count > before[1]
    contexts = {choice[trie.prefix : end] for item in encoded for choice in item.choices for end in range(len(choice))}
    assert len(trie.tokens) == len({context for context in contexts if context})  # nothing is read twice
    if is_broken:
        trie.tokens[len(trie.tokens) // 2] += 1
    assert holds(trie, encoded) is not is_broken


class HalfGelu(torch.nn.Module):
    """GELU as llama.cpp computes it: from half-precision numbers to half-precision numbers."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.gelu(values.half().float(), approximate="tanh").half().float()


@pytest.mark.skipif(find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed")
@pytest.mark.parametrize("tokens", [64, 512])
def test_llama_cpp_has_our_scores(
    tokens: int,
    bench: SimpleNamespace,
    model: Model,
    prompts: list[Prompt],
    tmp_path: Path,
) -> None:
    """Nearer when our GELU is rounded as llama.cpp's is. The twin has a longer window."""
    theirs = bench.llama_cpp_rival.LlamaCpp(model, tmp_path, tokens)(prompts)
    rounded, twin = deepcopy(model.network), deepcopy(model.network)
    for layer in rounded.model.layers:
        layer.mlp.act_fn = HalfGelu()
    twin.config.sliding_window += 8
    differences = []
    for network in (rounded, model.network, twin):
        ours = score(PrefixReader(Model(network, model.tokenizer, chat=False)), prompts).choices
        pairs = ((a, b) for one, other in zip(ours, theirs, strict=True) for a, b in zip(one, other, strict=True))
        differences.append(max(abs(a - b) for a, b in pairs))
    assert differences[0] < 0.7 * differences[1] < differences[1] < 0.01 < 0.1 < differences[2], differences


def test_the_kept_page_is_made_from_the_kept_numbers(bench: SimpleNamespace) -> None:
    results = json.loads((ROOT / "benchmarks/results/scoring.json").read_text("utf-8"))
    assert bench.scoring.tables(results) == (ROOT / "benchmarks/results/scoring.md").read_text("utf-8")


def test_the_best_size_of_a_rival_counts_in_each_language(bench: SimpleNamespace) -> None:
    """Ratios of ours to two sizes in three languages: the median of 2, 3 and 5."""
    ratios = {"en": (4.0, 2.0), "hi": (3.0, 3.5), "th": (5.0, 6.0)}
    results = json.loads((ROOT / "benchmarks/results/scoring.json").read_text("utf-8"))
    results["rows"] = [
        {"task": "sentiment", "language": language, "dtype": "float32", "rival": f"llama.cpp, {size} tokens"}
        | {"items": 9, "rival_items": 9, "items_per_second": 1.0, "ratio": ratio}
        for language, both in ratios.items()
        for size, ratio in zip((256, 512), both, strict=True)
    ]
    assert "| task | than llama.cpp, best | wanted |\n| --- | ---: | ---: |\n| sentiment | 3.0× | 1× |" in (
        bench.scoring.tables(results)
    )


def test_a_profile_counts_each_second_once(bench: SimpleNamespace, model: Model, prompts: list[Prompt]) -> None:
    begun = time.process_time()
    rows = bench.scoring_profile.profile(model, bench.workload.Cell("entailment", "en", prompts, None))
    spent = time.process_time() - begun
    shares, times = ([float(row[column].strip("%")) for row in rows] for column in (2, 1))
    assert sum(shares) == pytest.approx(100, abs=1)
    assert 0 < sum(times) * len(prompts) / 1000 < spent
    assert {"norms", "attention", "activation", bench.scoring_profile.PYTHON} <= {row[0] for row in rows}


def test_products_are_split_in_three(bench: SimpleNamespace) -> None:
    part = bench.scoring_profile.PRODUCTS
    rows = bench.scoring_profile.rows({"norms": 1.0, part: 6.0, "attention": 3.0}, needed=3.0, padding=1.0, items=2)
    assert [row[1:] for row in rows[:3]] == [["1500.00", "30.0%"], ["500.00", "10.0%"], ["1000.00", "20.0%"]]
    assert [row[0] for row in rows[3:]] == ["attention", "norms"]

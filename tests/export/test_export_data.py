"""What other trainers read: every example is there, and their own loaders understand it."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from calls import Call
from spillover.errors import SpilloverError
from spillover.export.data import FORMATS, export_data
from spillover.records import Example

EXAMPLES = [
    Example("a", "zh", "你好。\n", "Hello."),
    Example("b", "de", 'Zwei\nZeilen, "kurz".\n', "Two lines.\u2028One."),
]
PAIRS = [(example.source, example.target) for example in EXAMPLES]


def jsonl(folder: Path) -> list[tuple[str, str]]:
    rows = [json.loads(line) for line in (folder / "examples.jsonl").read_text("utf-8").split("\n") if line]
    assert [Example(**row) for row in rows] == EXAMPLES
    return [(row["source"], row["target"]) for row in rows]


def trl(folder: Path) -> list[tuple[str, str]]:
    """With `datasets`, as TRL's own scripts do."""
    datasets = pytest.importorskip("datasets")
    rows = datasets.load_dataset("json", data_files=str(folder / "train.jsonl"), cache_dir=folder / "cache")["train"]
    assert rows.column_names == ["prompt", "completion"]
    return [(row["prompt"], row["completion"]) for row in rows]


def llama_factory(folder: Path) -> list[tuple[str, str]]:
    """As documented: `dataset_info.json` names the file, its format and which column is what.

    https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md
    """
    (info,) = json.loads((folder / "dataset_info.json").read_text("utf-8")).values()
    assert set(info) <= {"file_name", "formatting", "columns"}
    assert info["formatting"] in {"alpaca", "sharegpt"}
    assert set(info["columns"]) <= {"prompt", "query", "response", "history", "system"}
    rows = json.loads((folder / info["file_name"]).read_text("utf-8"))
    for row in rows:
        assert set(row) == set(info["columns"].values())
    columns = info["columns"]
    # LLaMA-Factory joins prompt and query by a line break where there is a query
    assert not any(row[columns["query"]] for row in rows)
    return [(row[columns["prompt"]], row[columns["response"]]) for row in rows]


READ: dict[str, Callable[[Path], Sequence[tuple[str, str]]]] = {
    "jsonl": jsonl,
    "trl": trl,
    "llama-factory": llama_factory,
}


@pytest.mark.parametrize("format", FORMATS)
def test_every_example_is_read_back(format: str, tmp_path: Path) -> None:
    export_data(EXAMPLES, format, tmp_path / "data")
    assert READ[format](tmp_path / "data") == PAIRS


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    with pytest.raises(SpilloverError, match="found something there, expected the name of a folder that does not"):
        export_data(EXAMPLES, "trl", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(SpilloverError, match="cannot write the folder: File exists"):
        export_data(EXAMPLES, "trl", tmp_path / "file" / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_trl_learns_the_target_alone(tmp_path: Path, tiny: Callable[[str], Path]) -> None:
    """Its trainer's own batch: the loss falls on the completion and the end of the text, as in our own tuning."""
    trl_library = pytest.importorskip("trl")
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from spillover.models.load import load
    from spillover.models.tuning.loss import IGNORED, encode

    export_data(EXAMPLES, "trl", tmp_path / "data")
    rows = load_dataset("json", data_files=str(tmp_path / "data" / "train.jsonl"), cache_dir=str(tmp_path / "c"))
    folder = str(tiny("llama"))
    trainer = trl_library.SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder),
        processing_class=AutoTokenizer.from_pretrained(folder),
        args=trl_library.SFTConfig(
            output_dir=str(tmp_path / "out"), report_to=[], use_cpu=True, bf16=False, per_device_train_batch_size=2
        ),
        train_dataset=rows["train"],
    )
    batch = trainer.data_collator([trainer.train_dataset[index] for index in range(len(EXAMPLES))])
    found = [[label for label in row if label != IGNORED] for row in batch["labels"].tolist()]
    model = load(folder, "float32")
    ours = [[label for label in encode(model, example).labels if label != IGNORED] for example in EXAMPLES]
    assert found == ours


def test_from_the_command_line(call: Call, tmp_path: Path) -> None:
    """Needs neither a model nor tuning: the experiment names a model that does not exist."""
    file = tmp_path / "e.toml"
    file.write_text('[model]\nname = "none"\n[questions]\nlimit = 4\n[translate]\nto = ["zh", "de"]\n')
    command = ("export", "data", file, tmp_path / "data", "--runs", tmp_path / "runs")
    ended = call(*command, "--format", "llama-factory")
    assert ended.status == 0, ended.err
    assert len(llama_factory(tmp_path / "data")) == 2 * 4
    ended = call(*command, "--format", "lama-factory")
    assert ended.status == 2
    assert "--format: found 'lama-factory'; did you mean" in ended.err

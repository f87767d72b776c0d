"""Training examples in the file formats of other trainers. In all formats the loss is on the target alone."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from spillover.records import Example
from spillover.store import write_folder


def jsonl(examples: Sequence[Example]) -> dict[str, str]:
    """One line per example, with its id and language."""
    return {"examples.jsonl": _lines([asdict(example) for example in examples])}


def trl(examples: Sequence[Example]) -> dict[str, str]:
    """TRL's prompt-completion format. `SFTTrainer` learns the completion."""
    return {"train.jsonl": _lines([{"prompt": row.source, "completion": row.target} for row in examples])}


def llama_factory(examples: Sequence[Example]) -> dict[str, str]:
    """LLaMA-Factory's alpaca format and the `dataset_info.json` that describes it; the folder is its `dataset_dir`."""
    rows = [{"instruction": row.source, "input": "", "output": row.target} for row in examples]
    info = {
        "spillover": {
            "file_name": "spillover.json",
            "formatting": "alpaca",
            "columns": {"prompt": "instruction", "query": "input", "response": "output"},
        }
    }
    return {
        "spillover.json": json.dumps(rows, ensure_ascii=False, indent=1),
        "dataset_info.json": json.dumps(info, indent=1),
    }


FORMATS: Mapping[str, Callable[[Sequence[Example]], dict[str, str]]] = {
    "jsonl": jsonl,
    "trl": trl,
    "llama-factory": llama_factory,
}
"""Name of a format → examples → the files of a folder."""


def export_data(examples: Sequence[Example], format: str, folder: Path) -> None:
    """Write examples in a format of `FORMATS` to a new folder."""
    write_folder(folder, FORMATS[format](examples))


def _lines(rows: Sequence[Mapping[str, str]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

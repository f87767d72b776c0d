"""Tasks of lm-evaluation-harness that ask the items by the text of the choice. They read the files of the items.

Small base models often guess by letter, and know the right text.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = "harness"
"""Folder of the tasks, in that of the experiment."""


def write_choice_texts(
    folder: Path, task: Mapping[str, Any], letters: Sequence[str], languages: Sequence[str], paired: bool
) -> str:
    """Write a task per language and return the family's name, as `evaluate.tasks` has it.

    Args:
        folder: the folder of the experiment, whose items are in `data/TASK/items`.
        task: the content of the task's file.
        letters: the fields that hold the choices.
        languages: codes of the languages that have items.
        paired: whether items in the same place are translations of each other.
    """
    name = f"{task['name']}_text"
    place = folder / FOLDER
    place.mkdir()
    for code in languages:
        row = task["rows"][code]
        words = zip(task["fields"], row["fields"], strict=True)
        lines = [f"{word}: {{{{{field}}}}}" for field, word in words if field not in letters]
        content = {
            "task": f"{name}_{code}",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": f"{folder.as_posix()}/data/{task['name']}/items/{code}.jsonl"}},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "\n".join([*lines, f"{row['answer']}:"]),
            "doc_to_choice": f"{{{{[{', '.join(letters)}]}}}}",
            "doc_to_target": f"{{{{{json.dumps(list(letters))}.index(label)}}}}",
            "metric_list": [
                {"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in ("acc", "acc_norm")
            ],
        }
        text = "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in content.items())
        (place / f"{name}_{code}.yaml").write_text(text, encoding="utf-8")
    return f"harness:{place.as_posix()}/{name}_{{language}}{'' if paired else '?paired=false'}"

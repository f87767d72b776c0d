"""Tasks of the harness on local data: one of each output type, and the shapes of XNLI, XCOPA, Belebele and MMLU."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml
from lm_eval.tasks import TaskManager

from spillover.sources import families, harness, open_source
from spillover.tasks import open_task

Rows = Sequence[Mapping[str, object]]
LETTERS = ["A", "B", "C", "D"]


def reviews(language: str, count: int) -> list[str]:
    return [item.fields[0] for item in open_source("starter", {}, "test").items(open_task("sentiment"), language)][
        :count
    ]


def nli(code: str = "de") -> Rows:
    rows = open_source("starter", {}, "test").items(open_task("entailment"), code)[:6]
    return [{"premise": row.fields[0], "hypothesis": row.fields[1], "label": row.gold} for row in rows]


def copa(code: str = "en") -> Rows:
    texts = reviews(code, 18)
    return [
        {"premise": a, "choice1": b[:25], "choice2": c[:18], "label": number % 2}
        for number, (a, b, c) in enumerate(zip(texts[::3], texts[1::3], texts[2::3], strict=True))
    ]


def passages() -> Rows:
    """Two questions a passage."""
    texts = reviews("zh", 8)
    return [
        {"passage": texts[number // 2], "question": f"{number}?", "answers": texts[4:8], "label": number % 4}
        for number in range(8)
    ]


def quiz(subject: str) -> Rows:
    texts = reviews("en", 10)
    return [
        {"question": f"{subject} {text[:40]}", "choices": [text[5:12], "yes", "no", "a b"], "answer": number % 4}
        for number, text in enumerate(texts)
    ]


LETTERED = "{{passage}}\nQ: {{question}}\nA: {{answers[0]}}\nB: {{answers[1]}}\nAnswer:"
ACCURACIES = {"metric_list": [{"metric": name, "aggregation": "mean"} for name in ("acc", "acc_norm")]}
CHOICE: dict[str, object] = {"output_type": "multiple_choice", **ACCURACIES}
MMLU: dict[str, object] = CHOICE | {
    "doc_to_text": "{{question}}\nA. {{choices[0]}}\nB. {{choices[1]}}\nAnswer:",
    "doc_to_choice": LETTERS,
    "doc_to_target": "answer",
    "fewshot_split": "test",
    "num_fewshot": 3,
}

CONFIGS: dict[str, tuple[Rows, dict[str, object]]] = {
    "tiny_xnli": (
        nli(),
        CHOICE
        | {
            "doc_to_text": "",
            "doc_to_choice": "{{[premise+', oder? Ja, '+hypothesis, premise+', oder? Auch, '+hypothesis, premise]}}",
            "doc_to_target": "label",
        },
    ),
    "tiny_xcopa": (
        copa(),
        CHOICE
        | {"doc_to_text": "{{premise}} because", "doc_to_choice": "{{[choice1, choice2]}}"}
        | {"doc_to_target": "label"},
    ),
    "tiny_belebele": (
        passages(),
        CHOICE
        | {"doc_to_text": LETTERED, "doc_to_choice": LETTERS, "doc_to_target": "label"}
        | {"fewshot_split": "test", "fewshot_config": {"sampler": "first_n"}, "num_fewshot": 2},
    ),
    "tiny_mmlu_law": (
        quiz("law"),
        MMLU | {"description": "Questions about law.\n\n", "fewshot_config": {"sampler": "first_n"}},
    ),
    "tiny_mmlu_art": (quiz("art"), MMLU | {"description": "Questions about art.\n\n"}),
    "tiny_winogrande": (
        copa(),
        CHOICE | {"doc_to_text": "label", "doc_to_choice": "{{[choice1, choice2]}}", "doc_to_target": "{{premise}}"},
    ),
    "tiny_likelihood": (
        copa(),
        {"output_type": "loglikelihood", "doc_to_text": "{{premise}}", "doc_to_target": " {{choice1}}"}
        | {"metric_list": [{"metric": "perplexity"}, {"metric": "acc"}]},
    ),
    "tiny_rolling": (
        [{"text": " ".join(reviews("en", 3))}],
        {"output_type": "loglikelihood_rolling", "doc_to_target": "{{text}}", "doc_to_text": ""}
        | {"metric_list": [{"metric": "byte_perplexity"}]},
    ),
    "tiny_generate": (
        copa()[:2],
        {"output_type": "generate_until", "doc_to_text": "{{premise}}", "doc_to_target": "{{choice1}}"}
        | {"generation_kwargs": {"until": ["."], "max_gen_toks": 5}, "metric_list": [{"metric": "exact_match"}]},
    ),
}
"""Name of a task → its rows, its configuration."""


def write_task(folder: Path, name: str, rows: Rows, config: Mapping[str, object]) -> None:
    """Write a task as the harness reads it, with its data beside it."""
    data = folder / f"{name}.jsonl"
    data.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    files = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(data)}}, "test_split": "test"}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({"task": name, **files, **config}), encoding="utf-8")


def list_local_tasks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the harness's own thousands of tasks out: they take seconds to list."""

    def manager(folder: str) -> TaskManager:
        return TaskManager(include_path=folder, include_defaults=False)

    for room in (families, harness):
        monkeypatch.setattr(room, "manager", manager)

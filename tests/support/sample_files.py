"""Files with results as other tools write them, of invented items: a skilled arm, a weak one."""

import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

TIME = "2026-01-02T03-04-05.678901"
Row = dict[str, Any]


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def scores(skill: float, items: int = 40, choices: int = 2, seed: int = 0) -> list[list[float]]:
    """(items, choices) log-probabilities; the gold choice of item i is i modulo the number of choices."""
    values = np.random.default_rng(seed).normal(size=(items, choices)) - 4
    values[np.arange(items), np.arange(items) % choices] += skill
    result: list[list[float]] = values.tolist()
    return result


def harness_row(number: int, language: str, logprobs: Sequence[float], choices: Sequence[str] = ("yes", "no")) -> Row:
    """A row of a task with choices, as lm-evaluation-harness 0.4 writes it: numbers as texts."""
    gold = number % len(choices)
    doc = {"premise": f"{language} premise {number // 2}", "hypothesis": f"{language} {number}", "label": gold}
    right = float(max(range(len(choices)), key=lambda place: logprobs[place]) == gold)
    return {
        "doc_id": number,
        "doc": doc,
        "target": str(gold),
        "arguments": {
            f"gen_args_{place}": {"arg_0": doc["premise"], "arg_1": f" {choice}"}
            for place, choice in enumerate(choices)
        },
        "resps": [[[str(value), "False"]] for value in logprobs],
        "filtered_resps": [[str(value), "False"] for value in logprobs],
        "filter": "none",
        "metrics": ["acc", "acc_norm"],
        "doc_hash": digest(json.dumps(doc)),
        "prompt_hash": digest(str(doc)),
        "target_hash": digest(str(gold)),
        "acc": right,
        "acc_norm": 1.0 - right,
    }


def written_row(number: int, score: float, filter_name: str = "none", answer: str = "a") -> Row:
    """A row of a task answered in words."""
    doc = {"question": f"question {number}"}
    return {
        "doc_id": number,
        "doc": doc,
        "target": "a",
        "arguments": {"gen_args_0": {"arg_0": "question", "arg_1": {"until": ["\n"]}}},
        "resps": [[answer]],
        "filtered_resps": [answer],
        "filter": filter_name,
        "metrics": ["exact_match"],
        "doc_hash": digest(json.dumps(doc)),
        "exact_match": score,
    }


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_results(
    folder: Path, skill: float, languages: Sequence[str] = ("en", "de"), task: str = "xnli_{}", time: str = TIME
) -> Path:
    """Write a results folder: a file per language."""
    for seed, code in enumerate(languages):
        rows = [harness_row(number, code, values) for number, values in enumerate(scores(skill, seed=seed))]
        write_lines(folder / f"samples_{task.format(code)}_{time}.jsonl", rows)
    return folder


def inspect_log(
    values: Mapping[str, Any], task: str = "sums", model: str = "mock/a", language: str = "sw", **about: object
) -> Row:
    """A log of inspect 0.3: the parts that are read, of samples named by their ids."""
    samples = [
        {
            "id": id,
            "epoch": 1,
            "input": f"question {id}",
            "target": "A",
            "scores": {"choice": {"value": value, "answer": "A", "explanation": ""}},
            "metadata": {"language": language} if language else {},
        }
        for id, value in values.items()
    ]
    evaluation = {"task": task, "model": model, "task_args": {}}
    return {"version": 2, "status": "success", "eval": evaluation, "plan": {}, "samples": samples} | about


def write_archive(path: Path, log: Row) -> Path:
    """Write a log as the archive that `.eval` is."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps({key: log[key] for key in ("version", "status", "eval", "plan")}))
        for sample in log["samples"]:
            archive.writestr(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", json.dumps(sample))
    return path

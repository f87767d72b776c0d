"""True files of lm-evaluation-harness, written by `--log_samples`, are read with the numbers that it reports."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from local_tasks import CONFIGS, write_task
from spillover.runs.samples.compare import compare_samples
from spillover.runs.samples.read import read_arms

TASKS = {"tiny_xcopa": "copa", "tiny_belebele": "bele", "tiny_generate": "words", "tiny_winogrande": "grande"}
"""Task of the tests → the family that stands for it here."""


@pytest.fixture(scope="module")
def outputs(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The results folders of two tiny models, asked by the harness itself."""
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    tasks, folders = tmp_path_factory.mktemp("tasks"), []
    for name, family in TASKS.items():
        for code in ("es", "sw"):
            write_task(tasks, f"{family}_{code}", *CONFIGS[name])
    manager = TaskManager(include_path=str(tasks), include_defaults=False)
    for kind in ("llama", "qwen2"):
        folders.append(tmp_path_factory.mktemp(kind))
        tracker = EvaluationTracker(output_path=str(folders[-1]))
        results = simple_evaluate(
            "hf",
            model_args=f"pretrained={tiny(kind)},device=cpu,dtype=float32",
            tasks=[f"{family}_{code}" for family in TASKS.values() for code in ("es", "sw")],
            task_manager=manager,
            evaluation_tracker=tracker,
            log_samples=True,
            bootstrap_iters=0,
        )
        samples = results.pop("samples")
        tracker.save_results_aggregated(results=results, samples=samples)
        for task, rows in samples.items():
            tracker.save_results_samples(task_name=task, samples=rows)
    return folders


@pytest.mark.usefixtures("one_thread")
def test_the_scores_are_those_that_the_harness_reports(outputs: list[Path]) -> None:
    findings = compare_samples(read_arms(outputs).samples, outputs)
    reported = []
    for folder in outputs:
        file = next(folder.rglob("results_*.json"))
        reported.append(json.loads(file.read_text("utf-8"))["results"])
    gains = findings.comparisons[0].gains
    assert {(gain.task, gain.language) for gain in gains} == {(t, c) for t in TASKS.values() for c in ("es", "sw")}
    for gain in gains:
        metric = "exact_match,none" if gain.task == "words" else "acc,none"
        values = [results[f"{gain.task}_{gain.language}"][metric] for results in reported]
        assert [gain.reference.score.value, gain.arm.score.value] == pytest.approx(values)
        assert bool(gain.choices) == (gain.task in ("copa", "bele")), gain.task  # winogrande's prompts differ instead
    assert {row.task for row in findings.item_answers} == {"words", "grande"}

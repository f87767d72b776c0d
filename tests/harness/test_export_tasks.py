"""Our tasks in the harness: the accuracy of `spillover evaluate`, exactly, and each of its scores."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.tasks import TaskManager

from calls import Call
from spillover.errors import SpilloverError
from spillover.experiment import Experiment, parse_experiment
from spillover.export.tasks import export_tasks
from spillover.pipeline import Run
from spillover.stages.evaluate import by_arm
from spillover.stages.inputs import Inputs
from spillover.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")


def experiment(model: Path, **evaluate: object) -> Experiment:
    table = {
        "model": {"name": str(model), "dtype": "float32"},
        "questions": {"limit": 24},
        "translate": {"to": ["de"]},
        "tune": {"epochs": 1, "learning_rate": 1e-2},
        "evaluate": {"tasks": ["sentiment", "entailment"], "languages": ["en", "th"], "limit": 12, **evaluate},
    }
    return parse_experiment(table, "test")


def in_the_harness(folder: Path, tasks: list[str], backend: str = "hf", **arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = lm_eval.simple_evaluate(
        model=backend,
        model_args=arguments | {"dtype": "float32", "device": "cpu"},
        tasks=tasks,
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        bootstrap_iters=0,
    )
    return found


@pytest.fixture(scope="module")
def model(tiny: Callable[[str], Path]) -> Path:
    return tiny("llama")


@pytest.mark.parametrize("labels", ["english", "native"])
def test_the_same_accuracy_and_the_same_scores(model: Path, tmp_path: Path, labels: str) -> None:
    """Of both arms: the harness loads the base model, and the adapter with it."""
    chosen = experiment(model, labels=labels)
    store = Store(tmp_path / "runs", "run")
    run = Run(chosen, store)
    predictions = by_arm(run.arms, run.predictions)
    folder = tmp_path / "somewhere"
    export_tasks(chosen, folder)
    folder = folder.rename(tmp_path / "moved")
    for arm, arguments in (("base", {}), ("tuned", {"peft": str(store.run / "adapter")})):
        found = in_the_harness(folder, ["spillover"], pretrained=str(model), **arguments)
        cells = {(p.task, p.language): [q for q in predictions[arm] if (q.task, q.language) == (p.task, p.language)]
                 for p in predictions[arm]}  # fmt: skip
        assert len(found["results"]) == len(cells) == 4
        for (task, language), rows in cells.items():
            name = f"spillover_{task}_{language}"
            assert found["results"][name]["acc,none"] == sum(row.chosen == row.gold for row in rows) / len(rows)
            for sample, row in zip(found["samples"][name], rows, strict=True):
                assert sample["doc"]["id"] == row.id
                assert [score for ((score, _),) in sample["resps"]] == pytest.approx(row.logprobs, abs=1e-4, rel=0)


def test_from_the_command_line(call: Call, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "e.toml"
    file.write_text(f'[model]\nname = "{model}"\n[evaluate]\ntasks = ["paraphrase"]\nlanguages = ["en", "de"]\n')
    folder = tmp_path / "new" / "tasks"
    ended = call("export", "tasks", file, folder, "--set", "evaluate.limit=4")
    assert ended.status == 0, ended.err
    names = ["spillover_paraphrase_en", "spillover_paraphrase_de"]
    assert ended.out.split() == names
    known = TaskManager(include_path=str(folder), include_defaults=False)
    assert sorted(known.all_subtasks) == sorted(names)
    assert known.all_tags == ["spillover", "spillover_paraphrase"]
    assert all(len(task.eval_docs) == 4 for task in known.load(["spillover"])["tasks"].values())


def test_every_item_of_every_cell_is_there(model: Path, tmp_path: Path) -> None:
    chosen = experiment(model)
    names = export_tasks(chosen, tmp_path / "tasks")
    tasks = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False).load(names)["tasks"]
    for (task, language), items in Inputs(chosen).items.items():
        rows = tasks[f"spillover_{task}_{language}"].eval_docs
        assert [(row["id"], row["gold"]) for row in rows] == [(item.id, item.gold) for item in items]


@pytest.mark.parametrize(
    ("key", "table"),
    [
        ("evaluate.scoring: found 'constrained'", {"evaluate": {"scoring": "constrained"}}),
        ("model.template: found 'chat'", {"model": {"template": "chat"}}),
    ],
)
def test_what_the_harness_cannot_do_is_refused(key: str, table: dict[str, dict[str, str]], tmp_path: Path) -> None:
    with pytest.raises(SpilloverError, match=key):
        export_tasks(parse_experiment(table, "test"), tmp_path / "tasks")
    assert list(tmp_path.iterdir()) == []

"""Families of the harness's tasks in our runs: the same prompts, the same scores, cells like any other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.tasks import TaskManager

from calls import Call
from local_tasks import CHOICE, CONFIGS, LETTERS, copa, list_local_tasks_only, nli, passages, write_task
from spillover.errors import SpilloverError
from spillover.experiment import Experiment, parse_experiment
from spillover.records import Item, Prompt
from spillover.sources import families, open_source
from spillover.stages.inputs import Inputs
from spillover.stages.prompts import render_prompts
from spillover.store import read_predictions
from spillover.tasks import open_task

pytestmark = pytest.mark.usefixtures("one_thread", "without_pictures")
XNLI, BELEBELE = CONFIGS["tiny_xnli"][1], CONFIGS["tiny_belebele"][1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """XNLI in three languages under our own codes, Belebele in two under NLLB's, and a group."""
    folder = tmp_path_factory.mktemp("families")
    for code in ("en", "de", "sw"):
        rows = [{**row, "premise": f"{code}: {row['premise']}"} for row in nli(code)]
        write_task(folder, f"small_xnli_{code}", rows, XNLI)
        for part in ("law", "art"):
            rows = [{**row, "id": f"{part}/{n}", "choice1": f"{code} {n}"} for n, row in enumerate(copa(code))]
            write_task(folder, f"small_mmlu_{code}_{part}", rows, CONFIGS["tiny_xcopa"][1])
        (folder / f"_{code}.yaml").write_text(
            f"group: small_mmlu_{code}\ntask: [small_mmlu_{code}_law, small_mmlu_{code}_art]\n", encoding="utf-8"
        )
    for code in ("eng_Latn", "nob_Latn"):
        rows = [{**row, "link": "a", "question_number": n} for n, row in enumerate(passages())]
        write_task(folder, f"small_belebele_{code}", rows, BELEBELE)
    write_task(folder, "small_moved_en", nli(), XNLI)
    write_task(folder, "small_moved_de", [*nli()[1:], nli()[0]], XNLI)
    write_task(folder, "small_lost_en", copa(), CHOICE | {"doc_to_text": "a", "doc_to_choice": LETTERS} | NOWHERE)
    for name in ("likelihood", "winogrande"):
        write_task(folder, f"small_{name}_en", *CONFIGS[f"tiny_{name}"])
    return folder


NOWHERE = {"doc_to_target": "none of these"}


@pytest.fixture(autouse=True)
def only_local(monkeypatch: pytest.MonkeyPatch) -> None:
    list_local_tasks_only(monkeypatch)


def experiment(folder: Path, *names: str, model: str = "none", languages: object = "all") -> Experiment:
    table = {
        "model": {"name": model, "dtype": "float32"},
        "questions": {"limit": 24},
        "translate": {"to": ["de"]},
        "tune": {"epochs": 1},
        "evaluate": {"tasks": [f"harness:{folder}/{name}" for name in names], "languages": languages},
        "analyze": {"limit": 4},
    }
    return parse_experiment(table, "test")


def test_a_family_is_a_task(folder: Path) -> None:
    task = open_task(f"harness:{folder}/small_xnli_{{language}}")
    assert task.name == "small_xnli"
    assert task.prompt(Item("small_xnli", "0", "de", ("a", " b", " c"), 0)) == Prompt((), "a", (" b", " c"))
    with pytest.raises(SpilloverError, match=r"harness:xnli_de: found no \{language\}, expected a task's name"):
        open_task("harness:xnli_de")


def test_languages_are_found_under_any_code_and_the_others_are_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(families, "notify", said.append)
    families.members_among.cache_clear()
    cells = Inputs(experiment(folder, "small_xnli_{language}", "small_belebele_{language}")).items
    assert [language for name, language in cells if "xnli" in name] == ["en", "de", "sw"]
    assert [language for name, language in cells if "belebele" in name] == ["en", "no"]
    assert len(said) == 2
    assert "has en, no; has no zh, de, fr," in said[1]


@pytest.mark.parametrize("name", ["small_xnli", "small_belebele"])
def test_the_scores_are_the_harness_s(folder: Path, tiny: Callable[[str], Path], name: str) -> None:
    model = str(tiny("llama"))
    found = [
        line["scores"] for line in render_prompts(experiment(folder, f"{name}_{{language}}", model=model), 0, True)
    ]
    tasks = [
        task for task in TaskManager(include_path=str(folder), include_defaults=False).all_subtasks if name in task
    ]
    harness: dict[str, Any] = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": model, "dtype": "float32", "device": "cpu"},
        tasks=tasks,
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        bootstrap_iters=0,
    )
    order = {"small_xnli": ["en", "de", "sw"], "small_belebele": ["eng_Latn", "nob_Latn"]}[name]
    samples = [sample for code in order for sample in harness["samples"][f"{name}_{code}"]]
    expected = [[score for ((score, _),) in sample["resps"]] for sample in samples]
    assert len(found) == len(expected)
    for values, wanted in zip(found, expected, strict=True):
        assert values == pytest.approx(wanted, abs=1e-4, rel=5e-7)  # hf's own sums over hundreds of nats


def test_ids_are_the_data_set_s_own_where_it_has_any(folder: Path) -> None:
    def ids(name: str) -> list[str]:
        spec = f"harness:{folder}/{name}"
        return [item.id for item in open_source(spec, {}, "test").items(open_task(spec), "en")]

    assert ids("small_xnli_{language}") == ["0", "1", "2", "3", "4", "5"]
    assert ids("small_belebele_{language}")[:2] == ['"a", 0', '"a", 1']
    assert sorted(ids("small_mmlu_{language}"))[:2] == ['_art"art/0"', '_art"art/1"']


FAULTS = {
    "small_moved_{language}?paired=true": "small_moved_de: nothing shows that .* are those of en: [0-9] of 6 documents",
    "small_lost_{language}": "small_lost_en: document 0: found the answer 'none of these', expected one of 4 choices",
    "small_likelihood_{language}": "small_likelihood_en: found output type 'loglikelihood', expected",
    "small_winogrande_{language}": "small_winogrande_en: document 0: .* choices after one context",
    "smal_xnli_{language}": "found no such task in any language; tasks of like names: small_xnli_en",
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_a_cell_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(SpilloverError, match=FAULTS[name]) as error:
        _ = Inputs(experiment(folder, name)).items
    assert "\n" not in str(error.value)


def test_a_language_that_the_family_lacks_is_refused_when_asked_for(folder: Path) -> None:
    with pytest.raises(SpilloverError, match="found no task for 'fr'; languages that are there: en, de, sw"):
        _ = Inputs(experiment(folder, "small_xnli_{language}", languages=["en", "fr"])).items


def test_data_that_cannot_be_had(tmp_path: Path) -> None:
    write_task(tmp_path, "gone_en", nli(), XNLI)
    (tmp_path / "gone_en.jsonl").unlink()
    with pytest.raises(SpilloverError, match="harness:gone_en: cannot load the task: FileNotFoundError"):
        _ = Inputs(experiment(tmp_path, "gone_{language}")).items


def test_a_family_has_no_questions() -> None:
    with pytest.raises(SpilloverError, match="expected one of items alone"):
        open_source("harness:xnli_{language}", {}, "test").questions(open_task("sentiment"), "en")


def test_through_a_whole_run(call: Call, folder: Path, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    """Two families with different numbers of choices, beside a task of our own; only the latter has labels to trace."""
    lines = ["[model]", f'name = "{tiny("llama")}"', 'dtype = "float32"', "[questions]", "limit = 24", "[translate]"]
    names = [f'"harness:{folder}/small_{name}_{{language}}"' for name in ("xnli", "mmlu")]
    lines += ['to = ["de"]', "[tune]", "epochs = 1", "[evaluate]", f"tasks = [{', '.join(names)}, 'paraphrase']"]
    lines += ['languages = ["en", "de"]', "limit = 4", "[analyze]", "limit = 2", "metrics = []"]
    file = tmp_path / "family.toml"
    file.write_text("\n".join(lines), encoding="utf-8")
    ended = call("run", file, "--runs", tmp_path / "runs")
    assert ended.status == 0, ended.err
    run = tmp_path / "runs" / "family"
    assert len(read_predictions(run / "predictions/tuned/small_xnli/de.parquet", "small_xnli", "de")[0].logprobs) == 3
    assert len(read_predictions(run / "predictions/base/small_mmlu/en.parquet", "small_mmlu", "en")) == 4
    assert [path.name for path in (run / "traces/base").iterdir()] == ["paraphrase"]
    assert "small_xnli" in (run / "report/index.html").read_text("utf-8")

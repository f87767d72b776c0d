"""A family whose items have three, four and five choices, as in ARC: through a whole run, and beside the harness."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.tasks import TaskManager

from calls import Call
from local_tasks import list_local_tasks_only, reviews, write_task
from spillover.errors import SpilloverError
from spillover.sources import open_source
from spillover.store import read_predictions
from spillover.tasks import open_task

pytestmark = pytest.mark.usefixtures("one_thread", "without_pictures")
NUMBERS = (4, 3, 5, 4, 4, 2)
"""Choices of the items, one after the other."""

ARC = {
    "output_type": "multiple_choice",
    "doc_to_text": "Question: {{question}}\nAnswer:",
    "doc_to_choice": "choices",
    "doc_to_target": "gold",
    "metric_list": [{"metric": name} for name in ("acc", "acc_norm", "acc_bytes")],
}


def rows(code: str) -> list[dict[str, Any]]:
    texts = reviews(code, 12)
    return [
        {
            "id": f"Mercury_{number}",
            "question": texts[number],
            "choices": [texts[number - 1][: 9 + 3 * place] for place in range(NUMBERS[number % len(NUMBERS)])],
            "gold": number % NUMBERS[number % len(NUMBERS)],
        }
        for number in range(12)
    ]


@pytest.fixture(autouse=True)
def only_local(monkeypatch: pytest.MonkeyPatch) -> None:
    list_local_tasks_only(monkeypatch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("arc")
    for code in ("en", "de"):
        write_task(folder, f"small_arc_{code}", rows(code), ARC)
        cut = slice(2 if code == "de" else None)
        write_task(
            folder,
            f"small_cut_{code}",
            [row | {"choices": row["choices"][cut], "gold": row["gold"] % 2} for row in rows("en")],
            ARC,
        )
    write_task(folder, "small_one_en", [rows("en")[0] | {"choices": ["alone"]}, *rows("en")[1:]], ARC)
    return folder


def test_through_a_whole_run_and_equal_to_the_harness(
    call: Call, folder: Path, tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    lines = [f'[arms.base]\nmodel = "{tiny("llama")}"', f'[arms.other]\nmodel = "{tiny("qwen2")}"', "[model]"]
    lines += ['dtype = "float32"', "[evaluate]", f'tasks = ["harness:{folder}/small_arc_{{language}}"]']
    file = tmp_path / "arc.toml"
    file.write_text("\n".join(lines), encoding="utf-8")
    ended = call("run", file, "--runs", tmp_path / "runs")
    assert ended.status == 0, ended.err
    run = tmp_path / "runs" / "arc"
    harness = accuracies(folder, tiny("llama"))
    for code in ("en", "de"):
        found = read_predictions(run / f"predictions/base/small_arc/{code}.parquet", "small_arc", code)
        samples = harness["samples"][f"small_arc_{code}"]
        assert [len(p.logprobs) for p in found] == [len(p.logprobs_per_token) for p in found] == [*NUMBERS, *NUMBERS]
        for prediction, sample in zip(found, samples, strict=True):
            expected = [score for ((score, _),) in sample["resps"]]
            choices = sample["doc"]["choices"]
            expected_lengths = {
                "characters": tuple(map(len, choices)),
                "bytes": tuple(len(c.encode()) for c in choices),
            }
            assert prediction.lengths == {unit: expected_lengths[unit] for unit in prediction.lengths}
            assert "characters" in prediction.lengths, "acc_norm can be computed from the stored scores"
            assert prediction.logprobs == pytest.approx(expected, abs=1e-4, rel=5e-7)
            assert float(prediction.chosen == prediction.gold) == sample["acc"]
    for row in csv.DictReader((run / "report/tables/gains.csv").open(encoding="utf-8", newline="")):
        of_arm = harness["results"][f"small_arc_{row['language']}"]
        for metric, field in (
            ("acc", "score"),
            ("acc_norm", "per_character"),
            ("acc_bytes", "per_byte"),
        ):
            assert float(row[f"reference_{field}"]) == pytest.approx(of_arm[f"{metric},none"], abs=1e-12)
    assert (
        len({harness["results"]["small_arc_de"][f"{metric},none"] for metric in ("acc", "acc_norm", "acc_bytes")}) > 1
    )
    page = (run / "report/tables/accuracy.md").read_text("utf-8")
    assert "chance is 29.7" in page, "the mean of 1/4, 1/3, 1/5, 1/4, 1/4 and 1/2"


def accuracies(folder: Path, model: Path) -> dict[str, Any]:
    """Return what the harness itself makes of the family."""
    found: dict[str, Any] = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(model), "dtype": "float32", "device": "cpu"},
        tasks=["small_arc_en", "small_arc_de"],
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        bootstrap_iters=0,
    )
    return found


def test_what_has_no_meaning_is_refused(folder: Path) -> None:
    """One choice alone, and a document with fewer choices than its translation."""
    for name, code, told in (
        ("one", "en", "small_one_en: document 0: found 1 choice, expected two or more"),
        ("cut", "de", r"small_cut_de: document '.*Mercury_0.*' has 2 choices and that of en has 4, expected the same"),
    ):
        spec = f"harness:{folder}/small_{name}_{{language}}"
        with pytest.raises(SpilloverError, match=told):
            open_source(spec, {}, "test").items(open_task(spec), code)

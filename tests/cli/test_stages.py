"""The stages' commands through the real command line: what each makes, and what it finds made."""

import json
import math
import shutil
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import spillover
from calls import Call
from small_run import LANGUAGES, LATER, SIZES, SmallRun, lines_of, made, times
from spillover.records import Defect

pytestmark = pytest.mark.usefixtures("one_thread")

STAGES = {
    "questions": ("questions.parquet", {"questions": 1}),
    "translate": ("pairs", {"pairs": 1}),
    "build": ("examples.parquet", {"examples": 1}),
    "tune": ("adapter", {"adapter": 1}),
    "evaluate": ("predictions", {"predictions": 2 * 2 * 3}),
    "analyze": (
        "traces",
        {"lens": 2, "trace": 2 * 2 * 3, "reading": 2 * 2 * 3, "patch": 2 * 2 * 3, "geometry": 2, "explorer": 2 * 2},
    ),
    "report": ("report/index.html", {"bits-per-byte": 2 * 2 * 3, "fertility": 1, "first_prompts": 1}),
}
"""Command → its output, and how many stages of which kind it makes."""


@pytest.mark.parametrize("command", STAGES)
def test_each_stage_makes_its_own_and_nothing_before_it_again(small_run: SmallRun, command: str) -> None:
    output, expected = STAGES[command]
    ended, kinds, unfinished = small_run.steps[command]
    assert ended.status == 0, ended.err
    assert kinds == Counter(expected)
    assert (small_run.folder / output).exists()
    assert ended.out.rstrip().endswith(str(small_run.folder / output))
    assert unfinished == []


def test_run_makes_nothing_that_is_there(small_run: SmallRun) -> None:
    """The stages made singly are those of `run`: a second run of anything makes nothing."""
    assert small_run.before == small_run.after
    assert small_run.steps["run"].made == Counter()


def test_another_run_of_the_same_shares_every_stage(call: Call, whole: Path, experiment: Path) -> None:
    before = times(whole.parent)
    ended = call("evaluate", experiment, "--runs", whole.parent, "--name", "twin")
    assert ended.status == 0
    assert times(whole.parent) == before
    assert made(whole.parent, "twin") == Counter()
    for path in whole.glob("predictions/*/*/*.parquet"):
        twin = whole.parent / "twin" / path.relative_to(whole)
        assert twin.resolve() == path.resolve()


def test_a_language_more_reuses_the_adapter_and_every_finished_cell(call: Call, whole: Path, experiment: Path) -> None:
    before = times(whole.parent)
    more = f"evaluate.languages={json.dumps([*LANGUAGES, LATER])}"
    ended = call("evaluate", experiment, "--set", more, "--runs", whole.parent, "--name", "more")
    assert ended.status == 0
    assert made(whole.parent, "more") == Counter(predictions=2 * 2)
    after = times(whole.parent)
    assert {path: after[path] for path in before} == before
    cells = {path.relative_to(whole.parent / "more").as_posix() for path in whole.parent.glob("more/predictions/*/*/*")}
    assert cells == {
        f"predictions/{arm}/{task}/{code}.parquet"
        for arm in ("base", "tuned")
        for task in SIZES
        for code in (*LANGUAGES, LATER)
    }


def test_another_learning_rate_keeps_the_base_models_cells(call: Call, whole: Path, experiment: Path) -> None:
    only = ("--set", 'evaluate.tasks=["sentiment"]', "--set", 'evaluate.languages=["en"]')
    options = ("--set", "tune.learning_rate=2e-2", *only, "--runs", whole.parent, "--name", "faster")
    assert call("evaluate", experiment, *options).status == 0
    assert made(whole.parent, "faster") == Counter(adapter=1, predictions=1)


def test_an_interrupted_evaluation_loses_the_cell_in_flight_alone(
    call: Call, whole: Path, experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spillover.models.scoring import score as module

    runs = tmp_path / "runs"
    shutil.copytree(whole.parent, runs, symlinks=True)
    for path in (*runs.glob(".stages/predictions-*"), runs / "small" / "log.jsonl"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    arguments = ("evaluate", experiment, "--set", 'evaluate.tasks=["sentiment"]', "--runs", runs)
    real, calls = module.score, iter(range(100))

    def interrupted(*args: object, **kwargs: object) -> module.Scores:
        if next(calls) == 4:
            raise KeyboardInterrupt
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "score", interrupted)
    assert call(*arguments).status != 0
    assert made(runs) == Counter(predictions=4)
    before = times(runs)
    monkeypatch.setattr(module, "score", real)
    assert call(*arguments).status == 0
    assert made(runs) == Counter(predictions=6)
    assert {path: time for path, time in times(runs).items() if path in before} == before
    assert not list(runs.glob(".stages/*.partial"))


def test_merged_weights_are_another_arm_with_the_same_scores(call: Call, whole: Path, experiment: Path) -> None:
    only = ("--set", 'evaluate.tasks=["sentiment"]', "--set", 'evaluate.languages=["de"]')
    options = ("--set", "evaluate.merged=true", *only, "--runs", whole.parent, "--name", "merged")
    assert call("evaluate", experiment, *options).status == 0
    assert made(whole.parent, "merged") == Counter(predictions=1)
    place = "predictions/tuned/sentiment/de.parquet"
    merged, beside = (pq.read_table(folder / place) for folder in (whole.parent / "merged", whole))
    for column in ("logprob:positive", "logprob:negative"):
        assert merged.column(column).to_pylist() == pytest.approx(beside.column(column).to_pylist(), abs=1e-3)


def test_a_tracker_changes_no_adapter(call: Call, whole: Path, experiment: Path) -> None:
    options = ("--set", 'tune.report_to=["wandb"]', "--runs", whole.parent, "--name", "tracked")
    assert call("tune", experiment, *options).status == 0
    assert made(whole.parent, "tracked") == Counter()


def test_another_lens_traces_nothing_anew(call: Call, whole: Path, experiment: Path) -> None:
    name, lenses = "relens", 'analyze.lenses=["logit", "spillover.models.tracing.lenses:logit"]'
    options = ("--runs", whole.parent, "--name", name, "--set", lenses)
    assert call("analyze", experiment, *options).status == 0
    assert made(whole.parent, name) == Counter(lens=2, reading=2 * 2 * 3, explorer=2 * 2)


def test_run_prints_the_main_table_and_where_the_page_is(small_run: SmallRun) -> None:
    ended = small_run.steps["run"].ended
    assert "object at 0x" not in ended.out
    for task in SIZES:
        assert task in ended.out.lower()
    for code in LANGUAGES:
        assert code in ended.out.split()
    assert ended.out.rstrip().endswith(f"Report: {small_run.folder / 'report' / 'index.html'}")


@pytest.mark.usefixtures("without_pictures")
def test_gates_decide_the_exit_status(call: Call, whole: Path, experiment: Path) -> None:
    """Of 30 items, the fewest that a gate takes for a measurement, by the adapter that is there."""
    enough = ("evaluate.source=starter", "evaluate.limit=30", "analyze.limit=0", "analyze.forgetting=0")
    changes = [word for change in enough for word in ("--set", change)]
    arguments = ("run", experiment, "--runs", whole.parent, "--name", "gated", *changes)
    arguments = (*arguments, "--gate", "sentiment:worst>=-100")
    held = call(*arguments)
    assert held.status == 0, held.err
    assert "gate sentiment:worst>=-100, sentiment: holds" in held.out
    broken = call(*arguments, "--gate", "unseen>=99")
    assert broken.status == 1
    assert broken.err.count("broken, since the 95% interval begins at") == len(SIZES)
    assert "Report: " in broken.out


@pytest.mark.usefixtures("without_pictures")
def test_a_second_run_draws_nothing_again(call: Call, whole: Path, experiment: Path) -> None:
    page = whole / "report" / "index.html"
    before = page.stat().st_mtime_ns
    assert call("run", experiment, "--runs", whole.parent).status == 0
    assert page.stat().st_mtime_ns == before
    assert call("run", experiment, "--runs", whole.parent, "--set", "report.margin=3").status == 0
    assert page.stat().st_mtime_ns != before


@pytest.mark.usefixtures("without_pictures")
def test_the_report_tells_what_the_doctor_finds(
    call: Call, whole: Path, experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also as a single stage, which does not stop at an error; and it is drawn again where that changed."""
    table = whole.parent / "examined" / "report" / "tables" / "doctor.csv"
    for severity in ("warning", "error"):
        found = Defect(severity, "swap", f"a swap that is an {severity}", "items/de.jsonl: line 2", "de", 50.0)
        monkeypatch.setattr("spillover.pipeline.stored_defects", lambda *_, found=found: [found])
        assert call("report", experiment, "--runs", whole.parent, "--name", "examined").status == 0
        expected = f"{severity},swap,a swap that is an {severity},items/de.jsonl: line 2,de,50.0"
        assert lines_of(table)[1:] == [expected]
    assert made(whole.parent, "examined") == Counter()


def test_from_python_the_same_stages_are_found(whole: Path, experiment: Path) -> None:
    before = times(whole.parent)
    run = spillover.Run(spillover.load_experiment(experiment), spillover.Store(whole.parent, "python"))
    sizes: Counter[str] = Counter()
    for cell, rows in run.predictions.items():
        sizes[cell.arm] += len(rows)
        assert all(score <= 0 and math.isfinite(score) for row in rows for score in row.logprobs)
    assert sizes == dict.fromkeys(("base", "tuned"), 3 * sum(SIZES.values()))
    assert times(whole.parent) == before

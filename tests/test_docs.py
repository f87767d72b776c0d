"""What the pages show is run: the titled blocks of docs/extend.md and docs/arms.md are files of experiments."""

import csv
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from calls import Call
from places import ROOT
from sample_files import TIME, harness_row, scores, write_lines, write_results
from spillover.records import Example, Outcome, Prediction
from spillover.store import read_predictions, read_records
from tiny_models import save_adapter

DOCS = ROOT / "docs"
BLOCK = re.compile(r'```\w+ title="([\w./-]+)"\n(.*?)```', re.DOTALL)
MOST_LINES = 30


@pytest.fixture(scope="module")
def blocks() -> dict[str, str]:
    return dict(BLOCK.findall((DOCS / "extend.md").read_text("utf-8")))


def test_each_extension_is_short(blocks: dict[str, str]) -> None:
    assert set(blocks) == {
        "mine.toml",
        "urgency.toml",
        "tickets.py",
        "phrases.py",
        "both_ways.py",
        "centered.py",
        "sentiment-ca.toml",
        "catalan.toml",
        "years.toml",
        "nearby.py",
        "history.toml",
        "events/years/items/en.jsonl",
        "events/years/items/es.jsonl",
        "reviews/sentiment/items/en.jsonl",
        "reviews/sentiment/items/ca.jsonl",
    }
    for name, text in blocks.items():
        assert len(text.splitlines()) < MOST_LINES, name


def write(blocks: dict[str, str], folder: Path) -> None:
    for name, text in blocks.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


@pytest.mark.usefixtures("one_thread", "without_pictures")
def test_the_five_extensions_make_an_experiment(
    call: Call, blocks: dict[str, str], tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(blocks, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    chosen = [f"model.name={tiny('llama')}", "model.dtype=float32", "analyze.limit=1"]
    ended = call("run", "mine.toml", *(part for key in chosen for part in ("--set", key)))
    assert ended.status == 0, ended.err
    run = tmp_path / "runs" / "mine"
    examples = read_records(run / "examples.parquet", Example)
    pairs = {(example.source, example.target) for example in examples}
    assert ("Der Server brennt.\n", "The server is on fire.") in pairs
    assert ("The server is on fire.\n", "Der Server brennt.") in pairs
    found: list[Prediction] = read_predictions(run / "predictions/tuned/urgency/de.parquet", "urgency", "de")
    assert [(prediction.id, prediction.gold) for prediction in found] == [("0", 0), ("1", 1)]
    for kind in ("predictions", "traces", "bits-per-byte"):
        assert [path.name for path in (run / kind / "base").iterdir()] == ["urgency"], kind
    with (run / "report/tables/lens.csv").open(encoding="utf-8", newline="") as file:
        seen = [row for row in csv.DictReader(file) if (row["arm"], row["language"]) == ("base", "de")]
    entropy = {lens: [row["entropy"] for row in seen if row["lens"] == lens] for lens in ("logit", "centered:centered")}
    assert len(entropy["logit"]) == len(entropy["centered:centered"]) > 2
    assert entropy["logit"] != entropy["centered:centered"]


@pytest.mark.usefixtures("one_thread", "without_pictures")
def test_a_language_is_brought_to_a_task_that_ships(
    call: Call, blocks: dict[str, str], tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(blocks, tmp_path)
    monkeypatch.chdir(tmp_path)
    chosen = ["--set", f"model.name={tiny('llama')}"]
    checked = call("lint", "catalan.toml", *chosen)
    assert checked.status == 0, checked.out + checked.err
    shown = call("prompts", "catalan.toml", *chosen)
    assert shown.status == 0, shown.err
    lines = [json.loads(line) for line in shown.out.splitlines()]
    assert [line["language"] for line in lines] == ["en", "en", "ca", "ca"]
    assert lines[3]["header"] == (
        "Ressenya: El perruquer em va escoltar amb atenció.\nSentiment: positiu\n\n"
        "Ressenya: El paquet va arribar tres setmanes tard.\nSentiment: negatiu\n\n"
    )
    assert lines[3]["body"] == "Ressenya: Quin vespre tan bonic!\nSentiment:"
    assert lines[3]["choices"] == [" positiu\n\n", " negatiu\n\n"]


@pytest.mark.usefixtures("one_thread", "without_pictures")
def test_a_task_answered_in_words_and_a_grader_of_ones_own(
    call: Call, blocks: dict[str, str], tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(blocks, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    quick = ("questions.limit=8", "tune.epochs=1", "tune.translations=0", "analyze.limit=0", "analyze.forgetting=0")
    chosen = [part for key in (f"model.name={tiny('llama')}", *quick) for part in ("--set", key)]
    shown = call("prompts", "history.toml", "--scores", *chosen)
    assert shown.status == 0, shown.err
    spanish = json.loads(shown.out.splitlines()[1])
    assert spanish["header"] == "Pregunta: ¿Cuándo caminaron las primeras personas sobre la Luna?\nAño: 1969\n\n"
    assert (spanish["right"], spanish["score"]) == (["1989"], 0)
    done = call("run", "history.toml", *chosen)
    assert done.status == 0, done.err
    outcomes = read_records(tmp_path / "runs/history/outcomes/tuned/years/es.parquet", Outcome)
    assert [(outcome.item, outcome.score) for outcome in outcomes] == [("1", 0)]
    assert outcomes[0].reason in ("ran on", "unreadable")


@pytest.mark.usefixtures("one_thread", "without_pictures")
def test_the_readme_s_python_runs(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a tiny model, and a smaller experiment of the demo's name."""
    (code,) = re.findall(r"```python\n(import.*?|from.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert '"gemma-3-270m"' in code
    monkeypatch.chdir(tmp_path)
    Path("examples").mkdir()
    small = f"""
    model = {{ name = "{tiny("llama")}" }}
    questions = {{ limit = 8 }}
    tune = {{ epochs = 1, translations = 0 }}
    evaluate = {{ tasks = ["sentiment"], languages = ["en", "sw"], limit = 4 }}
    analyze = {{ limit = 0, forgetting = 0 }}
    """
    Path("examples/demo.toml").write_text("\n".join(line.strip() for line in small.splitlines()), encoding="utf-8")
    exec(code.replace("gemma-3-270m", str(tiny("llama"))), {})
    printed = capsys.readouterr().out
    assert "Maji yalikuwa baridi" in printed
    assert "sentiment: inconclusive over 1 language" in printed


ARMS = {
    "two-models.toml",
    "my-adapter.toml",
    "two-checkpoints.toml",
    "translate-test.toml",
    "exemplars.toml",
    "precision.toml",
}

ADAPTERS = ("saves/gemma-3-270m/lora/sft", "output/checkpoint-1000", "output/checkpoint-2000")
"""Folders of adapters that the comparisons name."""

SMALL = ["evaluate.limit=2", 'evaluate.languages=["en","es"]', "analyze.limit=0", "analyze.forgetting=1"]
"""Keys that make any experiment take seconds."""


class Upper:
    """A translation engine: capital letters."""

    version = "1"

    def translate(self, texts: Sequence[str], source: str, target: str) -> Sequence[str]:
        return [text.upper() for text in texts]


@pytest.mark.usefixtures("one_thread", "without_pictures")
@pytest.mark.parametrize("name", sorted(ARMS))
def test_every_comparison_of_arms_runs(
    name: str, call: Call, tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = dict(BLOCK.findall((DOCS / "arms.md").read_text("utf-8")))
    assert set(files) == ARMS
    for folder in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(folder, str(tmp_path / folder))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "capitals", sys.modules[__name__])
    text = files[name].replace("google/gemma-3-270m-it", str(tiny("qwen2")))
    text = text.replace("google/gemma-3-270m", str(tiny("llama"))).replace('template = "chat"\n', "")
    Path(name).write_text(text.replace('"apertium"', '"capitals:Upper"'), encoding="utf-8")
    for seed, folder in enumerate(ADAPTERS):
        if folder in text:
            save_adapter(tiny("llama"), Path(folder), seed)
    small = [*SMALL, "tune.epochs=1", "tune.translations=0", "questions.limit=8", "mixture.allow_overlap=true"]
    ended = call("run", name, *(part for key in small for part in ("--set", key)))
    assert ended.status == 0, ended.err
    assert (tmp_path / "runs" / Path(name).stem / "report" / "index.html").exists()


COMPARED = re.compile(r"^    spillover (compare examples/\S+ examples/\S+)\n\n((?:    .*\n)+)", re.MULTILINE)
"""A comparison of files in the README, and the verdict that it prints."""


def test_the_verdict_on_the_readme_is_what_its_command_prints(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    [(command, verdict)] = COMPARED.findall((ROOT / "README.md").read_text("utf-8"))
    ended = call(*command.split())
    assert ended.status == 0, ended.err
    assert " ".join(verdict.split()) in " ".join(ended.out.split())
    files = list((ROOT / "examples/samples").iterdir())
    assert sum(file.stat().st_size for file in files) < 200_000
    page = " ".join((DOCS / "compare.md").read_text("utf-8").split())
    assert all(file.name in page for file in files)


def test_the_refusals_on_the_page_are_those_of_the_command(call: Call, tmp_path: Path) -> None:
    base = write_results(tmp_path / "a", 1.0, ("de",))
    rows = [harness_row(number, "de", values) for number, values in enumerate(scores(1.0))]
    changed = {"b": rows[:-2], "c": [*rows[:-1], rows[-1] | {"doc_hash": "another"}]}
    page = (DOCS / "compare.md").read_text("utf-8")
    for name, part in changed.items():
        write_lines(tmp_path / name / f"samples_xnli_de_{TIME}.jsonl", part)
        sentence = call("compare", base, tmp_path / name).err.removeprefix("spillover: ").strip()
        assert sentence.replace(" in c ", " in b ").replace("than in c", "than in b") in page

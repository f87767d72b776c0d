"""Items in more languages through the real command line, and own questions from a CSV to a report."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import tomli_w

from calls import Call
from places import ROOT
from spillover.sources import open_source
from spillover.tasks import ChoiceLanguage, ChoiceTask, load_task, open_task

MODES = subprocess.run(["apertium", "-l"], capture_output=True, text=True).stdout if shutil.which("apertium") else ""
ENGINE = """
class Thing:
    def translate(self, texts, source, target):
        return [f"{target} {text}" for text in texts]
"""
TASK = {
    "name": "mood",
    "fields": ["text", "place"],
    "labels": ["glad", "sad"],
    "agnostic": ["ox", "horse"],
    "exemplar_labels": ["glad", "sad"],
    "rows": {
        "en": {
            "fields": ["Text", "Place"],
            "answer": "Mood",
            "labels": ["glad", "sad"],
            "exemplars": [["We sang.", "home"], ["It rained.", "school"]],
        }
    },
}
ITEMS = [{"id": f"i{n}", "text": f"text {n}", "place": f"place {n}", "label": ("glad", "sad")[n % 2]} for n in range(6)]


pytestmark = pytest.mark.usefixtures("one_thread", "without_pictures")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder: an engine, a task, items in English, and an experiment that names them."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "loud.py").write_text(ENGINE, encoding="utf-8")
    (tmp_path / "mood.toml").write_text(tomli_w.dumps(TASK), encoding="utf-8")
    items = tmp_path / "mine" / "mood" / "items" / "en.jsonl"
    items.parent.mkdir(parents=True)
    items.write_text("".join(json.dumps(row) + "\n" for row in ITEMS), encoding="utf-8")
    experiment = {
        "translate": {"to": ["de"], "with": "loud:Thing"},
        "evaluate": {"source": "folder:mine", "tasks": ["mood.toml"], "languages": ["en", "es", "de"]},
    }
    (tmp_path / "my.toml").write_text(tomli_w.dumps(experiment), encoding="utf-8")
    return tmp_path


def confirmed(draft: Path) -> Path:
    draft.write_text(draft.read_text("utf-8").replace("draft = true\n", ""), encoding="utf-8")
    return draft


def test_items_keep_ids_and_gold_and_say_what_translated_them(call: Call, folder: Path) -> None:
    status, out, _ = call("translate", "--items", "my.toml")
    assert (status, out.split()) == (0, ["runs/my/items", "runs/my/tasks/mood.toml"])
    task = load_task(confirmed(folder / "runs/my/tasks/mood.toml"))
    assert isinstance(task, ChoiceTask)
    source = open_source("folder:runs/my/items", {}, "test")
    assert source.item_languages(task) == ("en", "de", "es")
    english = source.items(task, "en")
    assert [(item.id, item.fields, task.labels[item.gold]) for item in english] == [
        (row["id"], (row["text"], row["place"]), row["label"]) for row in ITEMS
    ]
    for code in ("es", "de"):
        found = source.items(task, code)
        assert [(item.id, item.gold) for item in found] == [(item.id, item.gold) for item in english]
        assert [item.fields for item in found] == [tuple(f"{code} {text}" for text in i.fields) for i in english]
        assert {item.translator for item in found} == {"loud:Thing"}
    assert {item.translator for item in english} == {""}


def test_a_draft_is_refused_until_it_is_confirmed_and_never_overwritten(call: Call, folder: Path) -> None:
    call("translate", "--items", "my.toml")
    draft = folder / "runs/my/tasks/mood.toml"
    status, _, err = call("prompts", "my.toml", "--set", f'evaluate.tasks=["{draft}"]')
    assert status == 2
    assert re.search(r"mood.toml: found a draft that nobody has confirmed; .* delete the line `draft = true`\n$", err)
    edited = confirmed(draft).read_text("utf-8").replace("es glad", "contento")
    draft.write_text(edited, encoding="utf-8")
    assert call("translate", "--items", "my.toml")[0] == 0
    assert draft.read_text("utf-8") == edited
    row = load_task(draft).row("es")
    assert isinstance(row, ChoiceLanguage)
    assert (row.fields, row.answer, row.labels) == (("es Text", "es Place"), "es Mood", ("contento", "es sad"))
    assert row.exemplars == (("es We sang.", "es home"), ("es It rained.", "es school"))
    assert load_task(draft).row("en") == load_task(folder / "mood.toml").row("en")


def test_a_task_that_has_the_languages_gets_no_draft(call: Call, folder: Path) -> None:
    (folder / "mine" / "sentiment" / "items").mkdir(parents=True)
    rows = [{"text": f"text {n}", "label": "positive"} for n in range(3)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "mine/sentiment/items/en.jsonl").write_text(lines, encoding="utf-8")
    status, out, _ = call("translate", "--items", "my.toml", "--set", 'evaluate.tasks=["sentiment"]')
    assert (status, out.split()) == (0, ["runs/my/items"])
    found = open_source("folder:runs/my/items", {}, "test").items(open_task("sentiment"), "es")
    assert [(item.id, item.fields) for item in found] == [(str(n), (f"es text {n}",)) for n in range(3)]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("evaluate.languages=all", 'evaluate.languages: found "all", expected those to translate into'),
        ("translate.with=parallel", "'parallel' translates no items into es; choose from nllb, chat, google, apertium"),
        ("translate.budget=10", "translate.budget: en→es needs 78 characters"),
    ],
)
def test_what_cannot_be_translated_is_one_sentence_and_leaves_nothing(
    call: Call, folder: Path, override: str, message: str
) -> None:
    status, _, err = call("translate", "--items", "my.toml", "--set", override)
    assert status == 2
    assert message in err
    assert not (folder / "runs" / "my").exists()


def test_a_dry_run_says_how_much_goes_where_and_translates_nothing(call: Call, folder: Path) -> None:
    place = folder / "mine" / "sentiment" / "questions" / "en.csv"
    place.parent.mkdir(parents=True)
    place.write_text("text\nabc\nabc\nde\n", encoding="utf-8")
    sets = ("--set", "questions.source=folder:mine", "--set", 'translate.to=["de", "es"]')
    terms = "license of the translator loud:Thing: not recorded here, look it up before you share a result\n"
    for _ in range(2):
        status, out, _ = call("translate", "my.toml", "--dry-run", *sets)
        assert (status, out) == (0, f"de: 5 characters to loud:Thing\nes: 5 characters to loud:Thing\n{terms}")
    call("translate", "my.toml", *sets, "--set", 'translate.to=["de"]')
    out = call("translate", "my.toml", "--dry-run", *sets)[1]
    assert out == f"de: 0 characters to loud:Thing\nes: 5 characters to loud:Thing\n{terms}"
    assert call("translate", "my.toml", "--dry-run", "--items")[0] == 2


def test_the_report_says_which_items_a_machine_translated(
    call: Call, folder: Path, tiny: Callable[[str], Path]
) -> None:
    call("translate", "--items", "my.toml")
    draft = confirmed(folder / "runs/my/tasks/mood.toml")
    sets = {
        "model.name": tiny("llama"),
        "model.dtype": "float32",
        "questions.limit": 8,
        "translate.with": "parallel",
        "tune.epochs": 1,
        "analyze.limit": 0,
        "evaluate.source": "folder:runs/my/items",
        "evaluate.tasks": f'["{draft}"]',
    }
    overrides = [part for key, value in sets.items() for part in ("--set", f"{key}={value}")]
    status, out, err = call("run", "my.toml", *overrides)
    assert status == 0, err
    assert "mood: the es items were machine-translated by loud:Thing" in " ".join(out.split())
    page = (folder / "runs/my/report/index.html").read_text("utf-8")
    note = re.search(r"<strong>Machine-translated items.</strong>(.*?)</div>", page, re.DOTALL)
    assert note
    assert "mood in German by loud:Thing; mood in Spanish by loud:Thing" in " ".join(note[1].split())
    assert "English" not in note[1]


@pytest.mark.skipif(
    "eng-spa" not in MODES,
    reason="apertium or its mode eng-spa is not installed: apt install apertium apertium-eng-spa",
)
def test_own_questions_in_a_csv_become_pairs_and_a_tuned_model_in_one_command(
    call: Call, folder: Path, tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    runs, experiment = folder / "runs", ROOT / "examples" / "own-questions.toml"
    sets = {
        "model.name": tiny("llama"),
        "model.dtype": "float32",
        "evaluate.limit": 4,
        "evaluate.languages": '["en", "es", "fr"]',
        "analyze.limit": 0,
    }
    overrides = [part for key, value in sets.items() for part in ("--set", f"{key}={value}")]
    status, out, err = call("run", experiment, "--runs", runs, *overrides)
    assert status == 0, err
    assert "Report:" in out
    rows = pq.read_table(runs / "own-questions" / "pairs" / "es.parquet").to_pylist()
    assert len(rows) == 24
    assert rows[0]["target"] == ["The kettle boils in two minutes and the handle stays cool."]
    assert (rows[0]["source_language"], rows[0]["target_language"]) == ("es", "en")
    assert "dos minutos" in rows[0]["source"][0]
    assert (runs / "own-questions" / "adapter" / "adapter_model.safetensors").exists()

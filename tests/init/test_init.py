"""`spillover init`: each form of a user's data becomes an experiment that loads and that the doctor accepts."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import pytest

from calls import Call
from spillover.experiment import Experiment, load_experiment
from spillover.records import Item
from spillover.sources import open_source
from spillover.stages.inputs import Inputs
from spillover.tasks import open_labeled_task, open_task

STARTER = Path(str(files("spillover").joinpath("data", "starter", "sentiment", "items")))
CODES = ("en", "de", "es")

Rows = list[dict[str, object]]


def starter(code: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (STARTER / f"{code}.jsonl").read_text("utf-8").splitlines()]


QUEUES = {"positive": "praise", "negative": "complaint"}


def write_csv(path: Path, rows: Sequence[Mapping[str, object]], encoding: str = "utf-8", comma: str = ",") -> None:
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=comma)
        writer.writeheader()
        writer.writerows(rows)


def tickets(folder: Path) -> None:
    """Write Excel's CSV of tickets in three languages, no two of which are translations of each other."""
    rows: Rows = []
    for place, code in enumerate(CODES):
        for row in starter(code)[20 * place : 20 * place + 20]:
            rows.append({"ticket_id": len(rows), "body": row["text"], "queue": QUEUES[row["label"]], "lang": code})
    rows.append(rows[0] | {"ticket_id": 99})
    write_csv(folder / "tickets.csv", rows, "cp1252", ";")


def wide(folder: Path) -> None:
    columns = [starter(code) for code in CODES]
    rows = [
        {code: row["text"] for code, row in zip(CODES, each, strict=True)} | {"good": each[0]["label"] == "positive"}
        for each in zip(*columns, strict=True)
    ]
    (folder / "wide.json").write_text(json.dumps(rows), encoding="utf-8")


def by_file(folder: Path) -> None:
    (folder / "reviews").mkdir()
    for code, name in zip(CODES, ("English", "deu", "es"), strict=True):
        write_csv(folder / "reviews" / f"{name}.csv", starter(code))


def unlabeled(folder: Path) -> None:
    rows = [
        {"review": f"Chapter {n} of this book explains how rivers, rocks and rain made the valley."} for n in range(9)
    ]
    write_csv(folder / "books.csv", rows, "utf-8-sig")


def quiz(folder: Path) -> None:
    """Write a set with a list of choices and an index, as hubs have it."""
    nouns = ("river", "mountain", "planet", "engine", "parliament", "violin", "vaccine", "desert", "novel", "bridge")
    rows = [
        {
            "question": f"Which of these statements about the {noun} was {verb} by the committee in its long report?",
            "choices": [f"{noun} {word}" for word in ("north", "south", "east", "west")],
            "answer": (3 * place + turn) % 4,
        }
        for place, noun in enumerate(nouns)
        for turn, verb in enumerate(("praised", "rejected as unfounded", "never mentioned"))
    ]
    (folder / "quiz.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def model(tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a model to check against, in a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # the dry run would ask for the translator
    return tiny("llama")


FORMS: dict[str, tuple[Callable[[Path], None], str, str, Sequence[str]]] = {
    "long": (tickets, "tickets.csv", "tickets", ["--to", "de"]),
    "wide": (wide, "wide.json", "wide", ["--classes", "negative,positive"]),
    "a file for each language": (by_file, "reviews", "reviews-experiment", []),
    "unlabeled": (unlabeled, "books.csv", "books", []),
    "four choices": (quiz, "quiz.jsonl", "quiz", []),
}
"""Form → who writes it, its path, the folder of the experiment, flags."""


@pytest.mark.parametrize("case", FORMS)
def test_each_form_becomes_an_experiment_that_the_doctor_accepts(case: str, call: Call, model: Path) -> None:
    write, path, folder, flags = FORMS[case]
    write(Path())
    ended = call("init", path, "--model", model, *flags)
    assert ended.status == 0, ended
    assert "\n0 errors, " in ended.out
    assert ended.out.splitlines()[-1].startswith(f"Next: spillover run {folder}/experiment.toml --name {folder}")
    experiment = load_experiment(Path(folder, "experiment.toml"))
    tuned, measured = texts(experiment)
    assert tuned and measured and not tuned & measured
    assert call("init", path, "--model", model, *flags).status == 2, "nothing is overwritten"


def texts(experiment: Experiment) -> tuple[set[tuple[str, ...]], set[tuple[str, ...]]]:
    """Return the texts that an experiment tunes on, and those that it measures or shows as exemplars."""
    inputs = Inputs(experiment)
    task = next(iter(inputs.tasks.values()))
    shown = {tuple(exemplar) for row in task.rows.values() for exemplar in row.exemplars}
    items = {item.fields for each in inputs.items.values() for item in each}
    assert not shown & items
    return {question.fields for question in inputs.questions}, items | shown


def items_of(folder: str, task: str, language: str) -> list[Item]:
    return open_source(f"folder:{folder}/data", {}, "test").items(open_task(task), language)


def test_tickets_in_three_languages_are_measured_each_by_itself(call: Call, model: Path) -> None:
    tickets(Path())
    out = call("init", "tickets.csv", "--model", model).out
    assert "Rows: en 21, de 20, es 20 (the column 'lang' names the language)" in out
    assert "Classes: praise 31, complaint 30" in out and "Note: 1 row whose texts stand there before left out." in out
    assert "no translations of each other (no id is in both languages)" in out
    experiment = load_experiment(Path("tickets/experiment.toml"))
    assert experiment.evaluate.source.endswith("?paired=false") and experiment.translate.translator == "nllb"
    task = open_labeled_task("tickets/task.toml")
    golds = {
        item.fields[0]: task.labels[item.gold]
        for code in CODES
        for item in items_of("tickets", "tickets/task.toml", code)
    }
    for code in CODES:  # against the rows themselves
        for row in starter(code):
            assert golds.get(row["text"], QUEUES[row["label"]]) == QUEUES[row["label"]]
    assert len(golds) == 10 + 20 + 20 - 3 * 2


def test_ids_that_name_another_item_in_each_language_pair_nothing(call: Call, model: Path) -> None:
    Path("mixed").mkdir()
    for turn, code in enumerate(CODES):
        rows = starter(code)
        turned = rows[20 * turn :] + rows[: 20 * turn]
        write_csv(Path("mixed", f"{code}.csv"), [row | {"id": str(n)} for n, row in enumerate(turned)])
    ended = call("init", "mixed", "--model", model, "--task", "mood")
    assert "documents with the same id have another right answer" in ended.out and ended.status == 0, ended
    file = Path("mixed-experiment/experiment.toml")
    inputs = Inputs(load_experiment(file))
    ids = {code: {item.id for item in rows} for (_, code), rows in inputs.items.items()}
    assert set(ids) == set(CODES) and not ids["en"] & ids["de"]
    file.write_text(file.read_text("utf-8").replace("?paired=false", ""), encoding="utf-8")
    assert call("lint", file).status == 1, "the same files, taken for translations"


def test_a_wide_table_has_its_own_translations(call: Call, model: Path) -> None:
    wide(Path())
    call("init", "wide.json", "--model", model, "--classes", "negative,positive")
    experiment = load_experiment(Path("wide/experiment.toml"))
    assert experiment.translate.translator == "parallel" and experiment.evaluate.tasks == ("sentiment",)
    right = {row["text"]: row["label"] for row in starter("de")}
    rows = items_of("wide", "sentiment", "de")
    assert [open_labeled_task("sentiment").labels[item.gold] for item in rows] == [
        right[item.fields[0]] for item in rows
    ]
    assert [item.id for item in rows] == [item.id for item in items_of("wide", "sentiment", "en")]


def test_the_index_of_a_choice_becomes_its_letter(call: Call, model: Path) -> None:
    quiz(Path())
    call("init", "quiz.jsonl", "--model", model)
    source = [json.loads(line) for line in Path("quiz.jsonl").read_text().splitlines()]
    right = {row["question"]: row["choices"][row["answer"]] for row in source}
    for item in items_of("quiz", "quiz/task.toml", "en"):
        question, *choices = item.fields
        assert choices[item.gold] == right[question]


BAD: dict[str, tuple[str, str, str]] = {
    "no such file": ("x.txt", "", "init none.csv"),
    "a workbook": ("t.xlsx", "PK", "init t.xlsx"),
    "another ending": ("t.txt", "a\nb\n", "init t.txt"),
    "a folder without languages": ("d/rows.csv", "a\nb\n", "init d"),
    "no language": ("t.csv", "text,lang\nabc,en\nabd,klingonish\n", "init t.csv"),
    "an unclear language": ("t.csv", "n\n12\n13\n", "init t.csv"),
    "no such text column": ("t.csv", "text,y\nabc,a\n", "init t.csv --language en --text txt"),
    "no such label column": ("t.csv", "text,y\nabc,a\n", "init t.csv --language en --label z"),
    "too few classes": ("t.csv", "text,y\nabc,a\nabd,a\n", "init t.csv --language en --label y"),
    "classes that are not as many": (
        "t.csv",
        "text,y\nabc,0\nabd,1\n",
        "init t.csv --language en --label y --classes a",
    ),
    "labels of another task": (
        "t.csv",
        "text,y\nabc,a\nabd,b\n",
        "init t.csv --language en --label y --task sentiment",
    ),
    "fields of another task": ("t.csv", "text\nabc\nabd\n", "init t.csv --language en --task entailment"),
    "a new task without labels": ("t.csv", "text\nabc\nabd\n", "init t.csv --language en --task mine"),
    "the pivot to tune on": ("t.csv", "text\nabc\nabd\n", "init t.csv --language en --to en"),
    "too few rows": ("t.csv", "text,y\nabc,a\nabd,b\n", "init t.csv --language en --label y"),
    "labels in each language's own words": (
        "t.csv",
        "text,y,lang\nabc,good,en\nabd,bad,en\nabe,good,en\nabf,bad,en\nabc,gut,de\nabd,schlecht,de\n",
        "init t.csv --label y",
    ),
    "an odd number of choices": (
        "t.jsonl",
        '{"question": "abc", "choices": ["a", "b"], "answer": 0}\n{"question": "abd", "choices": ["a"], "answer": 0}\n',
        "init t.jsonl --language en",
    ),
    "an answer that is no choice": (
        "t.csv",
        "question,A,B,answer\nabc,x,y,A\nabd,x,y,C\n",
        "init t.csv --language en",
    ),
}
SENTENCES = {
    "no such file": "none.csv: found no such file or folder",
    "a workbook": "save the sheet as CSV UTF-8",
    "another ending": "found the ending 'txt', expected one of json",
    "a folder without languages": "expected files such as en.csv and de.csv",
    "no language": "line 3: column 'lang': found 'klingonish', expected a language",
    "an unclear language": "say it with --language",
    "no such text column": "--text: found 'txt', expected a column; did you mean 'text'?",
    "no such label column": "--label: found 'z', expected a column",
    "too few classes": "--label: found 1 classes in the column 'y', expected 2 to 24",
    "classes that are not as many": "--classes: found 'a', expected 2 different words",
    "labels of another task": "found 'a', expected a label of 'sentiment': positive, negative",
    "fields of another task": "'entailment' has 2 fields (premise, hypothesis)",
    "a new task without labels": "found 'mine' for texts without labels",
    "the pivot to tune on": "--to: found 'en', expected other languages",
    "too few rows": "found too few rows in en",
    "labels in each language's own words": "expected the same words as labels in every language",
    "an odd number of choices": "found 1 choices, expected 2 as in the first row",
    "an answer that is no choice": "found 'C', expected one of A, B, its number or its text",
}
"""Bad input → words of its one sentence."""


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_in_one_sentence(case: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name, text, command = BAD[case]
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(text, encoding="utf-8")
    ended = call(*command.split())
    assert ended.status == 2 and SENTENCES[case] in ended.err.splitlines()[-1], ended
    assert "Traceback" not in ended.err and not list(tmp_path.glob("*/experiment.toml"))

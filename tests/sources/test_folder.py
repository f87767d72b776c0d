"""A folder of a user's files: every format says the same, and every fault is one sentence that names its place."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spillover.errors import SpilloverError
from spillover.records import Item, Question
from spillover.sources import open_source
from spillover.sources.folder import Folder
from spillover.sources.starter import Starter
from spillover.tasks import open_labeled_task

Rows = list[dict[str, str]]

ROWS: Rows = [
    {"id": "a", "premise": 'A "red", round kite.', "hypothesis": "A toy flies.", "label": "neutral"},
    {"id": "b", "premise": "Two lines\nof text.", "hypothesis": "Eine Zeile: ü.", "label": "Widerspruch"},
    {"id": "c", "premise": "A separator\u2028inside.", "hypothesis": "  A separator. ", "label": "ENTAILMENT"},
]
ITEMS = [
    Item("entailment", "a", "de", ('A "red", round kite.', "A toy flies."), 1),
    Item("entailment", "b", "de", ("Two lines\nof text.", "Eine Zeile: ü."), 2),
    Item("entailment", "c", "de", ("A separator\u2028inside.", "A separator."), 0),
]


def write_json(path: Path, rows: Rows) -> None:
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")


def write_jsonl(path: Path, rows: Rows) -> None:
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")


def write_csv(path: Path, rows: Rows) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_parquet(path: Path, rows: Rows) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path)


WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    "json": write_json,
    "jsonl": write_jsonl,
    "csv": write_csv,
    "parquet": write_parquet,
}


def place(root: Path, name: str) -> Path:
    """Return the path of a file below `root`, its folder made."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def items(root: Path, text: str | bytes, name: str = "de.jsonl", **columns: str) -> list[Item]:
    """Read the sentiment items of a file with exactly this content."""
    content = text.encode() if isinstance(text, str) else text
    place(root, f"sentiment/items/{name}").write_bytes(content)
    return Folder(str(root), columns).items(open_labeled_task("sentiment"), "de")


@pytest.mark.parametrize("ending", WRITERS)
def test_every_format_gives_the_same_items(tmp_path: Path, ending: str) -> None:
    WRITERS[ending](place(tmp_path, f"entailment/items/de.{ending}"), ROWS)
    assert Folder(str(tmp_path), {}).items(open_labeled_task("entailment"), "de") == ITEMS


@pytest.mark.parametrize("ending", WRITERS)
def test_questions_are_read_without_their_label(tmp_path: Path, ending: str) -> None:
    rows = [{**row, "label": "no label of this task"} for row in ROWS]
    WRITERS[ending](place(tmp_path, f"entailment/questions/de.{ending}"), rows)
    expected = [Question("entailment", item.id, "de", item.fields) for item in ITEMS]
    assert Folder(str(tmp_path), {}).questions(open_labeled_task("entailment"), "de") == expected


@pytest.mark.parametrize("ending", WRITERS)
def test_columns_may_have_other_names(tmp_path: Path, ending: str) -> None:
    columns = {"id": "key", "premise": "s1", "hypothesis": "s2", "label": "y"}
    rows = [{columns[name]: value for name, value in row.items()} for row in ROWS]
    WRITERS[ending](place(tmp_path, f"entailment/items/de.{ending}"), rows)
    # one map serves every task of an evaluation, so it may name a field of another
    assert Folder(str(tmp_path), {**columns, "text": "review"}).items(open_labeled_task("entailment"), "de") == ITEMS


@pytest.mark.parametrize(("ending", "step"), [("json", 1), ("jsonl", 1), ("parquet", 37)])
def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path, ending: str, step: int) -> None:
    path = place(tmp_path, f"entailment/items/de.{ending}")
    WRITERS[ending](path, ROWS)
    whole = path.read_bytes().removesuffix(b"\n")
    for size in range(0, len(whole), step):
        path.write_bytes(whole[:size])
        if ending == "jsonl" and whole[:size].rstrip().endswith(b"}"):
            continue  # cut between lines, it is a whole file of fewer rows
        with pytest.raises(SpilloverError, match=rf"de\.{ending}"):
            Folder(str(tmp_path), {}).items(open_labeled_task("entailment"), "de")


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("language", ["en", "de", "ja"])
@pytest.mark.parametrize("name", ["sentiment", "entailment", "paraphrase"])
def test_a_label_is_a_word_of_the_task_or_the_language(tmp_path: Path, name: str, language: str, ending: str) -> None:
    task = open_labeled_task(name)
    words = [*task.labels, *task.row(language).labels, *map(str.upper, task.labels)]
    rows = [dict.fromkeys(task.fields, f"text {n}") | {"label": f" {word}"} for n, word in enumerate(words)]
    WRITERS[ending](place(tmp_path, f"{name}/items/{language}.{ending}"), rows)
    found = [item.gold for item in Folder(str(tmp_path), {}).items(task, language)]
    assert found == list(range(len(task.labels))) * 3


def test_a_column_called_cluster_groups_items_if_every_row_has_one(tmp_path: Path) -> None:
    rows = "text,label,cluster,page\ngood,positive,a,1\nbad,negative,{},1\n"
    assert [item.cluster for item in items(tmp_path, rows.format("a"), "de.csv")] == ["a", "a"]
    assert [item.cluster for item in items(tmp_path, rows.format(""), "de.csv")] == ["", ""]
    assert [item.cluster for item in items(tmp_path, rows.format("a"), "de.csv", cluster="page")] == ["1", "1"]
    with pytest.raises(SpilloverError, match=r"de\.csv: line 3: column 'cluster': found ''"):
        items(tmp_path, rows.format(""), "de.csv", cluster="cluster")


def test_without_an_id_rows_are_numbered(tmp_path: Path) -> None:
    found = items(tmp_path, "text,label\ngood,positive\nbad,negative\n", "de.csv")
    assert [(item.id, item.gold) for item in found] == [("0", 0), ("1", 1)]


def test_a_whole_number_is_an_id(tmp_path: Path) -> None:
    found = items(tmp_path, '[{"id": 7, "text": "good", "label": "positive"}]', "de.json")
    assert found == [Item("sentiment", "7", "de", ("good",), 0)]


def test_a_tasks_own_label_wins_over_an_index(tmp_path: Path) -> None:
    stars = open_labeled_task("sentiment").model_copy(update={"labels": ("1", "0")})
    place(tmp_path, "sentiment/items/de.csv").write_text("text,label\ngood,1\nbad,0\n", encoding="utf-8")
    assert [item.gold for item in Folder(str(tmp_path), {}).items(stars, "de")] == [0, 1]


FAULTS: dict[str, tuple[str, str | bytes, str]] = {
    "empty json": ("de.json", "", r"de\.json: empty, cut off or not json"),
    "no row": ("de.json", "[]", r"de\.json: found no rows"),
    "only a header": ("de.csv", "text,label\n", r"de\.csv: found no rows"),
    "not a list": ("de.json", '{"text": "x"}', r"de\.json: found an object with the keys 'text', expected a list"),
    "not an object": ("de.jsonl", '{"text": "x", "label": "positive"}\n3\n', r"de\.jsonl: line 2: found 3"),
    "not JSON": ("de.jsonl", '{"text": "x", "label": "positive"}\n\n{"te\n', r"de\.jsonl: line 3, column 2: not valid"),
    "few cells": ("de.csv", "text,label\nx,positive\ny\n", r"de\.csv: line 3: found 1 cells, expected 2"),
    "many cells": ("de.csv", "text,label\nx,positive,z\n", r"de\.csv: line 2: found 3 cells, expected 2"),
    "open quote": ("de.csv", 'text,label\n"x,positive\n', r"de\.csv: empty, cut off or not csv"),
    "not UTF-8": ("de.csv", "text,label\ngrün\xf6,positive\n".encode()[:-13] + b"\xc3\n", r"found no UTF-8 at byte 15"),
    "half a character": (
        "de.json",
        '[{"text": "x\\ud83d", "label": "positive"}]',
        r"row 1: column 'text': found 'x\\ud83d', exp",
    ),
    "not Parquet": ("de.parquet", "text", r"de\.parquet: empty, cut off or not parquet"),
    "no column": ("de.csv", "texts,label\nx,positive\n", r"line 2: found no column 'text'; did you mean 'texts'\?"),
    "no label": ("de.csv", "text\nx\n", r"line 2: found no column 'label'"),
    "null": ("de.json", '[{"text": null, "label": "positive"}]', r"row 1: column 'text': found None, expected a text"),
    "number": ("de.json", '[{"text": 5, "label": "positive"}]', r"row 1: column 'text': found 5, expected a text"),
    "blank": ("de.csv", "text,label\n  ,positive\n", r"line 2: column 'text': found '  ', expected a text"),
    "nothing to see": (
        "de.csv",
        "text,label\n\u200b\u2060,positive\n",
        r"line 2: column 'text': found '\\u200b\\u2060', exp",
    ),
    "unknown label": (
        "de.csv",
        "text,label\nx,positive\ny,positve\n",
        r"line 3: column 'label': found 'positve', expected a label; did you mean 'positive'\? choose from positiv, ",
    ),
    "a number": ("de.json", '[{"text": "x", "label": 2}]', r"de\.json: column 'label': found 2, and nothing states"),
    "a truth value": ("de.json", '[{"text": "x", "label": true}]', r"found true, and nothing states"),
    "half a number": (
        "de.json",
        '[{"text": "x", "label": 0.5}]',
        r"row 1: column .label.: found 0\.5, expected",
    ),
    "id twice": (
        "de.csv",
        "id,text,label\n1,x,positive\n2,y,positive\n1,z,positive\n",
        r"line 4: found the id '1' of .*line 2 again",
    ),
    "id in one row only": (
        "de.jsonl",
        '{"text": "x", "label": "positive"}\n{"id": "0", "text": "y", "label": "positive"}\n',
        r"line 1: found no column 'id'",
    ),
    "id null": ("de.json", '[{"id": null, "text": "x", "label": "positive"}]', r"row 1: column 'id': found None"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_sentence_with_its_place(tmp_path: Path, fault: str) -> None:
    name, content, message = FAULTS[fault]
    with pytest.raises(SpilloverError, match=message) as caught:
        items(tmp_path, content, name)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("column", ["text", "label", "id"])
@pytest.mark.parametrize("ending", ["json", "jsonl", "parquet"])
def test_a_null_is_refused_with_its_row(tmp_path: Path, ending: str, column: str) -> None:
    rows: list[dict[str, Any]] = [{"id": str(n), "text": "x", "label": "positive"} for n in range(3)]
    rows[2][column] = None
    WRITERS[ending](place(tmp_path, f"sentiment/items/de.{ending}"), rows)
    number = "line" if ending == "jsonl" else "row"
    with pytest.raises(SpilloverError, match=rf"de\.{ending}: {number} 3: column '{column}': found None, expected a"):
        Folder(str(tmp_path), {}).items(open_labeled_task("sentiment"), "de")


def test_a_column_map_names_fields_only(tmp_path: Path) -> None:
    with pytest.raises(
        SpilloverError, match=r"found 'texts'.*did you mean 'text'\? choose from id, label, answer, cluster, text"
    ):
        items(tmp_path, "x,label\na,positive\n", "de.csv", texts="x")


def test_a_mapped_id_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SpilloverError, match="line 2: found no column 'key'"):
        items(tmp_path, "id,text,label\n1,a,positive\n", "de.csv", id="key")


def test_one_file_a_language(tmp_path: Path) -> None:
    place(tmp_path, "sentiment/items/de.csv").write_text("text,label\na,positive\n", encoding="utf-8")
    with pytest.raises(SpilloverError, match=r"found both 'de\.csv' and 'de\.json', expected one"):
        items(tmp_path, '[{"text": "a", "label": 0}]', "de.json")


def test_only_files_named_after_a_language_count(tmp_path: Path) -> None:
    for name in ("de.csv.bak", "fr.csv", "zh.jsonl", "sw.csv", "notes.csv", "de.txt", "zh.json.bak"):
        place(tmp_path, f"sentiment/items/{name}").touch()
    source = Folder(str(tmp_path), {})
    assert source.item_languages(open_labeled_task("sentiment")) == ("zh", "fr", "sw")
    assert source.item_languages(open_labeled_task("entailment")) == ()
    with pytest.raises(SpilloverError, match=r"de\.<json\|jsonl\|csv\|tsv\|parquet>: .* that are there: zh, fr, sw$"):
        source.items(open_labeled_task("sentiment"), "de")


def test_a_missing_folder_names_its_nearest(tmp_path: Path) -> None:
    (tmp_path / "reviews" / "sentimnt").mkdir(parents=True)
    with pytest.raises(SpilloverError, match=r"found no folder 'review' in .*did you mean 'reviews'"):
        Folder(str(tmp_path / "review" / "deep"), {})
    with pytest.raises(SpilloverError, match=r"found no folder 'sentiment' in .*did you mean 'sentimnt'"):
        Folder(str(tmp_path / "reviews"), {}).items(open_labeled_task("sentiment"), "de")
    with pytest.raises(SpilloverError, match="expected folder:DIR"):
        Folder("", {})


def test_starter_takes_nothing_beside_its_name() -> None:
    with pytest.raises(SpilloverError, match="'starter': found 'x'"):
        open_source("starter:x", {}, "questions.source")
    with pytest.raises(SpilloverError, match=r"'starter': found {'text': 'review'}"):
        open_source("starter", {"text": "review"}, "questions.source")


@pytest.mark.parametrize("name", ["sentiment", "entailment", "paraphrase"])
def test_starter_has_the_same_items_and_gold_in_every_language(name: str) -> None:
    task, starter = open_labeled_task(name), Starter("", {})
    english = [(item.id, item.gold) for item in starter.items(task, "en")]
    assert {gold for _, gold in english} == set(range(len(task.labels)))
    for language in starter.item_languages(task):
        assert [(item.id, item.gold) for item in starter.items(task, language)] == english

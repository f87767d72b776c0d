"""Questions with their answers: read only where `annotated` is called, the ids those of the questions."""

import json
from pathlib import Path

import pytest

from places import PUBLISHED
from spillover.errors import SpilloverError
from spillover.records import Item, Question
from spillover.sources import Source, labeled_questions, open_source
from spillover.tasks import open_labeled_task

ROWS = [
    {"premise": "A man sleeps.", "hypothesis": "He rests.", "answer": "entailment"},
    {"premise": "A dog barks.", "hypothesis": "It is brown."},
    {"premise": "A cup fell.", "hypothesis": "It flew.", "answer": "contradiction"},
]


def paper(root: Path, rows: list[dict[str, str]]) -> Source:
    path = root / "snli" / "snli_en10k_train.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows), encoding="utf-8")
    return open_source(f"paper:{root}", {}, "test")


def folder(root: Path, lines: list[str], columns: dict[str, str]) -> Source:
    path = root / "sentiment" / "questions" / "en.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")
    return open_source(f"folder:{root}", columns, "test")


def test_published_rows_without_an_answer_are_left_out_and_keep_the_others_ids(tmp_path: Path) -> None:
    source, task = paper(tmp_path, ROWS), open_labeled_task("entailment")
    rows = labeled_questions(source, task, "en", "test")
    assert [(row.id, task.labels[row.gold]) for row in rows] == [("0", "entailment"), ("2", "contradiction")]
    known = {question.id: question for question in source.questions(task, "en")}
    for row in rows:
        assert known[row.id] == Question(row.task, row.id, row.language, row.fields)


def test_published_rows_with_another_answer_are_refused(tmp_path: Path) -> None:
    source = paper(tmp_path, [*ROWS, {"premise": "p", "hypothesis": "h", "answer": "maybe"}])
    assert len(list(source.questions(open_labeled_task("entailment"), "en"))) == 4, "a question needs no answer"
    with pytest.raises(SpilloverError, match=r"row 4: column 'answer': found 'maybe', expected a label"):
        labeled_questions(source, open_labeled_task("entailment"), "en", "test")


def test_no_answer_at_all_is_refused(tmp_path: Path) -> None:
    source = paper(tmp_path, ROWS[1:2])
    with pytest.raises(SpilloverError, match="here: found no answers to questions of 'entailment' in en"):
        labeled_questions(source, open_labeled_task("entailment"), "en", "here")


def test_a_folders_label_column_is_read_as_that_of_items(tmp_path: Path) -> None:
    source = folder(tmp_path, ["body,stars", "Nice.,positive", "Bad.,negative"], {"text": "body", "label": "stars"})
    rows = labeled_questions(source, open_labeled_task("sentiment"), "en", "test")
    assert [(row.id, row.fields, row.gold) for row in rows] == [("0", ("Nice.",), 0), ("1", ("Bad.",), 1)]


def test_a_folder_without_labels_says_so(tmp_path: Path) -> None:
    source = folder(tmp_path, ["text", "Nice."], {})
    with pytest.raises(SpilloverError, match=r"en\.csv: line 2: found no column 'label'; choose from text"):
        labeled_questions(source, open_labeled_task("sentiment"), "en", "test")


class Mine:
    """A user's own source, without answers."""

    def __init__(self, argument: str, columns: object) -> None: ...

    def questions(self, task: object, language: str) -> list[Question]:
        return []

    def items(self, task: object, language: str) -> list[Item]:
        return []

    def item_languages(self, task: object) -> tuple[str, ...]:
        return ()


def test_a_source_that_knows_no_answers_need_not_say_so() -> None:
    with pytest.raises(SpilloverError, match="here: found no answers"):
        labeled_questions(Mine("", {}), open_labeled_task("sentiment"), "en", "here")


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published files are not here")
def test_the_published_labels_are_the_files() -> None:
    task = open_labeled_task("entailment")
    given = json.loads((PUBLISHED / "snli" / "snli_en10k_train.json").read_text("utf-8"))
    rows = labeled_questions(open_source(f"paper:{PUBLISHED}", {}, "test"), task, "en", "test")
    expected = [(str(number), row["answer"]) for number, row in enumerate(given) if "answer" in row]
    assert [(row.id, task.labels[row.gold]) for row in rows] == expected

"""What labels may look like: words in any form; numbers, letters and truth values only in a stated order."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from spillover.errors import SpilloverError
from spillover.sources import labeled_questions, open_source
from spillover.sources.labels import Stated
from spillover.tasks import open_labeled_task

SENTIMENT = open_labeled_task("sentiment")
NUMBERED = ["negative", "positive"]
"""The order of most published sets, which is not that of the task."""


def golds(
    root: Path, labels: Sequence[object], classes: Stated = (), task: str = "sentiment", **cells: Sequence[object]
) -> list[str]:
    """Return the labels that items with these cells are read with."""
    opened = open_labeled_task(task)
    path = root / task / "items" / "de.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"id": f"r{n}", **dict.fromkeys(opened.fields, f"Text {n}"), "label": label}
        | {name: values[n] for name, values in cells.items()}
        for n, label in enumerate(labels)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return [
        opened.labels[item.gold]
        for item in open_source(f"folder:{root}", {}, "test", classes=classes).items(opened, "de")
    ]


CODES: dict[str, Sequence[object]] = {
    "numbers": [0, 1, 0],
    "texts": ["0", "1", "0"],
    "decimals": [0.0, 1.0, 0.0],
    "decimals in texts": ["0.0", " 1. ", "0"],
    "truth": [False, True, False],
    "truth in texts": ["FALSE", "True", "false"],
    "letters": ["A", "B", "A"],
    "small letters": ["a", "b", "A"],
    "full width": ["０", "１", "０"],
    "Devanagari": ["०", "१", "०"],
}


@pytest.mark.parametrize("labels", CODES.values(), ids=CODES)
def test_a_code_is_read_by_the_stated_order_or_not_at_all(tmp_path: Path, labels: Sequence[object]) -> None:
    expected = ["negative", "positive", "negative"]
    assert golds(tmp_path, labels, NUMBERED) == expected
    assert golds(tmp_path, labels, {"sentiment": NUMBERED, "paraphrase": ["different", "same"]}) == expected
    assert golds(tmp_path, labels, NUMBERED[::-1]) == ["positive", "negative", "positive"]
    assert golds(tmp_path, labels, label_text=["Negative", "positive", "negative"]) == expected
    with pytest.raises(SpilloverError, match=r"nothing states which labels .* 'Text 0' \(.*\) 'positive' and 'Text 1'"):
        golds(tmp_path, labels)
    with pytest.raises(SpilloverError, match=r'classes = \["positive", "negative"\]'):
        golds(tmp_path, labels, {"paraphrase": ["different", "same"]})


def test_labels_that_count_from_one_are_stated_one_by_one(tmp_path: Path) -> None:
    for classes in ((), NUMBERED):
        for labels in ([1, 2], [2, 2]):
            with pytest.raises(SpilloverError, match=r"classes = "):
                golds(tmp_path, labels, classes)
    with pytest.raises(SpilloverError, match=r'classes = { 1 = "positive", 2 = "negative" }'):
        golds(tmp_path, [1, 2])
    assert golds(tmp_path, [1, 2], {"1": "negative", "2": "positive"}) == NUMBERED
    stars = {str(n): "negative" if n < 4 else "positive" for n in range(1, 6)}
    assert golds(tmp_path, [1, 5, 4.0], stars) == ["negative", "positive", "positive"]
    with pytest.raises(SpilloverError, match="states only 1, 2"):
        golds(tmp_path, [1, 3], {"1": "negative", "2": "positive"})


def test_an_order_names_every_label_once(tmp_path: Path) -> None:
    for classes in (["negative"], ["negative", "negative"], [*NUMBERED, "negative"]):
        with pytest.raises(SpilloverError, match="expected each label once: positive, negative"):
            golds(tmp_path, [0, 1], classes)
    with pytest.raises(SpilloverError, match=r"classes: found 'negtive', expected a label .* did you mean 'negative'"):
        golds(tmp_path, [0, 1], ["negtive", "positive"])


def test_a_column_beside_counts_only_if_it_names_each_code(tmp_path: Path) -> None:
    for names in (["negative", "negative"], ["neg", "pos"]):
        with pytest.raises(SpilloverError, match="nothing states"):
            golds(tmp_path, [0, 1], label_text=names)
    assert golds(tmp_path, [0, 1], Label_Name=NUMBERED) == NUMBERED


WORDS = {
    "case": "NEUTRAL",
    "no-break space": "\u00a0neutral\u00a0",
    "zero-width space": "neu\u200btral",
    "soft hyphen": "neu\u00adtral",
    "full width": "ｎｅｕｔｒａｌ",
}


@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
def test_a_word_is_a_word_however_it_is_typed(tmp_path: Path, word: str) -> None:
    assert golds(tmp_path, [word, "contradiction"], task="entailment") == ["neutral", "contradiction"]


def test_another_spelling_is_named_or_stated(tmp_path: Path) -> None:
    with pytest.raises(SpilloverError, match="found 'contradictory', expected a label; did you mean 'contradiction'"):
        golds(tmp_path, ["contradictory"], task="entailment")
    spelled = {"contradictory": "contradiction"}
    assert golds(tmp_path, ["contradictory", "neutral"], spelled, "entailment") == ["contradiction", "neutral"]


def test_answers_to_questions_are_read_like_those_of_items(tmp_path: Path) -> None:
    path = tmp_path / "sentiment" / "questions" / "en.csv"
    path.parent.mkdir(parents=True)
    path.write_text("id,text,label\nq0,Broken.,0\nq1,Lovely.,1\n", encoding="utf-8")
    with pytest.raises(SpilloverError, match=r"'Broken.' .* 'positive' and 'Lovely.' .* 'negative' would be meant"):
        labeled_questions(open_source(f"folder:{tmp_path}", {}, "test"), SENTIMENT, "en", "test")
    source = open_source(f"folder:{tmp_path}", {}, "test", classes=NUMBERED)
    assert [SENTIMENT.labels[row.gold] for row in labeled_questions(source, SENTIMENT, "en", "test")] == NUMBERED


def test_a_source_that_reads_no_codes_takes_no_order() -> None:
    with pytest.raises(SpilloverError, match=r"questions.classes: found .* 'starter' reads its labels without"):
        open_source("starter", {}, "questions.source", classes=NUMBERED)


IDS = ["ID", "Id", "_id", "idx", "pairID", "Question ID", "sample-id"]


@pytest.mark.parametrize("name", IDS)
def test_ids_are_found_by_their_usual_names(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "sentiment" / "questions"
    folder.mkdir(parents=True)
    for code, ids in (("en", "abc"), ("de", "cab")):
        rows = "".join(f"{id},{code} {id}\n" for id in ids)
        (folder / f"{code}.csv").write_text(f"{name},text\n{rows}", encoding="utf-8")

    def german() -> dict[str, tuple[str, ...]]:
        source = open_source(f"folder:{tmp_path}", {}, "test")
        return {question.id: question.fields for question in source.questions(SENTIMENT, "de")}

    assert german()["a"] == ("de a",)
    (folder / "de.csv").write_text(f"{name},text\na,eins\na,zwei\n", encoding="utf-8")
    with pytest.raises(SpilloverError, match=r"found the id 'a' of .* again"):
        german()
    (folder / "de.csv").write_text("text\neins\nzwei\ndrei\n", encoding="utf-8")
    with pytest.raises(SpilloverError, match=r"found the ids in the column .* expected ids"):
        german()


def test_without_ids_rows_are_paired_by_number_only_if_all_are_there(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sentiment" / "questions"
    folder.mkdir(parents=True)
    for code, count in (("en", 3), ("de", 3), ("fr", 2), ("zh", 4)):
        (folder / f"{code}.csv").write_text("text\n" + "".join(f"{code} {n}\n" for n in range(count)), encoding="utf-8")
    source = open_source(f"folder:{tmp_path}", {}, "test")
    for code in ("en", "de", "de"):
        assert [question.id for question in source.questions(SENTIMENT, code)] == ["0", "1", "2"]
    assert capfd.readouterr().err.replace("\n", "").count("a row's number is its id") == 1
    for code, count in (("fr", 2), ("zh", 4)):
        with pytest.raises(SpilloverError, match=rf"found {count} rows, and 3 in en.csv"):
            source.questions(SENTIMENT, code)

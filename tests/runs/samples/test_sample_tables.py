"""CSV, JSON lines and their kin: columns by their usual names, scores as people write them."""

from pathlib import Path

import pytest

from sample_files import write_lines
from spillover.errors import SpilloverError
from spillover.runs.samples import table
from spillover.runs.samples.scores import read_score


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "item,language,correct\n1,sw,1\n2,sw,0\n",
        "id;lang;score\n1;sw;1.0\n2;sw;0.0\n",
        "doc_id,locale,acc,other\n1,sw,true,x\n2,sw,False,y\n",
        "sample_id,language,is_correct\n1,sw,C\n2,sw,I\n",
    ],
)
def test_columns_go_by_their_usual_names(text: str, tmp_path: Path) -> None:
    samples = table.read(write(tmp_path / "a.csv", text), "")
    assert [(s.item, s.language, s.task, s.score) for s in samples] == [
        ("1", "sw", "samples", 1),
        ("2", "sw", "samples", 0),
    ]


def test_a_column_is_named_where_its_name_is_unusual(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "item,language,task,correct,comet\n1,sw,t,1,0.75\n")
    assert [(s.task, s.score) for s in table.read(path, "comet")] == [("t", 0.75)]


def test_log_probabilities_of_choices_make_the_score(tmp_path: Path) -> None:
    lines = [{"item": n, "language": "sw", "gold": n, "logprobs": [-1.0, -2.0]} for n in (0, 1)]
    samples = table.read(write_lines(tmp_path / "a.jsonl", lines), "")
    assert [(s.score, s.gold, s.logprobs) for s in samples] == [(1.0, 0, (-1.0, -2.0)), (0.0, 1, (-1.0, -2.0))]
    text = 'item,language,gold,logprobs\n0,sw,0,"[-1.0, -2.0]"\n1,sw,1,"[-1.0, -2.0]"\n'
    assert table.read(write(tmp_path / "a.csv", text), "") == samples


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("language,correct\nsw,1\n", "found no column with the items' ids; choose from language, correct"),
        (
            "item,language\n1,sw\n",
            "found no column with a score, expected one of correct, is_correct, .* or --metric COLUMN",
        ),
        (
            "item,language,score\n1,sw,1\n2,sw,63.5\n",
            "line 3: column 'score': found '63.5', expected a score between 0 and 1",
        ),
        ("item,language,score\n1,sw,\n", "line 2: column 'score': found '', expected a score"),
        (
            'item,gold,logprobs\n1,2,"[-1, -2]"\n',
            "line 2: found logprobs .* and gold '2', expected a list of two or more",
        ),
    ],
)
def test_a_table_without_what_is_needed_is_refused(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(SpilloverError, match=sentence):
        table.read(write(tmp_path / "a.csv", text), "")


@pytest.mark.parametrize("value", [None, [], {}, "maybe", 1.01, -0.01, float("nan"), "nan", ""])
def test_what_is_no_score_is_refused(value: object) -> None:
    with pytest.raises(SpilloverError, match=r"here: found .*, expected a score between 0 and 1, or true or false"):
        read_score(value, "here")

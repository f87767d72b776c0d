"""Tasks answered in words: their file, their prompts, their items, and what refuses a wrong one."""

from pathlib import Path

import pytest

from spillover.errors import SpilloverError
from spillover.experiment import Experiment
from spillover.records import Item
from spillover.sources import open_source
from spillover.sources.files import TableRow
from spillover.sources.table import answers
from spillover.stages.inputs import Inputs
from spillover.tasks import GenerationTask, load_task
from spillover.tasks.graders.number import number

SUMS = """
kind = "generation"
name = "sums"
fields = ["question"]
max_tokens = 8
stop = ["\\n\\n"]
grader = "test_generation:exactly"

[rows.en]
fields = ["Question"]
answer = "Answer"
exemplars = [["One and one?", "2"], ["Two and three?", "5"]]

[rows.zh]
fields = ["问题"]
answer = "答案"
exemplars = [["一加一是多少？", "2"], ["二加三是多少？", "5"]]
"""


def exactly(text: str, golds: tuple[str, ...], language: str) -> bool:
    """Return whether the text is one of the golds."""
    return text in golds


@pytest.fixture(autouse=True)
def _this_module_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def task_file(folder: Path, old: str = "", new: str = "") -> Path:
    path = folder / "sums.toml"
    path.write_text(SUMS.replace(old, new, 1) if old else SUMS, encoding="utf-8")
    return path


def sums(folder: Path, old: str = "", new: str = "") -> GenerationTask:
    task = load_task(task_file(folder, old, new))
    assert isinstance(task, GenerationTask)
    return task


def test_a_prompt_shows_exemplars_with_their_answers_and_ends_where_the_answer_begins(tmp_path: Path) -> None:
    prompt = sums(tmp_path).prompt(Item("sums", "1", "zh", ("三加三是多少？",), 0, answers=("6",)))
    assert prompt.header == "问题: 一加一是多少？\n答案: 2\n\n问题: 二加三是多少？\n答案: 5\n\n"
    assert prompt.body == "问题: 三加三是多少？\n答案:"
    assert prompt.choices == ()


def test_another_question_ends_an_answer_whichever_colon_it_has(tmp_path: Path) -> None:
    assert sums(tmp_path).stops("zh") == ("\n\n", "\n问题:", "\n问题：")


FAULTS = {
    "an unknown kind": ('"generation"', '"generate"', r"kind: found 'generate', did you mean 'generation'\?"),
    "no limit": ("max_tokens = 8\n", "", "max_tokens: .*(?i:field required)"),
    "a limit of nothing": ("max_tokens = 8", "max_tokens = 0", "max_tokens: found 0, expected"),
    "an empty stop": ('["\\n\\n"]', '["\\n\\n", ""]', "stop: found an empty text"),
    "an unknown grader": ("test_generation:exactly", "exactly", "grader: found 'exactly'"),
    "an unknown language": ("grader =", 'answer_language = "xx"\ngrader =', "answer_language: found 'xx'"),
    "an exemplar without its answer": ('["One and one?", "2"]', '["One?"]', "rows.en: found 1 texts of an exemplar"),
    "fewer exemplars": (', ["Two and three?", "5"]', "", "rows.en: found 1 exemplars, expected 2"),
    "labels": ("max_tokens", 'labels = ["a", "b"]\nmax_tokens', "labels: "),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_file_is_one_sentence(tmp_path: Path, fault: str) -> None:
    old, new, expected = FAULTS[fault]
    assert old in SUMS
    with pytest.raises(SpilloverError, match=expected) as caught:
        sums(tmp_path, old, new)
    assert "\n" not in str(caught.value)


def items_of(folder: Path, lines: str, name: str = "en.jsonl") -> list[Item]:
    (folder / "data/sums/items").mkdir(parents=True)
    (folder / "data/sums/items" / name).write_text(lines, encoding="utf-8")
    return open_source(f"folder:{folder / 'data'}", {}, "evaluate.source").items(sums(folder), "en")


def test_an_answer_is_a_text_a_number_or_several(tmp_path: Path) -> None:
    rows = ['{"question": "a", "answer": " six "}', '{"question": "b", "answer": 6}']
    rows += ['{"question": "c", "answer": ["6", "six", "6"]}', '{"question": "d", "answer": 6.0}']
    rows += ['{"question": "e", "answer": {"text": ["six"], "answer_start": [3]}}']
    answers = [item.answers for item in items_of(tmp_path, "\n".join(rows))]
    assert answers == [("six",), ("6",), ("6", "six"), ("6",), ("six",)]


def test_a_file_without_lists_writes_several_answers_as_json(tmp_path: Path) -> None:
    table = 'id\tquestion\tanswer\n7\ta\t["6", "six"]\n8\tb\t[6]\n9\tc\t[sic]\n'
    items = items_of(tmp_path, table, "en.tsv")
    assert [(item.id, item.answers) for item in items] == [("7", ("6", "six")), ("8", ("6",)), ("9", ("[sic]",))]


@pytest.mark.parametrize("answer", ["null", '""', "[]", '["6", " "]', "true"])
def test_an_item_without_an_answer_is_one_sentence(tmp_path: Path, answer: str) -> None:
    with pytest.raises(SpilloverError, match=r"en\.jsonl: line 1: column 'answer': found .*expected"):
        items_of(tmp_path, f'{{"question": "a", "answer": {answer}}}\n')


def test_items_answered_in_words_are_limited_in_their_order(tmp_path: Path) -> None:
    items_of(tmp_path, "".join(f'{{"question": "q{n}", "answer": {n}}}\n' for n in range(5)))
    experiment = Experiment.model_validate(
        {
            "evaluate": {
                "source": f"folder:{tmp_path / 'data'}",
                "tasks": [str(tmp_path / "sums.toml")],
                "limit": 3,
            }
        }
    )
    (rows,) = Inputs(experiment).items.values()
    assert [item.answers for item in rows] == [("0",), ("1",), ("2",)]


@pytest.mark.parametrize("language", ["en", "de", "fr", "ru"])
@pytest.mark.parametrize("value", [1.125, -12.5, 999.001, 0.125, 2.0, 7])
def test_a_number_of_json_means_the_same_in_every_language(language: str, value: float) -> None:
    """A JSON number has no marks of a language: a point before three decimals is no mark of thousands."""
    (gold,) = answers(TableRow("row 1", {"answer": value}), "answer")
    assert number(f"{value:.4f}", (gold,), language).score == 1
    assert number(f"{1000 * value:.1f}", (gold,), language).score == 0


def test_a_text_of_three_decimals_is_read_by_its_language() -> None:
    """The twin: written as a text, the same characters are 1125 in German."""
    (gold,) = answers(TableRow("row 1", {"answer": "1.125"}), "answer")
    assert number("1125", (gold,), "de").score == 1

"""Families of the harness that are answered in words: their limits and stops, and grades equal to the harness's own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from lm_eval.tasks import TaskManager

from local_tasks import list_local_tasks_only, write_task
from spillover.errors import SpilloverError
from spillover.records import Answer, Item, Prompt
from spillover.sources import open_source
from spillover.sources.written_families import WrittenFamily
from spillover.tasks import open_task

NUMBER = {"function": "regex", "regex_pattern": r"(-?[0-9.,]+)", "group_select": -1}
FIRST = {"function": "take_first"}
SUMS: dict[str, Any] = {
    "output_type": "generate_until",
    "doc_to_text": "{{question}}\nAnswer:",
    "doc_to_target": "{{answer}}",
    "generation_kwargs": {"until": ["Question:", "\n\n"], "max_gen_toks": 24},
    "filter_list": [
        {"name": "strict", "filter": [{"function": "remove_whitespace"}, FIRST]},
        {"name": "flexible", "filter": [NUMBER, FIRST]},
    ],
    "metric_list": [{"metric": "exact_match", "ignore_case": True, "ignore_punctuation": True}],
}
NAMES = {key: value for key, value in SUMS.items() if key != "filter_list"} | {"doc_to_target": "{{names}}"}
ROWS = [{"question": f"What is {n} and 3?", "answer": str(n + 3), "names": [f"n{n}", "Ann"]} for n in range(4)]
TEXTS = ["4", " 4", " It is 1 + 3 = 4.", "4,", "four", "", "n1", "ANN.", "3.5"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sums in two languages, graded by two filters; names, any of which is right, graded without a filter."""
    folder = tmp_path_factory.mktemp("families")
    for code in ("en", "de"):
        write_task(folder, f"sums_{code}", [row | {"question": f"{code}: {row['question']}"} for row in ROWS], SUMS)
        write_task(folder, f"names_{code}", [row | {"id": str(n)} for n, row in enumerate(ROWS)], NAMES)
    write_task(folder, "lengths_en", ROWS, SUMS | {"metric_list": [{"metric": "bleu"}]})
    write_task(folder, "stripped_en", ROWS, SUMS | {"filter_list": [{"name": "x", "filter": [{"function": "none"}]}]})
    write_task(folder, "silent_en", [row | {"answer": ""} for row in ROWS], SUMS)
    return folder


@pytest.fixture(autouse=True)
def only_local(monkeypatch: pytest.MonkeyPatch) -> None:
    list_local_tasks_only(monkeypatch)


def family(folder: Path, name: str) -> WrittenFamily:
    task = open_task(f"harness:{folder}/{name}")
    assert isinstance(task, WrittenFamily)
    return task


def items(folder: Path, name: str, language: str = "en") -> list[Item]:
    task = family(folder, name)
    return open_source(task.source, {}, "test").items(task, language)


def harness_grades(folder: Path, name: str, filter_name: str) -> Iterator[tuple[str, int, float]]:
    """Yield what the harness itself gives each text as an answer to each document."""
    (task,) = TaskManager(include_path=str(folder), include_defaults=False).load([name])["tasks"].values()
    for text in TEXTS:
        for number, document in enumerate(task.eval_docs):
            instance = Instance("generate_until", document, ("", {}), 0, resps=[text])
            task._instances = [instance]
            task.apply_filters()
            scores = task.process_results(document, [instance.filtered_resps[filter_name]])
            yield text, number, float(scores["exact_match"])


@pytest.mark.parametrize(
    ("name", "filter_name"), [("sums", "strict"), ("sums", "flexible"), ("names", "none"), ("sums", "")]
)
def test_grades_are_the_harness_s(folder: Path, name: str, filter_name: str) -> None:
    chosen = f"#{filter_name}" if filter_name not in ("", "none") else ""
    task, rows = family(folder, f"{name}_{{language}}{chosen}"), items(folder, f"{name}_{{language}}{chosen}")
    grades = list(harness_grades(folder, f"{name}_en", filter_name or "flexible"))
    assert {grade for _, _, grade in grades} == {0.0, 1.0}
    for text, number, expected in grades:
        answer = Answer(rows[number].id, task.name, "en", rows[number].answers, text, 1, True)
        assert task.read(answer).score == expected, (text, rows[number])


def test_the_last_filter_counts_where_none_is_named(folder: Path) -> None:
    answer = Answer("1", "sums", "en", ("4",), " It is 1 + 3 = 4.", 1, True)
    assert family(folder, "sums_{language}").read(answer).score == 1
    assert family(folder, "sums_{language}#strict").read(answer).score == 0


def test_an_answer_in_which_the_filter_finds_nothing_is_unreadable(folder: Path) -> None:
    grade = family(folder, "sums_{language}").read(Answer("1", "sums", "en", ("4",), "four", 1, True))
    assert (grade.score, grade.readable) == (0.0, False)


def test_limits_stops_prompts_and_answers_are_the_family_s(folder: Path) -> None:
    task, (first, *_) = family(folder, "sums_{language}"), items(folder, "sums_{language}", "de")
    assert (task.name, task.stops("de"), task.limit("de")) == ("sums", ("Question:", "\n\n"), 24)
    assert task.prompt(first) == Prompt((), "de: What is 0 and 3?\nAnswer:", ())
    assert (first.answers, first.gold) == (("3",), 0)
    assert items(folder, "names_{language}")[2].answers == ("n2", "Ann")


FAULTS = {
    "lengths_{language}": r"lengths_en: found the metrics \['bleu'\], expected 'exact_match'",
    "stripped_{language}": "stripped_en: filter 'x': .*expected one of the harness's",
    "sums_{language}#flexibel": "found no filter 'flexibel'; did you mean 'flexible'",
    "silent_{language}": "silent_en: document 0: found the answer '', expected one or more",
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_graded_is_one_sentence(folder: Path, name: str) -> None:
    with pytest.raises(SpilloverError, match=FAULTS[name]) as caught:
        items(folder, name)
    assert "\n" not in str(caught.value)

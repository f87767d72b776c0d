"""Faults of tasks answered in words, each planted in a task that has none; calculations against Python's own."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from calls import Call
from spillover.lint import answers
from spillover.lint.calculations import false_equations, last_result
from spillover.lint.reading import RawItem, RawItems
from spillover.plugins import GRADERS
from spillover.records import Defect
from spillover.tasks import GenerationTask

ROWS: dict[str, dict[str, Any]] = {
    "en": {
        "fields": ["Question"],
        "answer": "Answer",
        "conclusion": "The answer is",
        "exemplars": [
            ["One and four?", "1 + 4 = 5. The answer is 5."],
            ["How many eggs are left of 16?", "16 - 7 = 9 eggs, worth 9 × 2 = 18. The answer is 18."],
        ],
    },
    "de": {
        "fields": ["Frage"],
        "answer": "Antwort",
        "conclusion": "Die Antwort ist",
        "exemplars": [
            ["Eins und vier?", "1 + 4 = 5. Die Antwort ist 5."],
            ["Wie viele Eier bleiben von 16?", "16 - 7 = 9 Eier für 9 × 2 = 18. Die Antwort ist 18."],
        ],
    },
    "bn": {
        "fields": ["প্রশ্ন"],
        "answer": "উত্তর",
        "conclusion": "উত্তর হলো",
        "exemplars": [
            ["এক আর চার?", "১ + ৪ = ৫। উত্তর হলো ৫।"],
            ["১৬টির মধ্যে কতটি ডিম থাকে?", "১৬ - ৭ = ৯টি ডিম, ৯ × ২ = ১৮। উত্তর হলো ১৮।"],
        ],
    },
}
GOLDS = {"en": ["1,200", "18", "0.5"], "de": ["1.200", "18", "0,5"], "bn": ["১,২০০", "১৮", "০.৫"]}


def task(grader: str = "number", **changes: dict[str, Any]) -> GenerationTask:
    table = {"kind": "generation", "name": "sums", "fields": ["question"], "max_tokens": 8, "grader": grader}
    return GenerationTask.model_validate(table | {"rows": ROWS} | changes)


def reading(language: str, golds: Sequence[str | tuple[str, ...]]) -> RawItems:
    entries = (
        RawItem(
            f"n{n}", f"{language}.json: row {n + 1}", (f"{n}?",), 0, answers=(gold,) if isinstance(gold, str) else gold
        )
        for n, gold in enumerate(golds)
    )
    return RawItems(language, tuple(entries))


def changed_row(code: str, place: int, answer: str) -> dict[str, Any]:
    exemplars = [list(exemplar) for exemplar in ROWS[code]["exemplars"]]
    exemplars[place][-1] = answer
    return ROWS | {code: ROWS[code] | {"exemplars": exemplars}}


def messages(defects: Iterator[Defect]) -> list[tuple[str, str, str]]:
    return [(defect.severity, defect.language, defect.message) for defect in defects]


def test_a_sound_task_has_no_fault() -> None:
    readings = [reading(code, golds) for code, golds in GOLDS.items()]
    for grader in GRADERS:
        for one in readings:
            if grader != "letter":
                assert not list(answers.refused(one, task(grader)))
        assert not list(answers.differing_values(readings, task(grader)))
        assert not list(answers.exemplars(task(grader), list(ROWS)))
    for one in readings:
        assert not list(answers.limits(one, task(), {entry.id: 8 for entry in one.entries}, [8, 7]))


def test_an_answer_that_its_grader_refuses() -> None:
    one = reading("en", ["eighteen", "18", "no", "7"])
    (defect,) = answers.refused(one, task())
    assert (defect.severity, defect.ceiling, defect.place) == ("error", 50.0, "en.json: row 1")
    assert defect.message == (
        "task 'sums': item 'n0': found the answer 'eighteen', which its own grader 'number' calls wrong (2 items have "
        "such answers); a perfect model would be given at most 50.0%"
    )


def test_an_item_with_another_answer_that_can_be_read_is_not_lost() -> None:
    (defect,) = answers.refused(reading("en", [("eighteen", "18"), "7"]), task())
    assert (defect.severity, defect.ceiling) == ("warning", None)
    assert "most" not in defect.message


def test_values_that_differ_across_languages() -> None:
    readings = [reading(code, GOLDS[code]) for code in ("en", "de")]
    planted = reading("bn", ["১.২০০", "১৮", "০.৫"])  # a decimal point where thousands were meant
    assert messages(answers.differing_values([*readings, planted], task())) == [
        (
            "error",
            "bn",
            "task 'sums': item 'n0': found the answer '১.২০০', expected the value 1200, as in the other languages",
        )
    ]
    assert not list(answers.differing_values([*readings, planted], task("exact")))
    two = answers.differing_values([reading("en", ["1,200"]), reading("de", ["1,200"])], task())
    assert [defect.language for defect in two] == ["de"], "where two differ, the first is right: English"


EXEMPLARS = {
    "a conclusion that is not there": (
        "de",
        0,
        "1 + 4 = 5.",
        "error",
        "found no 'Die Antwort ist' with an answer behind",
    ),
    "a conclusion without an answer": ("de", 0, "1 + 4 = 5. Die Antwort ist", "error", "found no 'Die Antwort ist'"),
    "an equation that does not hold": (
        "bn",
        0,
        "১ + ৪ = ৬। উত্তর হলো ৫।",
        "error",
        "exemplar 1: found '1 + 4 = 6', which does not hold",
    ),
    "a calculation of another number": (
        "en",
        1,
        "16 - 7 = 9 eggs. The answer is 18.",
        "warning",
        "exemplar 2: found the answer 18 after a calculation that gives 9",
    ),
    "another number than elsewhere": (
        "de",
        1,
        "9 × 2 = 18, und 2 mehr. Die Antwort ist 20.",
        "error",
        "exemplar 2: found the answer 20, expected 18, as in the other languages",
    ),
}


@pytest.mark.parametrize(("code", "place", "answer", "severity", "part"), EXEMPLARS.values(), ids=EXEMPLARS)
def test_an_exemplar_that_contradicts_itself(code: str, place: int, answer: str, severity: str, part: str) -> None:
    planted = task(rows=changed_row(code, place, answer))
    matches = [defect for defect in answers.exemplars(planted, list(ROWS)) if part in defect.message]
    assert [(defect.severity, defect.language, defect.check) for defect in matches] == [(severity, code, "exemplar")]


def test_a_limit_in_which_no_answer_fits() -> None:
    one = reading("en", ["1,200", "18"])
    (defect,) = answers.limits(one, task(), {"n0": 12, "n1": 3}, [20])
    assert (defect.severity, defect.check, defect.ceiling) == ("error", "limit", 50.0)
    assert defect.message == (
        "task 'sums': max_tokens: found 8, expected at least 12, the tokens of the answer of item 'n0': a perfect "
        "model would be given at most 50.0%"
    )
    (warning,) = answers.limits(one, task(), {"n0": 8, "n1": 3}, [7, 20])
    assert (warning.severity, warning.ceiling) == ("warning", None)
    assert "found 8, but exemplars show answers of up to 20 tokens" in warning.message


terms = st.lists(st.tuples(st.sampled_from("+-*/"), st.integers(1, 60)), min_size=1, max_size=4)
SIGNS = {"+": "+", "-": "−", "*": "×", "/": "÷"}


@given(st.integers(1, 500), terms, st.integers(-3, 3).filter(bool), st.sampled_from(["{}", "$ {}"]))
def test_calculations_are_those_of_python(first: int, rest: list[tuple[str, int]], off: int, unit: str) -> None:
    result = eval(str(first) + "".join(f"{sign}{value}" for sign, value in rest))
    left = f"{first}" + "".join(f" {SIGNS[sign]} {unit.format(value)}" for sign, value in rest)
    rounded = f"{result:.6f}".replace("-", "−")
    assert false_equations(f"So {left} = {rounded} in all.", "en") == []
    other = f"{result + off * max(1, abs(result) / 10):.6f}".replace("-", "−")
    assert false_equations(f"So {left} = {other} in all.", "en") == [f"{left} = {other}"]


@pytest.mark.parametrize(
    "text",
    [
        "5 apples + 3 = 9",
        "(2 + 3) × 4 = 20",
        "4 × (2 + 3) = 20",
        "n = 7",
        "Step 3. 2 + 3 = 5",
        "20% + 5 = 6",
        "10 / 4 = 2.5",
        "10 : 4 = 2,5",
        "2 + 3 = 5 = 5",
        "12.05.2024 = 7",
        "1 = 2",
        "",
    ],
)
def test_what_is_right_or_not_judged(text: str) -> None:
    assert false_equations(text, "en") == []


def test_the_last_result_stands_before_the_conclusion() -> None:
    result = last_result("2 + 3 = 5. 5 × 2 = 10. The answer is 3 + 4 = 7.", "The answer is", "en")
    assert result is not None and result.value == 10
    assert last_result("The answer is 7.", "The answer is", "en") is None


def test_a_user_meets_them_through_lint(tokenizer_folder: Path, tmp_path: Path, call: Call) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((tokenizer_folder / name).read_bytes())
    (folder / "config.json").write_text('{"model_type": "llama", "max_position_embeddings": 2000}', encoding="utf-8")
    golds = GOLDS | {"bn": ["১.২০০", "১৮", "০.৫"]}
    for code, texts in golds.items():
        path = tmp_path / "data" / "sums" / "items" / f"{code}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [{"id": str(n), "question": f"{n}?", "answer": text} for n, text in enumerate(texts)]
        path.write_text(json.dumps(rows), encoding="utf-8")
    planted = task(rows=changed_row("de", 0, "1 + 4 = 6. Die Antwort ist 5.")).model_dump(exclude={"max_tokens"})
    (tmp_path / "sums.toml").write_text(tomli_w.dumps(planted | {"max_tokens": 1}), encoding="utf-8")
    table = {
        "model": {"name": str(folder)},
        "evaluate": {"source": f"folder:{tmp_path / 'data'}", "tasks": [str(tmp_path / "sums.toml")]},
        "analyze": {"limit": 0},
    }
    (tmp_path / "exp.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
    ended = call("lint", tmp_path / "exp.toml", "--format", "json")
    found = [(one["check"], one["language"]) for one in json.loads(ended.out) if one["severity"] == "error"]
    assert sorted(found) == [
        ("answer", "bn"),
        ("exemplar", "de"),
        ("limit", "bn"),
        ("limit", "de"),
        ("limit", "en"),
    ]

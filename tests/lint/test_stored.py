"""The examination kept in a run folder: read again where nothing changed, made anew where anything did."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from reads import READS
from spillover.experiment import parse_experiment
from spillover.lint import stored, stored_defects
from spillover.records import Defect
from spillover.stages.inputs import Inputs
from spillover.store import Store

FOUND = [Defect("warning", "labels", "mostly \u201cpositive\u201d", "de.jsonl:3", "de")]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for kind in ("items", "questions"):
        for code in ("en", "de"):
            write(tmp_path / "data" / "sentiment" / kind / f"{code}.jsonl", f"A {kind} text in {code}")
    return tmp_path / "data"


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"id": str(number), "text": f"{text} {number}", "label": "positive"} for number in range(3)]
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


@pytest.fixture
def examinations(monkeypatch: pytest.MonkeyPatch) -> list[Inputs]:
    """The examinations made so far, each of which finds the same."""
    made: list[Inputs] = []

    def examine(inputs: Inputs, *_: object) -> list[Defect]:
        made.append(inputs)
        return FOUND

    monkeypatch.setattr(stored, "examine", examine)
    return made


def run(corpus: Path, **evaluate: object) -> list[Defect]:
    """Return the defects as a run in a process of its own reads them."""
    table = {
        "model": {"name": "organism"},
        "questions": {"source": f"folder:{corpus}"},
        "translate": {"to": ["de"]},
        "evaluate": {"tasks": ["sentiment"], "languages": ["en", "de"]} | evaluate,
    }
    inputs = Inputs(parse_experiment(table, "test"))
    return stored_defects(Store(corpus.parent / "runs", "a"), inputs, lambda experiment: READS)


def test_what_did_not_change_is_examined_once(corpus: Path, examinations: list[Inputs]) -> None:
    assert [run(corpus) for _ in range(3)] == [FOUND] * 3
    assert len(examinations) == 1


CHANGES: dict[str, Callable[[Path], object]] = {
    "an item": lambda corpus: write(corpus / "sentiment" / "items" / "de.jsonl", "Another text"),
    "a question": lambda corpus: write(corpus / "sentiment" / "questions" / "en.jsonl", "Another question"),
    "a translation": lambda corpus: write(corpus / "sentiment" / "questions" / "de.jsonl", "Another translation"),
    "the kept file": lambda corpus: (corpus.parent / "runs" / "a" / "lint" / "defects.json").write_text("[]"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_examined_again(corpus: Path, examinations: list[Inputs], change: str) -> None:
    run(corpus)
    CHANGES[change](corpus)
    assert run(corpus) == FOUND
    assert len(examinations) == 2
    run(corpus)
    assert len(examinations) == 2


def test_another_experiment_model_or_code_is_examined_again(
    corpus: Path, examinations: list[Inputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(corpus)
    run(corpus, labels="native")
    assert len(examinations) == 2
    monkeypatch.setattr(stored, "fingerprint", lambda folder: "other weights or another tokenizer")
    run(corpus, labels="native")
    assert len(examinations) == 3
    monkeypatch.setattr(stored, "package_digest", lambda: "another check")
    run(corpus, labels="native")
    assert len(examinations) == 4


def test_a_key_without_the_texts_would_not_see_a_change(
    corpus: Path, examinations: list[Inputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin."""
    monkeypatch.setattr(stored, "texts_of", lambda inputs: "the same")
    with pytest.raises(AssertionError):
        test_what_changed_is_examined_again(corpus, examinations, "an item")


def test_a_refused_run_leaves_nothing(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = Defect("error", "labels", "no label", "", "de")
    monkeypatch.setattr(stored, "examine", lambda inputs, *_: [error])
    assert [run(corpus), run(corpus)] == [[error], [error]]
    assert not (corpus.parent / "runs").exists()

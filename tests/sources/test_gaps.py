"""A missing translation: refused by itself, or left out in every language and counted once."""

import json
from pathlib import Path

import pytest

from reads import READS
from spillover.errors import SpilloverError
from spillover.experiment import parse_experiment
from spillover.lint import examine
from spillover.records import Defect
from spillover.sources import open_source
from spillover.sources.remarks import gathering
from spillover.stages.inputs import Inputs
from spillover.tasks import open_task

PAIRS = {
    "en": [("a", "b"), ("c", "d"), ("e", "f"), ("g", "h")],
    "de": [("A", "B"), ("NS", "NS"), ("E", "F"), ("G", "H")],
    "fr": [("á", "b́"), ("ć", "d́"), ("é", " \u200b"), ("ǵ", "h́")],
}


def write(root: Path, kind: str, ids: bool) -> None:
    folder = root / "paraphrase" / kind
    folder.mkdir(parents=True, exist_ok=True)
    for code, pairs in PAIRS.items():
        rows = [
            ({"id": f"p{number}"} if ids else {}) | {"first": first, "second": second, "label": "same"}
            for number, (first, second) in enumerate(pairs)
        ]
        (folder / f"{code}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def read(root: Path, kind: str, code: str, markers: tuple[str, ...] | None) -> dict[str, tuple[str, ...]]:
    source = open_source(f"folder:{root}", {}, "test", markers)
    found = (
        source.items(open_task("paraphrase"), code)
        if kind == "items"
        else source.questions(open_task("paraphrase"), code)
    )
    return {one.id: one.fields for one in found}


@pytest.mark.parametrize("kind", ["items", "questions"])
@pytest.mark.parametrize(("markers", "rows"), [(("NS",), (0, 3)), ((), (0, 1, 3))])
def test_a_row_that_one_language_lacks_is_left_out_in_all(
    tmp_path: Path, kind: str, markers: tuple[str, ...], rows: tuple[int, ...]
) -> None:
    write(tmp_path, kind, ids=True)
    for code, pairs in PAIRS.items():
        assert read(tmp_path, kind, code, markers) == {f"p{row}": pairs[row] for row in rows}


def test_rows_without_ids_stay_the_same_in_every_language(tmp_path: Path) -> None:
    write(tmp_path, "items", ids=False)
    for code, pairs in PAIRS.items():
        assert list(read(tmp_path, "items", code, ("NS",)).values()) == [pairs[0], pairs[3]]


def test_an_id_that_one_language_lacks_is_a_missing_translation_too(tmp_path: Path) -> None:
    write(tmp_path, "items", ids=True)
    german = tmp_path / "paraphrase" / "items" / "de.jsonl"
    german.write_text("".join(german.read_text("utf-8").splitlines(keepends=True)[:3]), encoding="utf-8")
    assert list(read(tmp_path, "items", "en", ("NS",))) == ["p0"]


def test_how_many_are_left_out_is_said_once(tmp_path: Path) -> None:
    write(tmp_path, "items", ids=True)
    with gathering() as notes:
        for code in PAIRS:
            read(tmp_path, "items", code, ("NS",))
    (note,) = notes.values()
    assert note.endswith("2 items are left out in every language, since a translation is missing (first: 'p1' in de)")


def test_without_the_key_a_missing_translation_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "items", ids=True)
    with pytest.raises(SpilloverError, match=r"fr.jsonl: line 3: column 'second': found ' .u200b', expected a text"):
        read(tmp_path, "items", "fr", None)


def test_nothing_left_is_a_sentence(tmp_path: Path) -> None:
    write(tmp_path, "items", ids=True)
    with pytest.raises(SpilloverError, match=r"paraphrase/items: found no row with a text in every language"):
        read(tmp_path, "items", "en", ("NS", "a", "G"))


def lint(root: Path, **keys: object) -> list[Defect]:
    table = {
        "questions": {"source": f"folder:{root}", "task": "paraphrase"} | keys,
        "translate": {"to": ["de", "fr"]},
        "evaluate": {"tasks": ["paraphrase"]},
    }
    return examine(Inputs(parse_experiment(table, "test")), READS)


@pytest.mark.slow
def test_the_experiment_says_so_and_lint_repeats_it(tmp_path: Path) -> None:
    for kind in ("questions", "items"):
        write(tmp_path, kind, ids=True)
    assert any(one.check == "text" for one in lint(tmp_path))
    found = lint(tmp_path, missing="leave-out", gaps=["NS"])
    assert not any(one.check == "text" for one in found)
    notes = [str(one) for one in found if "left out" in one.message]
    assert [note.partition(": ")[0].rpartition("/")[2] for note in notes] == ["questions", "items"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"questions": {"gaps": ["NS"]}}, r"gaps: found \['NS'\] with missing = 'error', expected 'leave-out'"),
        ({"evaluate": {"missing": "ignore"}}, r"evaluate.missing: found 'ignore', expected: 'error' or 'leave-out'"),
    ],
)
def test_a_key_that_means_nothing_is_refused(table: dict[str, object], message: str) -> None:
    with pytest.raises(SpilloverError, match=message):
        parse_experiment(table, "test")


def test_a_source_that_cannot_leave_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpilloverError, match=r"test: found missing = 'leave-out' with the source 'paper:"):
        open_source(f"paper:{tmp_path}", {}, "test", ())

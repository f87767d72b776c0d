"""Families whose items are no translations of each other, and the options behind a family's name."""

from pathlib import Path

import pytest

from local_tasks import CHOICE, LETTERS, list_local_tasks_only, write_task
from reads import READS
from spillover.errors import SpilloverError
from spillover.experiment import parse_experiment
from spillover.lint import examine
from spillover.records import Item
from spillover.sources.family_options import FamilyOptions, split_options
from spillover.stages.inputs import Inputs
from spillover.stages.items import clusters
from spillover.tasks import open_task

CONFIG = CHOICE | {"doc_to_text": "{{question}}", "doc_to_choice": LETTERS, "doc_to_target": "answer"}
SHOTS = CONFIG | {"fewshot_split": "test", "fewshot_config": {"sampler": "first_n"}, "num_fewshot": 0}


def exam(code: str, golds: list[int], kind: str = "CA") -> list[dict[str, object]]:
    return [
        {"question": f"{code} {number} {'x' * number}", "answer": gold, "kind": ("CS", kind)[number % 2]}
        for number, gold in enumerate(golds)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`exam` asks something else in each language, `same` the same; one answer of `slip` is wrong."""
    folder = tmp_path_factory.mktemp("unpaired")
    golds = [number * 7 % 4 for number in range(24)]
    write_task(folder, "exam_en", exam("en", golds), SHOTS)
    write_task(folder, "exam_de", exam("de", [(gold + number) % 4 for number, gold in enumerate(golds[:20])]), SHOTS)
    for code in ("en", "de"):
        write_task(folder, f"same_{code}", exam(code, golds), SHOTS)
        write_task(folder, f"slip_{code}", exam(code, [(golds[0] + (code == "de")) % 4, *golds[1:]]), SHOTS)
        rows = [row | {"id": f"{code}-{number * number}"} for number, row in enumerate(exam(code, golds))]
        write_task(folder, f"own_{code}", rows, SHOTS)
    return folder


@pytest.fixture(autouse=True)
def only_local(monkeypatch: pytest.MonkeyPatch) -> None:
    list_local_tasks_only(monkeypatch)


def inputs(folder: Path, name: str, limit: int = 0) -> Inputs:
    table = {
        "model": {"name": "organism"},
        "questions": {"limit": 2},
        "translate": {"to": ["de"]},
        "evaluate": {"tasks": [f"harness:{folder}/{name}"], "languages": ["en", "de"], "limit": limit},
    }
    return Inputs(parse_experiment(table, "test"))


def cells(measured: Inputs) -> dict[str, list[Item]]:
    return {language: rows for (_, language), rows in measured.items.items()}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("exam_{language}", "of 20 documents with the same id have another right answer (in en and de)"),
        ("own_{language}", "no id is in both languages (in en and de)"),
        ("same_{language}?paired=false", "the experiment says so"),
    ],
)
def test_items_that_are_not_paired_are_items_of_their_language(folder: Path, name: str, reason: str) -> None:
    measured = inputs(folder, name)
    rows = cells(measured)
    assert reason in measured.why_unpaired(next(iter(measured.tasks.values())))
    assert {item.id.split()[0] for item in rows["en"]} == {"en"}
    assert {item.id for item in rows["en"]}.isdisjoint(item.id for item in rows["de"])
    assert len(rows["de"]) == (20 if name.startswith("exam") else 24)


def test_paired_items_stay_paired(folder: Path) -> None:
    """The twin: the same documents in both languages, without the option."""
    rows = cells(inputs(folder, "same_{language}"))
    assert [item.id for item in rows["en"]] == [item.id for item in rows["de"]] == [str(number) for number in range(24)]


def test_a_single_wrong_answer_is_a_fault_and_no_sign_of_other_items(folder: Path) -> None:
    with pytest.raises(SpilloverError, match=r"slip_de: document '0' has the answer [0-3] and that of en has [0-3]"):
        _ = inputs(folder, "slip_{language}").items


def test_each_language_has_its_own_balanced_part(folder: Path) -> None:
    rows = cells(inputs(folder, "exam_{language}", limit=8))
    assert {code: sorted(item.gold for item in part) for code, part in rows.items()} == {
        "en": [0, 0, 1, 1, 2, 2, 3, 3],
        "de": sorted(item.gold for item in rows["de"]),
    }
    assert len(rows["de"]) == 8


def test_clusters_are_found_in_every_language() -> None:
    cell = [Item("own", f"{code} {n}", code, ("the same", "text", str(n)), 0) for code in ("en", "de") for n in (0, 1)]
    items = {("reviews", code): [item for item in cell if item.language == code] for code in ("en", "de")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spillover.stages.items.open_task", lambda name: open_task("sentiment"))
        found = clusters(items)["sentiment"]
    assert set(found) == {"en 0", "en 1", "de 0", "de 1"}


def test_the_doctor_says_so_once_and_compares_no_ids(folder: Path) -> None:
    defects = examine(inputs(folder, "exam_{language}"), READS)
    (said,) = [defect for defect in defects if defect.check == "unpaired"]
    assert said.severity == "warning"
    assert "no translations of each other" in str(said)
    assert "ids" not in {defect.check for defect in defects}


def test_options_change_what_is_read_and_the_name(folder: Path) -> None:
    plain = cells(inputs(folder, "same_{language}"))["en"]
    measured = inputs(folder, "same_{language}?limit=5&num_fewshot=2")
    rows = cells(measured)["en"]
    assert [item.id for item in rows] == ["0", "1", "2", "3", "4"]
    assert rows[4].fields[0].endswith(plain[4].fields[0])
    assert rows[4].fields[0].count("en ") == 3, "two exemplars stand before the item"
    assert [task.name for task in measured.tasks.values()] == ["same_num_fewshot-2_limit-5"]
    sensitive = cells(inputs(folder, "same_{language}?where=kind:CS"))["de"]
    assert [item.id for item in sensitive] == [str(number) for number in range(0, 24, 2)]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("shots=3", "found the option 'shots'; .*choose from num_fewshot, split, limit, where, paired"),
        ("num_fewshot=-1", "num_fewshot: found '-1', expected a number of exemplars"),
        ("paired=maybe", "paired: found 'maybe', expected true or false"),
        ("where=kind", "where: found 'kind', expected COLUMN:VALUE"),
        ("where=sort:CS", "where: found no column 'sort'; .*kind"),
        ("where=kind:XX", "where: found no kind 'XX'; .*choose from CA, CS"),
        ("split=dev", "split: found no 'dev'; choose from test"),
    ],
)
def test_what_is_wrong_with_an_option_is_one_sentence(folder: Path, options: str, sentence: str) -> None:
    with pytest.raises(SpilloverError, match=sentence):
        _ = inputs(folder, f"same_{{language}}?{options}").items


def test_a_family_without_options_has_none() -> None:
    assert split_options("xnli_{language}#strict") == ("xnli_{language}#strict", FamilyOptions())
    assert FamilyOptions().label == FamilyOptions(paired=False).label == ""

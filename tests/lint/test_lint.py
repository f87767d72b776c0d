"""The doctor as a user meets it: damaged files in, every fault named, nothing said of what is right."""

import json
import sys
from collections.abc import Callable, Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from calls import Call
from places import PUBLISHED
from reads import READS
from spillover.experiment import parse_experiment
from spillover.lint import examine
from spillover.lint.pairing import rank
from spillover.records import Defect, Item, Question
from spillover.sources import open_source, reach
from spillover.stages.inputs import Inputs
from spillover.tasks import Task, open_task
from spillover.utils.near_duplicates import near_duplicates
from spillover.utils.text import foreign, identifies

STARTER = Path(str(files("spillover").joinpath("data", "starter")))
LANGUAGES = ("en", "de", "fr", "nl")
Row = dict[str, object]


def rows_of(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def save(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A copy of a part of the starter corpus, which is as it should be."""
    for name in ("sentiment", "entailment"):
        for code in LANGUAGES:
            save(tmp_path / name / "items" / f"{code}.jsonl", rows_of(STARTER / name / "items" / f"{code}.jsonl"))
    for code in ("en", "de"):
        save(
            tmp_path / "sentiment" / "questions" / f"{code}.jsonl",
            rows_of(STARTER / "sentiment" / "questions" / f"{code}.jsonl"),
        )
    return tmp_path


def lint(corpus: Path, **evaluate: object) -> list[Defect]:
    table = {
        "questions": {"source": f"folder:{corpus}"},
        "translate": {"to": ["de"]},
        "evaluate": {"tasks": ["sentiment", "entailment"], "languages": list(LANGUAGES)} | evaluate,
    }
    return examine(Inputs(parse_experiment(table, "test")), READS)


Damage = Callable[[list[Row]], object]


def edit(path: Path, damage: Damage) -> None:
    rows = rows_of(path)
    damage(rows)
    save(path, rows)


def relabel(**words: str) -> Damage:
    def damage(rows: list[Row]) -> None:
        for row in rows:
            row["label"] = words.get(str(row["label"]), row["label"])

    return damage


def put(number: int, **cells: object) -> Damage:
    return lambda rows: rows[number].update(cells)


def slip(rows: list[Row]) -> None:
    """Move every text two rows down, the ids and labels staying."""
    texts = [(row["premise"], row["hypothesis"]) for row in rows]
    for row, (premise, hypothesis) in zip(rows, texts[-2:] + texts[:-2], strict=True):
        row |= {"premise": premise, "hypothesis": hypothesis}


GERMAN = "entailment/items/de.jsonl"
FAULTS: dict[str, tuple[str, Damage, tuple[str, str, float | None], tuple[str, ...]]] = {
    "a word outside the task": (
        GERMAN,
        relabel(neutral="egal"),
        ("error", "label", 66.7),
        ("'egal', expected a label", "10 of 30 items", "in the other languages 'neutral'", "at most 66.7%"),
    ),
    "two labels swapped": (
        GERMAN,
        relabel(neutral="contradiction", contradiction="neutral"),
        ("error", "swap", 33.3),
        ("'neutral' and 'contradiction' are swapped", "20 of 30 items"),
    ),
    "three labels turned": (
        GERMAN,
        relabel(neutral="contradiction", contradiction="entailment", entailment="neutral"),
        ("error", "swap", 0.0),
        ("'neutral' stands for 'entailment'", "30 of 30 items"),
    ),
    "one label differs": (
        GERMAN,
        lambda rows: relabel(neutral="entailment")(rows[:1]),
        ("error", "disagreement", 96.7),
        ("1 of 30 labels differ", "'entailment' here and 'neutral' there"),
    ),
    "an id twice": (GERMAN, put(3, id="entailment-001"), ("error", "ids", None), ("'entailment-001'", "again")),
    "another id": (GERMAN, put(3, id="other"), ("error", "ids", None), ("(2 ids differ)", "'entailment-004'")),
    "texts that slipped": (GERMAN, slip, ("error", "ids", None), ("2 rows further down",)),
    "an empty text": (GERMAN, put(3, premise=" "), ("error", "text", None), ("column 'premise': found ' '",)),
    "fields fell together": (
        GERMAN,
        lambda rows: rows[3].update(hypothesis=rows[3]["premise"]),
        ("warning", "collapse", None),
        ("fields of 1 item", "'entailment-004'"),
    ),
    "two items fell together": (
        GERMAN,
        lambda rows: rows[3].update(premise=rows[4]["premise"], hypothesis=rows[4]["hypothesis"]),
        ("warning", "collapse", None),
        ("2 items became identical",),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_named_with_its_place_and_what_follows(corpus: Path, fault: str) -> None:
    name, damage, (severity, check, bound), words = FAULTS[fault]
    edit(corpus / name, damage)
    found = [one for one in lint(corpus) if one.check == check]
    assert found, lint(corpus)
    assert {(one.severity, one.language) for one in found} == {(severity, "de")}
    assert str(corpus / name) in found[0].place
    assert bound in {one.ceiling for one in found} or bound is None
    for word in words:
        assert any(word in one.message for one in found), (word, found)


def test_nothing_is_said_of_files_that_are_right(corpus: Path) -> None:
    assert lint(corpus) == []


def test_all_faults_are_told_not_the_first(corpus: Path) -> None:
    for fault in ("a word outside the task", "an empty text", "an id twice"):
        edit(corpus / FAULTS[fault][0], FAULTS[fault][1])
    edit(corpus / "entailment/items/fr.jsonl", FAULTS["two labels swapped"][1])
    (corpus / "entailment/items/nl.jsonl").unlink()
    found = {(one.check, one.language) for one in lint(corpus)}
    assert {("label", "de"), ("text", "de"), ("ids", "de"), ("swap", "fr"), ("file", "nl")} <= found


def test_questions_and_exemplars_inside_the_test_set_are_found(corpus: Path) -> None:
    task = open_task("sentiment")
    items = rows_of(corpus / "sentiment/items/en.jsonl")
    near = str(items[5]["text"]).replace("a", "e", 1)
    edit(
        corpus / "sentiment/questions/en.jsonl",
        lambda rows: (put(0, text=items[4]["text"])(rows), put(1, text=near)(rows)),
    )
    edit(corpus / "sentiment/items/fr.jsonl", put(2, text=task.rows["fr"].exemplars[1][0]))
    found = {one.check: one for one in lint(corpus)}
    assert found["question"].severity == "warning"
    assert "1 of 240 questions to tune on are test items and 1 nearly" in found["question"].message
    assert "2 of 60 items are not new" in found["question"].message
    assert (found["exemplar"].severity, found["exemplar"].language) == ("error", "fr")
    assert "worth up to 1.7 points" in found["exemplar"].message


def test_an_imbalance_is_told_once(corpus: Path) -> None:
    for code in LANGUAGES:
        edit(corpus / f"entailment/items/{code}.jsonl", relabel(neutral="entailment"))
    found = [one for one in lint(corpus) if one.check == "imbalance"]
    assert [one.message for one in found] == [
        "task 'entailment': always answering 'entailment' is right in 66.7% of 30 items",
        "task 'entailment': no item is labeled 'neutral'",
    ]


@pytest.mark.skipif(not identifies(), reason="lingua is not installed")
@pytest.mark.parametrize(("count", "severity"), [(2, "warning"), (30, "error")])
def test_another_language_is_told_and_a_whole_file_of_it_is_an_error(corpus: Path, count: int, severity: str) -> None:
    dutch = rows_of(corpus / "entailment/items/nl.jsonl")

    def damage(rows: list[Row]) -> None:
        for row, other in list(zip(rows, dutch, strict=True))[:count]:
            row |= {"premise": other["premise"], "hypothesis": other["hypothesis"]}

    edit(corpus / GERMAN, damage)
    (found,) = [one for one in lint(corpus) if one.check == "language"]
    assert (found.severity, found.language) == (severity, "de")
    assert "Dutch" in found.message


@pytest.mark.parametrize("translations", ["missing", "of other ids"])
def test_translations_that_are_not_there_are_findings(corpus: Path, translations: str) -> None:
    path = corpus / "sentiment/questions/de.jsonl"
    path.unlink() if translations == "missing" else edit(path, put(0, id="other"))
    (found,) = lint(corpus)
    assert (found.severity, found.check, found.language) == ("error", "file", "de")


class Own:
    """A user's own source, which has nothing but the protocol's three methods."""

    def __init__(self, argument: str, columns: dict[str, str]) -> None:
        self.starter = open_source("starter", {}, "test")

    def questions(self, task: Task, language: str) -> Iterable[Question]:
        return self.starter.questions(task, language)

    def items(self, task: Task, language: str) -> list[Item]:
        return self.starter.items(task, language)

    def item_languages(self, task: Task) -> tuple[str, ...]:
        return LANGUAGES


def test_a_source_that_shows_no_sheet_is_read_strictly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "own_source", sys.modules[__name__])
    table = {"questions": {"source": "own_source:Own"}, "evaluate": {"tasks": ["sentiment"]}}
    assert examine(Inputs(parse_experiment(table, "test")), READS) == []


def test_the_starter_corpus_has_no_errors() -> None:
    assert [one for one in examine(Inputs(parse_experiment({}, "test")), READS) if one.severity == "error"] == []


needs_published = pytest.mark.skipif(
    not PUBLISHED.is_dir(), reason="the published files are not beside this repository"
)


def remembered(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of lists that works out each result once."""
    results = cache(function)
    return lambda *arguments: results(*(tuple(each) if isinstance(each, list) else each for each in arguments))


@pytest.fixture(scope="module")
def published() -> Callable[[str], list[Defect]]:
    """Return a function: source of the published files → what is wrong with them.

    Published and repaired files differ in labels alone. What reads texts alone, and takes most of the time, is worked
    out once for both.
    """
    by_text: dict[str, Callable[..., Any]] = {
        "texts.foreign": foreign,
        "texts.near_duplicates": near_duplicates,
        "pairs.rank": rank,
    }
    shared = {f"spillover.lint.{name}": remembered(function) for name, function in by_text.items()}

    def read(source: str) -> list[Defect]:
        table = {
            "questions": {"source": f"{source}:{PUBLISHED}", "task": "entailment", "limit": 500},
            "evaluate": {"tasks": ["sentiment", "entailment"]},
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, function in shared.items():
                patch.setattr(name, function)
            return examine(Inputs(parse_experiment(table, "test")), READS)

    return read


@needs_published
def test_the_published_defects_are_named_and_no_others(published: Callable[[str], list[Defect]]) -> None:
    found = published("paper-as-published")
    errors = {(one.check, one.language, one.ceiling): one.message for one in found if one.severity == "error"}
    assert set(errors) == {("swap", "no", 33.3), ("label", "ja", 66.7), ("label", "bn", 66.7)}
    assert "'neutral' and 'contradiction' are swapped" in errors["swap", "no", 33.3]
    assert "400 of 600 items" in errors["swap", "no", 33.3]
    for code, label in (("ja", "neutral"), ("bn", "entailment")):
        assert f"200 of 600 items are labeled so, in the other languages '{label}'" in errors["label", code, 66.7]
    shown = [one.message for one in found if one.check == "exemplar"]
    assert [any(f"test item '{id}'" in message for message in shown) for id in (20, 99)] == [True, True]
    assert {one.check for one in found if one.severity == "warning"} <= {"exemplar", "language", "collapse"}


@needs_published
def test_the_repaired_files_have_no_errors(published: Callable[[str], list[Defect]]) -> None:
    assert {one.severity for one in published("paper")} <= {"warning"}


def test_labels_as_published_are_untouched(tmp_path: Path) -> None:
    words = {"no": ["entailment", "motsigelse", "nøytral"], "ja": ["含意", "中性", "矛盾"]}
    words |= {code: ["entailment", "neutral", "contradiction"] for code in ("en",)}
    words |= {"de": ["Konsequenz", "neutral", "Widerspruch"]}
    for code, own in words.items():
        rows = [{"premise": f"p {n}", "hypothesis": f"h {n}", "answer": own[n % 3]} for n in range(6)]
        path = tmp_path / "snli" / f"snli_{code}6_test.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(rows), encoding="utf-8")
    task = open_task("entailment")
    repaired, untouched = (open_source(f"{name}:{tmp_path}", {}, "test") for name in ("paper", "paper-as-published"))
    assert [item.gold for item in repaired.items(task, "no")] == [0, 1, 2] * 2
    assert [item.gold for item in untouched.items(task, "no")] == [0, 2, 1] * 2
    table = {"evaluate": {"source": f"paper-as-published:{tmp_path}", "tasks": ["entailment"]}}
    found = [one for one in examine(Inputs(parse_experiment(table, "test")), READS) if one.check in ("swap", "label")]
    assert {(one.check, one.language, one.ceiling) for one in found} == {("swap", "no", 33.3), ("label", "ja", 66.7)}


# Through the command line


@pytest.fixture
def experiment(corpus: Path, tokenizer_folder: Path) -> Path:
    """An experiment with a tokenizer and no weights: the doctor needs none."""
    (tokenizer_folder / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    table = {
        "model": {"name": str(tokenizer_folder)},
        "questions": {"source": f"folder:{corpus}"},
        "translate": {"to": ["de"]},
        "evaluate": {"tasks": ["entailment"], "languages": list(LANGUAGES)},
        "analyze": {"limit": 0},
    }
    path = corpus / "mine.toml"
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    return path


def test_lint_ends_with_0_where_nothing_is_an_error(call: Call, experiment: Path) -> None:
    assert call("lint", experiment) == (0, "0 errors, 0 warnings\n", "")
    assert call("lint", experiment, "--format", "json")[:2] == (0, "[]\n")
    edit(experiment.parent / GERMAN, FAULTS["fields fell together"][1])
    status, out, _ = call("lint", experiment)
    assert (status, out.splitlines()[-1]) == (0, "0 errors, 1 warnings")


def test_lint_ends_with_1_and_tells_all_as_json(call: Call, experiment: Path) -> None:
    edit(experiment.parent / GERMAN, FAULTS["two labels swapped"][1])
    edit(experiment.parent / GERMAN, FAULTS["fields fell together"][1])
    status, out, _ = call("lint", experiment, "--format", "json")
    assert status == 1
    found = json.loads(out)
    assert [set(one) for one in found] == [
        {"severity", "check", "file", "row", "language", "ceiling", "message"} for _ in found
    ]
    assert found[0]["file"] == str(experiment.parent / GERMAN)
    assert (found[0]["severity"], found[0]["check"], found[0]["language"]) == ("error", "swap", "de")
    assert (found[0]["row"], found[0]["ceiling"]) == (1, 33.3)
    assert found[-1]["severity"] == "warning"


def test_run_stops_at_an_error_before_anything_is_made(call: Call, experiment: Path, tmp_path: Path) -> None:
    edit(experiment.parent / GERMAN, FAULTS["two labels swapped"][1])
    status, out, err = call("run", experiment, "--runs", tmp_path / "runs")
    assert (status, out) == (2, "")
    assert err.startswith("spillover: ")
    assert "are swapped" in err
    assert "the first of 1 errors" in err
    assert not (tmp_path / "runs").exists()


def test_lint_refuses_what_it_cannot_even_open(call: Call, experiment: Path) -> None:
    for setting, words in (("questions.source=folder:nowhere", "found no folder"), ("model.name=gemma", "model.name")):
        status, out, err = call("lint", experiment, "--set", setting)
        assert (status, out) == (2, "")
        assert words in err
    status, _, err = call("lint", experiment, "--format", "xml")
    assert (status, "choose from text, json" in err) == (2, True)


SAME_FAULTS: dict[str, tuple[Damage, str, str]] = {
    "texts that are objects": (
        lambda rows: [row.update(premise={"en": f"text {number}"}) for number, row in enumerate(rows)],
        "row 1|line 1",
        "column 'premise': found {'en': 'text 0'}, expected a text (so do 119 more rows, also in de, fr, nl)",
    ),
    "ids that are floats and a half": (
        lambda rows: [row.update(id=number + 0.5) for number, row in enumerate(rows)],
        "line 1",
        "(so do 119 more rows, also in de, fr, nl)",
    ),
    "other keys in each row": (
        lambda rows: [(row.pop("premise"), row.update({f"key{number}": 1})) for number, row in enumerate(rows)],
        "line 1",
        "found no column 'premise'",
    ),
}


@pytest.mark.parametrize("fault", SAME_FAULTS)
def test_one_cause_is_one_error_in_however_many_rows_and_languages(corpus: Path, fault: str) -> None:
    damage, place, message = SAME_FAULTS[fault]
    for code in LANGUAGES:
        edit(corpus / "entailment" / "items" / f"{code}.jsonl", damage)
    (found,) = lint(corpus)
    assert message in found.message
    assert any(found.place.endswith(f"en.jsonl: {each}") for each in place.split("|"))


def test_a_file_that_is_wrong_in_every_language_is_one_error(corpus: Path) -> None:
    for code in LANGUAGES:
        (corpus / "entailment" / "items" / f"{code}.jsonl").write_text("", encoding="utf-8")
    (found,) = [one for one in lint(corpus) if one.severity == "error"]
    assert found.message == "found no rows, expected at least one (so it is in de, fr, nl)"


def test_a_fault_of_another_kind_is_another_error(corpus: Path) -> None:
    edit(corpus / GERMAN, put(3, premise=" "))
    edit(corpus / GERMAN, put(4, premise=7))
    edit(corpus / GERMAN, put(5, premise=8))
    assert [one.message for one in lint(corpus) if one.check == "text"] == [
        "column 'premise': found ' ', expected a text",
        "column 'premise': found 7, expected a text (so do 1 more rows)",
    ]


def test_what_was_read_otherwise_than_usual_is_a_note(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = corpus / "sentiment" / "items"
    (folder / "tlh.jsonl").write_text("{}", encoding="utf-8")
    (folder / "de-Cyrl.csv").write_text("", encoding="utf-8")
    assert sorted((one.severity, one.place, one.message.rpartition(": ")[2]) for one in lint(corpus)) == [
        ("note", str(folder), "de-Cyrl.csv"),
        ("note", str(folder), "tlh.jsonl"),
    ]
    assert capfd.readouterr().err == "", "what stands in the list is not said beside it"


def test_a_hub_that_cannot_be_reached_is_asked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By themselves its libraries try six times and 24 seconds per language, for questions and for items."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    asked = []

    class Cut:
        def head(self, url: str, timeout: float) -> None:
            asked.append(url)
            raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.utils.get_session", Cut)
    reach.obstacle.cache_clear()
    try:
        table = {
            "questions": {"source": "hub:facebook/xnli", "task": "entailment"},
            "evaluate": {"tasks": ["entailment"]},
        }
        (found,) = examine(Inputs(parse_experiment(table, "test")), READS)
    finally:
        reach.obstacle.cache_clear()
    assert "the hub cannot be reached (OSError: no route to host)" in found.message
    assert "HF_HUB_OFFLINE=1" in found.message
    assert len(asked) == 1

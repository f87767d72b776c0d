"""Each recipe through the real `build`: what it is made of, and what it does not read."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import tomli_w

from calls import Call
from spillover.plugins import RECIPES

ENGLISH = [
    ("A man sleeps.", "He rests."),
    ("A dog barks.", "It is quiet."),
    ("A cup fell.", "It broke."),
    ("I eat.", "I sit."),
]
GERMAN = [
    ("Ein Mann schläft.", "Er ruht."),
    ("Ein Hund bellt.", "Es ist still."),
    ("Eine Tasse fiel.", "Sie brach."),
    ("Ich esse.", "Ich sitze."),
]
LABELS = ["entailment", "contradiction", "neutral", "neutral"]
Build = Callable[..., tuple[str, list[dict[str, object]]]]


@pytest.fixture
def build(call: Call, tmp_path: Path, tiny: Callable[[str], Path]) -> Build:
    """Return a function: recipe, settings, labels of the questions → what was said, and the examples' rows."""

    def run(recipe: str, *settings: str, labels: list[str] = LABELS) -> tuple[str, list[dict[str, object]]]:
        for code, texts in (("en", ENGLISH), ("de", GERMAN), ("zh", ENGLISH)):
            path = tmp_path / "corpus" / "entailment" / "questions" / f"{code}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = [
                {"id": number, "premise": f"{code}: {premise}", "hypothesis": hypothesis, "label": label}
                for number, ((premise, hypothesis), label) in enumerate(zip(texts, labels, strict=True))
            ]
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        table = {
            "model": {"name": str(tiny("llama"))},
            "questions": {"source": f"folder:{tmp_path / 'corpus'}", "task": "entailment"},
            "translate": {"to": ["zh", "de"]},
            "mixture": {"recipe": recipe},
            "evaluate": {"tasks": ["sentiment"], "languages": ["en"]},
        }
        (tmp_path / "made.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
        options = [part for setting in settings for part in ("--set", setting)]
        ended = call("build", tmp_path / "made.toml", "--runs", tmp_path / "runs", *options)
        refused = ended.err.startswith("spillover: ")
        assert ended.status == (2 if refused else 0), ended.err
        made = tmp_path / "runs" / "made" / "examples.parquet"
        return ended.err, [] if refused else pq.read_table(made).to_pylist()

    return run


COUNTS = {
    "question-translation": {("zh", 0): 4, ("de", 0): 4},
    "reverse": {("en", 0): 8},
    "both": {("zh", 0): 4, ("de", 0): 4, ("en", 0): 8},
    "shuffled-pairs": {("zh", 0): 4, ("de", 0): 4},
    "copy": {("en", 0): 8},
    "annotated-english": {("en", 0): 4},
    "annotated-multilingual": {("en", 0): 4, ("zh", 0): 4, ("de", 0): 4},
    "annotated-pivot": {("en", 0): 4},
    "two-stage": {("zh", 0): 4, ("de", 0): 4, ("en", 1): 4},
    "code-switch": {("zh", 0): 4, ("de", 0): 4},
    "translate-then-answer": {("zh", 0): 4, ("de", 0): 4},
}
"""Recipe → (language read, stage) → examples."""


@pytest.mark.parametrize("recipe", COUNTS)
def test_each_recipe_builds(build: Build, recipe: str) -> None:
    _, rows = build(recipe)
    assert Counter((row["language"], row["stage"]) for row in rows) == COUNTS[recipe]


def test_no_recipe_is_left_out() -> None:
    assert set(COUNTS) | {"unrelated", "replay", "contrastive"} == set(RECIPES)


def listed(*phases: object) -> str:
    """Return the setting that lists phases."""
    inline = json.dumps(phases).replace('": ', '" = ')
    return f"mixture.phases={inline}"


def test_phases_are_built_in_their_order_part_after_part(build: Build, tmp_path: Path) -> None:
    general = tmp_path / "general"
    general.mkdir()
    (general / "en.jsonl").write_text('{"text": "The sea is calm today."}\n', encoding="utf-8")
    chat = {"messages": [{"role": "user", "content": "Wie geht es?"}, {"role": "assistant", "content": "Gut."}]}
    (general / "de.jsonl").write_text((json.dumps(chat) + "\n") * 2, encoding="utf-8")
    first = {"parts": [{"weight": 3}, {"recipe": "replay", "source": f"folder:{general}"}], "epochs": 1}
    second = {"parts": [{"recipe": "annotated-english"}]}
    said, rows = build("question-translation", listed(first, second))
    assert said == ""
    expected = {("zh", 0): 4, ("de", 0): 6, ("en", 0): 1, ("en", 1): 4}
    assert Counter((row["language"], row["stage"]) for row in rows) == expected
    texts = {row["id"]: (row["source"], row["target"]) for row in rows if str(row["id"]).startswith("replay")}
    assert texts == {
        "replay en.jsonl 0": ("", "The sea is calm today."),
        "replay de.jsonl 0": ("Wie geht es?\n", "Gut."),
        "replay de.jsonl 1": ("Wie geht es?\n", "Gut."),
    }
    assert [row["stage"] for row in rows] == [0] * 11 + [1] * 4


@pytest.mark.parametrize(
    ("phases", "said"),
    [
        ([{"parts": [{"recipe": "two-stage"}]}], "'two-stage' has phases of its own, expected a recipe of one phase"),
        ([{"parts": [{"recipe": "annotated-english", "control": "copy"}]}], "which reads no pairs, expected none"),
        ([{"parts": [{"recipe": "replay"}]}], "mixture.phases.parts.source: found '', expected folder:DIR"),
        ([{"parts": []}], "mixture.phases"),
    ],
)
def test_what_cannot_be_a_phase_is_refused(build: Build, phases: list[object], said: str) -> None:
    assert said in build("question-translation", listed(*phases))[0]


def test_a_listed_recipe_makes_the_examples_of_its_name(build: Build) -> None:
    """And a control those of the recipe that is called so."""
    assert build("question-translation", listed({"parts": [{}]}))[1] == build("question-translation")[1]
    shuffled = build("question-translation", listed({"parts": [{"control": "shuffled-pairs"}]}))[1]
    assert shuffled == build("shuffled-pairs")[1]
    assert shuffled != build("question-translation")[1]


def test_two_stages_are_two_listed_phases(build: Build) -> None:
    phases = ({"parts": [{"recipe": name}]} for name in ("question-translation", "annotated-english"))
    listed_rows = build("question-translation", listed(*phases))[1]
    assert listed_rows == build("two-stage")[1]
    assert {row["stage"] for row in listed_rows} == {0, 1}


def test_unrelated_pairs_come_from_the_other_source_as_many_tokens(
    build: Build, tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny("llama"))

    def tokens(rows: list[dict[str, object]]) -> list[int]:
        return [len(tokenizer(row["target"], add_special_tokens=False)["input_ids"]) + 1 for row in rows]

    wanted = sum(tokens(build("question-translation")[1]))
    said, rows = build("unrelated")
    assert said == ""
    assert {row["language"] for row in rows} <= {"zh", "de"}
    assert all(str(row["id"]).startswith("sentiment-q") for row in rows)
    assert 2 * abs(sum(tokens(rows)) - wanted) <= max(tokens(rows))
    assert (tmp_path / "runs" / "made" / "unrelated" / "pairs" / "de.parquet").exists()
    own = pq.read_table(tmp_path / "runs" / "made" / "pairs" / "de.parquet")
    assert set(own.column("task").to_pylist()) == {"entailment"}, "the run's own pairs stay where they are"


def test_the_questions_themselves_are_not_unrelated(build: Build, tmp_path: Path) -> None:
    own = ("mixture.unrelated.task=entailment", f"mixture.unrelated.source=folder:{tmp_path / 'corpus'}")
    assert "mixture.unrelated: found the questions' own source" in build("unrelated", *own)[0]


def test_sizes_are_per_language(build: Build) -> None:
    _, rows = build("two-stage", "mixture.sizes.zh=1", "mixture.sizes.en=3")
    assert Counter(row["language"] for row in rows) == {"zh": 1, "de": 4, "en": 3}


@pytest.mark.parametrize("recipe", ["question-translation", "reverse", "both", "shuffled-pairs", "copy"])
def test_labels_are_not_read_by_what_does_not_ask_for_them(build: Build, recipe: str) -> None:
    said, rows = build(recipe, labels=["nonsense"] * 4)
    assert said == ""
    assert "nonsense" not in json.dumps(rows)


@pytest.mark.parametrize("recipe", ["annotated-english", "annotated-multilingual", "annotated-pivot", "two-stage"])
def test_rivals_read_them_and_refuse_what_is_no_label(build: Build, recipe: str) -> None:
    _, rows = build(recipe)
    answered = [row["target"] for row in rows if row["language"] == "en"]
    assert sorted(map(str, answered)) == sorted(f" {label}\n\n" for label in LABELS)
    said, _ = build(recipe, labels=["nonsense"] * 4)
    assert "en.jsonl: line 1: column 'label': found 'nonsense', expected a label" in said


def test_the_rivals_answer_in_the_words_that_are_scored(build: Build) -> None:
    _, rows = build("annotated-multilingual", "evaluate.labels=native")
    assert {row["target"] for row in rows if row["language"] == "zh"} == {" 蕴含\n\n", " 矛盾\n\n", " 中立\n\n"}


def test_a_source_without_answers_is_named(build: Build) -> None:
    said, _ = build("annotated-english", "questions.source=starter", "questions.task=sentiment")
    assert "questions/en.jsonl: line 1: found no column 'label'" in said


def test_a_size_of_no_language_of_the_mixture_is_refused(build: Build) -> None:
    assert "mixture.sizes: found 'es', expected a language of translate.to" in build("copy", "mixture.sizes.es=1")[0]


def test_a_recipe_of_ones_own_is_given_what_it_names(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (
        "from spillover.records.data import Example",
        "def one(pairs, seed): return [Example(pairs[0].id, pairs[0].source_language, str(seed), 'x')]",
        "def two(pair): return []",
    )
    (tmp_path / "recipe_of_mine.py").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    _, rows = build("recipe_of_mine:one", "seed=5")
    assert [(row["language"], row["source"]) for row in rows] == [("zh", "5")]
    said, _ = build("recipe_of_mine:two")
    assert "mixture.recipe: 'recipe_of_mine:two' asks for 'pair'; did you mean 'pairs'? choose from pairs, task" in said

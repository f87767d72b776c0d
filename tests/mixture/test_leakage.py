"""Leakage: what counts as the same question, against a naive double loop, and what the command line does about it."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from spillover import cli
from spillover.languages import languages
from spillover.mixture import leakage
from spillover.mixture.leakage import Overlap, find_overlaps, normalized, sentence
from spillover.records import Item, Question
from spillover.sources import open_source
from spillover.tasks import ChoiceLanguage, ChoiceTask, open_task
from spillover.tasks.rendered import harness

TASK = ChoiceTask(
    name="mood",
    fields=("text",),
    labels=("good", "bad"),
    agnostic=("ox", "horse"),
    exemplar_labels=("good",),
    rows={
        "en": ChoiceLanguage(fields=("Text",), answer="Mood", labels=("good", "bad"), exemplars=(("The exemplar.",),)),
        "de": ChoiceLanguage(
            fields=("Text",), answer="Laune", labels=("gut", "schlecht"), exemplars=(("Das Vorbild.",),)
        ),
    },
)

SAME = {
    "case": ("Straße", "STRASSE"),
    "white space": ("a  b\tc", "a b c"),
    "punctuation": ("“Well,” he said…", '"Well", he said'),
    "full width": ("ＡＢＣ１２３！", "abc123"),
    "composed": ("café", "cafe\u0301"),
    "invisible": ("नमस्\u200dते", "नमस्ते"),
    "grapheme joiner": ("ket\u034ftle", "kettle"),
    "variation selector": ("puzzle.\ufe0f", "puzzle."),
    "tatweel": ("كتـــاب", "كتاب"),
    "Chinese punctuation": ("你好，世界。", "你好世界"),
}
DIFFERENT = {
    "a digit": ("It took 3 days.", "It took 4 days."),
    "a vowel sign": ("कल", "काल"),
    "a Thai tone": ("เสือ", "เสื้อ"),
    "an emoji": ("Great 😀", "Great 😡"),
    "an accent": ("pêche", "péché"),
    "punctuation alone": ("?!", "..."),
    "the order": ("dog bites man", "man bites dog"),
}


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME)
def test_the_same_text(pair: tuple[str, str]) -> None:
    assert normalized(pair[:1]) == normalized(pair[1:])


@pytest.mark.parametrize("pair", DIFFERENT.values(), ids=DIFFERENT)
def test_another_text(pair: tuple[str, str]) -> None:
    assert normalized(pair[:1]) != normalized(pair[1:])


def test_every_field_counts() -> None:
    trained = [Question("mood", "q1", "en", ("A premise.", "One."))]
    assert not find_overlaps(trained, [Item("mood", "i1", "en", ("A premise.", "Another."), 0)], [], ())
    assert find_overlaps(trained, [Item("mood", "i1", "en", ("a premise", "one"), 0)], [], ())


TEXTS = st.sampled_from(["one", "One!", "two", "TWO", "three", "the exemplar", "das Vorbild"])
IDS = st.sampled_from(["a", "b", "c", "1", "2"])
QUESTIONS = st.lists(
    st.builds(Question, st.sampled_from(["mood", "taste"]), IDS, st.just("en"), st.tuples(TEXTS)), max_size=6
)
ITEMS = st.lists(
    st.builds(
        Item, st.sampled_from(["mood", "taste"]), IDS, st.sampled_from(["en", "de"]), st.tuples(TEXTS), st.just(0)
    ),
    max_size=6,
)


def naive(trained: Sequence[Question], items: Sequence[Item], sharing: Sequence[str]) -> list[str]:
    """Return the ids of the questions that overlap: every question against every item and exemplar."""

    def bare(text: str) -> str:
        return text.lower().rstrip("!.")

    found = []
    for question in trained:
        texts = [*(item.fields[0] for item in items), *(row.exemplars[0][0] for row in TASK.rows.values())]
        by_text = any(bare(question.fields[0]) == bare(text) for text in texts)
        by_id = any(
            question.task == item.task and question.id == item.id and item.task in sharing and item.id in "abc"
            for item in items
        )
        if (by_text or by_id) and question.id not in found:
            found.append(question.id)
    return found


def check(trained: Sequence[Question], items: Sequence[Item], sharing: Sequence[str]) -> None:
    found = leakage.find_overlaps(trained, items, [TASK], sharing)
    assert [overlap.id for overlap in found] == naive(trained, items, sharing)


SHARING = st.sampled_from([(), ("mood",), ("mood", "taste")])


@settings(deadline=None)
@given(QUESTIONS, ITEMS, SHARING)
def test_overlaps_are_those_of_a_naive_double_loop(
    trained: list[Question], items: list[Item], sharing: tuple[str, ...]
) -> None:
    check(trained, items, sharing)


CASES = {
    "case": ([Question("mood", "q", "en", ("One!",))], [Item("mood", "i", "en", ("one",), 0)], ()),
    "ids": ([Question("mood", "a", "en", ("two",))], [Item("mood", "a", "de", ("three",), 0)], ("mood",)),
    "exemplar": ([Question("mood", "q", "en", ("das Vorbild",))], [], ()),
    "row numbers": ([Question("mood", "1", "en", ("two",))], [Item("mood", "1", "en", ("three",), 0)], ("mood",)),
    "another source": ([Question("mood", "a", "en", ("two",))], [Item("mood", "a", "en", ("three",), 0)], ()),
}
FAULTS: dict[str, tuple[str, Callable[..., object]]] = {
    "case": ("normalized", lambda fields: tuple(fields)),
    "ids": ("find_overlaps", lambda trained, items, tasks, sharing: find_overlaps(trained, items, tasks, ())),
    "exemplar": ("find_overlaps", lambda trained, items, tasks, sharing: find_overlaps(trained, items, [], sharing)),
    "another source": (
        "find_overlaps",
        lambda trained, items, tasks, sharing: find_overlaps(trained, items, tasks, ("mood",)),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_cases_one_by_one(case: str) -> None:
    check(*CASES[case])


@pytest.mark.parametrize("fault", FAULTS)
def test_the_oracle_fails_for_a_weaker_check(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, weaker = FAULTS[fault]
    monkeypatch.setattr(leakage, name, weaker)
    with pytest.raises(AssertionError):
        check(*CASES[fault])


RENDERED = {
    "context": ("A man is asleep on a bench.\nQuestion: The man is awake. True?\nAnswer:", " True", " False"),
    "choices": ("", "a man is asleep on a bench, right? Yes, the man is awake", "A man, right? No, x"),
    "context and choice": ("A man is asleep on a bench, right?", "Yes, The man is awake.", "No, The man is awake."),
    "Chinese": ("句子：有个男人在长椅上睡着了，这个男人醒着，对吗？", "是", "否"),
}
FAMILY = harness("xnli_{language}")


@pytest.mark.parametrize("kind", RENDERED)
def test_a_rendered_item_is_searched(kind: str) -> None:
    chinese = ("有个男人在长椅上睡着了。", "这个男人醒着")
    english = ("A man is asleep on a bench.", "The man is awake.")
    fields = chinese if kind == "Chinese" else english
    item = Item(FAMILY.name, "x", "en", RENDERED[kind], 0)
    other = (fields[0], "Another one.")
    trained = [Question("entailment", "q", "en", fields), Question("entailment", "r", "en", other)]
    overlaps = find_overlaps(trained, [item], [FAMILY], ())
    assert [(one.id, one.match) for one in overlaps] == [("q", "its text inside the xnli item 'x' in en")]


def test_words_inside_words_are_no_leak() -> None:
    item = Item(FAMILY.name, "x", "en", ("Heathland has grown over the artful dodgers of the north.", " a", " b"), 0)
    for text in ("land has grown over the artful dodgers of the north", "Heathland has grown over the art"):
        assert not find_overlaps([Question("mood", "q", "en", (text,))], [item], [FAMILY], ())


def test_the_sentence_counts_all_and_names_a_few() -> None:
    overlaps = [Overlap(f"q{n}", "the text of mood item 'i' in de") for n in range(7)]
    assert sentence(overlaps[:1], 9) == (
        "1 of 9 questions tuned on are in the evaluation set or its exemplars: 'q0' has the text of mood item 'i' in de"
    )
    assert sentence(overlaps, 9).startswith("7 of 9 ")
    assert sentence(overlaps, 9).endswith("'q4' has the text of mood item 'i' in de, and 2 more")


def test_no_starter_question_is_a_starter_item() -> None:
    source, tasks = (
        open_source("starter", {}, "test"),
        [open_task(n) for n in ("sentiment", "entailment", "paraphrase")],
    )
    items = [item for task in tasks for code in languages() for item in source.items(task, code)]
    trained = [question for code in ("en", "zh", "de", "es", "sw") for question in source.questions(tasks[0], code)]
    assert find_overlaps(trained, items, tasks, [task.name for task in tasks]) == []


# The command line


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function: questions and items of the sentiment task, settings → what `build` says on standard error."""

    def run(english: list[str], german: list[str], items: list[str], *settings: str) -> str:
        corpus = tmp_path / "corpus"
        for kind, code, texts in (("questions", "en", english), ("questions", "de", german), ("items", "de", items)):
            path = corpus / "sentiment" / kind / f"{code}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = [{"id": f"{kind[0]}{n}", "text": text, "label": "positive"} for n, text in enumerate(texts)]
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        table = {
            "questions": {"source": f"folder:{corpus}"},
            "translate": {"to": ["de"]},
            "evaluate": {"tasks": ["sentiment"]},
        }
        (tmp_path / "leaky.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
        options = [part for setting in settings for part in ("--set", setting)]
        arguments = ["build", str(tmp_path / "leaky.toml"), "--runs", str(tmp_path / "runs"), *options]
        monkeypatch.setattr(sys, "argv", ["spillover", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capfd.readouterr().err
        assert end.value.code == (2 if said.startswith("spillover: ") else 0)
        return said

    return run


def events(tmp_path: Path) -> list[object]:
    lines = (tmp_path / "runs" / "leaky" / "log.jsonl").read_text("utf-8").splitlines()
    return [row["questions"] for row in map(json.loads, lines) if row["event"] == "overlap"]


def test_build_refuses_what_the_evaluation_asks_in_any_language(build: Callable[..., str], tmp_path: Path) -> None:
    said = build(["one", "two"], ["eins", "zwei"], ["Zwei!", "drei"])
    assert said == (
        "spillover: mixture: 1 of 2 questions tuned on are in the evaluation set or its exemplars: 'q1' has the text "
        "of sentiment item 'i0' in de; take them out, or set mixture.allow_overlap = true, which marks the report\n"
    )
    assert events(tmp_path) == [["q1"]]
    assert not (tmp_path / "runs" / "leaky" / "examples.parquet").exists()


def test_build_keeps_them_where_told(build: Callable[..., str], tmp_path: Path) -> None:
    assert build(["one", "two"], ["eins", "zwei"], ["Zwei!", "drei"], "mixture.allow_overlap=true") == ""
    assert events(tmp_path) == [["q1"]]
    assert len(pq.read_table(tmp_path / "runs" / "leaky" / "examples.parquet")) == 2


def test_build_says_nothing_where_nothing_overlaps(build: Callable[..., str], tmp_path: Path) -> None:
    assert build(["one", "two"], ["eins", "zwei"], ["drei", "vier"]) == ""
    assert events(tmp_path) == []


def test_an_overlap_that_is_not_tuned_on_is_no_leak(build: Callable[..., str], tmp_path: Path) -> None:
    assert build(["one", "two"], ["eins", "zwei"], ["Zwei!", "drei"], "mixture.sizes.de=1") == ""


def test_an_exemplar_is_refused_in_the_language_that_is_not_tuned_on(build: Callable[..., str]) -> None:
    exemplar = open_task("sentiment").row("sw").exemplars[0][0]
    assert "'q0' has the text of an exemplar of sentiment in sw" in build([exemplar], ["eins"], ["drei"])


def test_the_original_is_checked_where_the_pivot_is_another_language(build: Callable[..., str], tmp_path: Path) -> None:
    """Translated from Swahili into German, the English question is in no pair; it is an item all the same."""
    place = tmp_path / "corpus" / "sentiment" / "questions" / "sw.jsonl"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps({"id": "q0", "text": "moja"}) + "\n", encoding="utf-8")
    swahili = ('translate.to=["sw"]', "mixture.pivot=de")
    assert "'q0' has the text of sentiment item 'i0' in de" in build(["one"], ["eins"], ["One."], *swahili)

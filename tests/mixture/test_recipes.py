"""Recipes and frames: what each says of a pair, to the letter, and the laws of the shuffle."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, replace
from inspect import signature
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from places import ROOT
from spillover.errors import SpilloverError
from spillover.experiment import Experiment
from spillover.experiment.treatments import TREATMENTS
from spillover.mixture import recipes
from spillover.mixture.frames import FRAMES, Frame, paper, plain, task_frame
from spillover.mixture.recipes import question_translation, take_first
from spillover.plugins import RECIPES, resolve
from spillover.records import Example, Item, LabeledQuestion, Pair, Question
from spillover.sources import open_source
from spillover.tasks import ChoiceLanguage, ChoiceTask, open_task

QUIZ = ChoiceTask(
    name="quiz",
    fields=("country", "city"),
    labels=("yes", "no"),
    agnostic=("ox", "horse"),
    exemplar_labels=(),
    rows={
        "en": ChoiceLanguage(fields=("Country", "City"), answer="Capital", labels=("yes", "no"), exemplars=()),
        "de": ChoiceLanguage(fields=("Land", "Stadt"), answer="Hauptstadt", labels=("ja", "nein"), exemplars=()),
        "zh": ChoiceLanguage(fields=("国家", "城市"), answer="首都", labels=("是", "否"), exemplars=()),
    },
)
PAIR = Pair("quiz", "7", "de", "en", ("Ghana ist groß.", "Accra?"), ("Ghana is large.", "Accra?"))


def test_plain_is_the_texts_and_nothing_of_the_format() -> None:
    assert plain(QUIZ, PAIR) == ("Ghana ist groß.\nAccra?\n", "Ghana is large.\nAccra?")


def test_task_frame_adds_the_field_names_of_each_language() -> None:
    assert task_frame(QUIZ, PAIR) == (
        "Land: Ghana ist groß.\nStadt: Accra?\n",
        "Country: Ghana is large.\nCity: Accra?",
    )


def test_paper_adds_the_answers_cue_and_the_instruction() -> None:
    assert paper(QUIZ, PAIR) == (
        'Land: Ghana ist groß.\nStadt: Accra?\nHauptstadt: "\nTranslate the input from German to English:\n',
        'Country: Ghana is large.\nCity: Accra?\nCapital: "',
    )


@pytest.mark.parametrize(
    ("task", "code", "source", "target", "expected"),
    [
        (
            "entailment",
            "zh",
            ("一只猫睡着了。", "一只动物在休息。"),
            ("A cat sleeps.", "An animal rests."),
            (
                '前提: 一只猫睡着了。\n假设: 一只动物在休息。\n答案: "\nTranslate the input from Chinese to English:\n',
                'Premise: A cat sleeps.\nHypothesis: An animal rests.\nAnswer: "',
            ),
        ),
        (
            "entailment",
            "sw",
            ("Paka amelala.", "Mnyama anapumzika."),
            ("A cat sleeps.", "An animal rests."),
            (
                'Nguzo: Paka amelala.\nHypothesis: Mnyama anapumzika.\nJibu: "\n'
                "Translate the input from Swahili to English:\n",
                'Premise: A cat sleeps.\nHypothesis: An animal rests.\nAnswer: "',
            ),
        ),
        (
            "sentiment",
            "de",
            ("Gut.",),
            ("Good.",),
            ('Gut.\nEmotion: "\nTranslate the input from German to English:\n', 'Good.\nEmotion: "'),
        ),
        (
            "paraphrase",
            "es",
            ("Uno.", "Dos."),
            ("One.", "Two."),
            (
                'Sentencia 1: Uno.\nSentencia 2: Dos.\nRespuesta: "\nTranslate the input from Spanish to English:\n',
                'Sentence 1: One.\nSentence 2: Two.\nAnswer: "',
            ),
        ),
    ],
)
def test_paper_names_fields_and_answers_as_the_published_files_do(
    task: str, code: str, source: tuple[str, ...], target: tuple[str, ...], expected: tuple[str, str]
) -> None:
    assert paper(open_task(task), Pair(task, "1", code, "en", source, target)) == expected


def test_the_pivot_may_be_any_language() -> None:
    turned = Pair("quiz", "7", "zh", "de", ("加纳", "阿克拉"), ("Ghana", "Accra"))
    assert paper(QUIZ, turned)[0].endswith('首都: "\nTranslate the input from Chinese to German:\n')
    assert task_frame(QUIZ, turned) == ("国家: 加纳\n城市: 阿克拉\n", "Land: Ghana\nStadt: Accra")


@pytest.mark.parametrize("name", FRAMES)
def test_no_frame_shows_a_label(name: str) -> None:
    source, target = FRAMES[name](QUIZ, PAIR)
    words = {word for kind in ("english", "native", "agnostic") for word in QUIZ.label_words(kind, "de")}
    assert not words & set(f"{source} {target}".replace(":", " ").split())


def numbered(sizes: dict[str, int]) -> list[Pair]:
    """Return as many pairs of each source language; every question occurs in each."""
    return [
        Pair("quiz", str(n), code, "en", (f"{code} {n}", "x"), (f"en {n}", "x"))
        for code, size in sizes.items()
        for n in range(size)
    ]


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 2**32))
def test_every_pair_becomes_one_example(chinese: int, german: int, seed: int) -> None:
    found = question_translation(numbered({"zh": chinese, "de": german}), QUIZ, plain, seed)
    expected = [
        Example(str(n), code, f"{code} {n}\nx\n", f"en {n}\nx")
        for code, size in (("zh", chinese), ("de", german))
        for n in range(size)
    ]
    assert Counter(found) == Counter(expected)
    random.Random(seed).shuffle(expected)
    assert found == expected


def test_the_seed_alone_decides_the_order() -> None:
    given_pairs = numbered({"zh": 50, "de": 50})
    first, again, other = (question_translation(given_pairs, QUIZ, plain, seed) for seed in (0, 0, 1))
    assert first == again != other
    random.seed(99)
    random.shuffle([1, 2, 3])  # whatever others draw
    assert question_translation(given_pairs, QUIZ, plain, 0) == first


def test_languages_are_mixed_and_not_one_after_the_other() -> None:
    found = [example.language for example in question_translation(numbered({"zh": 200, "de": 200}), QUIZ, plain, 0)]
    changes = sum(a != b for a, b in pairwise(found))
    assert 150 < changes < 250, "a fair shuffle of 200 and 200 changes about 200 times, two blocks once"


def test_pairs_given_are_left_as_they_are() -> None:
    given_pairs = numbered({"zh": 5})
    question_translation(given_pairs, QUIZ, plain, 3)
    assert given_pairs == numbered({"zh": 5})


def test_the_recipe_is_found_by_its_name() -> None:
    assert resolve(RECIPES, "question-translation", "mixture.recipe") is question_translation


# Directions and sizes


def test_reverse_learns_to_write_what_the_treatment_reads() -> None:
    pairs = numbered({"zh": 3, "de": 2})
    expected = [Example(p.id, "en", "\n".join(p.target) + "\n", "\n".join(p.source)) for p in pairs]
    assert Counter(recipes.reverse(pairs, QUIZ, plain, 0)) == Counter(expected)


def test_both_is_either_direction_once() -> None:
    pairs = numbered({"zh": 3, "de": 2})
    one, other = (recipe(pairs, QUIZ, plain, 0) for recipe in (question_translation, recipes.reverse))
    found = recipes.both(pairs, QUIZ, plain, 0)
    assert Counter(found) == Counter(one) + Counter(other)
    assert [example.language == "en" for example in found] not in ([False] * 5 + [True] * 5, [True] * 5 + [False] * 5)


def test_a_frame_names_the_languages_of_the_direction() -> None:
    (example,) = recipes.reverse([PAIR], QUIZ, paper, 0)
    assert example.source.endswith('Capital: "\nTranslate the input from English to German:\n')
    assert example.target.endswith('Hauptstadt: "')


def test_sizes_keep_the_first_of_each_language() -> None:
    pairs = numbered({"zh": 5, "de": 5})
    assert take_first(pairs, {}) == pairs
    kept = [(pair.source_language, pair.id) for pair in take_first(pairs, {"zh": 2, "de": 9})]
    assert kept == [("zh", "0"), ("zh", "1"), *(("de", str(n)) for n in range(5))]


# Controls


def of_targets(targets: Sequence[int], code: str = "de") -> list[Pair]:
    """Return a pair for each target; sources all differ."""
    return [Pair("quiz", str(n), code, "en", (f"{code} {n}", ""), (f"en {t}", "")) for n, t in enumerate(targets)]


def check_shuffled(pairs: Sequence[Pair], found: Sequence[Example]) -> None:
    """Every text is there as often as before, in its language; none stands beside its own translation."""
    given_ = {pair.id + pair.source_language: pair for pair in pairs}
    assert Counter((e.language, e.source) for e in found) == Counter(
        (p.source_language, "\n".join(p.source) + "\n") for p in pairs
    )
    assert Counter((e.language, e.target) for e in found) == Counter(
        (p.source_language, "\n".join(p.target)) for p in pairs
    )
    for example in found:
        assert example.target != "\n".join(given_[example.id + example.language].target)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 5), min_size=2, max_size=30), st.lists(st.integers(0, 90), max_size=30), st.integers(0, 99)
)
def test_shuffled_pairs_have_wrong_partners_of_their_own_language(few: list[int], many: list[int], seed: int) -> None:
    pairs = [*of_targets(few), *of_targets(many, "zh")]
    languages = [targets for targets in (few, many) if targets]
    if any(2 * max(Counter(targets).values()) > len(targets) for targets in languages):
        with pytest.raises(
            SpilloverError, match=r"'shuffled-pairs' found \d+ of \d+ \w\w pairs with one and the same target"
        ):
            recipes.shuffled_pairs(pairs, QUIZ, plain, seed)
    else:
        check_shuffled(pairs, recipes.shuffled_pairs(pairs, QUIZ, plain, seed))


def a_mere_shuffle(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """Leave one in about 37% of cases where it was."""
    targets = [pair.target for pair in pairs]
    random.Random(seed).shuffle(targets)
    return [replace(pair, target=target) for pair, target in zip(pairs, targets, strict=True)]


def a_rotation(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """Give equal texts that lie side by side to each other."""
    return [replace(pair, target=pairs[index - 1].target) for index, pair in enumerate(pairs)]


@pytest.mark.parametrize("fault", [a_mere_shuffle, a_rotation])
def test_the_law_of_shuffled_pairs_fails_for_another_shuffle(fault: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "derange", fault)
    pairs = of_targets([0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
    with pytest.raises(AssertionError):
        for seed in range(20):
            check_shuffled(pairs, recipes.shuffled_pairs(pairs, QUIZ, plain, seed))


def test_the_seed_decides_who_gets_which_partner() -> None:
    pairs = of_targets(range(50))
    first, again, other = (set(recipes.shuffled_pairs(pairs, QUIZ, plain, seed)) for seed in (0, 0, 1))
    assert first == again
    assert len(first & other) < 10


@pytest.mark.parametrize("frame", FRAMES.values())
def test_copy_writes_what_the_treatment_writes_and_reads_the_same(frame: Frame) -> None:
    pairs = numbered({"zh": 4, "de": 4})
    found = recipes.copy(pairs, QUIZ, frame, 0)
    treated = question_translation(pairs, QUIZ, frame, 0)
    assert [example.target for example in found] == [example.target for example in treated]
    for example in found:
        assert example.language == "en"
        assert example.source.startswith(f"{example.target}\n")


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=12), st.lists(st.integers(1, 9), max_size=25), st.integers(0, 9)
)
def test_unrelated_pairs_have_the_treatments_target_tokens(own: list[int], others: list[int], seed: int) -> None:
    """As near as any number of the shuffled examples comes, found by trying all."""
    pairs, unrelated = (
        [Pair("quiz", str(n), "de", "en", ("x", ""), ("w " * size, "")) for n, size in enumerate(sizes)]
        for sizes in (own, others)
    )
    arguments = (pairs, QUIZ, unrelated, QUIZ, task_frame, seed, words)

    def learned(examples: Sequence[Example]) -> int:
        return sum(words([f"{example.target} end" for example in examples]))

    wanted = learned(question_translation(pairs, QUIZ, task_frame, seed))
    whole = question_translation(unrelated, QUIZ, task_frame, seed)
    if learned(whole) < wanted:
        with pytest.raises(SpilloverError, match=rf"mixture.unrelated: found \d+ target tokens in {len(others)} pairs"):
            recipes.unrelated(*arguments)
        return
    found = recipes.unrelated(*arguments)
    assert found == whole[: len(found)]
    off = [abs(learned(whole[:size]) - wanted) for size in range(len(whole) + 1)]
    assert off[len(found)] == min(off)


def test_unrelated_pairs_are_rendered_in_their_own_task() -> None:
    other = QUIZ.model_copy(update={"rows": {**QUIZ.rows, "en": QUIZ.rows["de"]}})
    (example,) = recipes.unrelated([PAIR], QUIZ, [PAIR], other, task_frame, 0, words)
    assert example.target == "Land: Ghana is large.\nStadt: Accra?"


# Rivals

GERMAN, ENGLISH = (
    LabeledQuestion("quiz", "7", code, fields, 1) for code, fields in (("de", PAIR.source), ("en", PAIR.target))
)


@pytest.mark.parametrize("labels", ["english", "native", "agnostic"])
def test_an_annotated_question_reads_as_the_evaluation_asks_it(labels: str) -> None:
    for row in (GERMAN, ENGLISH):
        (example,) = recipes.annotated_english([row], QUIZ, labels, 0)
        prompt = QUIZ.prompt(Item("quiz", "7", row.language, row.fields, row.gold), labels)
        assert (example.source, example.target) == (prompt.body, prompt.choices[1])


def test_annotations_are_taken_over_into_every_language_and_never_guessed() -> None:
    unlabeled = replace(PAIR, id="8")
    found = recipes.annotated_multilingual([ENGLISH], [PAIR, unlabeled], QUIZ, "english", 0)
    assert Counter(found) == Counter(recipes.annotated_english([ENGLISH, GERMAN], QUIZ, "english", 0))


def test_annotations_in_the_pivot_are_those_of_the_questions_that_have_a_text_there() -> None:
    """Each once, however many languages it was translated from; with the pivot `en` those in English."""
    pairs = [PAIR, replace(PAIR, source_language="zh", source=("加纳很大。", "阿克拉?"))]
    turned = [replace(pair, target_language="de", target=PAIR.source) for pair in pairs]
    labeled = [ENGLISH, replace(ENGLISH, id="8")]
    expected = recipes.annotated_english([GERMAN], QUIZ, "native", 0)
    assert recipes.annotated_pivot(labeled, turned, QUIZ, "native", 0) == expected
    english = recipes.annotated_pivot(labeled, pairs, QUIZ, "english", 0)
    assert english == recipes.annotated_english([ENGLISH], QUIZ, "english", 0)


def test_questions_answered_in_words_are_annotated_with_the_answer() -> None:
    """Worked answers included, in `two-stage` after the questions: QAlign's order on arithmetic."""
    task = open_task("arithmetic")
    row = LabeledQuestion("arithmetic", "7", "en", ("What is 2 + 3?",), 0, "2 + 3 = 5. The answer is 5.")
    pair = Pair("arithmetic", "7", "de", "en", ("Was ist 2 + 3?",), ("What is 2 + 3?",))
    names = {code: task.row(code) for code in ("en", "de")}
    english = f"{names['en'].fields[0]}: What is 2 + 3?\n{names['en'].answer}:"
    german = f"{names['de'].fields[0]}: Was ist 2 + 3?\n{names['de'].answer}:"
    target = " 2 + 3 = 5. The answer is 5.\n\n"
    first, second = recipes.two_stage([pair], [row], task, plain, "english", 0)
    assert (first.source, first.target, first.stage) == ("Was ist 2 + 3?\n", "What is 2 + 3?", 0)
    assert (second.source, second.target, second.stage) == (english, target, 1)
    examples = recipes.annotated_multilingual([row], [pair], task, "english", 0)
    assert {(example.source, example.target) for example in examples} == {(english, target), (german, target)}


def test_two_stages_follow_one_another() -> None:
    pairs = numbered({"zh": 9})
    rows = [LabeledQuestion("quiz", pair.id, "en", pair.target, int(pair.id) % 2) for pair in pairs]
    found = recipes.two_stage(pairs, rows, QUIZ, plain, "english", 3)
    assert [example.stage for example in found] == [0] * 9 + [1] * 9
    assert found[:9] == question_translation(pairs, QUIZ, plain, 3)
    assert [replace(example, stage=0) for example in found[9:]] == recipes.annotated_english(rows, QUIZ, "english", 3)


def test_only_the_rivals_are_given_labels() -> None:
    asking = {name for name in RECIPES if "labeled" in signature(resolve(RECIPES, name, "test")).parameters}
    rivals = {"annotated-english", "annotated-multilingual", "annotated-pivot", "two-stage"}
    assert asking == rivals | {"translate-then-answer"}
    for kind in (Question, Pair, Example):
        assert not {"gold", "label", "answer"} & {field.name for field in fields(kind)}


def test_translate_then_answer_writes_the_question_and_the_answer_of_its_own_label() -> None:
    rows = [LabeledQuestion("quiz", "7", "en", PAIR.target, 1)]
    (example,) = recipes.translate_then_answer([PAIR, replace(PAIR, id="8")], rows, QUIZ, "english", 0)
    (answered,) = recipes.annotated_english(rows, QUIZ, "english", 0)
    assert example.source == "Land: Ghana ist groß.\nStadt: Accra?\nHauptstadt:\n"
    assert (
        example.target == answered.source + answered.target == "Country: Ghana is large.\nCity: Accra?\nCapital: no\n\n"
    )


@pytest.mark.parametrize("name", ["question-translation", "code-switch", "translate-then-answer"])
@pytest.mark.parametrize("control", recipes.CONTROLS)
def test_a_control_has_the_targets_of_its_part_each_as_often(name: str, control: str) -> None:
    """Of questions: the answers stay with the question's id, so an answer may follow another question."""
    pairs = [
        Pair("quiz", str(n), code, "en", (f"{code} {word}", "x"), (f"the {word}", "x"))
        for code in ("de", "zh")
        for n, word in enumerate(("cat", "dog", "bird", "fish"))
    ]
    labeled = [LabeledQuestion("quiz", str(n), "en", ("q", "x"), n % 2) for n in range(4)]
    given_data = {"pairs": pairs, "labeled": labeled, "task": QUIZ, "frame": plain, "share": 1.0, "seed": 0}
    given_data |= {"labels": "english"}
    recipe = resolve(RECIPES, name, "test")
    asked = {key: given_data[key] for key in signature(recipe).parameters}

    def written(rows: Sequence[Pair]) -> Counter[str]:
        return Counter(word for row in recipe(**asked | {"pairs": rows}) for word in row.target.split())

    assert written(recipes.CONTROLS[control](pairs, 0)) == written(pairs)
    assert recipe(**asked | {"pairs": recipes.CONTROLS[control](pairs, 0)}) != recipe(**asked)


# Names

NAMES = {
    "question-translation": ("zh/es=>it", ("zh", "es")),
    "reverse": ("it=>zh/es", ("zh", "es")),
    "both": ("zh/es<=>it", ("zh", "es")),
    "shuffled-pairs": ("zh/es=>it (shuffled)", ("zh", "es")),
    "copy": ("it=>it (copied)", ()),
    "replay": ("replay", ()),
    "contrastive": ("zh/es~it", ("zh", "es")),
    "code-switch": ("zh/es+it=>it", ("zh", "es")),
    "translate-then-answer": ("zh/es=>it and answer", ("zh", "es")),
    "unrelated": ("zh/es=>it (unrelated)", ("zh", "es")),
    "annotated-english": ("en (annotated)", ()),
    "annotated-multilingual": ("en/zh/es (annotated)", ("zh", "es")),
    "annotated-pivot": ("it (annotated)", ()),
    "two-stage": ("zh/es=>it, then en (annotated)", ("zh", "es")),
    "mine:recipe": ("zh/es=>it (mine:recipe)", ("zh", "es")),
}


@pytest.mark.parametrize("recipe", NAMES)
def test_a_mixture_derives_its_name_and_the_languages_it_tunes_on(recipe: str) -> None:
    mixture: dict[str, object] = {"pivot": "it", "frame": "task-frame", "recipe": recipe}
    if recipe == "contrastive":
        mixture["phases"] = [{"parts": [{"recipe": mixture.pop("recipe")}]}]
    experiment = Experiment.model_validate({"translate": {"to": ["zh", "es"]}, "mixture": mixture})
    assert (experiment.mixture_name, experiment.tuned_on) == NAMES[recipe]
    assert "{" not in experiment.treatment
    asked = ("annotated-english", "annotated-multilingual", "annotated-pivot", "translate-then-answer")
    translates = recipe not in (*asked, "replay")
    assert ("(frame: task-frame)" in experiment.treatment) == translates


def test_every_recipe_says_what_it_does() -> None:
    assert set(TREATMENTS) == set(RECIPES) == set(NAMES) - {"mine:recipe"}
    experiment = Experiment.model_validate({"translate": {"to": ["zh", "es", "th"]}})
    assert experiment.treatment == (
        "translating questions, without their answers, from Chinese, Spanish and Thai into English (frame: plain)"
    )


# The page that shows them

PAGE = (ROOT / "docs" / "recipes.md").read_text("utf-8")


def starter_pairs() -> list[Pair]:
    """Return the two starter pairs that the page shows."""
    task, source = open_task("sentiment"), open_source("starter", {}, "test")
    german, english = ({q.id: q for q in source.questions(task, code)} for code in ("de", "en"))
    ids = ("sentiment-q002", "sentiment-q007")
    return [Pair("sentiment", id, "de", "en", german[id].fields, english[id].fields) for id in ids]


def block(text: str) -> str:
    return f"```\n{text.rstrip()}\n```\n"


@pytest.mark.parametrize("name", FRAMES)
def test_the_page_shows_each_frame_to_the_letter(name: str) -> None:
    source, target = FRAMES[name](open_task("sentiment"), starter_pairs()[0])
    assert block(source) + block(target) in PAGE.partition(f"`{name}`: ")[2]


@pytest.mark.parametrize("name", ["copy", "shuffled-pairs"])
def test_the_page_shows_the_controls_to_the_letter(name: str) -> None:
    found = resolve(RECIPES, name, "test")(starter_pairs(), open_task("sentiment"), task_frame, 0)
    (shown,) = [example for example in found if example.id == "sentiment-q002"]
    assert block(shown.source) + block(shown.target) in PAGE.partition(f"`{name}`")[2]


def test_the_page_shows_an_annotated_question_to_the_letter() -> None:
    row = LabeledQuestion("sentiment", "1", "en", starter_pairs()[0].target, 1)
    (example,) = recipes.annotated_english([row], open_task("sentiment"), "english", 0)
    assert block(example.source) + block(example.target) in PAGE.partition("`annotated-english` (")[2]


def test_the_page_names_every_recipe_as_the_report_does() -> None:
    for recipe in TREATMENTS:
        name = Experiment.model_validate({"mixture": {"phases": [{"parts": [{"recipe": recipe}]}]}}).mixture_name
        (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{recipe}`")]
        assert line.endswith(f"| `{name}` |")

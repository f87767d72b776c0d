"""The published layout: rendered questions come back as they went in, and gold agrees across the languages."""

import json
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from places import PUBLISHED
from spillover.errors import SpilloverError
from spillover.languages import languages
from spillover.sources.paper import LAYOUTS, REPAIRED, AsPublished, Paper
from spillover.tasks import Task, open_labeled_task

WORDS = tomllib.loads(files("spillover").joinpath("data", "published.toml").read_text(encoding="utf-8"))["labels"]
NAMES = {"en": ("Premise", "Hypothesis", "Answer"), "de": ("Prämisse", "Hypothese", "Antwort")}

ENGLISH = [
    ("A man: tall and old.", "Someone says: hello."),
    ("Line one.\nNote: line two.", 'A "quoted" word.'),
    ("A dog sleeps.", "Hypothesis: it dreams.\nIt does."),
    ("A cat sits", "A cat: it sits\nand sits"),
]
GERMAN = [
    ("Ein Mann: groß und alt.", "Jemand sagt: hallo."),
    ("Zeile eins.\nHinweis: Zeile zwei.", 'Ein "zitiertes" Wort.'),
    ("Ein Hund schläft.", "Hypothese: er träumt.\nUnd wie."),
    ("Eine Katze sitzt", "Eine Katze: sie sitzt\nund sitzt"),
]


def save(root: Path, name: str, rows: object) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")


def rendered(names: tuple[str, ...], fields: tuple[str, ...]) -> str:
    lines = [f"{name}: {text}\n" for name, text in zip(names[:-1], fields, strict=True)]
    return f'{"".join(lines)}{names[-1]}: "'


def translated(sources: list[tuple[str, str]], targets: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [
        {
            "input": rendered(NAMES["de"], source) + "\nTranslate the input from German to English:\n",
            "answer": rendered(NAMES["en"], target),
        }
        for source, target in zip(sources, targets, strict=True)
    ]


def items_in(root: Path, language: str, words: list[str]) -> list[int]:
    """Write entailment items with these answers and return their gold."""
    rows = [{"premise": "p", "hypothesis": "h", "answer": word} for word in words]
    save(root, f"snli/snli_{language}{len(rows)}_test.json", rows)
    return [item.gold for item in Paper(str(root), {}).items(open_labeled_task("entailment"), language)]


@pytest.mark.parametrize("own_file", [True, False], ids=["own English file", "English from the answers"])
def test_questions_come_back_as_they_were_rendered(tmp_path: Path, own_file: bool) -> None:
    save(tmp_path, "snli/snli_de4_train_question.json", translated(GERMAN, ENGLISH))
    if own_file:
        # some published rows have no answer; it is never read
        rows = [{"premise": f" {premise}", "hypothesis": hypothesis} for premise, hypothesis in ENGLISH]
        save(tmp_path, "snli/snli_en10k_train.json", rows)
    source = Paper(str(tmp_path), {})
    for language, texts in (("de", GERMAN), ("en", ENGLISH)):
        questions = source.questions(open_labeled_task("entailment"), language)
        assert [question.fields for question in questions] == texts
        assert [question.id for question in questions] == ["0", "1", "2", "3"]
        assert {(question.task, question.language) for question in questions} == {("entailment", language)}


@pytest.mark.parametrize(
    ("task", "folder", "fields"),
    [
        (open_labeled_task("sentiment"), "ap_emotion/emotion", ("Good.\nReally: good.",)),
        (open_labeled_task("paraphrase"), "paws/paws", ("One.", "Two.")),
    ],
    ids=["sentiment", "paraphrase"],
)
def test_the_other_tasks_have_the_same_layout(tmp_path: Path, task: Task, folder: str, fields: tuple[str, ...]) -> None:
    names = (*("文本", "第二")[: len(fields)], "答案")
    plain = ("Plain.",) * len(fields)
    rows = [
        {
            "input": rendered(names, texts).replace(": ", "：") + "\nTranslate the input from Chinese to English:\n",
            "answer": rendered(names, texts),
        }
        for texts in (plain, fields)
    ]
    save(tmp_path, f"{folder}_zh10k_train_question.json", rows)
    source = Paper(str(tmp_path), {})
    assert [question.fields for question in source.questions(task, "en")] == [plain, fields]
    chinese = [tuple(text.replace(": ", "：") for text in texts) for texts in (plain, fields)]
    assert [question.fields for question in source.questions(task, "zh")] == chinese


def test_a_pair_whose_english_sides_differ_is_refused(tmp_path: Path) -> None:
    save(tmp_path, "snli/snli_de4_train_question.json", translated(GERMAN, ENGLISH))
    swapped = [ENGLISH[0], ENGLISH[2], ENGLISH[1], ENGLISH[3]]
    save(tmp_path, "snli/snli_en4_train.json", [{"premise": p, "hypothesis": h} for p, h in swapped])
    with pytest.raises(SpilloverError, match=r"row 2: column 'answer': found .*Line one.*expected the English .*A dog"):
        Paper(str(tmp_path), {}).questions(open_labeled_task("entailment"), "de")


@pytest.mark.parametrize(
    ("old", "new"),
    [("\nAntwort", "\nFrage"), ("Prämisse: ", "Satz: "), ("Ein Hund schläft.", " "), ('Antwort: "', 'Antwort: "ja')],
    ids=["another cue", "another name", "an empty field", "an answer"],
)
def test_a_question_of_another_shape_is_refused_with_its_row(tmp_path: Path, old: str, new: str) -> None:
    rows = translated(GERMAN, ENGLISH)
    rows[2]["input"] = rows[2]["input"].replace(old, new)
    save(tmp_path, "snli/snli_de4_train_question.json", rows)
    with pytest.raises(SpilloverError, match=r"row 3: column 'input': found .*expected a text after each of"):
        Paper(str(tmp_path), {}).questions(open_labeled_task("entailment"), "de")


def test_names_are_learned_although_most_texts_have_a_line_like_one(tmp_path: Path) -> None:
    texts = [("One.\nNote: a.", "Two."), ("Three.\nNote: b.", "Four."), ("Five.", "Six.")]
    save(tmp_path, "snli/snli_de3_train_question.json", translated(texts, texts))
    questions = Paper(str(tmp_path), {}).questions(open_labeled_task("entailment"), "de")
    assert [question.fields for question in questions] == texts


def test_a_file_without_any_question_is_refused(tmp_path: Path) -> None:
    save(tmp_path, "snli/snli_de1_train_question.json", [{"input": "words", "answer": "words"}])
    with pytest.raises(SpilloverError, match="row 1: column 'input': found 'words', and neither"):
        Paper(str(tmp_path), {}).questions(open_labeled_task("entailment"), "de")


@pytest.mark.parametrize("language", sorted(languages()))
def test_gold_is_read_in_the_files_own_words(tmp_path: Path, language: str) -> None:
    words = {
        "no": ["entailment", "motsigelse", "nøytral"],
        "ja": ["含意", "中性", "矛盾"],
        "bn": ["ধারণ করে", "নিরপেক্ষ", "দ্বন্দ্ব"],
    }.get(language, WORDS["entailment"].get(language))
    assert items_in(tmp_path, language, [words[2], words[0], words[1], words[2]]) == [2, 0, 1, 2]


def test_gold_follows_the_order_of_the_tasks_labels(tmp_path: Path) -> None:
    items_in(tmp_path, "de", ["Widerspruch", "Konsequenz", "neutral"])
    turned = open_labeled_task("entailment").model_copy(update={"labels": ("contradiction", "neutral", "entailment")})
    items = Paper(str(tmp_path), {}).items(turned, "de")
    assert [turned.labels[item.gold] for item in items] == ["contradiction", "entailment", "neutral"]


def test_a_word_outside_the_table_is_refused(tmp_path: Path) -> None:
    message = r"snli_de2_test\.json: row 2: column 'answer': found 'neutralo', .* choose from Konsequenz, neutral, Wid"
    with pytest.raises(SpilloverError, match=message):
        items_in(tmp_path, "de", ["neutral", "neutralo"])
    with pytest.raises(SpilloverError, match=r"row 1: column 'answer': found '中立', .* choose from 含意, 中性, 矛盾"):
        items_in(tmp_path, "ja", ["中立"])


def test_any_subset_of_files_will_do(tmp_path: Path) -> None:
    for name in ("snli_sw600_test.json", "snli_en2k_test.json", "snli_de_test.json", "snli_xx5_test.json"):
        save(tmp_path, f"snli/{name}", [])
    source = Paper(str(tmp_path), {})
    assert source.item_languages(open_labeled_task("entailment")) == ("en", "sw")
    assert source.item_languages(open_labeled_task("sentiment")) == ()
    assert source.item_languages(open_labeled_task("sentiment").model_copy(update={"name": "mood"})) == ()
    with pytest.raises(SpilloverError, match=r"snli_de<number>_test\.json: .*that are there: en, sw$"):
        source.items(open_labeled_task("entailment"), "de")
    with pytest.raises(SpilloverError, match=r"snli_en<number>_train\.json: .*that are there: none$"):
        source.questions(open_labeled_task("entailment"), "en")
    with pytest.raises(SpilloverError, match=r"found no folder 'paws' in .*choose from snli$"):
        source.items(open_labeled_task("paraphrase"), "en")


def test_two_files_of_one_language_are_refused(tmp_path: Path) -> None:
    for number in ("500", "10k"):
        save(tmp_path, f"snli/snli_en{number}_test.json", [])
    with pytest.raises(SpilloverError, match=r"found both 'snli_en10k_test\.json' and 'snli_en500_test\.json'"):
        Paper(str(tmp_path), {}).items(open_labeled_task("entailment"), "en")


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpilloverError, match=r"found a column map {'text': 'review'}, expected none"):
        Paper(str(tmp_path), {"text": "review"})
    with pytest.raises(SpilloverError, match="expected paper:DIR"):
        Paper("", {})
    with pytest.raises(SpilloverError, match="found no task 'mood'; choose from sentiment, entailment, paraphrase"):
        Paper(str(tmp_path), {}).items(open_labeled_task("sentiment").model_copy(update={"name": "mood"}), "en")
    with pytest.raises(SpilloverError, match=r"found fields .* and labels \('good', 'bad'\), expected 1 fields"):
        Paper(str(tmp_path), {}).items(
            open_labeled_task("sentiment").model_copy(update={"labels": ("good", "bad")}), "en"
        )


needs_published = pytest.mark.skipif(
    not PUBLISHED.is_dir(), reason="the published files are not beside this repository"
)


@needs_published
@pytest.mark.parametrize(
    ("task", "count"),
    [(open_labeled_task("sentiment"), 500), (open_labeled_task("entailment"), 600)],
    ids=["sentiment", "entailment"],
)
def test_published_gold_agrees_in_all_twenty_languages(task: Task, count: int) -> None:
    source = Paper(str(PUBLISHED), {})
    assert source.item_languages(task) == tuple(languages())
    english = [(item.id, item.gold) for item in source.items(task, "en")]
    assert len(english) == count
    for language in languages():
        assert [(item.id, item.gold) for item in source.items(task, language)] == english, language


@needs_published
@pytest.mark.parametrize("language", ["zh", "de", "es", "it", "sw"])
def test_ten_thousand_published_questions_parse(language: str) -> None:
    found = Paper(str(PUBLISHED), {}).questions(open_labeled_task("entailment"), language)
    assert [question.id for question in found] == [str(number) for number in range(10_000)]
    assert {len(question.fields) for question in found} == {2}


@needs_published
def test_the_published_files() -> None:
    source = Paper(str(PUBLISHED), {})
    for name in LAYOUTS:
        task = open_labeled_task(name)
        gold = {code: [item.gold for item in source.items(task, code)] for code in source.item_languages(task)}
        for language, found in gold.items():
            assert found == gold["en"], (name, language)

    # a repair that no published file needs any more would itself be the defect
    for name, language in REPAIRED:
        assert REPAIRED[name, language] != tuple(WORDS[name][language])
        path = PUBLISHED / "snli" / f"snli_{language}600_test.json"
        raw = [row["answer"] for row in json.loads(path.read_text(encoding="utf-8"))]
        labels = [item.gold for item in source.items(open_labeled_task("entailment"), "en")]
        assert set(zip(raw, labels, strict=True)) == {(word, i) for i, word in enumerate(REPAIRED[name, language])}

    english = source.questions(open_labeled_task("entailment"), "en")
    for path in (PUBLISHED / "snli").glob("*_train_question.json"):
        language = path.name.removeprefix("snli_")[:2]
        questions = source.questions(open_labeled_task("entailment"), language)
        rows = json.loads(path.read_text(encoding="utf-8"))
        for question, original, row in zip(questions, english, rows, strict=True):
            for column, fields in (("input", question.fields), ("answer", original.fields)):
                lines = row[column].split("\n")[:2]  # no published text has a line break
                assert tuple(line.partition(": ")[2].strip() for line in lines) == fields


def test_as_published_nothing_is_repaired(tmp_path: Path) -> None:
    task, labels = open_labeled_task("entailment"), open_labeled_task("entailment").labels
    words = list(WORDS["entailment"]["no"])
    golds = items_in(tmp_path, "no", words)
    published = [item.gold for item in AsPublished(str(tmp_path), {}).items(task, "no")]
    assert [labels[gold] for gold in published] == WORDS["entailment"]["en"], "read as the scorer reads them"
    assert [published[0], published[2], published[1]] == golds, "repaired: neutral and contradiction are exchanged"
    items_in(tmp_path, "ja", list(REPAIRED["entailment", "ja"]))
    with pytest.raises(SpilloverError, match=r"row 2: column 'answer': found '中性', expected a label"):
        AsPublished(str(tmp_path), {}).items(task, "ja")

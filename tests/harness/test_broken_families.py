"""Families whose YAML, data or names are not as they should be: read rightly, or one sentence with the file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_tasks import CHOICE, Rows, list_local_tasks_only, write_task
from spillover.errors import SpilloverError
from spillover.experiment import parse_experiment
from spillover.lint.reading import read, summarized
from spillover.records import Item
from spillover.sources import families, open_source
from spillover.stages.inputs import Inputs
from spillover.tasks import open_task

QUIZ = CHOICE | {"doc_to_text": "{{question}}", "doc_to_choice": "choices", "doc_to_target": "answer"}
WORDS = {"en": ("kite", "stone", "duck", "feather"), "de": ("Drachen", "Stein", "Ente", "Feder")}


@pytest.fixture(autouse=True)
def only_local(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is said of families."""
    said: list[str] = []
    list_local_tasks_only(monkeypatch)
    monkeypatch.setattr(families, "notify", said.append)
    return said


def quiz(code: str, count: int = 4, **columns: object) -> list[dict[str, object]]:
    words = WORDS.get(code, WORDS["en"])
    return [
        {
            "question": f"{code} {number}: {'what flies? ' * (number * 7 % 5)}",
            "choices": list(words),
            "answer": number % 4,
        }
        | columns
        for number in range(count)
    ]


def items(folder: Path, name: str, language: str = "en") -> list[Item]:
    family = f"harness:{folder}/{name}"
    return open_source(family, {}, "test").items(open_task(family), language)


def languages(folder: Path, name: str) -> tuple[str, ...]:
    family = f"harness:{folder}/{name}"
    return open_source(family, {}, "test").item_languages(open_task(family))


def write(folder: Path, name: str, rows: Rows | None = None, **keys: object) -> Path:
    write_task(folder, name, quiz("en") if rows is None else rows, QUIZ | keys)
    return folder / f"{name}.yaml"


# Files that the harness passes over in silence

LOST = {
    "an open quote and a tab": ('task: quiz_de\ndoc_to_text: "a\n\tb: [\n', r"quiz_de.yaml: line \d+, column \d+: "),
    "no table": ("- a\n- b\n", "quiz_de.yaml: ValueError: Expected YAML dict"),
    "nothing": ("", "quiz_de.yaml: ValueError: Expected YAML dict"),
    "another's name": ("task: quiz_en\n", r"quiz_en.yaml: found the name 'quiz_en' of .*quiz_de.yaml again"),
    "no name": ("doc_to_text: a\n", "quiz_de.yaml: found no task and no group in it"),
    "an include that is not there": ("include: gone.yaml\ntask: quiz_de\n", "quiz_de.yaml: FileNotFoundError: .*gone"),
    "an include of itself": ("include: quiz_de.yaml\ntask: quiz_de\n", "quiz_de.yaml: ValueError: Include cycle"),
    "a list for a name": ("task: [quiz_de]\n", r"quiz_de.yaml: found the name \['quiz_de'\], expected a text"),
    "nothing for a name": ("task:\n", "quiz_de.yaml: found the name None, expected a text"),
    "a name twice": ("task: quiz_de\ntask: quiz_xx\n", "quiz_de.yaml: found the key 'task' twice, expected each once"),
    "a key twice": ("task: quiz_de\ndoc_to_text: a\ndoc_to_text: !function b.c\n", "the key 'doc_to_text' twice"),
    "an unknown tag": ("task: quiz_de\na: !python b\n", r"quiz_de.yaml: line 2, column \d+: could not determine"),
}


@pytest.mark.parametrize("fault", LOST)
def test_a_language_is_not_lost_with_its_file(tmp_path: Path, fault: str) -> None:
    content, message = LOST[fault]
    write(tmp_path, "quiz_en")
    (tmp_path / "quiz_de.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(SpilloverError, match=message) as error:
        languages(tmp_path, "quiz_{language}")
    assert "\n" not in str(error.value)


def test_a_file_of_another_ending_is_not_lost(tmp_path: Path) -> None:
    write(tmp_path, "quiz_en")
    write(tmp_path, "quiz_de").rename(tmp_path / "German.yml")
    with pytest.raises(SpilloverError, match=r"German.yml: the harness reads only files whose names end in .yaml"):
        languages(tmp_path, "quiz_{language}")


def test_a_broken_file_of_another_family_is_said_and_a_template_is_not(tmp_path: Path, only_local: list[str]) -> None:
    write(tmp_path, "quiz_en")
    (tmp_path / "other_de.yaml").write_text("task: [\n", encoding="utf-8")
    (tmp_path / "template.yaml").write_text("doc_to_text: a\n", encoding="utf-8")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / ".ipynb_checkpoints" / "quiz_de.yaml").write_text("task: [\n", encoding="utf-8")
    assert languages(tmp_path, "quiz_{language}") == ("en",)
    assert [line for line in only_local if "template" in line] == []
    (line,) = [line for line in only_local if "other_de.yaml" in line]
    assert "other_de.yaml is not read: line 2, column 1: " in line


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpilloverError, match=r"harness:.*/gone/quiz_\{language\}: found no folder '.*/gone'"):
        languages(tmp_path / "gone", "quiz_{language}")


# Which name is which language


def test_a_language_is_found_in_any_usual_spelling_in_its_own_script(tmp_path: Path, only_local: list[str]) -> None:
    for written in ("ENG_latn", "German", "zh-Hans", "hin_Latn", "ben_latn", "zho_Hant", "nb", "law", "fr_easy"):
        write(tmp_path, f"quiz_{written}")
    assert languages(tmp_path, "quiz_{language}") == ("en", "zh", "de", "no", "zh-Hant", "bn-Latn", "hi-Latn")
    assert "has en, zh, de, no, 3 others; has no fr, es" in only_local[0]


def test_a_script_behind_the_placeholder_must_be_the_language_s_own(tmp_path: Path) -> None:
    for written in ("eng", "hin", "ben", "deu", "jpn"):
        write(tmp_path, f"piqa_{written}_latn")
        write(tmp_path, f"piqa_{written}_lite")
    assert languages(tmp_path, "piqa_{language}_latn") == ("en", "de", "bn-Latn", "hi-Latn")
    assert languages(tmp_path, "piqa_{language}_lite") == ("en", "de", "ja", "hi", "bn")


def test_of_two_names_of_a_language_this_project_s_goes_first_and_the_other_is_said(
    tmp_path: Path, only_local: list[str]
) -> None:
    for written in ("deu", "de", "zho_Hans", "Chinese"):
        write(tmp_path, f"quiz_{written}")
    family = f"{tmp_path}/quiz_{{language}}"
    assert families.members(family) == {"zh": "quiz_zho_Hans", "de": "quiz_de"}
    assert "leaves out quiz_Chinese, quiz_deu, whose languages it has under other names" in only_local[-1]


def group(folder: Path, name: str, leaves: Mapping[str, str]) -> None:
    for leaf, code in leaves.items():
        write(folder, leaf, quiz(code))
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({"group": name, "task": list(leaves)}), encoding="utf-8")


GROUPS = {
    "at the end": {"en": ["law_en", "high_school_en"], "it": ["high_school_it", "law_it"]},
    "at the beginning": {"en": ["eng_Latn_law", "eng_Latn_art"], "it": ["ita_Latn_law", "ita_Latn_art"]},
    "in several spellings": {
        "en": ["belebele_eng_Latn", "xnli_en", "paws_en_english_bench"],
        "it": ["belebele_ita_Latn", "xnli_it", "paws_it_italian_bench"],
    },
    "after the group's name too": {
        "en": ["exam_en_law_en", "exam_en_art_en"],
        "it": ["exam_it_law_it", "exam_it_art_it"],
    },
    "nowhere, but a subject is called like one": {
        "en": ["exam_en_english", "exam_en_italian"],
        "it": ["exam_it_english", "exam_it_italian"],
    },
}


@pytest.mark.parametrize("kind", GROUPS)
def test_tasks_of_a_group_are_the_same_in_every_language(tmp_path: Path, kind: str) -> None:
    for code, leaves in GROUPS[kind].items():
        group(tmp_path, f"exam_{code}", dict.fromkeys(leaves, code))
    ids = [sorted(item.id for item in items(tmp_path, "exam_{language}", code)) for code in ("en", "it")]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 4 * len(GROUPS[kind]["en"])


# Families that are not parallel


def pairs(code: str, lengths: list[int]) -> list[dict[str, object]]:
    return [{"question": "", "choices": [f"{code} {'x' * n}", f"{code} {'y' * n}"], "answer": 0} for n in lengths]


LENGTHS = [number * 37 % 60 for number in range(30)]
OTHERS = [number * 23 % 60 for number in range(5, 35)]


def test_row_numbers_and_a_constant_answer_do_not_make_a_family_parallel(tmp_path: Path) -> None:
    write(tmp_path, "blimp_en", pairs("en", LENGTHS))
    write(tmp_path, "blimp_de", pairs("de", OTHERS))
    with pytest.raises(
        SpilloverError, match=r"blimp_de: nothing shows that these documents are those of en: .*id that"
    ):
        items(tmp_path, "blimp_{language}?paired=true", "de")
    assert len(items(tmp_path, "blimp_{language}", "en")) == 30


@pytest.mark.parametrize("id", ["{}", "word-{}"])
def test_ids_that_say_more_than_a_count_do(tmp_path: Path, id: str) -> None:
    """And so do not those which are one, with whatever stands before it."""
    for code, lengths in (("en", LENGTHS), ("de", OTHERS)):
        rows = [row | {"id": id.format(n)} for n, row in enumerate(pairs(code, lengths))]
        write(tmp_path, f"count_{code}", rows)
        write(tmp_path, f"named_{code}", [row | {"id": f"{id.format(n * n)}"} for n, row in enumerate(rows)])
    with pytest.raises(SpilloverError, match="count_de: nothing shows"):
        items(tmp_path, "count_{language}?paired=true", "de")
    assert len(items(tmp_path, "named_{language}?paired=true", "de")) == 30


def test_texts_of_like_lengths_do(tmp_path: Path) -> None:
    write(tmp_path, "truth_en", pairs("en", LENGTHS))
    write(tmp_path, "truth_de", pairs("de", [round(1.2 * length) + length % 3 for length in LENGTHS]))
    assert len(items(tmp_path, "truth_{language}?paired=true", "de")) == 30


# Whatever a YAML file, its data or its code raises


FUNCTION = "def raises(doc):\n    raise ZeroDivisionError('by hand\\non two lines')\n"
RAISES: dict[str, tuple[dict[str, Any], str]] = {
    "a column in a template": ({"doc_to_text": "{{qestion}}"}, "UndefinedError: 'qestion' is undefined"),
    "a column by its name": (
        {"doc_to_text": "qestion"},
        "doc_to_text: found no column 'qestion'; did you mean 'question'",
    ),
    "a word for everything": (
        {"doc_to_text": "hello", "doc_to_choice": ["a", "b", "c", "d"]},
        "the same texts in all 4",
    ),
    "a column of choices": ({"doc_to_choice": "options"}, "cannot load the task: ValueError: malformed"),
    "a column of answers": (
        {"doc_to_target": "gold"},
        "document 0: found the answer 'gold', expected one of 4 choices",
    ),
    "a template's syntax": ({"doc_to_text": "{{question"}, "TemplateSyntaxError: unexpected end"),
    "a template that raises": ({"doc_to_text": "{{question + 1}}"}, "cannot load the task: TypeError: "),
    "a late document": ({"doc_to_text": "{{1 // (3 - answer)}} {{question}}"}, "document 3: ZeroDivisionError: "),
    "a split": ({"test_split": "validation"}, "cannot load the task: KeyError: 'validation'"),
    "no split": ({"test_split": None}, "cannot load the task: ValueError: .*must have valid or test docs"),
    "a split of shots": ({"fewshot_split": "train", "num_fewshot": 1}, "cannot load the task: KeyError: 'train'"),
    "an output type": ({"output_type": "guess"}, "cannot load the task: ValueError: Got invalid output_type"),
    "a metric": ({"metric_list": [{"aggregation": "mean"}]}, "cannot load the task: ValueError: 'metric' key"),
    "a sampler": ({"fewshot_config": {"sampler": "magic"}}, "cannot load the task: "),
    "a data set": ({"dataset_path": "/no/such/place"}, "cannot load the task: "),
    "a number for a data set": ({"dataset_path": 7}, "cannot load the task: "),
}


@pytest.mark.parametrize("fault", RAISES)
def test_what_a_task_raises_is_one_sentence_with_its_file(tmp_path: Path, fault: str) -> None:
    keys, message = RAISES[fault]
    path = write(tmp_path, "quiz_en", **keys)
    with pytest.raises(SpilloverError, match=message) as error:
        items(tmp_path, "quiz_{language}")
    assert str(error.value).startswith("harness:quiz_en: ")
    assert str(error.value).endswith(f"({path})")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("code.raises", "cannot load the task: ZeroDivisionError: by hand"),
        ("code.gone", "cannot load the task: AttributeError: .* has no function 'gone'"),
        ("gone.gone", "cannot load the task: ImportError: Cannot import module 'gone'"),
    ],
)
def test_what_a_task_s_function_raises_is_one_sentence(tmp_path: Path, function: str, message: str) -> None:
    (tmp_path / "code.py").write_text(FUNCTION, encoding="utf-8")
    path = write(tmp_path, "quiz_en", doc_to_text="FUNCTION")
    path.write_text(path.read_text("utf-8").replace("FUNCTION", f"!function {function}"), encoding="utf-8")
    with pytest.raises(SpilloverError, match=message) as error:
        items(tmp_path, "quiz_{language}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["", "\n\n", '{"question": "a"', "[]"])
def test_data_that_hold_no_rows(tmp_path: Path, content: str) -> None:
    path = write(tmp_path, "quiz_en")
    (tmp_path / "quiz_en.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(SpilloverError, match=r"harness:quiz_en: .*\(.*quiz_en.yaml\)$") as error:
        items(tmp_path, "quiz_{language}")
    assert "\n" not in str(error.value)
    if not content:
        assert str(error.value) == f"harness:quiz_en: cannot load the task: a data file holds no rows ({path})"


odd = st.sampled_from(
    ["", "{{", "{{x}}", "{% if %}", "question", "{{question}}", "choices", "answer", "test", "[1", "\x00"]
)
values = odd | st.none() | st.booleans() | st.integers(-1, 4) | st.floats() | st.text(max_size=5)
nested = values | st.lists(values, max_size=3) | st.dictionaries(odd, values, max_size=2)
KEYS = ["doc_to_text", "doc_to_choice", "doc_to_target", "test_split", "fewshot_split", "num_fewshot", "fewshot_config",
        "description", "target_delimiter", "output_type", "metric_list", "process_docs", "gen_prefix", "metadata",
        "task", "include", "class", "group", "tag", "dataset_name", "repeats", "unknown"]  # fmt: skip


@settings(
    deadline=None,
    max_examples=40,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.dictionaries(st.sampled_from(KEYS), nested, min_size=1, max_size=3))
def test_a_yaml_is_a_task_or_one_sentence(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, Any]) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    write(folder, "quiz_en", **keys)
    try:
        assert items(folder, "quiz_{language}")
    except SpilloverError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 2_000


@pytest.mark.parametrize(
    ("code", "rows", "said"),
    [
        ("import sys\nsys.exit(3)\n", None, "cannot load the task: SystemExit: 3"),
        ("def p(rows): return rows\n", '{"question": "a", "x"\n', "cannot load the task: (?!DatasetGeneration).*JSON"),
    ],
)
def test_what_ends_or_hides_in_a_library_is_said(tmp_path: Path, code: str, rows: str | None, said: str) -> None:
    path = write(tmp_path, "quiz_en")
    (tmp_path / "utils.py").write_text(code)
    path.write_text(path.read_text() + "process_docs: !function utils.p\n")
    if rows is not None:
        (data,) = tmp_path.glob("*.jsonl")
        data.write_text(rows)
    with pytest.raises(SpilloverError, match=said):
        items(tmp_path, "quiz_{language}")


def test_the_same_fault_in_every_language_is_one_error(tmp_path: Path) -> None:
    for code in ("en", "de", "fr"):
        write(tmp_path, f"quiz_{code}", output_type="generate_until")
    task = open_task(f"harness:{tmp_path}/quiz_{{language}}")
    inputs = Inputs(parse_experiment({"evaluate": {"tasks": [f"harness:{tmp_path}/quiz_{{language}}"]}}, "test"))
    readings = [read(inputs, task, code) for code in ("en", "de", "fr")]
    (defect,) = summarized(fault for reading in readings for fault in reading.faults)
    assert "found the metrics ['acc', 'acc_norm'], expected 'exact_match'" in defect.message
    assert defect.message.endswith("quiz_en.yaml) (so it is in de, fr)")

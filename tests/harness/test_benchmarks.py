"""The lines of docs/benchmarks.md: the harness's own YAML and code, on invented data with each benchmark's columns."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import lm_eval.tasks
import pytest
import yaml

from local_tasks import list_local_tasks_only
from places import ROOT
from spillover.errors import SpilloverError
from spillover.languages import lookup
from spillover.sources import open_source
from spillover.tasks import open_task

PAGE = (ROOT / "docs/benchmarks.md").read_text("utf-8")
TASKS = Path(lm_eval.tasks.__file__).parent
SPLITS = ("train", "validation", "dev", "eval", "test")
OPTIONS = {f"option_{letter}": f"option {letter}" for letter in "abcd"}


@dataclass(frozen=True)
class Shape:
    """One benchmark: a line of the page, and what its data look like."""

    line: str
    """The family, as the page writes it."""
    files: tuple[str, str]
    """The harness's YAML files of two languages, below its folder of tasks; of one subject where these are groups."""
    spellings: tuple[str, str]
    """How the family writes the two languages."""
    row: Callable[[int], Mapping[str, object]]
    """Number of a row → its columns."""
    choices: int
    """How many choices an item has, at most; 0: it is answered in words."""


def stories(number: int) -> Mapping[str, object]:
    sentences = {f"input_sentence_{place}": f"Sentence {place}." for place in (1, 2, 3, 4)}
    endings = {"sentence_quiz1": f"It rained {number} times.", "sentence_quiz2": "It was dry."}
    return sentences | endings | {"story_id": f"s{number}", "answer_right_ending": 1 + number % 2}


def global_mmlu(number: int) -> Mapping[str, object]:
    kind = {"subject": "anatomy", "subject_category": "Business"}
    kind["cultural_sensitivity_label"] = ("CS", "CA", "-")[number % 3]
    return kind | OPTIONS | {"sample_id": f"a/{number}", "question": f"q{number}", "answer": "ABCD"[number % 4]}


def mmlu_prox(number: int) -> Mapping[str, object]:
    options = {f"option_{place}": f"{place}" for place in range(10)}
    answer = {"answer": "ABCDEFGHIJ"[number % 10], "cot_content": "A: Let's think step by step. The answer is (A)."}
    return options | answer | {"question": f"q{number}", "question_id": number, "category": "biology"}


SHAPES = [
    Shape(
        "belebele_{language}",
        ("belebele/belebele_eng_Latn.yaml", "belebele/belebele_deu_Latn.yaml"),
        ("eng_Latn", "deu_Latn"),
        lambda number: (
            {f"mc_answer{place}": f"answer {place}" for place in (1, 2, 3, 4)}
            | {"flores_passage": "A text.", "question": f"q{number}", "correct_answer_num": str(1 + number % 4)}
            | {"link": "https://example.org", "question_number": number}
        ),
        4,
    ),
    Shape(
        "global_mmlu_{language}",
        ("global_mmlu/default/en/global_mmlu_en_business.yaml", "global_mmlu/default/de/global_mmlu_de_business.yaml"),
        ("en", "de"),
        global_mmlu,
        4,
    ),
    Shape(
        "global_mmlu_full_{language}",
        (
            "global_mmlu/full/en/global_mmlu_full_en_anatomy.yaml",
            "global_mmlu/full/de/global_mmlu_full_de_anatomy.yaml",
        ),
        ("en", "de"),
        global_mmlu,
        4,
    ),
    Shape(
        "mmmlu_{language}",
        ("openai-mmmlu/default/mmmlu_de_de_anatomy.yaml", "openai-mmmlu/default/mmmlu_fr_fr_anatomy.yaml"),
        ("de_de", "fr_fr"),
        lambda number: (
            {letter: f"option {letter}" for letter in "ABCD"}
            | {"Question": f"q{number}", "Answer": "ABCD"[number % 4], "Subject": "anatomy"}
        ),
        4,
    ),
    Shape(
        "include_base_44_{language}",
        (
            "include/default/German/include_base_44_german_stem.yaml",
            "include/default/French/include_base_44_french_stem.yaml",
        ),
        ("german", "french"),
        lambda number: OPTIONS | {"question": f"q{number}", "answer": number % 4, "domain": "STEM"},
        4,
    ),
    Shape(
        "mmlu_prox_lite_{language}",
        ("mmlu_prox/en/mmlu_prox_lite_en_biology.yaml", "mmlu_prox/de/mmlu_prox_lite_de_biology.yaml"),
        ("en", "de"),
        mmlu_prox,
        0,
    ),
    Shape(
        "xnli_{language}",
        ("xnli/xnli_en.yaml", "xnli/xnli_de.yaml"),
        ("en", "de"),
        lambda number: {"premise": f"p{number}", "hypothesis": "h", "label": number % 3},
        3,
    ),
    Shape(
        "paws_{language}",
        ("paws-x/paws_en.yaml", "paws-x/paws_de.yaml"),
        ("en", "de"),
        lambda number: {"id": number, "sentence1": f"One {number}.", "sentence2": "Two.", "label": number % 2},
        2,
    ),
    Shape(
        "xcopa_{language}",
        ("xcopa/default_it.yaml", "xcopa/default_sw.yaml"),
        ("it", "sw"),
        lambda number: (
            {"premise": f"It fell {number}.", "choice1": "One", "choice2": "Two", "label": number % 2}
            | {"question": ("cause", "effect")[number // 2 % 2], "idx": number}
        ),
        2,
    ),
    Shape(
        "xstorycloze_{language}",
        ("xstorycloze/default_en.yaml", "xstorycloze/default_es.yaml"),
        ("en", "es"),
        stories,
        2,
    ),
    Shape(
        "sib_{language}_prompt_2",
        ("afrobench/sib/prompt_2/sib_eng.yaml", "afrobench/sib/prompt_2/sib_swa.yaml"),
        ("eng", "swa"),
        lambda number: {"text": f"t{number}", "category": ("health", "travel")[number % 2], "index_id": number},
        7,
    ),
    Shape(
        "global_piqa_parallel_cloze_{language}",
        ("global_piqa/parallel_cloze/eng_latn.yaml", "global_piqa/parallel_cloze/deu_latn.yaml"),
        ("eng_latn", "deu_latn"),
        lambda number: (
            {f"solution{place}": f"s{place}" for place in range(4)} | {"prompt": f"p{number}", "label": number % 4}
        ),
        4,
    ),
    Shape(
        "global_piqa_nonparallel_cloze_{language}",
        ("global_piqa/nonparallel_cloze/eng_latn.yaml", "global_piqa/nonparallel_cloze/deu_latn.yaml"),
        ("eng_latn", "deu_latn"),
        lambda number: {"solution0": "s0", "solution1": "s1", "prompt": f"p{number}", "label": number % 2},
        2,
    ),
    Shape(
        "arc_{language}",
        ("okapi/arc_multilingual/arc_de.yaml", "okapi/arc_multilingual/arc_fr.yaml"),
        ("de", "fr"),
        lambda number: (
            {f"option_{letter}": f"option {letter}" for letter in "abc"}
            | {f"option_{letter}": letter * (number % 3 > place) for place, letter in enumerate("de")}
            | {"id": f"M_{number}", "instruction": f"q{number}", "answer": "ABC"[number % 3]}
        ),
        5,
    ),
    Shape(
        "mgsm_direct_{language}",
        ("mgsm/direct/mgsm_direct_en.yaml", "mgsm/direct/mgsm_direct_de.yaml"),
        ("en", "de"),
        lambda number: {"question": f"q{number}", "answer": None, "answer_number": number, "equation_solution": None},
        0,
    ),
]


@pytest.fixture(autouse=True)
def only_local(monkeypatch: pytest.MonkeyPatch) -> None:
    list_local_tasks_only(monkeypatch)


XWINOGRAD = {"sentence": "The city knew that _ was right.", "option1": "it", "option2": "the mayor", "answer": "2"}

BLOCKS: Mapping[str, tuple[Mapping[str, object], tuple[str, ...], int, tuple[str, ...]]] = {
    "xwinograd_whole_fr": (
        XWINOGRAD,
        ("", "The city knew that it was right.", "The city knew that the mayor was right."),
        1,
        (),
    ),
    "sib_de": (
        {"text": "Regen.", "category": "travel", "index_id": 1},
        (
            "Text: Regen.\nTopic:",
            *(
                f" {topic}"
                for topic in (
                    "science/technology",
                    "travel",
                    "politics",
                    "sports",
                    "health",
                    "entertainment",
                    "geography",
                )
            ),
        ),
        1,
        (),
    ),
    "polymath_low_de": ({"id": "low-de-0", "question": "1 + 1?", "answer": "2"}, ("1 + 1?\n",), 0, ("2",)),
}
"""Title of a YAML file of the page → a row of its data set, the texts of its item, its gold and its answers."""


def copy_family(folder: Path, shape: Shape) -> None:
    """Write a family's YAML files again, with local data in place of the hub's."""
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps(shape.row(number)) + "\n" for number in range(12)), encoding="utf-8")
    files = {"data_files": dict.fromkeys(SPLITS, str(data))}
    for file, spelling in zip(shape.files, shape.spellings, strict=True):
        name, leaf = shape.line.replace("{language}", spelling), value("task", TASKS / file)
        table: dict[str, object] = {
            "include": str(TASKS / file),
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": files,
        }
        if shape.choices:  # SIB-200's own metric would be asked of the hub
            table["metric_list"] = [{"metric": "acc"}]
        (folder / f"{leaf}.yaml").write_text(yaml.safe_dump(table), encoding="utf-8")
        if leaf != name:
            assert name in {value("group", path) for path in (TASKS / file).parent.glob("_*.yaml")}
            (folder / f"_{name}.yaml").write_text(yaml.safe_dump({"group": name, "task": [leaf]}), encoding="utf-8")


def value(key: str, path: Path) -> str:
    line = re.search(rf"^\"?{key}\"?: *\"?([^\s\"]+)", path.read_text("utf-8"), re.MULTILINE)
    return line[1] if line else ""


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.line)
def test_a_line_of_the_page_reads_data_of_its_shape(shape: Shape, tmp_path: Path) -> None:
    assert f"`harness:{shape.line}`" in PAGE
    copy_family(tmp_path, shape)
    spec = f"harness:{tmp_path}/{shape.line}"
    source, task = open_source(spec, {}, "test"), open_task(spec)
    codes = source.item_languages(task)
    assert set(codes) == {lookup(spelling) for spelling in shape.spellings}
    for code in codes:
        items = source.items(task, code)
        assert max(len(item.fields) - 1 for item in items) == shape.choices
        assert len({(item.gold, item.answers) for item in items}) > 1
        assert len({item.id for item in items}) == len(items) > 0


@pytest.mark.parametrize(("label", "first"), [("CS", 0), ("CA", 1)])
def test_the_culturally_sensitive_part_of_global_mmlu_and_the_rest(label: str, first: int, tmp_path: Path) -> None:
    line = f"global_mmlu_full_{{language}}?where=cultural_sensitivity_label:{label}"
    assert f"`harness:{line}`" in PAGE or label == "CA"
    copy_family(tmp_path, next(shape for shape in SHAPES if shape.line == line.partition("?")[0]))
    spec = f"harness:{tmp_path}/{line}"
    source, task = open_source(spec, {}, "test"), open_task(spec)
    for code in ("en", "de"):
        assert [item.id for item in source.items(task, code)] == [f'_anatomy"a/{n}"' for n in range(first, 12, 3)]


def test_xwinograd_is_refused_as_the_page_says(tmp_path: Path) -> None:
    files = ("xwinograd/xwinograd_en.yaml", "xwinograd/xwinograd_fr.yaml")
    copy_family(tmp_path, Shape("xwinograd_{language}", files, ("en", "fr"), lambda number: XWINOGRAD, 2))
    spec = f"harness:{tmp_path}/xwinograd_{{language}}"
    with pytest.raises(SpilloverError, match="expected one of 2 choices after one context"):
        open_source(spec, {}, "test").items(open_task(spec), "fr")


@pytest.mark.parametrize("name", BLOCKS)
def test_a_file_of_the_page_reads_a_row_of_its_data_set(name: str, tmp_path: Path) -> None:
    row, texts, gold, answers = BLOCKS[name]
    block = re.search(rf'```yaml title="{name}.yaml"\n(.*?)```', PAGE, re.DOTALL)
    assert block
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    table = yaml.safe_load(block[1])
    files = {"data_files": {table["test_split"]: str(tmp_path / "rows.jsonl")}}
    table |= {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": files}
    (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(table), encoding="utf-8")
    spec = f"harness:{tmp_path}/{name[:-2]}{{language}}"
    (item,) = open_source(spec, {}, "test").items(open_task(spec), name[-2:])
    assert (item.fields, item.gold, item.answers) == (texts, gold, answers)

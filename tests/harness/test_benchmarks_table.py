"""The table of docs/benchmarks.md against the installed harness: names, languages, data sets, splits and forms."""

import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import datasets
import lm_eval.tasks
import pytest

from local_tasks import list_local_tasks_only
from places import ROOT
from spillover.languages import languages
from spillover.records import Answer, Item
from spillover.sources import open_source
from spillover.sources.families import manager, members
from spillover.sources.pinned_sets import ADDRESS
from spillover.tasks import GenerationTask, open_task

PAGE = (ROOT / "docs/benchmarks.md").read_text("utf-8")
ROW = re.compile(r"^\| [^|]+ \| `harness:([^`/]+)`[^|]*\| ([^|]+) \| (\d+) \((\d+)\)", re.MULTILINE)
TABLE = {line: (form, (int(total), int(twenty))) for line, form, total, twenty in ROW.findall(PAGE)}

DATA_SETS = {
    "belebele_{language}": ("belebele", "test"),
    "global_mmlu_full_{language}": ("Global-MMLU", "test"),
    "global_mmlu_{language}": ("Global-MMLU-Lite", "test"),
    "mmmlu_{language}": ("MMMLU", "test"),
    "include_base_44_{language}": ("include-base-44", "test"),
    "mmlu_prox_{language}": ("MMLU-ProX", "test"),
    "mmlu_prox_lite_{language}": ("MMLU-ProX-Lite", "test"),
    "xnli_{language}": ("xnli", "validation"),
    "paws_{language}": ("paws-x", "test"),
    "xcopa_{language}": ("xcopa", "test"),
    "xstorycloze_{language}": ("xstory_cloze", "eval"),
    "sib_{language}_prompt_2": ("sib200", "test"),
    "arc_{language}": ("m_arc", "test"),
    "global_piqa_parallel_cloze_{language}": ("global-piqa-parallel", "test"),
    "global_piqa_nonparallel_cloze_{language}": ("global-piqa-nonparallel", "test"),
    "mgsm_direct_{language}": ("mgsm", "test"),
}
"""Family → its data set without the owner, whom the harness writes in two ways, and the split that is measured."""


def configuration(name: str) -> Mapping[str, Any]:
    """Return the content of the YAML file of a task, or of the first task below a group or tag."""
    from lm_eval.tasks._yaml_loader import load_yaml

    index = manager("").task_index
    if index[name].yaml_path is None:
        return configuration(min(other for other, entry in index.items() if name in entry.tags))
    table: dict[str, Any] = load_yaml(index[name].yaml_path, resolve_func=False)
    if "group" not in table:
        return table
    first = table["task"][0]
    return configuration(first if isinstance(first, str) else first["task"])


def counted(codes: Iterable[str]) -> tuple[int, int]:
    codes = set(codes)
    return len(codes), len(codes & set(languages()))


@pytest.mark.parametrize("line", TABLE)
def test_a_row_is_what_the_installed_harness_has(line: str) -> None:
    """Languages of other projects, whose data are another set, do not count."""
    form, expected = TABLE[line]
    name, split = DATA_SETS[line]
    tables = {code: configuration(task) for code, task in members(line).items()}
    own = {code: table for code, table in tables.items() if table["dataset_path"].rpartition("/")[2] == name}
    assert counted(own) == expected
    assert {table.get("test_split") or table["validation_split"] for table in own.values()} == {split}
    kinds = {table["output_type"] for table in own.values()}
    assert kinds == {"generate_until" if form.startswith(("written", "as above")) else "multiple_choice"}


def test_every_row_of_the_table_is_held() -> None:
    assert TABLE.keys() == DATA_SETS.keys()


def test_a_set_that_is_a_script_is_read_from_the_copy_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's file with the harness's own beside it; the addresses are replaced by a file of the same columns."""
    list_local_tasks_only(monkeypatch)
    block = re.search(r'```yaml title="copied_xstorycloze_es.yaml"\n(.*?)```', PAGE, re.DOTALL)
    assert block and all(ADDRESS.fullmatch(address) for address in re.findall(r"hf://\S+", block[1]))
    sentences = {f"input_sentence_{place}": f"Frase {place}." for place in (1, 2, 3, 4)}
    row = sentences | {"sentence_quiz1": "Sí.", "sentence_quiz2": "No.", "story_id": "s", "answer_right_ending": 2}
    datasets.Dataset.from_list([row]).to_parquet(tmp_path / "rows.parquet")
    text = block[1].replace("LM_EVAL/tasks", str(Path(lm_eval.tasks.__file__).parent))
    text = re.sub(r"hf://\S+", str(tmp_path / "*.parquet"), text)
    (tmp_path / "copied_xstorycloze_es.yaml").write_text(text, encoding="utf-8")
    spec = f"harness:{tmp_path}/copied_xstorycloze_{{language}}"
    (item,) = open_source(spec, {}, "test").items(open_task(spec), "es")
    assert (item.fields[1:], item.gold) == ((" Sí.", " No."), 1)


TEXTS = {
    "es": ["Ana tiene 3 manzanas y compra 4. ¿Cuántas tiene?", "«¿Y ahora?» Quedan 1200 de 2000. ¿Cuántas faltan?"],
    "de": ['"Drei Äpfel", sagt Ana, "und vier dazu." Wie viele?', "Es bleiben 1200 von 2000. Wie viele fehlen?"],
}
"""Invented rows of MGSM-Rev2, one of which begins with a quotation mark."""


@pytest.fixture
def downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that has files of the benchmark's shape, and is the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "PATH").mkdir()
    for code in ("es", "fr", "de", "ru", "zh", "ja", "th", "sw", "bn", "te"):
        rows = zip(TEXTS.get(code, TEXTS["es"]), ("7", "800"), strict=True)
        text = "".join(f"{question}\t{answer}\n" for question, answer in rows)
        (tmp_path / "PATH" / f"mgsm_{code}.tsv").write_text(text, encoding="utf-8")
    return tmp_path


def test_the_commands_for_mgsm_rev2_make_items_that_are_graded(downloaded: Path) -> None:
    block = re.search(r"^    mkdir -p mgsm.*?^    done\n", PAGE, re.MULTILINE | re.DOTALL)
    assert block
    subprocess.run(["bash", "-ec", block[0]], check=True)
    source, task = open_source("folder:mgsm", {}, "test"), open_task("arithmetic")
    assert isinstance(task, GenerationTask)
    assert set(source.item_languages(task)) == {"es", "fr", "de", "ru", "zh", "ja", "th", "sw", "bn"}
    for code in ("es", "de"):
        items: list[Item] = source.items(task, code)
        assert [item.fields[0] for item in items] == TEXTS[code]
        assert [item.answers for item in items] == [("7",), ("800",)]
        written = ("3 + 4 = 7. The answer is 7.", "The answer is 80.")
        rows = zip(items, written, strict=True)
        answers = [Answer(item.id, "arithmetic", code, item.answers, text, 9, True) for item, text in rows]
        assert [outcome.score for outcome in task.grade(answers, {"en", code})] == [1, 0]

"""Bad input: each ends with exit status 2 and one line, and leaves nothing half made."""

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pytest

from calls import Call, Ended
from small_run import lines_of, made, unfinished, write_corpus, write_experiment
from spillover.tasks import TASKS

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Bench:
    """An experiment of one's own to break."""

    root: Path

    @property
    def experiment(self) -> Path:
        return self.root / "broken.toml"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    def file(self, name: str) -> Path:
        """Return a file of the corpus."""
        return self.root / "corpus" / name

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace something in a file of the corpus."""
        text = self.file(name).read_text("utf-8")
        assert old in text
        self.file(name).write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture
def bench(tmp_path: Path, tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # nothing here may ask the network
    monkeypatch.chdir(tmp_path)
    write_experiment(tmp_path / "broken.toml", tiny("llama"), write_corpus(tmp_path / "corpus"))
    yield Bench(tmp_path)


def refused(ended: Ended, bench: Bench, *words: str) -> None:
    """Check what every refusal has in common, and that it names these."""
    assert ended.status == 2, ended
    assert ended.err.count("\n") == 1, ended.err
    assert ended.err.startswith("spillover: ")
    assert "Traceback" not in ended.err + ended.out
    assert ended.out == ""
    for word in words:
        assert word in ended.err, (word, ended.err)
    if bench.runs.is_dir():
        assert unfinished(bench.runs) == []
        assert not (bench.runs / "broken" / "report").exists()


SETTINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "a name for a list": ('tune.targets="q_proj"', ("tune.targets: found 'q_proj', expected: 'all-linear' or a list",)),
    "a wrong value in a list": ("evaluate.languages=[1]", ("evaluate.languages.0: found 1, expected: a valid string",)),
    "unknown key": ("tune.epoch=1", ("broken.toml: unknown key 'tune.epoch'", "did you mean 'epochs'", "choose from")),
    "unknown language": ('translate.to=["xx"]', ("broken.toml: translate.to: found 'xx'", "choose from en, zh")),
    "unknown measured": (
        'evaluate.languages=["Deutsch"]',
        ("evaluate.languages: found 'Deutsch'", "did you mean 'de'"),
    ),
    "unknown task": ('evaluate.tasks=["sentimnt"]', ("evaluate.tasks: found 'sentimnt'", "did you mean 'sentiment'")),
    "unknown task of questions": (
        "questions.task=mood",
        ("questions.task: found 'mood'", f"choose from {', '.join(TASKS)}"),
    ),
    "unknown alias": ("model.name=gemma-3-27m", ("model.name: found 'gemma-3-27m'", "did you mean 'gemma-3-270m'")),
    "no such hub id": ("model.name=nobody/nothing", ("model.name: cannot get 'nobody/nothing'", "choose from gemma")),
    "no such model folder": ("model.name=./nothing", ("model.name: found './nothing'", "expected an alias, a hub id")),
    "unknown source": ("questions.source=web:x", ("questions.source: ", "'web", "choose from starter, folder")),
    "unknown source of items": (
        "evaluate.source=folderr:x",
        ("evaluate.source: ", "'folderr", "did you mean 'folder'"),
    ),
    "no such folder": ("questions.source=folder:corpsu", ("found no folder 'corpsu'", "did you mean 'corpus'")),
    "unknown translator": ("translate.with=deepl", ("translate.with: found 'deepl'", "choose from parallel")),
    "unknown recipe": ("mixture.recipe=x", ("mixture.recipe: found 'x'", "choose from question-translation")),
    "unknown lens": ('analyze.lenses=["tunned"]', ("analyze.lenses: found 'tunned'", "choose from logit")),
    "unknown metric": ('analyze.metrics=["ckaa"]', ("analyze.metrics: found 'ckaa'", "did you mean 'cka'")),
    "one item only": ("analyze.limit=1", ("analyze.metrics: task 'sentiment' has 1 item", "expected at least 4")),
    "unknown target": ('tune.targets=["query"]', ("tune.targets: found ['query']",)),
    "unknown scoring": ("evaluate.scoring=x", ("evaluate.scoring: found 'x'", "'exact'")),
    "no chat template": ("model.template=chat", ("model.template: found 'chat'", "no chat template")),
    "a column that is no field": ("questions.columns.txt=body", ("columns: found 'txt'", "did you mean 'text'")),
    "a column that no file has": (
        "questions.columns.text=body",
        ("en.jsonl: line 1: found no column 'body'", "choose"),
    ),
    "no items in a language": ('evaluate.languages=["en", "fr"]', ("fr.<json|jsonl|csv|tsv|parquet>", "there: en,")),
    "no translations": ('translate.to=["sw"]', ("questions", "sw.<json|jsonl|csv|tsv|parquet>: found no such", "en")),
    "unknown correction": ("report.correction=bonferroni", ("report.correction: found 'bonferroni'", "'holm'")),
    "no margin": ("report.margin=-1", ("report.margin: found -1",)),
    "no task measured": ("evaluate.tasks=[]", ("evaluate.tasks: found []",)),
    "no language measured": ("evaluate.languages=[]", ("evaluate.languages: found []",)),
    "all too long": ("tune.cutoff=8", ("tune.cutoff: all 24 examples are longer than 8",)),
    "not an override": ("tune", ("--set tune: expected key.path=value",)),
}


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ("unsen>=0", "did you mean 'unseen'"),
        ("th>=0", "found 'th', which task 'sentiment' will have no value of; choose from"),
        (
            "mood.toml:nl>=0",
            "found task 'mood.toml'; did you mean 'mine/mood.toml'? choose from sentiment, mood, mine/mood.toml",
        ),
        ("mood:fr>=0", "found 'fr', which task 'mood' will have no value of"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_a_gate_that_tests_nothing_is_refused_before_anything_is_made(
    call: Call, bench: Bench, gate: str, words: str, options: tuple[str, ...]
) -> None:
    tasks = f'evaluate.tasks=["sentiment", "{own_task(bench)}"]'
    refused(call("run", bench.experiment, "--gate", gate, "--set", tasks, "--runs", bench.runs, *options), bench, words)
    assert not bench.runs.exists()


def test_two_tasks_of_one_name_are_refused(call: Call, bench: Bench) -> None:
    for command in ("evaluate", "lint"):
        tasks = f'evaluate.tasks=["{own_task(bench)}", "{own_task(bench, "Mood")}"]'
        ended = call(command, bench.experiment, "--set", tasks, *(("--runs", bench.runs) if command != "lint" else ()))
        refused(
            ended, bench, "evaluate.tasks: found 'mine/mood.toml' and 'mine/Mood.toml', which are both called 'Mood'"
        )


def own_task(bench: Bench, name: str = "mood") -> str:
    """Write the sentiment task under another name, whose items are the shipped one's; return its path."""
    (bench.root / "mine").mkdir(exist_ok=True)
    text = (files("spillover") / "data" / "tasks" / "sentiment.toml").read_text("utf-8")
    text = text.replace('name = "sentiment"', f'name = "{name}"\nsource = "hub:nobody/nothing"', 1)
    (bench.root / "mine" / f"{name}.toml").write_text(text, encoding="utf-8")
    return f"mine/{name}.toml"


@pytest.mark.parametrize("fault", SETTINGS)
def test_a_wrong_setting_is_refused(call: Call, bench: Bench, fault: str) -> None:
    setting, words = SETTINGS[fault]
    refused(call("run", bench.experiment, "--set", setting, "--runs", bench.runs), bench, *words)


ITEMS = "sentiment/items/de.jsonl"
ASKED = "sentiment/questions/de.jsonl"
CORPUS: dict[str, tuple[Callable[[Bench], object], tuple[str, ...]]] = {
    "a label outside the task": (
        lambda bench: bench.edit(ITEMS, '"label": "negative"', '"label": "negativee"'),
        ("de.jsonl: line 3", "'negativee'", "expected a label", "did you mean 'negative'"),
    ),
    "an empty file": (lambda bench: bench.file(ITEMS).write_text(""), ("de.jsonl: found no rows",)),
    "a half-written file": (
        lambda bench: bench.file(ITEMS).write_bytes(bench.file(ITEMS).read_bytes()[:-40]),
        ("de.jsonl: line 8, column 33: not valid JSON: Unterminated string",),
    ),
    "a half-written JSON": (
        lambda bench: bench.file("sentiment/items/sw.json").write_text('[{"id": "senti'),
        ("sw.json: empty, cut off or not json",),
    ),
    "another encoding": (
        lambda bench: bench.file(ITEMS).write_bytes(bench.file(ITEMS).read_text("utf-8").encode("cp037")),
        ("de.jsonl: found", "UTF-8"),
    ),
    "a null": (
        lambda bench: bench.edit(ITEMS, '"label": "negative"', '"label": null'),
        ("de.jsonl: line 3: column 'label': found None", "choose from"),
    ),
    "an id twice": (
        lambda bench: bench.edit(ITEMS, '"sentiment-002"', '"sentiment-001"'),
        ("de.jsonl: line 2: found the id 'sentiment-001'", "line 1 again"),
    ),
    "items of other ids": (
        lambda bench: bench.edit(ITEMS, '"sentiment-002"', '"sentiment-999"'),
        ("task 'sentiment'", "'sentiment-002'", "(2 ids differ)", "expected the same ids in every language"),
    ),
    "an item less": (
        lambda bench: bench.file(ITEMS).write_text("\n".join(lines_of(bench.file(ITEMS))[:-1]), encoding="utf-8"),
        ("en has an item 'sentiment-008' that de lacks",),
    ),
    "questions of other ids": (
        lambda bench: bench.edit(ASKED, '"sentiment-q002"', '"sentiment-q999"'),
        ("'parallel' finds no de question with the id 'sentiment-q002' (1 of 24 are missing)",),
    ),
    "two files for a language": (
        lambda bench: shutil.copy(bench.file(ITEMS), bench.file("sentiment/items/de.json")),
        ("found both 'de.json' and 'de.jsonl'",),
    ),
    "a missing file": (
        lambda bench: bench.file(ITEMS).unlink(),
        ("items/de.<json", "found no such file", "en, nl, sw"),
    ),
    "no experiment": (
        lambda bench: bench.experiment.unlink(),
        ("broken.toml: cannot read the experiment file: No such",),
    ),
    "an empty text": (
        lambda bench: bench.file(ASKED).write_text('{"id": "sentiment-q001", "text": " "}\n'),
        ("questions/de.jsonl: line 1: column 'text': found ' ', expected a text",),
    ),
    "an experiment that is no TOML": (
        lambda bench: bench.experiment.write_text("[model\n"),
        ("broken.toml: not valid TOML", "line 1"),
    ),
    "runs that is a file": (lambda bench: bench.runs.write_text("x"), ("runs", "cannot write")),
}


@pytest.mark.parametrize("fault", CORPUS)
def test_a_wrong_file_is_refused(call: Call, bench: Bench, fault: str) -> None:
    damage, words = CORPUS[fault]
    damage(bench)
    refused(call("run", bench.experiment, "--runs", bench.runs), bench, *words)


@pytest.mark.parametrize("command", ["questions", "translate", "build", "tune", "evaluate", "analyze", "report"])
def test_each_stage_refuses_alike(call: Call, bench: Bench, command: str) -> None:
    options = ("--set", "questions.source=folder:corpsu", "--runs", bench.runs)
    refused(call(command, bench.experiment, *options), bench, "found no folder 'corpsu'", "did you mean 'corpus'")


@pytest.mark.parametrize("command", ["tune", "evaluate", "analyze", "report"])
def test_each_stage_refuses_an_unknown_model_alike(call: Call, bench: Bench, command: str) -> None:
    options = ("--set", "model.name=gemma", "--runs", bench.runs)
    refused(call(command, bench.experiment, *options), bench, "model.name: found 'gemma'", "choose from gemma-3-270m")


def test_what_was_made_before_a_fault_stays_whole(call: Call, bench: Bench) -> None:
    shutil.copy(bench.file(ASKED), bench.root / "kept")
    CORPUS["questions of other ids"][0](bench)
    refused(call("translate", bench.experiment, "--runs", bench.runs), bench, "sentiment-q002")
    assert made(bench.runs, "broken") == Counter(questions=1)
    shutil.copy(bench.root / "kept", bench.file(ASKED))
    assert call("build", bench.experiment, "--runs", bench.runs).status == 0
    assert made(bench.runs, "broken") == Counter(questions=1, pairs=1, examples=1)


def test_a_folder_that_is_no_model_is_refused(call: Call, bench: Bench) -> None:
    options = ("--set", f"model.name={bench.root / 'corpus'}", "--runs", bench.runs)
    refused(call("tune", bench.experiment, *options), bench, "model.name", "holds no config.json")


def test_an_encoder_decoder_is_refused(call: Call, bench: Bench, tiny: Callable[[str], Path]) -> None:
    from transformers import T5Config

    folder = bench.root / "t5"
    shutil.copytree(tiny("llama"), folder)
    T5Config(d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2, vocab_size=50).save_pretrained(folder)
    options = ("--set", f"model.name={folder}", "--runs", bench.runs)
    refused(call("tune", bench.experiment, *options), bench, "is an encoder-decoder (t5), expected a causal")


@pytest.mark.parametrize("name", ["a/b", ".hidden", ".."])
def test_a_name_with_a_path_is_refused(call: Call, bench: Bench, name: str) -> None:
    ended = call("questions", bench.experiment, "--runs", bench.runs, "--name", name)
    refused(ended, bench, f"--name: found '{name}'")
    assert not bench.runs.exists()


def test_models_path_refuses_an_unknown_name(call: Call, bench: Bench) -> None:
    refused(call("models", "path", "gemma"), bench, "found 'gemma'", "choose from gemma-3-270m")


def test_the_installed_command_refuses_alike(bench: Bench) -> None:
    command = Path(sys.executable).with_name("spillover")
    if not command.exists():
        pytest.skip("the package is not installed with its command")
    ended = subprocess.run([command, "run", "none.toml"], capture_output=True, text=True, check=False)
    refused(Ended(ended.returncode, ended.stdout, ended.stderr), bench, "none.toml: cannot read the experiment file")

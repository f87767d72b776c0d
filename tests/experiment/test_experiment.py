"""The experiment file: the design's defaults, a round trip through TOML, and one sentence for everything wrong."""

import pickle
import tomllib
from collections.abc import Sequence
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calls import Call
from spillover.errors import SpilloverError
from spillover.experiment import Experiment, dump_experiment, load_experiment, parse_experiment
from spillover.languages import languages
from spillover.plugins import METRICS
from spillover.store import digest
from spillover.utils.paths import expanded

DESIGN = """
seed = 0

[model]
name     = "gemma-3-270m"
dtype    = "auto"
quantize = "none"
template = "none"

[questions]
source = "starter"
task   = "sentiment"
limit  = 10_000

[translate]
to   = ["zh", "de"]
with = "parallel"
model = ""
endpoint = ""
budget = 0

[mixture]
recipe = "question-translation"
pivot  = "en"
frame  = "plain"

[tune]
rank = 8
alpha = 16
learning_rate = 5e-5
epochs = 3

[evaluate]
source    = ""
tasks     = ["sentiment", "entailment", "paraphrase"]
languages = "all"
labels    = "english"
scoring   = "exact"
limit     = 0

[analyze]
lenses = ["logit"]
limit  = 100
"""
"""The experiment file of the design, word for word but for its comments: every value there is the default."""

BEYOND_THE_DESIGN = {
    "languages": {},
    "model": {"threads": 0, "template_arguments": {}, "system": "", "shots_as": "one turn", "device_map": "none"},
    "questions": {"columns": {}, "classes": [], "missing": "error", "gaps": [], "language": "en"},
    "mixture": {
        "sizes": {},
        "unrelated": {
            "source": "starter",
            "task": "sentiment",
            "limit": 10_000,
            "columns": {},
            "classes": [],
            "missing": "error",
            "gaps": [],
            "language": "en",
        },
        "allow_overlap": False,
        "phases": [],
    },
    "translate": {"drop": [], "quality": "", "quality_model": "", "quality_threshold": None},
    "tune": {
        "targets": ["q_proj", "v_proj"],
        "batch": 16,
        "warmup_ratio": 0.1,
        "cutoff": 2048,
        "validation_share": 0.05,
        "dropout": 0,
        "translations": 200,
        "method": "lora",
        "layers": "all",
        "embeddings": "none",
        "probe_every": 0,
        "report_to": [],
    },
    "evaluate": {
        "columns": {},
        "classes": [],
        "overflow": "drop-exemplars",
        "merged": False,
        "engine": "transformers",
        "missing": "error",
        "gaps": [],
    },
    "analyze": {
        "metrics": list(METRICS),
        "forgetting": 100,
        "patch": 2,
        "answers": False,
        "deactivate": [],
        "deactivate_by": "lape",
    },
    "report": {"correction": "holm", "margin": 2},
}
"""Keys that the design does not name; those of `tune` are the paper's."""


def as_table(experiment: Experiment) -> dict[str, Any]:
    return experiment.model_dump(mode="json", by_alias=True)


def file_of(folder: Path, text: str | bytes) -> Path:
    path = folder / "mine.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_the_defaults_are_the_designs(tmp_path: Path) -> None:
    expected = tomllib.loads(DESIGN)
    for section, keys in BEYOND_THE_DESIGN.items():
        expected[section] = expected.get(section, {}) | keys
    assert as_table(Experiment()) == expected | {"arms": {}, "primary": None, "compare": []}
    assert load_experiment(file_of(tmp_path, "")) == load_experiment(file_of(tmp_path, DESIGN)) == Experiment()


def test_the_old_key_of_forgetting_is_read_and_the_new_one_is_written() -> None:
    old = parse_experiment({"analyze": {"texts": 7}}, "old.toml")
    assert old == parse_experiment({"analyze": {"forgetting": 7}}, "new.toml")
    written = tomllib.loads(dump_experiment(old))["analyze"]
    assert written["forgetting"] == 7
    assert "texts" not in written
    assert digest(old) == "6f4e192394d2429f", "sweeps finished under the old key stay finished"


def test_the_tuning_defaults_are_the_papers() -> None:
    setup = tomllib.loads(files("spillover").joinpath("data", "published.toml").read_text("utf-8"))["setup"]
    tune, lora, optimizer = Experiment().tune, setup["lora"], setup["optimiser"]
    assert (tune.rank, tune.alpha, list(tune.targets)) == (lora["rank"], lora["alpha"], lora["targets"])
    for key in ("learning_rate", "epochs", "batch", "warmup_ratio", "cutoff", "validation_share"):
        assert getattr(tune, key) == optimizer[key], key
    assert Experiment().questions.limit == setup["questions_per_direction"]


def test_an_experiment_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Experiment().tune.epochs = 1  # type: ignore[misc]


TABLES = {
    "model": {
        "template": "chat",
        "template_arguments": {"enable_thinking": False, "tools": ["a", {"b": [1]}], "deep": {"x": {"y": 1}}},
    },
    "questions": {"columns": {"text": "t"}, "classes": {"1": "negative", "2": "positive"}},
    "mixture": {"sizes": {"zh": 3, "de": 4}, "unrelated": {"columns": {"text": "t"}}},
    "evaluate": {"classes": {"sentiment": {"0": "negative"}, "paraphrase": ["different", "same"]}},
    "languages": {"xy": {"name": "Xy", "script": "Latin", "family": "Other", "tier": "low"}},
}
"""A section → each of its tables, filled."""


def backwards(table: Any) -> Any:  # noqa: ANN401
    """Return a table whose keys come in the other order."""
    return {key: backwards(table[key]) for key in reversed(table)} if isinstance(table, dict) else table


def test_every_section_can_be_hashed_and_none_changed() -> None:
    one, other = (parse_experiment(table, "test") for table in (TABLES, backwards(TABLES)))
    again = parse_experiment(tomllib.loads(dump_experiment(one)), "test")
    for copy in (other, again, pickle.loads(pickle.dumps(one)), deepcopy(one)):
        assert (copy, hash(copy)) == (one, hash(one))
        for name in Experiment.model_fields:
            assert hash(getattr(copy, name)) == hash(getattr(one, name))
    assert (
        len(
            {
                one,
                parse_experiment(TABLES | {"model": {"template": "chat", "template_arguments": {"deep": {}}}}, "test"),
            }
        )
        == 2
    )
    for table in (one.model.template_arguments, one.model.template_arguments["deep"], one.mixture.sizes, one.languages):
        for change in ("update", "clear", "pop", "popitem", "setdefault", "__setitem__", "__delitem__", "__ior__"):
            with pytest.raises(TypeError, match="cannot be changed"):
                getattr(table, change)("a", 1)
    assert one.model.template_arguments["tools"] == ["a", {"b": [1]}], "as a template prints it"


@pytest.mark.parametrize(("to", "pivot", "name"), [(("zh", "de"), "en", "zh/de=>en"), (("sw",), "it", "sw=>it")])
def test_a_mixture_names_itself_as_the_paper_does(to: Sequence[str], pivot: str, name: str) -> None:
    table = {"translate": {"to": list(to)}, "mixture": {"pivot": pivot}}
    assert parse_experiment(table, "test").mixture_name == name


# Round trip

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
odd = ["", " ", "no", "'", '"', '"""', "\\", "\r\n", "\x00", "\x7f", "\ufeff", "a = 1", "#", "ด้"]
strings = (text | st.sampled_from(odd)).filter(lambda written: expanded(written) == written)
"""Texts that name no folder of this machine: `~` is read as the folder that it stands for."""
codes = st.lists(st.sampled_from([code for code in languages() if code != "en"]), min_size=1, unique=True)
positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
shares = st.floats(0, 1, exclude_max=True)
tables = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(0, 2**32 - 1),
        "model": st.fixed_dictionaries({"name": strings, "dtype": st.sampled_from(["auto", "float32"])}),
        "questions": st.fixed_dictionaries(
            {
                "source": strings,
                "limit": st.integers(0, 2**40),
                "columns": st.dictionaries(strings, strings, max_size=3),
            }
        ),
        "translate": st.fixed_dictionaries({"to": codes, "with": strings}),
        "tune": st.fixed_dictionaries(
            {"alpha": positive, "learning_rate": positive, "epochs": positive, "validation_share": shares}
        ),
        "evaluate": st.fixed_dictionaries(
            {"languages": st.just("all") | codes, "tasks": st.lists(strings, min_size=1, max_size=3, unique=True)}
        ),
        "analyze": st.fixed_dictionaries({"lenses": st.lists(strings, max_size=3), "limit": st.integers(0, 9)}),
    },
)


@settings(deadline=None)
@given(tables)
def test_what_is_written_reads_back_equal(table: dict[str, Any]) -> None:
    experiment = parse_experiment(table, "test")
    again = parse_experiment(tomllib.loads(dump_experiment(experiment)), "test")
    assert again == experiment
    for section, values in table.items():
        written = as_table(experiment)[section]
        assert (written | values if isinstance(values, dict) else values) == written


@settings(deadline=None, max_examples=30)
@given(name=strings)
def test_the_file_itself_reads_back(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    experiment = parse_experiment({"model": {"name": name}}, "test")
    path = file_of(tmp_path_factory.mktemp("round"), dump_experiment(experiment))
    assert load_experiment(path) == experiment


def test_norwegian_is_a_language_and_not_a_truth_value(tmp_path: Path) -> None:
    found = load_experiment(file_of(tmp_path, '[translate]\nto = ["no"]'), ['evaluate.languages=["no"]'])
    assert (found.translate.to, found.evaluate.languages) == (("no",), ("no",))


# Overrides


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("tune.epochs=1", ("tune", "epochs"), 1),
        ("tune.learning_rate=1e-4", ("tune", "learning_rate"), 1e-4),
        ("seed=7", ("seed",), 7),
        ("model.name=owner/model-7b", ("model", "name"), "owner/model-7b"),
        ('model.name="quoted"', ("model", "name"), "quoted"),
        ("evaluate.source=folder:a=b/c", ("evaluate", "source"), "folder:a=b/c"),
        ("evaluate.source=", ("evaluate", "source"), ""),
        ('translate.to=["sw", "hi"]', ("translate", "to"), ["sw", "hi"]),
        ("translate.with=parallel", ("translate", "with"), "parallel"),
        ("evaluate.languages=all", ("evaluate", "languages"), "all"),
        ('evaluate.languages=["EN", "nb", "hin_Deva"]', ("evaluate", "languages"), ["en", "no", "hi"]),
        ('translate.to=["zh-CN", "DEU"]', ("translate", "to"), ["zh", "de"]),
        ("mixture.pivot=eng_Latn", ("mixture", "pivot"), "en"),
        ("mixture.sizes={zho=5}", ("mixture", "sizes"), {"zh": 5}),
        ("questions.columns.text=body", ("questions", "columns", "text"), "body"),
        (" tune.rank = 4", ("tune", "rank"), 4),
        ("questions.limit=1_000", ("questions", "limit"), 1000),
    ],
)
def test_an_override_replaces_one_key(tmp_path: Path, override: str, path: Sequence[str], value: object) -> None:
    given_text = '[tune]\nepochs = 9\nlearning_rate = 1.0\n[model]\nname = "x"\n[questions]\ncolumns = { id = "key" }\n'
    before = as_table(load_experiment(file_of(tmp_path, given_text)))
    after = as_table(load_experiment(file_of(tmp_path, given_text), [override]))
    *sections, last = path
    inner = before
    for section in sections:
        inner = inner[section]
    inner[last] = value
    assert after == before


def test_the_last_override_wins(tmp_path: Path) -> None:
    assert load_experiment(file_of(tmp_path, ""), ["seed=1", "seed=2"]).seed == 2


# What is wrong

FAULTS: dict[str, tuple[str, str]] = {
    "unknown section": (
        "[modle]\nname = 'x'",
        r"unknown key 'modle'; did you mean 'model'\? choose from seed, model, qu",
    ),
    "unknown key": (
        "[tune]\nepoch = 1",
        r"unknown key 'tune.epoch'; did you mean 'epochs'\? choose from rank, alpha, t",
    ),
    "the field's own name": (
        "[translate]\ntranslator = 'x'",
        "unknown key 'translate.translator'; choose from to, with, drop, model, endpoint, budget, "
        "quality, quality_model, quality_threshold$",
    ),
    "text for a number": ("[tune]\nepochs = 'three'", "tune.epochs: found 'three', expected: .*number"),
    "not whole": ("[tune]\nrank = 8.5", "tune.rank: found 8.5, expected: .*integer"),
    "too low": ("[tune]\nlearning_rate = 0", "tune.learning_rate: found 0, expected: .*greater than 0"),
    "negative": ("seed = -1", "seed: found -1, expected: .*greater than or equal to 0"),
    "too high": ("[tune]\nwarmup_ratio = 1.0", "tune.warmup_ratio: found 1.0, expected: .*less than 1"),
    "not one of": ("[model]\ndtype = 'half'", "model.dtype: found 'half', expected: .*'auto', 'float32', 'bfloat16'"),
    "another frame": ("[mixture]\nframe = 'fancy'", "mixture.frame: found 'fancy', expected: .*'plain', 'task-frame'"),
    "another scoring": ("[evaluate]\nscoring = 'x'", "evaluate.scoring: found 'x', expected: .*'exact', 'constrained'"),
    "number for text": ("[model]\nname = 5", "model.name: found 5, expected: .*string"),
    "text for a list": ("[evaluate]\ntasks = 'sentiment'", "evaluate.tasks: found 'sentiment', expected: .*tuple|list"),
    "number in a list": ("[analyze]\nlenses = ['logit', 3]", r"analyze.lenses.1: found 3, expected: .*string"),
    "number for classes": ("[questions]\nclasses = 3", "questions.classes: found 3, expected: a list or "),
    "value for a section": ("tune = 3", "tune: found 3, expected: "),
    "column without a name": ("[questions.columns]\ntext = 3", "questions.columns.text: found 3, expected: .*string"),
    "infinite": ("[tune]\nlearning_rate = inf", "tune.learning_rate: found inf, expected: .*finite"),
    "not a number": ("[tune]\nepochs = nan", "tune.epochs: found nan, expected: "),
    "some of all languages": ("[evaluate]\nlanguages = 'some'", "evaluate.languages: found 'some', expected: .*'all'"),
    "unknown language": (
        "[translate]\nto = ['zh', 'xx']",
        "translate.to: found 'xx', expected a language code; choose fr",
    ),
    "unknown pivot": (
        "[mixture]\npivot = 'engl'",
        r"mixture.pivot: found 'engl', .*did you mean 'en'\? choose from en, zh",
    ),
    "unknown measured": ("[evaluate]\nlanguages = ['xx']", "evaluate.languages: found 'xx', expected a language code"),
    "a language's name": ("[translate]\nto = ['Deutsch']", r"translate.to: found 'Deutsch', exp.*did you mean 'de'\?"),
    "a country": ("[mixture]\npivot = 'cn'", r"mixture.pivot: found 'cn', expected .*did you mean 'zh'\?"),
    "another script": (
        "[evaluate]\nlanguages = ['de-Cyrl']",
        "'de' is German in its usual script alone",
    ),
    "two spellings of one": ("[translate]\nto = ['zh', 'zho_Hans']", r"twice in \['zh', 'zho_Hans'\]"),
    "two sizes of one": ("[mixture]\nsizes = {zh = 1, zh-CN = 2}", r"mixture.sizes: found a language twice"),
    "a language twice": (
        "[translate]\nto = ['zh', 'zh']",
        r"translate.to: found a language twice in \['zh', 'zh'\], exp",
    ),
    "measured twice": ("[evaluate]\nlanguages = ['de', 'de']", "evaluate.languages: found a language twice"),
    "no language": (
        "[translate]\nto = []",
        r"translate.to: found \[\], expected at least one language, .*choose from zh",
    ),
    "the pivot itself": ("[translate]\nto = ['en']", r"translate.to: found \['en'\], expected .* not the pivot 'en'"),
    "nothing measured": ("[evaluate]\nlanguages = []", r"evaluate.languages: found \[\], expected"),
    "no task": ("[evaluate]\ntasks = []", r"evaluate.tasks: found \[\], expected"),
    "a score of no neurons": (
        "[analyze]\ndeactivate_by = 'peaked-lape'",
        "analyze.deactivate_by: found 'peaked-lape' without analyze.deactivate, expected",
    ),
    "a task twice": ("[evaluate]\ntasks = ['sentiment', 'sentiment']", "evaluate.tasks: found .*twice"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_sentence_with_file_key_found_and_expected(tmp_path: Path, fault: str) -> None:
    content, expected = FAULTS[fault]
    path = file_of(tmp_path, content)
    with pytest.raises(SpilloverError, match=expected) as caught:
        load_experiment(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert not any(word in message for word in ("pydantic", "Traceback", "literal[", "tuple[", "dict["))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[tune\nrank = 1", "mine.toml: not valid TOML: .*line 1"),
        ("to = no", "mine.toml: not valid TOML"),
        ("seed = 1\nseed = 2", "mine.toml: not valid TOML: Cannot overwrite"),
        ('[model]\nname = "half', "mine.toml: not valid TOML"),
        (b'[model]\nname = "\xe4"', "mine.toml: not valid TOML: .*utf-8"),
    ],
)
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, content: str | bytes, expected: str) -> None:
    with pytest.raises(SpilloverError, match=expected):
        load_experiment(file_of(tmp_path, content))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpilloverError, match=r"none\.toml: cannot read the experiment file: No such file"):
        load_experiment(tmp_path / "none.toml")
    with pytest.raises(SpilloverError, match="cannot read the experiment file: Is a directory"):
        load_experiment(tmp_path)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("tune.epochs", r"--set tune\.epochs: expected key\.path=value, such as tune\.epochs=1"),
        ("=1", "--set =1: expected key"),
        ("", "--set : expected key"),
        ("seed.x=1", r"--set seed\.x=1: 'seed' is a value, expected a section"),
        ("tune.rank.x=1", r"--set tune\.rank\.x=1: 'rank' is a value, expected a section"),
        ("tune.epoch=1", r"mine\.toml: unknown key 'tune\.epoch'; did you mean 'epochs'"),
        ("tune.epochs=three", r"mine\.toml: tune\.epochs: found 'three', expected: .*number"),
        ("evaluate.languages=de", r"evaluate\.languages: found 'de', expected"),
        ("tune..epochs=1", r"unknown key 'tune\.'"),
        ("tune=1", r"mine\.toml: tune: found 1, expected"),
    ],
)
def test_a_wrong_override_is_one_sentence(tmp_path: Path, override: str, expected: str) -> None:
    with pytest.raises(SpilloverError, match=expected):
        load_experiment(file_of(tmp_path, "seed = 3\n[tune]\nrank = 4"), [override])


def test_the_bundled_demo_is_an_experiment() -> None:
    found = load_experiment(Path(str(files("spillover").joinpath("data", "demo.toml"))))
    assert (found.mixture_name, found.model.name, found.evaluate.languages) == ("zh/de=>en", "gemma-3-270m", "all")
    assert (found.questions.source, found.evaluate.tasks, found.analyze.limit) == ("starter", ("sentiment",), 10)


def test_home_and_variables_are_replaced_in_every_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DATA", "/big")
    found = load_experiment(
        file_of(tmp_path, '[model]\nname = "~/model"\n[mixture.unrelated]\nsource = "folder:${DATA}/other"'),
        [
            "questions.source=folder:~/mine",
            "questions.task=$HOME/task.toml",
            "translate.model=~/nllb",
            "evaluate.source=hub:$DATA/set",
            'evaluate.tasks=["~/task.toml", "harness:~/yaml/x_{language}", "sentiment", "$UNSET/a~b.toml"]',
        ],
    )
    assert (found.model.name, found.mixture.unrelated.source) == ("/home/me/model", "folder:/big/other")
    assert (found.questions.source, found.questions.task) == ("folder:/home/me/mine", "/home/me/task.toml")
    assert (found.translate.model, found.evaluate.source) == ("/home/me/nllb", "hub:/big/set")
    assert found.evaluate.tasks == (
        "/home/me/task.toml",
        "harness:/home/me/yaml/x_{language}",
        "sentiment",
        "$UNSET/a~b.toml",
    )


def test_home_is_replaced_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    file_of(tmp_path, "")
    assert call("questions", "~/mine.toml", "--runs=~/out").status == 0
    assert (tmp_path / "out" / "mine" / "questions.parquet").is_file()
    assert not (tmp_path / "~").exists()

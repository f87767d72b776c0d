"""Experiments that nobody would write: one sentence or a result, never a traceback, nothing written beside the runs."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from calls import Call
from spillover.errors import SpilloverError, one_line
from spillover.experiment import Experiment, load_experiment
from spillover.store import Store
from spillover.tasks import load_task, open_task

SETTINGS = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
evil = st.sampled_from([
    "..", "../..", "../../climbs", "/", "/tmp/climbs", "~", ".", ".hidden", "a/b", "a\\b", "C:\\x", "-", "--help",
    "", " ", "\n", "a\nb", "\x00", "a\x00b", "\x7f", "\u2028", "\u202e", "\u200d", "\ufeff", "é", "e\u0301",
    "a" * 300, "a" * 5000, "🙂" * 80, "{language}", "{to}", "%s", "no", "nan", "${HOME}", "*.toml", "con",
    ".:x", ":x", "x:", "..:x", "os.nothing:x", "a b:c", "json:nothing", "\x00:x", "é:x",
    "folder:", "folder:..", "folder:\x00", "folder:a\nb", "folder:" + "a" * 5000, "paper:/", "starter:x",
    "mine.toml", "../mine.toml", "\x00.toml", "a" * 300 + ".toml", "harness:", "harness:..{language}",
])  # fmt: skip
names = evil | text
scalars = st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | names | st.dates() | st.datetimes() | st.times()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=6
)
SECTIONS = {
    name: list(field.default.model_dump(by_alias=True)) if hasattr(field.default, "model_dump") else []
    for name, field in Experiment.model_fields.items()
}


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """Tables whose keys are mostly the experiment's, and whose values are anything that TOML can hold."""
    found: dict[str, Any] = {}
    for section in draw(st.lists(st.sampled_from(list(SECTIONS)) | names, max_size=4, unique=True)):
        keys = st.sampled_from(SECTIONS[section]) if SECTIONS.get(section) else names
        found[section] = draw(values | st.dictionaries(keys | names, values, max_size=3))
    return found


def one_sentence(error: SpilloverError) -> None:
    assert "\n" not in one_line(str(error))
    assert len(str(error)) < 20_000


@SETTINGS
@given(tables(), st.lists(names | st.builds("{}={}".format, names, names), max_size=2))
@example({"questions": {"columns": {"a\nb": 1}}}, [])
@example({}, ["seed=" + "[" * 2000])
@example({}, ["seed=" + "9" * 5000])
def test_a_table_is_an_experiment_or_one_sentence(tmp_path: Path, table: dict[str, Any], overrides: list[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    try:
        assert isinstance(load_experiment(path, overrides), Experiment)
    except SpilloverError as error:
        one_sentence(error)


@SETTINGS
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"seed = " + b"[" * 2000)
@example(b"seed = " + b"9" * 5000)
@example(b"[" * 2000)
@example(b"\xff\xfe")
def test_a_file_of_anything_is_an_experiment_or_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    try:
        assert isinstance(load_experiment(path), Experiment)
    except SpilloverError as error:
        one_sentence(error)


@SETTINGS
@given(
    st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(("name", "source"), names),
            **dict.fromkeys(("fields", "labels", "agnostic", "exemplar_labels"), st.lists(names, max_size=2) | values),
            "draft": values,
            "extends": st.sampled_from(["sentiment", "task.toml", "./none.toml"]) | names | values,
            "rows": st.dictionaries(st.sampled_from(["en", "de"]) | names, values, max_size=2),
        },
    )
)
def test_a_task_is_one_or_one_sentence(tmp_path: Path, table: dict[str, Any]) -> None:
    path = tmp_path / "task.toml"
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    try:
        load_task(path)
    except SpilloverError as error:
        one_sentence(error)


@SETTINGS
@given(names)
@example("harness:{language}")
@example("harness:a/..{language}")
def test_a_tasks_name_is_one_or_one_sentence(name: str) -> None:
    try:
        assert "/" not in open_task(name).name
    except SpilloverError as error:
        one_sentence(error)
    except OSError as error:  # a name that is too long to be a file's: the command line makes a sentence of it
        assert error.strerror


@SETTINGS
@given(names, names)
def test_nothing_in_a_run_folder_leads_out_of_it(tmp_path: Path, name: str, link: str) -> None:
    """Whatever a run, a link, or a file of the run's is called."""
    runs = tmp_path / "deep" / "runs"

    def write(folder: Path) -> None:
        (folder / "file").write_text("made")

    for use in (
        lambda store: store.get_or_make("kind", [name, link], link, write),
        lambda store: store.save(link, "text"),
        lambda store: store.save_new(link, "text"),
        lambda store: store.replace(link, "key", lambda: {"index": "x"}),
        lambda store: store.replace("report", link, lambda: {link: "x"}),
    ):
        try:
            use(Store(runs, name))
        except SpilloverError as error:
            one_sentence(error)
        except (OSError, ValueError) as error:
            assert "\x00" in name + link or getattr(error, "errno", None) == errno.ENAMETOOLONG, error
    assert {path.name for path in tmp_path.iterdir()} <= {"deep"}
    assert {path.name for path in (tmp_path / "deep").glob("*")} <= {"runs"}
    assert not (Path("/tmp") / "climbs").exists()


@pytest.fixture
def try_out(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command line in a folder of its own, and look what it left beside its runs."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # nothing here may ask the network
    place = tmp_path / "in" / "place"
    place.mkdir(parents=True)
    monkeypatch.chdir(place)
    before = set(tmp_path.rglob("*")) | {place / "runs", place / "mine.toml"}

    def run(table: dict[str, Any], *arguments: str) -> int:
        (place / "mine.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
        status, _, err = call(*arguments)
        assert "Traceback" not in err
        if status == 2 and "Usage" not in err:
            assert err.startswith("spillover: ")
            assert err.count("\n") == 1, err
        beside = {path for path in tmp_path.rglob("*") if (place / "runs") not in path.parents}
        assert beside <= before, beside - before
        assert status in (0, 1, 2), status
        return status

    return run


plausible = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(0, 2**32 - 1),
        "questions": st.fixed_dictionaries(
            {"limit": st.sampled_from([1, 3, 2**63 - 1])},
            optional={
                "source": st.just("starter") | names,
                "task": st.just("sentiment") | names,
                "columns": st.dictionaries(st.sampled_from(["text", "id", "label"]) | names, names, max_size=2),
            },
        ),
        "translate": st.fixed_dictionaries({"to": st.just(["de"])}, optional={"with": st.just("parallel") | names}),
        "mixture": st.fixed_dictionaries(
            {},
            optional={
                "recipe": st.sampled_from(["question-translation", "copy", "both"]) | names,
                "pivot": st.sampled_from(["en", "zh"]),
                "sizes": st.dictionaries(st.sampled_from(["de", "en"]), st.sampled_from([1, 2**63 - 1]), max_size=2),
            },
        ),
        "evaluate": st.fixed_dictionaries(
            {
                "tasks": st.lists(st.just("sentiment") | names, min_size=1, max_size=2, unique=True),
                "languages": st.just(["en", "de"]),
            },
            optional={
                "source": st.just("starter") | names,
                "limit": st.sampled_from([1, 2**63 - 1]),
                "columns": st.dictionaries(names, names, max_size=1),
            },
        ),
        "model": st.fixed_dictionaries({"name": names}),
    },
)


@settings(SETTINGS, max_examples=30)
@given(plausible, st.sampled_from(["questions", "translate", "build"]), st.none() | names)
@example({}, "build", "../climbs")
@example({"questions": {"task": "mine.toml"}}, "build", None)
@example({"questions": {"task": "\x00.toml", "limit": 1}}, "build", None)
def test_a_stage_ends_well_or_in_one_sentence(
    try_out: Callable[..., int], table: dict[str, Any], stage: str, name: str | None
) -> None:
    try_out(table, stage, "mine.toml", *(() if name is None else ("--name", name)))


@settings(SETTINGS, max_examples=12)
@given(plausible, st.sampled_from(["lint", "prompts"]))
def test_looking_writes_nothing_and_ends_well(try_out: Callable[..., int], table: dict[str, Any], command: str) -> None:
    try_out(table, command, "mine.toml")


varied = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.lists(st.integers(-1, 3) | names, max_size=3),
        "model": st.fixed_dictionaries({"name": st.lists(names, max_size=3)}),
        "translate": st.fixed_dictionaries(
            {"to": st.lists(st.lists(st.sampled_from(["de", "zh"]) | names), max_size=3)}
        ),
        "tune": st.lists(
            st.dictionaries(st.sampled_from(["epochs", "learning_rate"]) | names, st.floats()), max_size=3
        ),
    },
)


@settings(SETTINGS, max_examples=30)
@given(plausible, varied, st.none() | names)
@example({}, {"seed": [0, 1], "translate": {"to": [["de"], ["zh", "de"]]}}, "../climbs")
@example({}, {"seed": [[0], [1]]}, None)
@example({}, {"tune": [{"epochs": 1.0}, {"epochs": 1.0}]}, None)
def test_a_grid_is_planned_or_refused_in_one_sentence(
    try_out: Callable[..., int], table: dict[str, Any], lists: dict[str, Any], name: str | None
) -> None:
    try_out(table | lists, "sweep", "mine.toml", "--dry-run", *(() if name is None else ("--name", name)))

"""What a run would take is told from what earlier ones took, and telling it makes nothing that costs."""

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import tomli_w

from calls import Call
from spillover.analysis.statistics.planning import planned_gain
from spillover.models.speed import Speed
from spillover.runs.rates import UnitCost, measured_costs
from spillover.utils.marker import write_marker

pytestmark = pytest.mark.usefixtures("one_thread")
QUESTIONS, ITEMS = 8, 4


class Costly:
    """An engine that must not be asked."""

    version = "1"

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        raise AssertionError("a dry run paid for a translation")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny: Callable[[str], Path]) -> Path:
    folder = tmp_path_factory.mktemp("forecast")
    table = {
        "model": {"name": str(tiny("llama")), "dtype": "float32"},
        "questions": {"limit": QUESTIONS},
        "translate": {"to": ["de"]},
        "tune": {"epochs": 1, "translations": 0, "validation_share": 0},
        "evaluate": {"tasks": ["sentiment"], "languages": ["en", "de"], "limit": ITEMS},
        "analyze": {"limit": 2, "texts": 2, "patch": 0, "metrics": []},
    }
    (folder / "e.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
    return folder


Forecast = Callable[..., list[str]]


@pytest.fixture
def forecast(call: Call, place: Path) -> Forecast:
    """Return a function: options → the lines that a run with them prints, without those about licenses."""

    def lines(*options: str, name: str = "e", dry: bool = True) -> list[str]:
        experiment = ("run", place / "e.toml", "--runs", place / "runs", "--name", name)
        ended = call(*experiment, *(("--dry-run",) if dry else ()), *options)
        assert ended.status == 0, ended.err
        return [line for line in ended.out.splitlines() if not line.startswith("license of the ")]

    return lines


def made(place: Path) -> set[str]:
    return {path.name.rpartition("-")[0] for path in (place / "runs" / ".stages").iterdir() if path.is_dir()}


def stages(place: Path) -> list[Path]:
    return sorted(path for path in (place / "runs" / ".stages").glob("*-*") if path.is_dir())


@pytest.fixture(autouse=True)
def speed(monkeypatch: pytest.MonkeyPatch) -> Speed:
    """A machine whose speed need not be measured."""
    fixed = Speed(read=1.0, learn=10.0, write=100.0, unembed=0.0)
    monkeypatch.setattr("spillover.runs.estimates.machine_speed", lambda model, shape: fixed)
    return fixed


def test_of_a_model_that_is_not_here_time_and_disk_are_unknown(forecast: Forecast, place: Path) -> None:
    """And the hub is not asked for it."""
    found = forecast("--set", "model.name=nobody/nothing")
    assert found == [
        "de: nothing to translate, since the data have the translations",
        f"tune: {QUESTIONS} examples: time and disk unknown",
        f"evaluate: {2 * 2 * ITEMS} items ({2 * ITEMS} × 2 arms): time and disk unknown",
        "analyze: 8 items traced (4 × 2 arms): time and disk unknown",
        "texts: 8 texts (4 × 2 arms): time and disk unknown",
        "in all: time and disk unknown until the model is on this machine; to get it: spillover fetch EXPERIMENT "
        "(model.name is nobody/nothing)",
    ]
    assert made(place) == {"questions", "pairs", "examples"}


def test_without_an_earlier_run_there_is_a_first_estimate(forecast: Forecast, place: Path, tmp_path: Path) -> None:
    """A part with twice the work takes twice the time, and the sum is that of the parts."""
    lines = forecast("--runs", tmp_path)
    work = [line for line in lines if ": roughly " in line][:-1]
    assert [line.partition(":")[0] for line in work] == ["tune", "evaluate", "analyze", "texts"]
    reason = f"a first estimate, within about a factor of two: {tmp_path} has no finished run of "
    assert lines[-1].startswith("in all: roughly ")
    assert reason in lines[-1]
    longer = forecast("--runs", tmp_path, "--set", "evaluate.limit=0", "--set", "tune.epochs=2")
    assert [line.partition(": roughly")[0] for line in longer[1:3]] == [
        f"tune: {2 * QUESTIONS} examples ({QUESTIONS} × 2 epochs)",
        "evaluate: 240 items (120 × 2 arms)",
    ]


def rate(place: Path, kind: str) -> tuple[float, float]:
    """Return seconds and bytes an item, by going through the stages of a kind."""
    seconds = size = rows = 0.0
    for folder in (place / "runs" / ".stages").glob(f"{kind}-*"):
        if folder.is_dir():
            files = list(folder.iterdir())
            seconds += json.loads((folder / "complete.json").read_text("utf-8"))["seconds"]
            size += sum(file.stat().st_size for file in files)
            rows += sum(pq.read_table(file).num_rows for file in files if file.suffix == ".parquet")
    return seconds / rows, size / rows


def test_after_a_run_only_what_is_not_there_is_counted(forecast: Forecast, place: Path) -> None:
    forecast(dry=False)
    assert forecast()[1:] == [
        "tune: nothing",
        "evaluate: nothing",
        "analyze: nothing",
        "texts: nothing",
        "in all: about 0 s and 0.0 MB",
    ]
    before = made(place), stages(place)
    found = forecast("--set", 'evaluate.languages=["en", "de", "th"]', name="more")
    seconds, size = rate(place, "predictions")
    expected = UnitCost(seconds, size).times(2 * ITEMS)
    assert found[1:3] == ["tune: nothing", f"evaluate: {2 * ITEMS} items: {expected}"]
    again = forecast("--set", "tune.epochs=3", name="longer")
    assert again[1].startswith(f"tune: {3 * QUESTIONS} examples ({QUESTIONS} × 3 epochs): about ")
    assert again[2].startswith(f"evaluate: {2 * ITEMS} items: about ")
    assert (made(place), stages(place)) == before, "nothing was made"
    assert again[3].startswith("analyze: 4 items traced: about ")
    assert again[4].startswith("texts: 4 texts: about ")
    other = forecast("--set", "model.dtype=bfloat16", name="other")
    assert ", a first estimate, " in other[-1], "in another precision it takes another time"


PHASES = """mixture.phases=[
    { parts = [{ recipe = "question-translation" }], epochs = 0.5 },
    { parts = [{ recipe = "reverse" }, { recipe = "copy", weight = 3 }], epochs = 2 },
]"""


def test_each_phase_counts_with_its_own_epochs(forecast: Forecast, tmp_path: Path) -> None:
    """Before a run, and in what a run measured: one step learns one example here, so its steps are counted."""
    options = ("--runs", tmp_path, "--set", PHASES.replace("\n", ""), "--set", "tune.batch=1")
    phases = f"{QUESTIONS} × 0.5 epochs + {2 * QUESTIONS} × 2 epochs"
    examples = round(0.5 * QUESTIONS + 2 * 2 * QUESTIONS)
    assert forecast(*options)[1].startswith(f"tune: {examples} examples ({phases}): roughly ")
    forecast(*options, dry=False)
    (history,) = (tmp_path / ".stages").glob("adapter-*/history.json")
    assert len(json.loads(history.read_text("utf-8"))["losses"]) == examples
    seconds = json.loads((history.parent / "complete.json").read_text("utf-8"))["seconds"]
    (cost,) = (cost for (_, part), cost in measured_costs(tmp_path).items() if part == "tune")
    assert cost.seconds == pytest.approx(seconds / examples)


def test_probes_are_not_left_out_in_silence(forecast: Forecast) -> None:
    """Steps are the examples of all epochs over the batch; there is a probe before the first one."""
    examples = 2 * QUESTIONS
    lines = forecast("--set", "tune.epochs=2", "--set", "tune.batch=3", "--set", "tune.probe_every=2")
    probes = 1 + -(-examples // (3 * 2))
    assert lines[1].startswith(
        f"tune: {examples} examples ({QUESTIONS} × 2 epochs, without the time of about {probes} probes)"
    )


def test_a_fresh_copy_of_an_address_counts_what_is_left_of_the_runs_there(
    call: Call, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dry_run(machine: str) -> str:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / machine))
        ended = call("run", place / "e.toml", "--runs", address, "--dry-run")
        assert ended.status == 0, ended.err
        return ended.out

    address = f"file://{tmp_path / 'runs'}"
    assert "tune: nothing" not in dry_run("first"), "nothing is there yet"
    assert call("evaluate", place / "e.toml", "--runs", address).status == 0
    told = dry_run("second")
    assert "tune: nothing\nevaluate: nothing\n" in told
    assert f"analyze: {2 * 2 * 2} items" in told


def test_a_killed_tuning_counts_with_what_is_left_of_it(forecast: Forecast, place: Path, tmp_path: Path) -> None:
    """By its newest complete checkpoint."""
    shutil.copytree(place / "runs", tmp_path / "runs", symlinks=True)
    (adapter,) = {link.resolve() for link in (tmp_path / "runs").glob("*/adapter")}
    partial = adapter.with_name(f"{adapter.name}.partial")
    adapter.rename(partial)
    for step in (2, 3):
        checkpoint = partial / "checkpoints" / "0" / f"checkpoint-{step}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "trainer_state.json").write_text(json.dumps({"global_step": step, "max_steps": 4}))
    write_marker(partial / "checkpoints" / "0" / "checkpoint-2")
    lines = forecast("--runs", tmp_path / "runs")
    assert lines[1].startswith(f"tune: {QUESTIONS // 2} examples (50% of the tuning is done): ")
    write_marker(checkpoint)
    lines = forecast("--runs", tmp_path / "runs", "--set", "tune.epochs=1")
    assert lines[1].startswith(f"tune: {QUESTIONS // 4} examples (75% of the tuning is done): ")


def test_the_gain_that_the_items_can_show_is_told_before_anything_is_measured(forecast: Forecast) -> None:
    """Over the languages that are neither tuned on nor the pivot; where there is none, nothing is told."""
    lines = forecast("--set", 'evaluate.languages=["en", "de", "th", "sw"]', name="planned")
    gain = 100 * planned_gain(ITEMS, 2)
    expected = (
        f"sentiment: {ITEMS} items × 2 languages not tuned on show a mean gain of +{gain:.1f} points with 80% power, "
    )
    few = "if tuning changes 20% of the answers; fewer than 30 items are given no verdict"
    assert f"{expected}{few}" in lines
    assert not any("80% power" in line for line in forecast(name="seen"))
    passages = ('evaluate.tasks=["reading"]', "evaluate.limit=9", 'evaluate.languages=["th", "sw"]')
    lines = forecast(*(word for change in passages for word in ("--set", change)), name="passages")
    gain = 100 * planned_gain(9, 2, units=3)
    expected = f"reading: 9 items in 3 clusters × 2 languages not tuned on show a mean gain of +{gain:.1f} points with"
    assert any(line.startswith(expected) for line in lines)


def test_nothing_is_translated(
    call: Call, forecast: Forecast, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "my_costly", sys.modules[__name__])
    chosen = ["--set", "translate.with=my_costly:Costly", "--set", 'translate.to=["de", "th"]']
    found = forecast(*chosen, name="paid")
    asked = pq.read_table(place / "runs" / "paid" / "questions.parquet").to_pylist()
    count = sum(len(field) for row in asked for field in row["fields"])
    assert found[:2] == [f"{code}: {count} characters to my_costly:Costly" for code in ("de", "th")]
    assert found[2].startswith(f"tune: {2 * QUESTIONS} examples: ")
    stage = ("translate", place / "e.toml", "--runs", place / "runs", "--name", "paid", "--dry-run", *chosen)
    *characters, terms = call(*stage).out.splitlines()
    assert characters == found[:2], "as the stage itself says"
    assert terms.startswith("license of the translator my_costly:Costly: not recorded here")


def test_licenses_come_last(call: Call, place: Path) -> None:
    options = ("--set", "model.name=nobody/nothing", "--dry-run")
    lines = call("run", place / "e.toml", "--runs", place / "runs", "--name", "terms", *options).out.splitlines()
    assert lines[-4].startswith("in all: ")
    assert lines[-3] == "license of the model nobody/nothing: not recorded here, look it up before you share a result"
    assert [line.partition(" (")[0] for line in lines[-2:]] == [
        "license of the questions starter: Apache-2.0",
        "license of the items starter: Apache-2.0",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (91, "2 min"), (150, "2 min"), (7000, "1 h 57 min"), (7500, "2 h 05 min")],
)
def test_time_is_told_in_a_unit_that_one_reads(seconds: float, text: str) -> None:
    assert str(UnitCost(seconds, 1_234_567)) == f"about {text} and 1.2 MB"

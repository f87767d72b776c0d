"""What a run would still take, told before anything is spent: characters to translate, time and disk.

Questions and items are read, and examples built where nothing is left to translate; nothing is translated, loaded or
tuned. Time and disk are those of earlier runs of the same model in the same folder of runs, by the example and by the
item; where there is none they are unknown. What else a run takes, drawing above all, is seconds.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from safetensors import safe_open

from spillover import pipeline
from spillover.cells import Arm, measured, of_arm, predict, to_weigh, weigh
from spillover.errors import SpilloverError
from spillover.experiment import Experiment, load_experiment
from spillover.inside import to_trace, trace
from spillover.progress import silent
from spillover.records import Cell, Example, Item, Question
from spillover.store import Stage, Store, UnmadeError, read_records, stages_of
from spillover.tasks import open_task

KINDS = {
    "tune": ("adapter",),
    "evaluate": ("predictions",),
    "analyze": ("traces", "lenses", "readings", "patches", "geometry"),
    "texts": ("bits-per-byte",),
}
"""Part of a run → the kinds of results that it leaves; those of the first kind tell how much work it was."""

UNITS = {"tune": "examples in all epochs", "evaluate": "items in both arms"}
"""Part of a run → what its work is counted in; the others' is as the evaluation's."""

Items = dict[tuple[str, str], list[Item]]
Measure = Callable[[Store, Arm, Cell, list[Item]], object]


@dataclass(frozen=True, slots=True)
class Rate:
    """What work took: of one unit, or all of it."""

    seconds: float
    bytes: float

    def __str__(self) -> str:
        """Return both in words."""
        unit, size = next((u, s) for u, s in (("h", 3600), ("min", 60), ("s", 1)) if self.seconds >= 2 * s or s == 1)
        return f"about {self.seconds / size:.0f} {unit} and {self.bytes / 1e6:.1f} MB"


@dataclass(frozen=True, slots=True)
class Step:
    """What is left to do of one part of a run."""

    name: str
    work: float
    """In the part's `UNITS`."""
    rate: Rate | None
    """What a unit takes; None where no earlier run tells."""

    @property
    def took(self) -> Rate | None:
        """What all of it takes."""
        return self.rate and Rate(self.work * self.rate.seconds, self.work * self.rate.bytes)

    def __str__(self) -> str:
        """Return the step in words."""
        work = f"{self.work:,.0f} {UNITS.get(self.name, UNITS['evaluate'])}"
        return f"{self.name}: {work}: {self.took or 'time and disk unknown'}" if self.work else f"{self.name}: nothing"


def translation(experiment: Experiment, store: Store) -> list[str]:
    """Return how many characters would go where, a line a language."""
    by = experiment.translate.translator
    return [f"{each.language}: {each.new} characters to {by}" for each in pipeline.characters(experiment, store)]


def forecast(experiment: Experiment, store: Store) -> list[str]:
    """Return what is left to do: a line a language to translate into, one a part of the run, and what it comes to."""
    steps = list(_steps(experiment, store))
    took = [step.took for step in steps if step.work]
    known = [each for each in took if each]
    total = str(Rate(sum(each.seconds for each in known), sum(each.bytes for each in known)))
    if len(known) < len(took):
        total = f"time and disk unknown: no finished run of {experiment.model.name} in {store.run.parent} to go by"
    return [*translation(experiment, store), *map(str, steps), f"in all: {total}"]


def _steps(experiment: Experiment, store: Store) -> Iterator[Step]:
    rates = _rates(experiment, store)
    translated = not any(each.new for each in pipeline.characters(experiment, store))
    # without an earlier run of the model nothing of it can be there, and it need not be looked for on the hub
    adapter = _adapter(experiment, store) if translated and rates else None
    examples = _examples(experiment, store, translated) * experiment.tune.epochs
    yield Step("tune", 0 if adapter else examples, rates.get("tune"))
    arms = [Arm("base", experiment, None), *([Arm("tuned", experiment, adapter)] if adapter else [])]
    for name, (items, measure) in _measures(experiment).items():
        done = sum(_done(items, measure, arm, store) for arm in arms) if rates else 0
        yield Step(name, 2 * sum(map(len, items.values())) - done, rates.get(name))


def _examples(experiment: Experiment, store: Store, translated: bool) -> int:
    """Return how many examples there are; a question in each language, where they cannot be built yet."""
    if translated:
        return len(read_records(pipeline.build(experiment, store).path / "examples.parquet", Example))
    asked = read_records(pipeline.questions(experiment, store).path / "questions.parquet", Question)
    return len(asked) * len(experiment.translate.to)


def _adapter(experiment: Experiment, store: Store) -> Stage | None:
    pipeline.build(experiment, store)
    try:
        return pipeline.tune(experiment, store.looking())
    except UnmadeError:
        return None


def _measures(experiment: Experiment) -> dict[str, tuple[Items, Measure]]:
    """Return part of a run → the items of each cell, and what is done with them."""
    idle = silent()
    return {
        "evaluate": (measured(experiment), lambda store, arm, cell, rows: predict(store, arm, cell, rows, idle)),
        "analyze": (
            to_trace(experiment),
            lambda store, arm, cell, rows: trace(store, arm, open_task(cell.task), cell, rows, idle),
        ),
        "texts": (
            to_weigh(experiment),
            lambda store, arm, cell, rows: weigh(store, arm, cell, rows, idle),
        ),
    }


def _done(items: Items, measure: Measure, arm: Arm, store: Store) -> int:
    """Return how many items an arm was measured on."""
    count = 0
    for cell, rows in of_arm(arm, items):
        try:
            measure(store.looking(), arm, cell, rows)
            count += len(rows)
        except UnmadeError:
            pass
    return count


def _rates(experiment: Experiment, store: Store) -> dict[str, Rate]:
    """Return part of a run → what a unit of it took, over all runs beside this one that had the same model."""
    seconds, size, work = (defaultdict[str, float](float) for _ in range(3))
    for stage, name, epochs in set(_earlier(experiment, store)):
        seconds[name] += stage.marker["seconds"]
        size[name] += sum(file.stat().st_size for file in stage.path.rglob("*") if file.is_file())
        work[name] += _units(stage) * epochs
    return {name: Rate(seconds[name] / work[name], size[name] / work[name]) for name in KINDS if work[name]}


def _earlier(experiment: Experiment, store: Store) -> Iterator[tuple[Stage, str, float]]:
    """Yield every stage of the runs with the same model, what it is part of, and how often its units were gone over."""
    for file in sorted(store.run.parent.glob("*/experiment.toml")):
        try:
            other = load_experiment(file)
        except SpilloverError:  # of another version
            continue
        for name, kinds in KINDS.items() if other.model == experiment.model else ():
            epochs = other.tune.epochs if name == "tune" else 1
            yield from ((stage, name, epochs) for kind in kinds for stage in stages_of(file.parent, kind))


def _units(stage: Stage) -> float:
    """Return the examples or items in a stage of a kind that tells; 0 for the others."""
    kind = stage.key.rpartition("-")[0]
    if kind == "adapter":
        return float(json.loads((stage.path / "history.json").read_text(encoding="utf-8"))["examples"])
    if kind == "traces":
        return sum(map(_traced, stage.path.glob("*.safetensors")))
    return sum(int(pq.read_metadata(file).num_rows) for file in stage.path.glob("*.parquet"))


def _traced(file: Path) -> int:
    with safe_open(file, "numpy") as arrays:
        return int(arrays.get_slice("last").get_shape()[0])

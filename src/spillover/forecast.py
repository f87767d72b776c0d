"""What a run would still take, told before anything is spent: characters to translate, time and disk.

Questions and items are read, and examples built where nothing is left to translate; nothing is translated, loaded or
tuned. Time and disk are those of earlier runs of the same model in the same folder of runs, by the example and by the
item; where there is none they are unknown. What else a run takes, drawing above all, is seconds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from spillover import pipeline
from spillover.experiment import Experiment
from spillover.records import Cell, Example, Item, Question
from spillover.runs.rates import UNKNOWN, WORKLOADS, UnitCost, measured_costs
from spillover.stages.analyze import items_to_trace, trace
from spillover.stages.arms import Arm, cells_of
from spillover.stages.evaluate import predict, text_likelihoods
from spillover.stages.items import evaluation_items, likelihood_items
from spillover.store import Artifact, MissingArtifactError, Store, read_records
from spillover.tasks import open_task
from spillover.utils.progress import no_bar

Items = dict[tuple[str, str], list[Item]]
Measure = Callable[[Store, Arm, Cell, list[Item]], object]


@dataclass(frozen=True, slots=True)
class Step:
    """What is left to do of one part of a run."""

    name: str
    work: float
    """In the part's units."""
    rate: UnitCost
    """What a unit takes."""

    @property
    def takes(self) -> UnitCost:
        """What all of it takes."""
        return self.rate.times(self.work)

    def __str__(self) -> str:
        """Return the step in words."""
        return (
            f"{self.name}: {f'{self.work:,.0f} {WORKLOADS[self.name].unit}: {self.takes}' if self.work else 'nothing'}"
        )


def translation(experiment: Experiment, store: Store) -> list[str]:
    """Return how many characters would go where, a line a language."""
    by = experiment.translate.translator
    return [f"{each.language}: {each.new} characters to {by}" for each in pipeline.characters(experiment, store)]


def forecast(experiment: Experiment, store: Store) -> list[str]:
    """Return what is left to do: a line a language to translate into, one a part of the run, and what it comes to."""
    steps = list(_steps(experiment, store))
    total = sum((step.takes for step in steps if step.work), UnitCost(0, 0))
    why = "" if total.known else f": no finished run of {experiment.model.name} in {store.run.parent} to go by"
    return [*translation(experiment, store), *map(str, steps), f"in all: {total}{why}"]


def _steps(experiment: Experiment, store: Store) -> Iterator[Step]:
    rates = {
        part: rate for (model, part), rate in measured_costs(store.run.parent).items() if model == experiment.model
    }
    translated = not any(each.new for each in pipeline.characters(experiment, store))
    # without an earlier run of the model nothing of it can be there, and it need not be looked for on the hub
    adapter = _adapter(experiment, store) if translated and rates else None
    examples = _examples(experiment, store, translated) * experiment.tune.epochs
    yield Step("tune", 0 if adapter else examples, rates.get("tune", UNKNOWN))
    arms = [Arm("base", experiment, None), *([Arm("tuned", experiment, adapter)] if adapter else [])]
    for name, (items, measure) in _measures(experiment).items():
        done = sum(_done(items, measure, arm, store) for arm in arms) if rates else 0
        yield Step(name, 2 * sum(map(len, items.values())) - done, rates.get(name, UNKNOWN))


def _examples(experiment: Experiment, store: Store, translated: bool) -> int:
    """Return how many examples there are; a question in each language, where they cannot be built yet."""
    if translated:
        return len(read_records(pipeline.build(experiment, store).path / "examples.parquet", Example))
    asked = read_records(pipeline.questions(experiment, store).path / "questions.parquet", Question)
    return len(asked) * len(experiment.translate.to)


def _adapter(experiment: Experiment, store: Store) -> Artifact | None:
    pipeline.build(experiment, store)
    try:
        return pipeline.tune(experiment, store.looking())
    except MissingArtifactError:
        return None


def _measures(experiment: Experiment) -> dict[str, tuple[Items, Measure]]:
    """Return part of a run → the items of each cell, and what is done with them."""
    idle = no_bar()
    return {
        "evaluate": (
            evaluation_items(experiment),
            lambda store, arm, cell, rows: predict(store, arm, cell, rows, idle),
        ),
        "analyze": (
            items_to_trace(experiment),
            lambda store, arm, cell, rows: trace(store, arm, open_task(cell.task), cell, rows, idle),
        ),
        "texts": (
            likelihood_items(experiment),
            lambda store, arm, cell, rows: text_likelihoods(store, arm, cell, rows, idle),
        ),
    }


def _done(items: Items, measure: Measure, arm: Arm, store: Store) -> int:
    """Return how many items an arm was measured on."""
    count = 0
    for cell, rows in cells_of(arm, items):
        try:
            measure(store.looking(), arm, cell, rows)
            count += len(rows)
        except MissingArtifactError:
            pass
    return count

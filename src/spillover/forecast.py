"""What a run would still take, told before anything is spent: characters to translate, time and disk.

Questions and items are read, and examples built where nothing is left to translate; nothing is translated, loaded or
tuned. Time and disk are those of earlier runs of the same model in the same folder of runs, by the example and by the
item; where there is none they are unknown. What else a run takes, drawing above all, is seconds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from spillover.pipeline import Run
from spillover.records import Cell, Item
from spillover.runs.rates import UNKNOWN, WORKLOADS, UnitCost, measured_costs
from spillover.stages.analyze import trace_cell
from spillover.stages.arms import Arm, cells_of
from spillover.stages.evaluate import predict, text_likelihoods
from spillover.stages.items import Items
from spillover.store import MissingArtifactError, Store
from spillover.tasks import open_task
from spillover.utils.progress import no_bar

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


def translation(run: Run) -> list[str]:
    """Return how many characters would go where, one line per language."""
    by = run.experiment.translate.translator
    return [f"{cost.language}: {cost.new} characters to {by}" for cost in run.translation_costs()]


def forecast(run: Run) -> list[str]:
    """Return what is left to do: a line per language to translate into, one per part of the run, and the sum."""
    steps = list(_steps(run))
    total = sum((step.takes for step in steps if step.work), UnitCost(0, 0))
    runs, model = run.store.run.parent, run.experiment.model.name
    why = "" if total.known else f": no finished run of {model} in {runs} to go by"
    return [*translation(run), *map(str, steps), f"in all: {total}{why}"]


def _steps(run: Run) -> Iterator[Step]:
    experiment, costs = run.experiment, measured_costs(run.store.run.parent)
    rates = {part: cost for (model, part), cost in costs.items() if model == experiment.model}
    translated = not any(cost.new for cost in run.translation_costs())
    # without an earlier run of the model nothing of it can be there, and it need not be looked for on the hub
    adapter = run.existing_adapter() if translated and rates else None
    examples = _num_examples(run, translated) * experiment.tune.epochs
    yield Step("tune", 0 if adapter else examples, rates.get("tune", UNKNOWN))
    arms = [Arm("base", experiment, None), *([Arm("tuned", experiment, adapter)] if adapter else [])]
    for name, (items, measure) in _measures(run).items():
        done = sum(_done(items, measure, arm, run.store) for arm in arms) if rates else 0
        yield Step(name, 2 * sum(map(len, items.values())) - done, rates.get(name, UNKNOWN))


def _num_examples(run: Run, translated: bool) -> int:
    """Return how many examples there are; where they cannot be built yet, one per question and language."""
    if not translated:
        return len(run.questions) * len(run.experiment.translate.to)
    _ = run.examples  # refuses questions that the evaluation asks too
    return len(run.training_set.examples)


def _measures(run: Run) -> dict[str, tuple[Items, Measure]]:
    """Return part of a run → the items of each cell, and what is done with them."""
    idle = no_bar()
    return {
        "evaluate": (run.items, lambda store, arm, cell, rows: predict(store, arm, cell, rows, idle)),
        "analyze": (
            run.traced_items,
            lambda store, arm, cell, rows: trace_cell(store, arm, open_task(cell.task), cell, rows, idle),
        ),
        "texts": (
            run.likelihood_items,
            lambda store, arm, cell, rows: text_likelihoods(store, arm, cell, rows, idle),
        ),
    }


def _done(items: Items, measure: Measure, arm: Arm, store: Store) -> int:
    """Return how many items an arm was measured on."""
    count = 0
    for cell, rows in cells_of(arm, items):
        try:
            measure(store.read_only(), arm, cell, rows)
            count += len(rows)
        except MissingArtifactError:
            pass
    return count

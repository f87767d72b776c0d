"""The forecast of a run: characters to translate, time and disk, before anything is spent.

Questions and items are read, and examples built if nothing is left to translate. No model is loaded or tuned.
Time and disk per example and item are those of earlier runs of the same model in the same folder of runs. For parts
without such a run they are first estimates, for which the speed of this machine is measured once. All other work of a
run takes seconds.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from spillover.analysis.interpretability.neurons import Activity
from spillover.analysis.statistics.clusters import clusters_of
from spillover.analysis.statistics.groups import group_of
from spillover.analysis.statistics.planning import CHANGED, planned_gain
from spillover.analysis.statistics.verdicts import FEWEST_ITEMS
from spillover.experiment import Experiment
from spillover.pipeline import Run
from spillover.records import Cell, Item
from spillover.runs.estimates import FIRST_ESTIMATE, with_estimates
from spillover.runs.rates import UNKNOWN, WORKLOADS, UnitCost, measured_costs
from spillover.stages.analyze import cell_activity
from spillover.stages.answers import write_answers
from spillover.stages.arms import Arm, are_here, cells_of, open_arm
from spillover.stages.build import expected_examples
from spillover.stages.deactivate import MeasuredCell, count_deactivations, count_stored, languages_off
from spillover.stages.evaluate import predict, text_likelihoods
from spillover.stages.items import Items, answered_in_words, with_choices
from spillover.stages.licenses import licenses, translator_license
from spillover.stages.trace import trace_cell
from spillover.store import Artifact, MissingArtifactError, Store
from spillover.tasks import open_labeled_task
from spillover.utils.formatting import plural, points
from spillover.utils.progress import no_bar

RESULTS = ("adapter", "predictions", "answers", "trace", "bits-per-byte")
"""Kinds of artifacts that the forecast looks for."""

Measure = Callable[[Store, Arm, Cell, list[Item]], object]


@dataclass(frozen=True, slots=True)
class Step:
    """The work left in one part of a run."""

    name: str
    work: float
    """Amount of work, in the part's units."""
    unit_cost: UnitCost
    """Time and disk per unit."""
    note: str = ""
    """The parts of the amount, in words; empty if it needs no explanation."""

    @property
    def cost(self) -> UnitCost:
        """Time and disk of all of it."""
        return self.unit_cost.times(self.work)

    def __str__(self) -> str:
        """Return the step in words."""
        if not self.work:
            return f"{self.name}: nothing"
        note = f" ({self.note})" if self.note else ""
        return f"{self.name}: {self.work:,.0f} {WORKLOADS[self.name].unit}{note}: {self.cost}"


def translation(run: Run) -> list[str]:
    """Return a line per language, the characters that would be sent to the translator, and the translator's license."""
    terms = translator_license(run.experiment)
    return [*_characters(run), *([str(terms)] if terms else [])]


def _characters(run: Run) -> list[str]:
    by = run.experiment.translate.translator
    return [
        f"{cost.language}: {cost.new} characters to {by}"
        if cost.new or cost.known
        else f"{cost.language}: nothing to translate, since the data have the translations"
        for cost in run.translation_costs()
    ]


def _scoring(run: Run) -> list[str]:
    """Return a line if pairs are still to be scored. A scorer may be a large model, so nothing is scored here."""
    chosen = run.experiment.translate
    missing = [code for code in chosen.to if not (run.store.run / "quality" / f"{code}.parquet").exists()]
    if not chosen.quality or not run.experiment.tunes or not missing:
        return []
    return [f"quality: {len(missing) * len(run.questions):,} pairs to score by {chosen.quality}"]


def forecast(run: Run) -> list[str]:
    """Return the work left, what the items can show, the sum, and the licenses.

    The work has a line per language to translate into and per part of the run. The gain that the items can show has a
    line per task.
    """
    steps = _steps(run)
    total = sum((step.cost for step in steps if step.work), UnitCost(0, 0))
    work = [
        *_characters(run),
        *_scoring(run),
        *map(str, steps),
        *planned_gains(run),
        f"in all: {total}{_basis(run, total)}",
    ]
    return [*work, *map(str, licenses(run.experiment))]


def _basis(run: Run, total: UnitCost) -> str:
    """Return how far a sum can be trusted, and why; empty if earlier runs have recorded all of it."""
    name = run.experiment.model.name
    if not total.known:
        return f" until the model is on this machine; to get it: spillover fetch EXPERIMENT (model.name is {name})"
    if total.estimated:
        return f", {FIRST_ESTIMATE}: {run.store.run.parent} has no finished run of {name} with all these parts to go by"
    return ""


def known_before_translating(run: Run) -> list[str]:
    """Return what is known before a translator is opened: the gain that the items can show, and the licenses."""
    return [*planned_gains(run), *map(str, licenses(run.experiment))]


def planned_gains(run: Run) -> list[str]:
    """Return a line per task with unseen languages: the mean gain over them that its items can show."""
    experiment, lines = run.experiment, []
    for task in dict.fromkeys(task for task, _ in run.items):
        sets = {code: rows for (name, code), rows in run.items.items() if name == task}
        unseen = [code for code in sets if group_of(code, experiment.tuned_on, experiment.pivot) == "unseen"]
        if not unseen:
            continue
        rows = max((sets[code] for code in unseen), key=len)
        clusters = clusters_of(rows)
        units = len({clusters.get(item.id, item.id) for item in rows})
        gain = planned_gain(len(rows), len(unseen), units, experiment.report.margin / 100)
        number = f"{len(rows)} items" if units == len(rows) else f"{len(rows)} items in {units} clusters"
        languages = plural(len(unseen), "language") + (" not tuned on" if experiment.tunes else "")
        lines.append(
            f"{task}: {number} × {languages} show a mean gain of {points(gain)} points with 80% power, if tuning "
            f"changes {100 * CHANGED:.0f}% of the answers"
            + f"; fewer than {FEWEST_ITEMS} items are given no verdict"
            * (len(rows) < FEWEST_ITEMS)
        )
    return lines


def _steps(run: Run) -> list[Step]:
    experiment = run.experiment
    costs = measured_costs(run.store.run.parent)
    recorded = {part: cost for (model, part), cost in costs.items() if model == experiment.model}
    # without any result the models need not be identified, which is slow
    work = list(_work(run, bool(recorded) or (run.store.holds(RESULTS) and are_here(experiment))))
    needed = [part for part, amount, _ in work if amount]
    unit_costs = with_estimates(recorded, needed, experiment, run.inputs)
    return [Step(part, amount, unit_costs.get(part, UNKNOWN), note) for part, amount, note in work]


def _work(run: Run, here: bool) -> Iterator[tuple[str, float, str]]:
    """Yield each part of a run with the amount of work left, and the parts of the amount in words.

    here: whether there are results, and all models are on this machine; else no result is looked for.
    """
    experiment = run.experiment
    translated = not any(cost.new for cost in run.translation_costs()) and not _scoring(run)
    adapter = run.existing_adapter() if experiment.tunes and translated and here else None
    if experiment.tunes:
        phases = _examples(run, translated)
        share = 1.0 if adapter else run.tuned_share() if translated and here else 0.0
        work = sum(examples * epochs for examples, epochs in phases)
        yield "tune", work * (1 - share), ", ".join(_tuning_notes(experiment, phases, work, share))
    arms = _existing_arms(experiment, adapter) if here else []
    for name, (items, measure) in _measures(run).items():
        measured = _measured_arms(experiment, name)
        done = sum(_done(items, measure, arm, run.store) for arm in arms if arm.name in measured)
        num_items = sum(map(len, items.values()))
        note = f"{num_items:,} × {len(measured)} arms" if len(measured) > 1 and not done else ""
        yield name, len(measured) * num_items - done, note
    if readings := len(_measured_arms(experiment, "analyze")) * count_deactivations(experiment, run.traced_items):
        yield "deactivate", readings - _deactivated(run, arms), ""


def _tuning_notes(
    experiment: Experiment, phases: Sequence[tuple[float, float]], work: float, share: float
) -> Iterator[str]:
    """Yield what the number of examples to learn is made of, and what it leaves out.

    phases: examples and epochs of each. work: examples to learn, in all. share: how much of them is learned.
    """
    if any(epochs != 1 for _, epochs in phases):
        yield " + ".join(f"{examples:,} × {epochs:g} epochs" for examples, epochs in phases)
    if 0 < share < 1:
        yield f"{share:.0%} of the tuning is done"
    if every := experiment.tune.probe_every:
        probes = 1 + math.ceil(work / experiment.tune.batch / every)
        yield f"without the time of about {probes} probes"


def _deactivated(run: Run, arms: Sequence[Arm]) -> int:
    """Return the number of items that arms have read with neurons on and off. Traces say which neurons."""
    experiment, store, idle, count = run.experiment, run.store.read_only(), no_bar(), 0
    activity: list[Activity] = []
    for arm in arms:
        if arm.name not in _measured_arms(experiment, "analyze"):
            continue
        try:
            traces = [
                trace_cell(store, arm, open_labeled_task(cell.task), cell, rows, idle)
                for cell, rows in cells_of(arm, run.traced_items)
            ]
        except MissingArtifactError:
            return count
        cells = [MeasuredCell(traced.cell, traced.task, traced.rows) for traced in traces]
        of_arm = [*activity, *map(cell_activity, traces)]
        activity = activity or of_arm  # the first arm's thresholds hold for all
        count += count_stored(store, arm, cells, of_arm, languages_off(experiment, run.traced_items), idle)
    return count


def _measured_arms(experiment: Experiment, part: str) -> list[str]:
    """Return the names of the arms that a part of a run measures."""
    plain = {name: chosen for name, chosen in experiment.all_arms.items() if chosen.plain}
    of_reference = [name for name, chosen in plain.items() if chosen.model in ("", experiment.model.name)]
    return {"analyze": of_reference, "texts": list(plain)}.get(part, list(experiment.all_arms))


def _existing_arms(experiment: Experiment, adapter: Artifact | None) -> list[Arm]:
    """Return the arms whose weights exist."""
    return [
        open_arm(experiment, name, lambda: adapter)
        for name, chosen in experiment.all_arms.items()
        if adapter or not chosen.tuned
    ]


def _examples(run: Run, translated: bool) -> list[tuple[float, float]]:
    """Return per phase the number of its examples and its epochs; what is expected if they cannot be made yet."""
    if not translated:
        return expected_examples(run.experiment, len(run.questions))
    _ = run.examples  # refuses questions that the evaluation asks too
    epochs = run.experiment.epochs_of_phases
    counts = Counter(example.stage for example in run.training_set.examples)
    # a recipe may have phases of its own, which are all learned alike
    return [(count, epochs[min(stage, len(epochs) - 1)]) for stage, count in sorted(counts.items())]


def _measures(run: Run) -> dict[str, tuple[Items, Measure]]:
    """Return part of a run → its items, and the function that measures a cell."""
    idle = no_bar()
    evaluations: dict[str, tuple[Items, Measure]] = {
        "evaluate": (
            with_choices(run.items),
            lambda store, arm, cell, rows: predict(store, arm, cell, rows, idle),
        ),
        "answers": (
            answered_in_words(run.items),
            lambda store, arm, cell, rows: write_answers(store, arm, cell, rows, idle),
        ),
    }
    return {name: part for name, part in evaluations.items() if part[0]} | {
        "analyze": (
            run.traced_items,
            lambda store, arm, cell, rows: trace_cell(store, arm, open_labeled_task(cell.task), cell, rows, idle),
        ),
        "texts": (
            run.likelihood_items,
            lambda store, arm, cell, rows: text_likelihoods(store, arm, cell, rows, idle),
        ),
    }


def _done(items: Items, measure: Measure, arm: Arm, store: Store) -> int:
    """Return the number of items on which an arm was measured."""
    count = 0
    for cell, rows in cells_of(arm, items):
        try:
            measure(store.read_only(), arm, cell, rows)
            count += len(rows)
        except MissingArtifactError:
            pass
    return count

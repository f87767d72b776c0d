"""The work of the stage `tune`: examples become an adapter, or tuned weights."""

from collections.abc import Sequence
from pathlib import Path

from spillover.analysis.statistics.groups import group_of
from spillover.experiment import IN_DIGEST, Experiment
from spillover.records import ProbeCell
from spillover.stages.arms import as_text, model_key, of_prompts, shortened
from spillover.stages.build import TrainingSet
from spillover.stages.items import Items, subsets, with_choices
from spillover.store import Artifact, Store
from spillover.tasks import open_task
from spillover.utils.threads import note_threads

PROBED_ITEMS = 20
"""Most items per language that a probe asks."""


def probe_cells(experiment: Experiment, items: Items) -> tuple[ProbeCell, ...]:
    """Return the items that a probe asks: the first ones of the first task with choices, per language but the pivot."""
    first_items = subsets(with_choices(items), PROBED_ITEMS)
    first = next(iter(first_items), ("", ""))[0]
    rows = {code: rows for (name, code), rows in first_items.items() if name == first}
    count = min(map(len, rows.values()), default=0)
    groups = {code: group_of(code, experiment.tuned_on, experiment.pivot) for code in rows}
    return tuple(
        ProbeCell(
            groups[code] == "tuned",
            tuple(open_task(first).prompt(item, experiment.evaluate.labels) for item in of_code[:count]),
            tuple(item.gold for item in of_code[:count]),
        )
        for code, of_code in rows.items()
        if groups[code] != "pivot"
    )


def tune_adapter(
    store: Store, experiment: Experiment, training: TrainingSet, examples: Artifact, cells: Sequence[ProbeCell] = ()
) -> Artifact:
    """Return the adapter tuned on a training set. Tune it first if it is missing; resume a tuning that was interrupted.

    Args:
        store: holds the adapter.
        experiment: says what is tuned, and how.
        training: the examples.
        examples: the training set's examples, as stored.
        cells: the items that probes ask.

    Raises:
        MissingArtifactError: the store is read only, and has none.
        SpilloverError: this model cannot be tuned in this way on these examples.
    """

    def write(folder: Path) -> None:
        from spillover.models.inference.resident import borrow_base_model
        from spillover.models.tuning.tune import tune

        model_config = experiment.model
        if experiment.tune.method == "full":  # half precision would round small steps away
            model_config = model_config.model_copy(update={"dtype": "float32"})
        with borrow_base_model(model_config) as model:
            note_threads(folder)
            tune(
                model,
                training.examples,
                experiment.tune,
                experiment.seed,
                folder,
                training.phases,
                training.translates,
                cells,
            )

    settings = [experiment.tune.model_dump(exclude={"report_to"}, context=IN_DIGEST), experiment.seed]
    spelled = as_text(experiment, (text for row in training.examples for text in (row.source, row.target)))
    listed = [training.phases] if training.phases else []
    probed = [cells, *as_text(experiment, of_prompts(p for cell in cells for p in cell.prompts))] if cells else []
    inputs = [*model_key(experiment), examples.key, *settings, *shortened(experiment), *spelled, *listed, *probed]
    return store.get_or_make("adapter", inputs, "adapter", write, resumable=True)

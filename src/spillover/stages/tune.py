"""The work of the stage `tune`: examples become an adapter, or tuned weights."""

from pathlib import Path

from spillover.experiment import IN_DIGEST, Experiment
from spillover.stages.arms import as_text, model_key, shortened
from spillover.stages.build import TrainingSet
from spillover.store import Artifact, Store


def tune_adapter(store: Store, experiment: Experiment, training: TrainingSet, examples: Artifact) -> Artifact:
    """Return the adapter tuned on a training set, tuned first if it was not; resume if tuning was begun.

    Args:
        store: where it is, or will be.
        experiment: says what is tuned, and how.
        training: the examples.
        examples: the same, as stored.

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
            tune(
                model,
                training.examples,
                experiment.tune,
                experiment.seed,
                folder,
                training.phases,
                training.translates,
            )

    settings = [experiment.tune.model_dump(exclude={"report_to"}, context=IN_DIGEST), experiment.seed]
    spelled = as_text(experiment, (text for row in training.examples for text in (row.source, row.target)))
    listed = [training.phases] if training.phases else []
    inputs = [*model_key(experiment), examples.key, *settings, *shortened(experiment), *spelled, *listed]
    return store.get_or_make("adapter", inputs, "adapter", write, resumable=True)

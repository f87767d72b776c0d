"""The tuned model as one folder that plain transformers loads, with its card."""

from pathlib import Path

from spillover.export.card import card, load_tuned
from spillover.store import new_folder


def export_model(run: Path, folder: Path) -> None:
    """Merge a run's adapter into its base model and write it, with tokenizer and model card, to a new folder.

    Raises:
        SpilloverError: the run has no adapter, the folder exists, or it cannot be written.
    """
    experiment = load_tuned(run)
    with new_folder(folder, "the model") as made:
        from spillover.models.merge import merge

        merge(experiment.model.name, experiment.model.dtype, run / "adapter", made)
        (made / "README.md").write_text(card(run, experiment, merged=True), encoding="utf-8")

"""The tuned model as one folder that plain transformers loads, with its card."""

from pathlib import Path

from spillover.export.card import card, load_tuned, precision
from spillover.records import EXPERIMENT_FILE
from spillover.store import new_folder
from spillover.utils.hub import pinned, read_lock


def export_model(run: Path, folder: Path) -> None:
    """Merge a run's adapter into its base model and write it, with tokenizer and model card, to a new folder.

    The weights are in the precision of the run, also on a machine on which `auto` stands for another.

    Raises:
        SpilloverError: the run has no adapter, the folder exists, or it cannot be written.
    """
    experiment = load_tuned(run)
    with new_folder(folder, "the model") as made, pinned(read_lock(run / EXPERIMENT_FILE)):
        from spillover.models.merge import merge

        merge(experiment.model.name, precision(run, experiment), run / "adapter", made)
        (made / "README.md").write_text(card(run, experiment, merged=True), encoding="utf-8")

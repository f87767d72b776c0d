"""The tuned model as one folder that plain transformers loads, with its card."""

import tempfile
from pathlib import Path

from spillover.errors import SpilloverError
from spillover.export.card import card, load_finished


def export_model(run: Path, folder: Path) -> None:
    """Merge a run's adapter into its base model and write it, with tokenizer and model card, to a new folder.

    Raises:
        SpilloverError: the run is not finished, the folder exists, or it cannot be written.
    """
    experiment = load_finished(run)
    if folder.exists():
        raise SpilloverError(f"{folder}: found something there, expected the name of a folder that does not exist")
    from spillover.models.merge import merge

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # in a folder beside it, so that the last step is a rename: nobody ever finds half a model
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            made = Path(scratch) / folder.name
            merge(experiment.model.name, experiment.model.dtype, run / "adapter", made)
            (made / "README.md").write_text(card(run, experiment, merged=True), encoding="utf-8")
            made.rename(folder)
    except OSError as error:
        raise SpilloverError(
            f"{error.filename or folder}: cannot write the model: {error.strerror or error}"
        ) from error

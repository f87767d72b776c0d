"""What a finished run gives away: the tuned model as one folder, with a card that says what it is and how good.

Reads the run folder, its report included, and measures nothing itself.
"""

import json
import re
import tempfile
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from spillover.errors import SpilloverError
from spillover.experiment import Experiment, load_experiment
from spillover.store import check_whole

NEEDED = (
    "experiment.toml",
    "provenance.json",
    "adapter/adapter_config.json",
    "adapter/history.json",
    "report/tables/summary.md",
    "report/tables/gains.md",
)
"""The files of a run folder that a model with its card is made from."""

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def export_model(run: Path, folder: Path) -> None:
    """Merge a run's adapter into its base model and write it, with tokenizer and model card, to a new folder.

    Raises:
        SpilloverError: the run is not finished, the folder exists, or it cannot be written.
    """
    for name in NEEDED:
        if not (run / name).is_file():
            raise SpilloverError(f"{run}: found no {name}, expected the folder of a run that `spillover run` finished")
    check_whole(run / "adapter")
    if folder.exists():
        raise SpilloverError(f"{folder}: found something there, expected the name of a folder that does not exist")
    from spillover.models.merge import merge

    experiment = load_experiment(run / "experiment.toml")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # beside its place, so that the last step is a rename: nobody ever finds half a model
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            made = Path(scratch) / folder.name
            merge(experiment.model.name, experiment.model.dtype, run / "adapter", made)
            (made / "README.md").write_text(card(run, experiment), encoding="utf-8")
            made.rename(folder)
    except OSError as error:
        raise SpilloverError(
            f"{error.filename or folder}: cannot write the model: {error.strerror or error}"
        ) from error


def card(run: Path, experiment: Experiment) -> str:
    """Return the model card: mixture, gains with their intervals, license and provenance, in the hub's Markdown."""
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    template = environment.from_string(files("spillover.data").joinpath("card.md.j2").read_text(encoding="utf-8"))
    text = {name: (run / name).read_text(encoding="utf-8") for name in NEEDED}
    name = experiment.model.name
    return template.render(
        name=run.resolve().name,
        experiment=experiment,
        base_id=name if HUB_ID.fullmatch(name) and not Path(name).is_dir() else "",
        languages=[experiment.mixture.pivot, *experiment.tuned_on],
        history=json.loads(text["adapter/history.json"]),
        summary=text["report/tables/summary.md"],
        gains=text["report/tables/gains.md"],
        license=_license(name),
        provenance=json.loads(text["provenance.json"]),
        source=text["experiment.toml"],
    )


def _license(name: str) -> str:
    from spillover.models.locate import ALIASES

    if name in ALIASES:
        return f"The base model {name} is under the {ALIASES[name].license}."
    return (
        f"The base model {name} has a license of its own, which is not recorded here: look it up before you share this."
    )

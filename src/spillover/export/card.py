"""The model card of a run: mixture, gains if they were measured, license, provenance.

The card is made from the run folder and its report. Nothing is measured anew.
"""

import json
import re
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from spillover.errors import SpilloverError
from spillover.experiment import Experiment, TuneConfig, load_experiment
from spillover.records import EXPERIMENT_FILE, PRECISION_FILE, PROVENANCE_FILE
from spillover.stages.licenses import licenses
from spillover.store import check_whole
from spillover.utils.formatting import directed

TUNED = (EXPERIMENT_FILE, "adapter/history.json")
"""The files of a run folder that a model is made from."""

MEASURED = (PROVENANCE_FILE, "report/tables/summary.md", "report/tables/gains.md")
"""The files of a run folder with what was measured."""

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def load_finished(run: Path) -> Experiment:
    """Return the experiment of a finished run; refuse any other folder."""
    for name in (*TUNED, *MEASURED):
        if not (run / name).is_file():
            raise SpilloverError(f"{run}: found no {name}, expected the folder of a run that `spillover run` finished")
    if not is_measured(run):
        raise SpilloverError(f"{run}: found a page about another adapter than the one in it; run the experiment again")
    return load_tuned(run)


def load_tuned(run: Path) -> Experiment:
    """Return the experiment of a run that has its adapter, measured or not; refuse any other folder."""
    for name in TUNED:
        if not (run / name).is_file():
            raise SpilloverError(f"{run}: found no {name}, expected the folder of a run that `spillover tune` finished")
    check_whole(run / "adapter")
    return load_experiment(run / EXPERIMENT_FILE)


def precision(run: Path, experiment: Experiment) -> str:
    """Return the dtype of a run's weights; `auto` if the experiment has it and the run did not keep its meaning."""
    path, dtype = run / PRECISION_FILE, experiment.model.dtype
    resolved = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
    return resolved if resolved and dtype == "auto" else dtype


def is_measured(run: Path) -> bool:
    """Return whether a run's tables are about its adapter: it may have been tuned again since they were written."""
    if not all((run / name).is_file() for name in MEASURED):
        return False
    measured = json.loads((run / PROVENANCE_FILE).read_text(encoding="utf-8")).get("adapter")
    return not measured or _adapter_key(run) in ("", measured)


def _adapter_key(run: Path) -> str:
    """Return the key of a run's adapter; empty in a copied folder, which has no links."""
    adapter = run / "adapter"
    return adapter.resolve().name if adapter.is_symlink() else ""


def card(run: Path, experiment: Experiment, merged: bool) -> str:
    """Return the card in the hub's Markdown: mixture, gains with their intervals, license and provenance.

    Args:
        run: the folder of a tuned run. If it is not measured, the card says so.
        experiment: the run's experiment.
        merged: if true, the card is of the whole model; if false, of the adapter alone.
    """
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["directed"] = directed
    template = environment.from_string(files("spillover.export").joinpath("card.md.j2").read_text(encoding="utf-8"))
    measured = is_measured(run)
    text = {name: (run / name).read_text(encoding="utf-8") for name in (*TUNED, *(MEASURED if measured else ()))}
    name = experiment.model.name
    unmeasured = {"adapter": _adapter_key(run), "precision": precision(run, experiment)}
    provenance = json.loads(text[PROVENANCE_FILE]) if measured else unmeasured
    return template.render(
        name=run.resolve().name,
        merged=merged,
        measured=measured,
        full=experiment.tune.method == "full",
        experiment=experiment,
        base_id=name if HUB_ID.fullmatch(name) and not Path(name).is_dir() else "",
        languages=[experiment.mixture.pivot, *experiment.tuned_on],
        tuned=_tuned(run, experiment.tune),
        history=json.loads(text["adapter/history.json"]),
        summary=text.get("report/tables/summary.md", ""),
        gains=text.get("report/tables/gains.md", ""),
        licenses=licenses(experiment),
        provenance=provenance,
        source=text[EXPERIMENT_FILE],
    )


METHODS = {"lora": "LoRA", "dora": "DoRA", "rslora": "rank-stabilized LoRA"}
"""Method of an adapter → its name."""


def _tuned(run: Path, tune: TuneConfig) -> str:
    """Return what was tuned, in words."""
    path = run / "adapter/adapter_config.json"
    targets = json.loads(path.read_text(encoding="utf-8"))["target_modules"] if path.is_file() else []
    maps = sorted({target.rpartition(".")[2] for target in targets}) if tune.targets else []
    parts = [f"{METHODS[tune.method]} of rank {tune.rank} on {', '.join(maps)}"] if maps else []
    if tune.method == "full":
        parts = ["all weights"]
    if parts and tune.layers != "all":
        layers = tune.layers if isinstance(tune.layers, str) else ", ".join(map(str, tune.layers))
        parts[0] += f" in blocks {layers}"
    if tune.embeddings == "seen":
        parts.append("the embedding rows of the tokens that occur")
    elif tune.method == "full":
        parts[0] += " without the embedding"
    return " and ".join(parts)

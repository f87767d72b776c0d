"""Finished runs, read from their folders: settings, and predictions of the two arms of the primary comparison.

Nothing is made anew.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from spillover.analysis.statistics.runs import compare_runs
from spillover.analysis.statistics.treatment import check_treatment
from spillover.errors import SpilloverError
from spillover.experiment import IN_DIGEST, Experiment, load_experiment
from spillover.models.tuning.history import read_history
from spillover.records import (
    CLUSTERS_FILE,
    EXPERIMENT_FILE,
    PROVENANCE_FILE,
    FinishedRun,
    Result,
    RunComparison,
    TreatmentCheck,
)
from spillover.store import digest, read_arm
from spillover.tasks import open_task
from spillover.utils.progress import notify


@contextmanager
def registered(folders: Iterable[Path]) -> Iterator[None]:
    """Make the languages known that the experiments of these run folders bring, for the duration of the block."""
    with ExitStack() as stack:
        for folder in folders:
            if (folder / EXPERIMENT_FILE).exists():
                stack.enter_context(load_experiment(folder / EXPERIMENT_FILE).registered())
        yield


def compare_folders(folders: Sequence[Path], margin: float) -> RunComparison:
    """Compare finished runs; differences within ± `margin` points count as equivalent.

    Raises:
        SpilloverError: a folder is not of a finished run, or the runs do not share their items.
    """
    runs = [read_run(folder) for folder in folders]
    mention_precisions(runs)
    return compare_runs(runs, margin / 100)


def mention_precisions(runs: Sequence[FinishedRun]) -> None:
    """Tell the user if runs of one model have weights of different dtypes."""
    for model in dict.fromkeys(run.model for run in runs):
        names: dict[str, list[str]] = {}
        for run in runs:
            if run.model == model and run.precision:
                names.setdefault(run.precision, []).append(run.name)
        if len(names) > 1:
            each = "; ".join(f"{dtype}: {', '.join(rows)}" for dtype, rows in names.items())
            notify(
                f"model.dtype: runs of {model} have weights of different precision, so they differ by that too: {each}"
            )


def read_run(folder: Path, setting: str = "") -> FinishedRun:
    """Read a run folder; it must be of a finished run. `setting` names its keys in a grid."""
    for names in ((EXPERIMENT_FILE,), (PROVENANCE_FILE,), ("predictions", "outcomes")):
        if not any((folder / name).exists() for name in names):
            raise SpilloverError(f"compare: {folder}: found no {names[0]}, expected the folder of a finished run")
    experiment = load_experiment(folder / EXPERIMENT_FILE)
    provenance = json.loads((folder / PROVENANCE_FILE).read_text(encoding="utf-8"))
    names = experiment.pairs[0]
    reference, arm = (_measured(read_arm(folder, name), experiment) for name in names)
    return FinishedRun(
        name=folder.name,
        recipe_digest=digest(
            experiment.model_dump(mode="json", exclude={"seed", "report", "analyze"}, context=IN_DIGEST)
        ),
        model=experiment.model.name,
        parameters=int(provenance.get("parameters", 0)),
        mixture=experiment.mixture_name,
        question_task=experiment.questions.task,
        labels=experiment.evaluate.labels,
        seen=(*experiment.tuned_on, experiment.pivot),
        arms=names,
        reference=reference,
        arm=arm,
        setting=setting,
        clusters=_clusters(folder),
        treatment=_treatment(folder, experiment),
        precision=str(provenance.get("precision", "")),
    )


def _treatment(folder: Path, experiment: Experiment) -> TreatmentCheck | None:
    """Return whether the treatment took; None where nothing was tuned, or the folder was copied without its adapter."""
    if not experiment.tunes or not (folder / "adapter").exists():
        return None
    return check_treatment(read_history(folder / "adapter"), experiment.teaches, experiment.is_control)


def _clusters(folder: Path) -> dict[str, dict[str, str]]:
    """Return the clusters of items. Runs of older versions did not store them: their items count as independent."""
    path = folder / CLUSTERS_FILE
    if not path.exists():
        mention_independence()
        return {}
    clusters: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return clusters


@cache
def mention_independence() -> None:
    """Tell the user once per process, however many runs are read."""
    notify(f"found runs without a {CLUSTERS_FILE}: their items count as independent; `spillover report` writes it")


def _measured(results: Sequence[Result], experiment: Experiment) -> tuple[Result, ...]:
    """Leave out cells that an earlier evaluation left in the run folder."""
    tasks, codes = {open_task(name).name for name in experiment.evaluate.tasks}, experiment.evaluate.languages
    return tuple(row for row in results if row.task in tasks and (isinstance(codes, str) or row.language in codes))

"""What is finished in a run folder, stage by stage, seen from its files alone: no data and no model are read."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spillover.errors import SpilloverError
from spillover.experiment import Experiment, load_experiment
from spillover.records import EXPERIMENT_FILE
from spillover.utils.formatting import plural

Measured = tuple[str, str, str]
"""An arm, a task and a language."""


@dataclass(frozen=True, slots=True)
class StageStatus:
    """How far a run is with one stage."""

    stage: str
    """Name of the stage."""
    missing: int
    """Number of results that are not there; 0: the stage is finished, or this run does not need it."""
    detail: str
    """The existing results, in words."""
    begun: bool = False
    """Whether some of the results are there."""

    @property
    def state(self) -> str:
        """Return the state in words: done, in part or missing."""
        return "done" if not self.missing else "in part" if self.begun else "missing"


NOT_NEEDED = "not needed"


def run_folders(runs: Path) -> list[Path]:
    """Return the run folders in a folder of runs, those of grids among them, by name."""
    files = [*runs.glob(f"*/{EXPERIMENT_FILE}"), *runs.glob(f"*/*/{EXPERIMENT_FILE}")]
    return sorted(file.parent for file in files if not file.parent.name.startswith("."))


def run_status(folder: Path) -> list[StageStatus]:
    """Return the status of every stage of a run, in the order of the pipeline.

    Raises:
        SpilloverError: the folder is not that of a run.
    """
    if not (folder / EXPERIMENT_FILE).is_file():
        raise SpilloverError(
            f"{folder}: found no {EXPERIMENT_FILE}, expected the folder of a run; `spillover status` lists the runs"
        )
    experiment = load_experiment(folder / EXPERIMENT_FILE)
    with experiment.registered():
        return [StageStatus(name, *look(folder, experiment)) for name, look in LOOKS.items()]


Look = tuple[int, str, bool]
"""Number of missing results, the existing results in words, and whether any exist."""


def _file(name: str, needed: Callable[[Experiment], bool]) -> Callable[[Path, Experiment], Look]:
    """Return a look at a stage that makes one file."""

    def look(folder: Path, experiment: Experiment) -> Look:
        there = (folder / name).exists()
        if not needed(experiment) and not there:
            return 0, NOT_NEEDED, False
        return int(not there), name if there else f"no {name}", there

    return look


def _pairs(folder: Path, experiment: Experiment) -> Look:
    languages = experiment.translate.to
    there = [code for code in languages if (folder / "pairs" / f"{code}.parquet").exists()]
    # a recipe without translations, such as `annotated`, makes its examples without pairs
    if not there and (not experiment.tunes or (folder / "examples.parquet").exists()):
        return 0, NOT_NEEDED, False
    missing = [code for code in languages if code not in there]
    words = f"{len(there)} of {plural(len(languages), 'language')}"
    return len(missing), f"{words}; missing: {', '.join(missing)}" if missing else words, bool(there)


def _predictions(folder: Path, experiment: Experiment) -> Look:
    there = _measured(folder, "predictions", "outcomes")
    tasks = len({task for _, task, _ in there})
    missing, words, begun = _cells(there, experiment, list(experiment.all_arms))
    return missing + max(0, len(experiment.evaluate.tasks) - tasks), words, begun


def _traces(folder: Path, experiment: Experiment) -> Look:
    arms = [
        name
        for name, arm in experiment.all_arms.items()
        if arm.plain and arm.model in ("", experiment.model.name) and experiment.analyze.limit
    ]
    return _cells(_measured(folder, "traces"), experiment, arms) if arms else (0, NOT_NEEDED, False)


def _cells(there: set[Measured], experiment: Experiment, arms: list[str]) -> Look:
    """Look at a stage that measures each arm on the same cells.

    Where the experiment lists its languages, each task needs them all. Elsewhere only the data say which languages
    there are, so an arm needs the cells that another arm has.
    """
    languages = experiment.evaluate.languages
    places = {(task, language) for arm, task, language in there if arm in arms}
    if not isinstance(languages, str):
        places = {(task, language) for task, _ in places for language in languages}
    if not places:
        return 1, "nothing measured yet", False
    count = Counter(arm for arm, *place in there if tuple(place) in places)
    total = "" if isinstance(languages, str) else f" of {len(places)}"
    words = ", ".join(f"{name} {count[name]}{total}" for name in arms)
    return sum(len(places) - count[name] for name in arms), f"{words} (tasks × languages)", True


def _measured(folder: Path, *kinds: str) -> set[Measured]:
    """Return the cells whose results are in folders `<kind>/<arm>/<task>/<language>.<ending>`."""
    paths = [path for kind in kinds for path in (folder / kind).glob("*/*/*") if path.exists()]  # no link to nowhere
    return {(path.parent.parent.name, path.parent.name, path.stem) for path in paths if path.name[0] != "."}


def _tunes(experiment: Experiment) -> bool:
    return experiment.tunes


LOOKS: dict[str, Callable[[Path, Experiment], Look]] = {
    "questions": _file("questions.parquet", _tunes),
    "translate": _pairs,
    "build": _file("examples.parquet", _tunes),
    "tune": _file("adapter", _tunes),
    "evaluate": _predictions,
    "analyze": _traces,
    "report": _file("report/index.html", lambda _: True),
}
"""Stage → how its results are looked for."""

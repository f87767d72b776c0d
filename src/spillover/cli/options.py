"""Arguments that commands share, and the experiment and run folder that they name."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spillover.cli.interrupts import keep_in
from spillover.utils.paths import expanded_path

if TYPE_CHECKING:
    from spillover.analysis.statistics.gates import GateOutcome
    from spillover.experiment import Experiment
    from spillover.pipeline import Run

File = Annotated[
    Path,
    typer.Argument(metavar="EXPERIMENT", help="The experiment file, such as examples/demo.toml.", parser=expanded_path),
]
Overrides = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the experiment: tune.epochs=1. Repeatable."),
]


def runs_folder(text: str | Path) -> Path:
    """Return the folder of all run folders that an argument names; for an address, its copy on this machine."""
    if "://" in str(text):
        from spillover.store import open_runs

        return open_runs(str(text))
    return expanded_path(text)


Runs = Annotated[
    Path,
    typer.Option(
        "--runs",
        metavar="DIR",
        help="Folder of all run folders, or an address: s3://BUCKET/PREFIX.",
        parser=runs_folder,
    ),
]
Gates = Annotated[
    list[str],
    typer.Option("--gate", metavar="GATE", help="End with status 1 if this gate fails: unseen>=0, th>=-5. Repeatable."),
]
Name = Annotated[str, typer.Option("--name", help="Name of the run folder. Default: the name of the experiment file.")]


@contextmanager
def open_experiment(file: Path, overrides: list[str]) -> "Iterator[Experiment]":
    """Read the experiment. Within the block its languages are known, and the revisions of its lock are read."""
    from spillover.experiment import load_experiment
    from spillover.utils.hub import pinned, read_lock

    experiment = load_experiment(file, overrides)
    with experiment.registered(), pinned(read_lock(file)):
        yield experiment


@contextmanager
def open_run(file: Path, overrides: list[str], runs: Path, name: str) -> "Iterator[Run]":
    """Read the experiment and open its run folder. The languages that it brings are known within the block."""
    from spillover.pipeline import Run
    from spillover.records import PRECISION_FILE
    from spillover.store import Store
    from spillover.utils.precision import auto_means

    with open_experiment(file, overrides) as experiment, closing(Store(runs, name or file.stem)) as store:
        keep_in(store.run)
        try:
            with auto_means(store.text(PRECISION_FILE)):
                yield Run(experiment, store)
        finally:  # also if a gate ends the command with status 1
            store.push()


def run_folder(run: str, runs: Path) -> Path:
    """Return a run's folder; `run` is the run's name or its folder. A run at an address is brought here first."""
    path = expanded_path(run)
    if len(path.parts) > 1:
        return path
    if _is_copy(runs):
        from spillover.store import Store

        with closing(Store(runs, run)) as store:
            store.pull()
    return runs / run


def pull_runs(runs: Path) -> None:
    """Bring all runs here, if the folder of runs is the copy of an address."""
    if _is_copy(runs):
        from spillover.store import pull_all_runs

        pull_all_runs(runs)


def _is_copy(runs: Path) -> bool:
    from spillover.records import ADDRESS_FILE

    return (runs / ADDRESS_FILE).exists()


def end_by_gates(outcomes: "Sequence[GateOutcome]") -> None:
    """Print the result of every gate; end with status 1 if one does not hold."""
    for outcome in outcomes:
        typer.echo(outcome.sentence, err=not outcome.holds)
    if not all(outcome.holds for outcome in outcomes):
        raise typer.Exit(1)

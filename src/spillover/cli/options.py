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
Runs = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Folder of all run folders.", parser=expanded_path)]
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
    from spillover.store import Store

    with open_experiment(file, overrides) as experiment, closing(Store(runs, name or file.stem)) as store:
        keep_in(store.run)
        yield Run(experiment, store)


def run_folder(run: str, runs: Path) -> Path:
    """Return a run's folder; `run` is the run's name or its folder."""
    path = expanded_path(run)
    return path if len(path.parts) > 1 else runs / run


def end_by_gates(outcomes: "Sequence[GateOutcome]") -> None:
    """Print the result of every gate; end with status 1 if one does not hold."""
    for outcome in outcomes:
        typer.echo(outcome.sentence, err=not outcome.holds)
    if not all(outcome.holds for outcome in outcomes):
        raise typer.Exit(1)

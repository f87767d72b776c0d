"""What commands share: arguments, and the experiment and run folder that they name."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spillover.utils.paths import expanded_path

if TYPE_CHECKING:
    from spillover.pipeline import Run

File = Annotated[
    Path,
    typer.Argument(metavar="EXPERIMENT", help="The experiment file, such as examples/demo.toml.", parser=expanded_path),
]
Overrides = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a key: tune.epochs=1.")]
Runs = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Where run folders go.", parser=expanded_path)]
Name = Annotated[str, typer.Option("--name", help="The run folder's name; by default the experiment file's.")]


def open_run(file: Path, overrides: list[str], runs: Path, name: str) -> "Run":
    """Read the experiment, and open its run folder."""
    from spillover.experiment import load_experiment
    from spillover.pipeline import Run
    from spillover.store import Store

    return Run(load_experiment(file, overrides), Store(runs, name or file.stem))

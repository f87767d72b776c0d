"""Several runs: `compare` finished ones, `suggest` what to tune on, `sweep` a grid."""

from pathlib import Path
from typing import Annotated

import typer

from spillover.cli.options import File, Name, Overrides, Runs, open_run
from spillover.utils.paths import expanded_path

app = typer.Typer()


@app.command()
def compare(
    compared: Annotated[list[str], typer.Argument(metavar="RUN…", help="Names of runs, or their folders.")],
    margin: Annotated[float, typer.Option(min=0, max=100, help="Points that count as equivalent.")] = 2,
    runs: Runs = Path("runs"),
    name: Annotated[str, typer.Option("--name", help="Also write the tables into this folder of the runs.")] = "",
) -> None:
    """Lay finished runs of the same items side by side; seeds of one recipe are taken together."""
    from rich.console import Console

    from spillover.report import code_digest
    from spillover.report.runs import render, shown
    from spillover.runs.read import compare_folders as line_up
    from spillover.runs.read import registered
    from spillover.store import Store

    folders = [_run_folder(run, runs) for run in compared]
    with registered(folders):
        lineup = line_up(folders, margin)
        Console().print(shown(lineup))
        if name:
            typer.echo(Store(runs, name).replace("tables", [lineup, code_digest()], lambda: render(lineup)))


@app.command()
def suggest(
    file: File,
    targets: Annotated[str, typer.Option("--for", metavar="CODES", help="Languages that are to get better: th,sw.")],
    count: Annotated[int, typer.Option("--k", min=1, help="How many languages to tune on.")] = 2,
    among: Annotated[str, typer.Option(metavar="CODES", help="Languages to choose from; by default all others.")] = "",
    compared: Annotated[
        list[str], typer.Option("--from", metavar="RUN", help="A finished run; by default every one in the runs.")
    ] = [],  # noqa: B006
    overrides: Overrides = [],  # noqa: B006
    runs: Runs = Path("runs"),
    name: Name = "",
) -> None:
    """Say which languages to tune on for others to get better, and whether that is known at all."""
    from rich.console import Console

    from spillover.report.suggestion import shown
    from spillover.runs import suggest as module

    with open_run(file, overrides, runs, name) as run:
        request = module.SuggestRequest(_codes(targets), count, _codes(among))
        folders = [_run_folder(run, runs) for run in compared] or module.finished_runs(runs)
        Console().print(shown(module.suggest(run.experiment, run.store, request, folders)))


def _codes(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(code.strip() for code in text.split(",") if code.strip()))


def _run_folder(run: str, runs: Path) -> Path:
    """Return the folder of a run that is given by its name or its folder."""
    path = expanded_path(run)
    return path if len(path.parts) > 1 else runs / run


@app.command()
def sweep(
    file: Annotated[
        Path,
        typer.Argument(metavar="GRID", help="An experiment file whose keys may hold lists.", parser=expanded_path),
    ],
    overrides: Overrides = [],  # noqa: B006
    runs: Runs = Path("runs"),
    name: Annotated[str, typer.Option("--name", help="The grid's folder; by default the file's name.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the plan.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Tasks at a time; 0: one, or what a cluster has room for.")] = 0,
    executor: Annotated[str, typer.Option(help="local, or ray.")] = "local",
    on: Annotated[str, typer.Option(metavar="ADDRESS", help="A Ray cluster: auto, ray://HOST:PORT.")] = "",
    gpus: Annotated[float, typer.Option(min=0, help="GPUs for each task; 0.5: two share one.")] = 0,
) -> None:
    """Run every experiment of a grid that is not finished yet; end with status 1 if any failed."""
    import tomli_w
    from rich.console import Console

    from spillover import sweep as grids
    from spillover.experiment import read_table
    from spillover.runs.rates import measured_costs
    from spillover.sweep.display import failures, planned
    from spillover.sweep.forecast import forecast

    trials, grid = grids.load_grid(file, overrides), name or file.stem
    board = grids.open_board(trials, runs, grid)
    missing = [trial for trial in trials if board.rows[trial.name].state != "done"]
    typer.echo(f"{grid}: {len(trials)} experiments, {len(trials) - len(missing)} of them finished.")
    if missing:
        Console().print(planned(forecast(missing), measured_costs(runs), workers))
    if dry_run:
        return
    grids.sweep(board, executor, grids.Resources(workers, on, gpus))
    typer.echo(
        f"Report: {grids.report(trials, board, runs, grid, tomli_w.dumps(read_table(file, overrides)))}/index.html"
    )
    failed = failures(list(board.rows.values()))
    for line in failed:
        typer.echo(line, err=True)
    raise typer.Exit(int(bool(failed)))

"""Commands that look at run folders: `status` and `open`."""

from pathlib import Path
from typing import Annotated

import typer

from spillover.cli.options import Runs, pull_runs, run_folder
from spillover.errors import SpilloverError

app = typer.Typer()

PAGE = "report/index.html"


@app.command()
def status(
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="Name or folder of a run. Default: all runs.")] = "",
    runs: Runs = Path("runs"),
) -> None:
    """Show which stages of a run are done and which are missing. Without RUN: of all runs."""
    from spillover.records import EXPERIMENT_FILE
    from spillover.runs.status import run_folders, run_status

    if run:
        folder = run_folder(run, runs)
        stages = run_status(folder)
        for row in stages:
            typer.echo(f"{row.stage:<10} {row.state:<8} {row.detail}")
        if any(row.missing for row in stages):
            command = f"spillover run {folder / EXPERIMENT_FILE} --name {folder.name} --runs {folder.parent}"
            typer.echo(f"To go on: {command}")
        else:
            typer.echo(f"Page: {folder / PAGE}")
        return
    pull_runs(runs)
    folders = run_folders(runs)
    if not folders:
        typer.echo(f"{runs}: no run yet. To make one: spillover run EXPERIMENT, or spillover demo")
    for folder in folders:
        try:
            open_stages = [row for row in run_status(folder) if row.missing]
        except SpilloverError as error:  # a folder of another version hides no other
            typer.echo(f"{folder}: {error}")
            continue
        words = ", ".join(f"{row.stage} {row.state}" for row in open_stages)
        typer.echo(f"{folder}: {words or 'done'}")


@app.command("open")
def open_page(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name or folder of a run.")], runs: Runs = Path("runs")
) -> None:
    """Open the page of a run in a browser, and print the page's path."""
    import webbrowser

    folder = run_folder(run, runs)
    page = folder / PAGE
    if not page.is_file():
        raise SpilloverError(
            f"open: {folder}: found no {PAGE}, expected a run that wrote its page; `spillover status {run}` says what "
            "is missing"
        )
    typer.echo(page)
    if not webbrowser.open(page.resolve().as_uri()):
        typer.echo("No browser is here: copy the page to a machine that has one. It needs no other file.", err=True)

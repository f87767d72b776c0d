"""The seven stages, one by one (`questions` to `report`) or all together (`run`, `demo`)."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spillover.cli.interrupts import keep_in
from spillover.cli.options import File, Gates, Name, Overrides, Runs, end_by_gates, open_run
from spillover.errors import SpilloverError

if TYPE_CHECKING:
    from spillover.pipeline import Run

app = typer.Typer()

STAGES = {
    "questions": ("Read the questions without their answers.", "questions.parquet"),
    "translate": ("Pair the questions with their translations.", "pairs"),
    "build": ("Make training examples from the pairs.", "examples.parquet"),
    "tune": ("Tune an adapter on the examples.", "adapter"),
    "evaluate": ("Score every choice of every item with each arm, or let each arm write answers.", "predictions"),
    "analyze": ("Trace items through the layers of both models, and apply the lenses.", "traces"),
    "report": ("Compare base and tuned in tables, figures and one page.", "report/index.html"),
}
"""Stage → its help, and its output in the run folder. `pipeline.STAGES` has the function of each stage."""


def _make(stage: str, run: "Run") -> None:
    from spillover import pipeline

    pipeline.STAGES[stage](run)
    run.describe()
    typer.echo(run.store.run / STAGES[stage][1])


def _add_stage(stage: str) -> None:
    @app.command(stage, help=STAGES[stage][0])
    def command(file: File, overrides: Overrides = [], runs: Runs = Path("runs"), name: Name = "") -> None:  # noqa: B006
        with open_run(file, overrides, runs, name) as run:
            _make(stage, run)


def translate(
    file: File,
    overrides: Overrides = [],  # noqa: B006
    runs: Runs = Path("runs"),
    name: Name = "",
    items: Annotated[
        bool,
        typer.Option("--items", help="Translate the items, not the questions, from the language of the questions."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the number of characters per translator; translate nothing.")
    ] = False,
) -> None:
    """Pair the questions with their translations. With --items: translate the items instead."""
    from spillover import forecast
    from spillover.stages.translate_items import translate_items

    if items and dry_run:
        raise SpilloverError("translate: found --items and --dry-run, expected one of them")
    with open_run(file, overrides, runs, name) as run:
        if dry_run:
            typer.echo("\n".join(forecast.translation(run)))
        elif items:
            for path in translate_items(run.experiment, run.store):
                typer.echo(path)
        else:
            _make("translate", run)


for _stage in STAGES:
    if _stage == "translate":  # the only stage with further options
        app.command(_stage, help=STAGES[_stage][0])(translate)
    else:
        _add_stage(_stage)


@app.command()
def run(
    file: File,
    overrides: Overrides = [],  # noqa: B006
    runs: Runs = Path("runs"),
    name: Name = "",
    gates: Gates = [],  # noqa: B006
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the work that is left; run nothing.")] = False,
) -> None:
    """Run all seven stages. Print the main table and the path of the page, then test the gates."""
    from spillover.stages.evaluation import read_gates

    with open_run(file, overrides, runs, name) as opened:
        parsed = read_gates(opened.experiment, gates)  # a wrong gate is refused before an hour of tuning
        if dry_run:
            from spillover.forecast import forecast

            typer.echo("\n".join(forecast(opened)))
            return
        from rich.console import Console

        from spillover.analysis.statistics.gates import check_gates
        from spillover.report.tables.run import summary_text

        findings = opened.complete()
        Console().print(summary_text(findings))
        typer.echo(f"Report: {opened.store.run / 'report' / 'index.html'}")
        end_by_gates(check_gates(parsed, findings.comparisons[0]))


@app.command()
def fetch(file: File, overrides: Overrides = [], runs: Runs = Path("runs"), name: Name = "") -> None:  # noqa: B006
    """Download all that a run needs: models, translator, data sets. Pin their revisions in a lock beside EXPERIMENT.

    EXPERIMENT may also be the grid of a sweep.
    """
    from spillover.pipeline import Run
    from spillover.store import Store
    from spillover.sweep import experiments_to_fetch
    from spillover.utils.hub import pinning, write_lock

    with closing(Store(runs, name or file.stem)) as store, pinning() as commits:
        keep_in(store.run)
        for experiment in experiments_to_fetch(file, overrides):
            with experiment.registered():
                Run(experiment, store).fetch()
        typer.echo(write_lock(file, commits))


@app.command()
def demo(
    overrides: Overrides = [],  # noqa: B006
    runs: Runs = Path("runs"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the work that is left; run nothing.")] = False,
) -> None:
    """Run the demo: Gemma-3-270M tuned on the starter corpus, zh/de=>en, and measured in twenty languages."""
    from importlib.resources import files

    run(Path(str(files("spillover").joinpath("data", "demo.toml"))), overrides, runs, dry_run=dry_run)

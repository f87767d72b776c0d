"""The seven stages, singly or all: `questions` to `report`, `run`, `demo`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spillover.cli.options import File, Name, Overrides, Runs, open_run
from spillover.errors import SpilloverError

if TYPE_CHECKING:
    from spillover.pipeline import Run

app = typer.Typer()

Gates = Annotated[
    list[str], typer.Option("--gate", metavar="GATE", help="End with status 1 unless it holds: unseen>=0, th>=-5.")
]

STAGES = {
    "questions": ("Read the questions, without their answers.", "questions.parquet"),
    "translate": ("Pair the questions with their translations.", "pairs"),
    "build": ("Turn pairs into training examples.", "examples.parquet"),
    "tune": ("Tune an adapter on the examples.", "adapter"),
    "evaluate": ("Score every choice of every item, base and tuned.", "predictions"),
    "analyze": ("Trace items through the layers and read them through the lenses.", "traces"),
    "report": ("Compare base and tuned: tables, figures, one page.", "report/index.html"),
}
"""Stage → what it does, and what it leaves in the run folder. `pipeline.STAGES` has what makes it."""


def _make(stage: str, run: "Run") -> None:
    from spillover import pipeline

    pipeline.STAGES[stage](run)
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
    items: Annotated[bool, typer.Option("--items", help="Translate the English items instead.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many characters would go where.")] = False,
) -> None:
    """Pair the questions with their translations, or translate the items."""
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
    if _stage == "translate":  # it alone has options of its own
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would still take.")] = False,
) -> None:
    """Run all seven stages, print the main table and where the page is; test the gates."""
    from rich.console import Console

    from spillover import forecast
    from spillover.analysis.statistics.gates import check_gates
    from spillover.report.tables.run import summary_text
    from spillover.stages.evaluation import read_gates

    with open_run(file, overrides, runs, name) as opened:
        parsed = read_gates(opened.experiment, gates)  # before an hour of tuning, not after it
        if dry_run:
            typer.echo("\n".join(forecast.forecast(opened)))
            return
        findings = opened.complete()
        Console().print(summary_text(findings))
        typer.echo(f"Report: {opened.store.run / 'report' / 'index.html'}")
        outcomes = check_gates(parsed, findings.comparison)
        for outcome in outcomes:
            typer.echo(outcome.sentence, err=not outcome.holds)
        if not all(outcome.holds for outcome in outcomes):
            raise typer.Exit(1)


@app.command()
def demo(overrides: Overrides = [], runs: Runs = Path("runs")) -> None:  # noqa: B006
    """Run the demo: Gemma-3-270M, the starter corpus, zh/de=>en, twenty languages."""
    from importlib.resources import files

    run(Path(str(files("spillover").joinpath("data", "demo.toml"))), overrides, runs)

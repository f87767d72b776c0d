"""The seven stages, singly or all: `questions` to `report`, `run`, `demo`."""

from pathlib import Path
from typing import Annotated

import typer

from spillover.cli.options import File, Name, Overrides, Runs, open_run
from spillover.errors import SpilloverError

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
"""Stage → what it does, what it leaves in the run folder. A stage makes whatever it needs and is not there yet."""


def _add_stage(stage: str) -> None:
    summary, output = STAGES[stage]

    @app.command(stage, help=summary)
    def command(file: File, overrides: Overrides = [], runs: Runs = Path("runs"), name: Name = "") -> None:  # noqa: B006
        from spillover import pipeline

        experiment, store = open_run(file, overrides, runs, name)
        getattr(pipeline, stage)(experiment, store)
        typer.echo(store.run / output)


_add_stage("questions")


@app.command(help=STAGES["translate"][0])
def translate(
    file: File,
    overrides: Overrides = [],  # noqa: B006
    runs: Runs = Path("runs"),
    name: Name = "",
    items: Annotated[bool, typer.Option("--items", help="Translate the English items instead.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many characters would go where.")] = False,
) -> None:
    """Pair the questions with their translations, or translate the items."""
    from spillover import forecast, pipeline
    from spillover.stages import translate_items

    if items and dry_run:
        raise SpilloverError("translate: found --items and --dry-run, expected one of them")
    experiment, store = open_run(file, overrides, runs, name)
    if dry_run:
        typer.echo("\n".join(forecast.translation(experiment, store)))
        return
    if items:
        for path in translate_items.translate_items(experiment, store):
            typer.echo(path)
        return
    pipeline.translate(experiment, store)
    typer.echo(store.run / STAGES["translate"][1])


for _stage in list(STAGES)[2:]:
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

    from spillover import forecast, pipeline
    from spillover.analysis.statistics.gates import check_gates
    from spillover.report.tables.run import summary_text
    from spillover.stages.evaluation import read_gates

    experiment, store = open_run(file, overrides, runs, name)
    parsed = read_gates(experiment, gates)  # before an hour of tuning, not after it
    if dry_run:
        typer.echo("\n".join(forecast.forecast(experiment, store)))
        return
    findings = pipeline.run(experiment, store)
    Console().print(summary_text(findings))
    typer.echo(f"Report: {store.run / 'report' / 'index.html'}")
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

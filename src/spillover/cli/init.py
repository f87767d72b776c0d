"""`init`: from a file or a folder to an experiment that is checked and ready to run."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spillover.cli.options import Runs, open_run
from spillover.errors import SpilloverError
from spillover.utils.paths import expanded_path

if TYPE_CHECKING:
    from spillover.init import Ask, Corpus

app = typer.Typer()


@app.command()
def init(
    path: Annotated[
        Path,
        typer.Argument(help="CSV, TSV, JSON or Parquet, or a folder with a file per language.", parser=expanded_path),
    ],
    out: Annotated[
        str, typer.Option(help="The new folder. Default: the data's name; for a folder with -experiment.")
    ] = "",
    text: Annotated[str, typer.Option(help="Column of the texts; several with commas.")] = "",
    label: Annotated[str, typer.Option(help="Column of the labels, or none.")] = "",
    classes: Annotated[str, typer.Option(help="What numbered classes mean, in their order, with commas.")] = "",
    task: Annotated[str, typer.Option(help="A task that ships, or a name for your own.")] = "",
    to: Annotated[str, typer.Option(help="Codes of the languages to tune on, with commas.")] = "",
    language: Annotated[str, typer.Option(help="Language of a file with one language.")] = "",
    model: Annotated[str, typer.Option(help="The model of the experiment.")] = "gemma-3-270m",
    runs: Runs = Path("runs"),
) -> None:
    """Make an experiment from your own data: look at them, ask at most five questions, write a folder and check it."""
    from spillover.init import counts, decide, make_plan, read_corpus, require_new, write_plan

    corpus = read_corpus(path, language)
    folder = require_new(Path(out or f"{corpus.name}{'-experiment' * path.is_dir()}"))
    _describe(corpus)
    flags = {"text": text, "label": label, "classes": classes, "task": task, "to": to}
    decisions = decide(corpus, _asker(flags))
    if decisions.label:
        rows = counts(corpus, decisions.label)
        typer.echo(f"Classes: {', '.join(f'{name} {count}' for name, count in rows.items())}")
    plan = make_plan(corpus, decisions)
    for note in plan.notes:
        typer.echo(f"Note: {note}.")
    file = write_plan(plan, folder, model)
    items = ", ".join(f"{code} {len(rows)}" for code, rows in plan.items.items()) or "those that ship"
    typer.echo(f"Wrote {file}. Questions to tune on: {len(plan.questions[plan.pivot])}. Items to measure: {items}.")
    _check(file, runs, folder.name)


def _describe(corpus: "Corpus") -> None:
    """Print what was seen."""
    rows = ", ".join(f"{code} {len(each)}" for code, each in corpus.rows.items())
    typer.echo(f"Rows: {rows} ({corpus.form})")
    typer.echo(f"Columns: {', '.join(corpus.columns)}")


def _asker(flags: dict[str, str]) -> "Ask":
    """Return who answers: a flag, else the user at a terminal, else the default, which is printed."""

    def ask(flag: str, question: str, default: str) -> str:
        if flags[flag]:
            return flags[flag]
        words = question[0].upper() + question[1:]
        if sys.stdin.isatty():
            return str(typer.prompt(words, default=default))
        typer.echo(f"{words}: {default} (--{flag} changes it)")
        return default

    return ask


def _check(file: Path, runs: Path, name: str) -> None:
    """Print the doctor's list, what a run would do, and the next command; end with status 1 if there is an error."""
    from spillover.forecast import forecast
    from spillover.lint import FORMATS, lint_experiment

    with open_run(file, [], runs, name) as run:
        defects = lint_experiment(run.experiment)
        typer.echo(FORMATS["text"](defects))
        if any(defect.severity == "error" for defect in defects):
            raise typer.Exit(1)
        command = f"spillover run {file.as_posix()} --name {name}"
        try:
            typer.echo("\n".join(forecast(run)))
        except SpilloverError as error:  # such as a translator that is not there yet: what was written is sound
            typer.echo(f"The dry run stopped: {error}")
            command += " --dry-run"
    typer.echo(f"Next: {command}")

"""`init`: from a file, a folder or a set of the hub to an experiment that is checked and ready to run."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spillover.cli.options import Runs, open_run
from spillover.utils.paths import expanded_path

if TYPE_CHECKING:
    from spillover.init import Ask, Corpus

app = typer.Typer()


@app.command()
def init(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A CSV, TSV, JSON or Parquet file, a folder with a file per language, or hub:ID (may end in :CONFIG).",
        ),
    ],
    out: Annotated[
        str, typer.Option(help="The new folder. Default: name of the data (with -experiment for a folder).")
    ] = "",
    questions: Annotated[
        str, typer.Option(metavar="FILE", help="More texts in the same columns. They are tuned on, not measured.")
    ] = "",
    text: Annotated[str, typer.Option(help="Columns of the texts, separated by commas.")] = "",
    label: Annotated[str, typer.Option(help="Column of the labels. none: the data have no labels.")] = "",
    classes: Annotated[str, typer.Option(help="Names of numbered classes, in their order, with commas.")] = "",
    task: Annotated[str, typer.Option(help="A task that ships, or a name for your own task.")] = "",
    to: Annotated[str, typer.Option(help="Codes of the languages to tune on, separated by commas.")] = "",
    language: Annotated[str, typer.Option(help="Language of the data, if it is only one.")] = "",
    languages: Annotated[
        str, typer.Option(metavar="CODES", help="Languages to use. Default: all languages of the data.")
    ] = "",
    paired: Annotated[
        bool | None,
        typer.Option(
            "--paired/--unpaired", help="Whether rows with the same id or number are translations of each other."
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="The model of the experiment.")] = "gemma-3-270m",
    runs: Runs = Path("runs"),
) -> None:
    """Make an experiment from your own data. It asks at most five questions, writes a folder and checks it."""
    from spillover.init import counts, decide, in_languages, make_plan, require_new, with_questions, write_plan

    flags = {"text": text, "label": label, "classes": classes, "task": task, "to": to, "language": language}
    ask = _asker(flags)
    typer.echo(f"Looking at {data}")  # reading and the first imports take seconds
    corpus = in_languages(_read(data, language, ask), languages)
    folder = require_new(Path(out or f"{corpus.name}{'-experiment' * expanded_path(data).is_dir()}"))
    if questions:
        # if nothing says the language of the questions, it is the pivot
        corpus = with_questions(corpus, _read(questions, language, _asker(flags | {"language": corpus.pivot})))
    _describe(corpus)
    decisions = decide(corpus, ask)
    if decisions.label:
        rows = counts(corpus, decisions.label)
        names = {value: f"{value} = {name}" if name != value else value for value, name in decisions.classes.items()}
        typer.echo(f"Classes: {', '.join(f'{names.get(value, value)} {count}' for value, count in rows.items())}")
    plan = make_plan(corpus, decisions, paired)
    for note in (*corpus.notes, *plan.notes):
        typer.echo(f"Note: {note}.")
    file = write_plan(plan, corpus, folder, model)
    items = ", ".join(f"{code} {len(rows)}" for code, rows in plan.items.items()) or "those that ship"
    texts = f"Texts to tune on, without labels: {plan.pivot} {len(plan.questions[plan.pivot])}"
    typer.echo(f"Wrote {file}. {texts}. Items to measure: {items}.")
    _check(file, runs, folder.name, plan.translated)


def _read(data: str, language: str, ask: "Ask") -> "Corpus":
    from spillover.init import PREFIX, read_corpus, read_hub

    if data.startswith(PREFIX):
        return read_hub(data, language, ask)
    return read_corpus(expanded_path(data), language, ask)


def _describe(corpus: "Corpus") -> None:
    """Print the number of rows per language, and the columns."""
    for kind, parts in (("Rows", corpus.rows), ("Rows only to tune on", corpus.questions)):
        if parts:
            rows = ", ".join(f"{code} {len(each)}" for code, each in parts.items())
            typer.echo(f"{kind}: {rows}{f' ({corpus.form})' * (parts is corpus.rows)}")
    typer.echo(f"Columns: {', '.join(corpus.columns)}")


def _asker(flags: dict[str, str]) -> "Ask":
    """Return a function that answers by a flag, else asks the user at a terminal, else prints and takes the default."""

    def ask(flag: str, question: str, default: str, obvious: bool = False) -> str:
        if flags[flag]:
            return flags[flag]
        words = question[0].upper() + question[1:]
        if sys.stdin.isatty() and not obvious:
            return str(typer.prompt(words, default=default or None))
        if default:
            typer.echo(f"{words}: {default} (--{flag} changes it)")
        return default

    return ask


def _check(file: Path, runs: Path, name: str, translated: bool) -> None:
    """Print the defects, the work of a run, and the next command. End with status 1 if a defect is an error."""
    from spillover.forecast import forecast, known_before_translating
    from spillover.lint import FORMATS, lint_experiment

    with open_run(file, [], runs, name) as run:
        defects = lint_experiment(run.experiment)
        typer.echo(FORMATS["text"](defects))
        if any(defect.severity == "error" for defect in defects):
            raise typer.Exit(1)
        command = f"spillover run {file.as_posix()} --name {name}"
        if translated:
            typer.echo("\n".join(forecast(run)))
        else:
            typer.echo("\n".join(known_before_translating(run)))
            command += " --dry-run"  # it opens the translator, which may download a model
    typer.echo(f"Next: {command}")

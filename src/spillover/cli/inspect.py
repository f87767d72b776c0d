"""Commands that show something and run no stage: `lint`, `prompts`, `languages`, `models`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from spillover.cli.options import File, Overrides, open_experiment
from spillover.errors import SpilloverError, did_you_mean
from spillover.organism.grammar import SEED, WORLDS

app = typer.Typer()
models = typer.Typer(
    help="List the models that come with spillover or as Python packages, print a model's folder, or make an organism."
)


@app.command()
def lint(
    file: File,
    overrides: Overrides = [],  # noqa: B006
    form: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """List all faults of an experiment's data. End with status 1 if one is an error."""
    from spillover.lint import FORMATS, lint_experiment

    if form not in FORMATS:
        raise SpilloverError(f"--format: found {form!r}; {did_you_mean(form, FORMATS)}")
    with open_experiment(file, overrides) as experiment:
        defects = lint_experiment(experiment)
    typer.echo(FORMATS[form](defects))
    raise typer.Exit(int(any(defect.severity == "error" for defect in defects)))


@app.command()
def prompts(
    file: File,
    overrides: Overrides = [],  # noqa: B006
    task: Annotated[str, typer.Option(help="Print this task only.")] = "",
    language: Annotated[str, typer.Option(help="Print this language only.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="Items per task and language. 0: all.")] = 0,
    scores: Annotated[bool, typer.Option("--scores", help="Add the base model's log-probabilities.")] = False,
) -> None:
    """Print the exact prompts of the model as JSON lines. This needs no pairs and no tuning."""
    from spillover.stages.prompts import render_prompts

    narrowed = [
        f"evaluate.{key}={json.dumps([value])}" for key, value in (("tasks", task), ("languages", language)) if value
    ]
    with open_experiment(file, [*overrides, *narrowed]) as experiment:
        for line in render_prompts(experiment, limit, scores):
            typer.echo(json.dumps(line, ensure_ascii=False))


@app.command("languages")
def list_languages(
    like: Annotated[
        str | None,
        typer.Option(
            help="A language in any spelling; it is listed with the other languages of its branch. Or a part of a "
            "name, code, branch or script. Empty: all languages."
        ),
    ] = None,
) -> None:
    """List the languages of the shipped tasks with their codes. With --like, search more than 200 languages."""
    from rich.console import Console
    from rich.table import Table

    from spillover.languages import known_languages, languages, similar_languages

    rows = list(languages().values()) if like is None else similar_languages(like)
    if not rows:
        raise SpilloverError(
            f"--like: found {like!r}, expected a language, or a part of a name, code, branch or script; "
            "`spillover languages --like ''` lists all"
        )
    columns = ("code", "name", "autonym", "script", "family", "tier", "Joshi", "NLLB")
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        joshi = "" if row.joshi is None else str(row.joshi)
        table.add_row(row.code, row.name, row.autonym, row.script, row.family, row.tier, joshi, row.nllb)
    console = Console()
    console.print(table, soft_wrap=not console.is_terminal)  # a file or a pipe gets every name whole
    if like is None:
        typer.echo(f"{len(known_languages()) - len(rows)} more: spillover languages --like TEXT")


@models.callback(invoke_without_command=True)
def list_models(context: typer.Context) -> None:
    """List the models that come with spillover or as Python packages, with size and license."""
    if context.invoked_subcommand is not None:
        return
    from spillover.models.locate import ALIASES, SHIPPED, parameters

    for name, folder in SHIPPED.items():
        typer.echo(f"{name}  {parameters(folder) // 1000} K parameters, ships with spillover, {_terms(name)}")
    for name, alias in ALIASES.items():
        typer.echo(f"{name}  {alias.parameters} parameters, {alias.megabytes} MB unpacked, {_terms(name)}")


def _terms(name: str) -> str:
    from spillover.utils.licenses import NOT_RECORDED, find_license

    row = find_license([name])
    return f"{row.terms}, {row.address}" if row else NOT_RECORDED


@models.command("path")
def model_path(name: str) -> None:
    """Print the folder of a model. It is unpacked on first use; plain transformers loads it."""
    from spillover.models.locate import locate

    typer.echo(locate(name))


@models.command("make")
def make_model(
    name: Annotated[str, typer.Argument(help="organism or organism-unshared.")],
    folder: Annotated[Path, typer.Argument(help="A new folder for the model.")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of the languages, texts and weights.")] = SEED,
) -> None:
    """Pretrain a model organism from its recipe. This takes minutes. The source `organism:SEED` has its languages."""
    from dataclasses import replace

    if name not in WORLDS:
        raise SpilloverError(f"models make: found {name!r}; {did_you_mean(name, WORLDS)}")
    if folder.exists():
        raise SpilloverError(f"models make: {folder} exists, expected a new folder")
    from spillover.models.organism import pretrain

    pretrain(replace(WORLDS[name], seed=seed), folder)


app.add_typer(models, name="models")

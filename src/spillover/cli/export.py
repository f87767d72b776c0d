"""Export the results of a run: `export model`, `hub`, `tasks`, `data`, `trace`."""

from pathlib import Path
from typing import Annotated

import typer

from spillover.cli.options import File, Name, Overrides, Runs, open_experiment, open_run
from spillover.errors import SpilloverError, did_you_mean
from spillover.utils.paths import expanded_path

RunFolder = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="The folder of a run, such as runs/demo.", parser=expanded_path),
]

app = typer.Typer(help="Export the results of a run for other programs.", no_args_is_help=True)


@app.command("model")
def export_tuned(
    run_folder: RunFolder,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder for the model.", parser=expanded_path)],
) -> None:
    """Merge the run's adapter into its base model. Plain transformers loads the folder. The folder has a model card.

    The run must be tuned; it need not be measured. Without measurements, the card says that nothing was measured.
    """
    from spillover.export.model import export_model

    export_model(run_folder, folder)
    typer.echo(folder)


@app.command("hub")
def export_to_the_hub(
    run_folder: RunFolder,
    repository: Annotated[str, typer.Argument(metavar="REPO", help="OWNER/NAME. A missing repository is created.")],
    private: Annotated[bool, typer.Option("--private", help="Make the repository private.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the files with their sizes; upload nothing.")
    ] = False,
) -> None:
    """Upload the run's adapter, card, tables and page to the Hugging Face Hub. The token is read from HF_TOKEN."""
    from spillover.export.hub import check_repository, contents, upload

    check_repository(repository)
    files = contents(run_folder)
    for path, content in files.items():
        typer.echo(f"{len(content):>12,} bytes  {path}")
    if not dry_run:
        typer.echo(upload(files, repository, private))


@app.command("tasks")
def export_cells(
    file: File,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder for the tasks.", parser=expanded_path)],
    overrides: Overrides = [],  # noqa: B006
) -> None:
    """Write the evaluation as lm-evaluation-harness tasks. Then run: lm_eval --include_path DIR --tasks spillover."""
    from spillover.export.tasks import export_tasks

    with open_experiment(file, overrides) as experiment:
        for task in export_tasks(experiment, folder):
            typer.echo(task)


@app.command("data")
def export_examples(
    file: File,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder for the examples.", parser=expanded_path)],
    format: Annotated[str, typer.Option("--format", help="jsonl, trl or llama-factory.")] = "jsonl",
    overrides: Overrides = [],  # noqa: B006
    runs: Runs = Path("runs"),
    name: Name = "",
) -> None:
    """Write the training examples in the format of another trainer."""
    from spillover.export.data import FORMATS, export_data

    if format not in FORMATS:
        raise SpilloverError(f"--format: found {format!r}; {did_you_mean(format, FORMATS)}")
    with open_run(file, overrides, runs, name) as run:
        _ = run.examples  # refuses what the evaluation asks too
        export_data(run.training_set.examples, format, folder)
        typer.echo(folder)


@app.command("trace")
def export_states(
    run_folder: RunFolder,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder for the states.", parser=expanded_path)],
    format: Annotated[str, typer.Option("--to", help="transformerlens.")] = "transformerlens",
) -> None:
    """Write the run's traced states under the names of another program: files of an ActivationCache."""
    from spillover.export.trace import FORMATS, export_trace

    if format not in FORMATS:
        raise SpilloverError(f"--to: found {format!r}; {did_you_mean(format, FORMATS)}")
    for path in export_trace(run_folder, folder, format):
        typer.echo(folder / path)

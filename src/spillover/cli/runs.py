"""Several runs: `compare` finished ones, `suggest` languages to tune on, `sweep` a grid."""

from contextlib import closing
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from spillover.cli.interrupts import keep_in
from spillover.cli.options import File, Gates, Name, Overrides, Runs, end_by_gates, open_run, pull_runs, run_folder
from spillover.errors import SpilloverError
from spillover.utils.paths import expanded_path

app = typer.Typer()


@app.command()
def compare(
    compared: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|FILE…",
            help="Names or folders of finished runs. Or files with results of other tools, the reference first: "
            "samples of lm-evaluation-harness (a file or a results folder), logs of inspect, CSV or JSONL.",
        ),
    ],
    margin: Annotated[
        float, typer.Option(min=0, max=100, help="Differences up to this many points count as equivalent.")
    ] = 2,
    runs: Runs = Path("runs"),
    name: Annotated[
        str,
        typer.Option("--name", help="Also write the tables (for files also the page) into a run folder of this name."),
    ] = "",
    language: Annotated[
        str, typer.Option(metavar="CODE", help="For files: their language, if no column or task name says it.")
    ] = "",
    metric: Annotated[
        str, typer.Option(metavar="NAME", help="For files: metric, scorer or score column. Default: the usual.")
    ] = "",
    tuned_on: Annotated[
        str, typer.Option(metavar="CODES", help="For files: languages that a model was tuned on: zh,de. Default: none.")
    ] = "",
    gates: Gates = [],  # noqa: B006
) -> None:
    """Compare finished runs of the same items, or files with results of other tools for the same items.

    Seeds of one recipe are averaged. The first file is the reference for all other files.
    """
    from spillover.runs.samples.read import is_samples

    paths = [expanded_path(text) for text in compared]
    kinds = [is_samples(path) for path in paths]
    if all(kinds):
        options = SampleOptions(margin / 100, language, metric, _codes(tuned_on), gates)
        _compare_samples(paths, options, runs, name)
    elif any(kinds):
        run, file = compared[kinds.index(False)], compared[kinds.index(True)]
        raise SpilloverError(f"compare: found the run {run} and the file {file}, expected only runs or only files")
    elif options_of_files := [text for text in (language, metric, tuned_on, *gates) if text]:
        raise SpilloverError(
            f"compare: found {options_of_files[0]!r}, an option of other tools' files, expected runs without it: "
            "runs say their languages themselves, and `run --gate` tests gates"
        )
    else:
        _compare_runs(compared, margin, runs, name)


class SampleOptions(NamedTuple):
    """How results of other tools are read and compared."""

    margin: float
    """Differences within ± this share count as equivalent."""
    language: str
    """Language of files that say none."""
    metric: str
    """Name of the score; empty: the usual one."""
    tuned_on: tuple[str, ...]
    """Languages that a model was tuned on."""
    gates: list[str]
    """Gates as a user writes them."""


def _compare_samples(paths: list[Path], options: SampleOptions, runs: Path, name: str) -> None:
    from rich.console import Console

    from spillover.analysis.statistics.gates import check_gates
    from spillover.languages import canonical, registered
    from spillover.report import code_digest
    from spillover.report.tables.run import summary_text
    from spillover.runs.samples.compare import compare_samples, read_sample_gates
    from spillover.runs.samples.read import read_arms
    from spillover.store import Store

    arms = read_arms(paths, options.metric, options.language)
    with registered(arms.brought):
        tuned_on = [canonical(code, "--tuned-on") for code in options.tuned_on]
        gates = read_sample_gates(options.gates, arms.samples, tuned_on)
        findings = compare_samples(arms.samples, paths, tuned_on, options.margin)
        Console().print(summary_text(findings))
        if name:
            from spillover.report.run import render  # altair and a browser engine load slowly

            with closing(Store(runs, name)) as store:
                report = store.replace("report", [findings, code_digest()], lambda: render(findings))
                store.push()
            typer.echo(f"Report: {report / 'index.html'}")
        end_by_gates(check_gates(gates, findings.comparisons[0]))


def _compare_runs(compared: list[str], margin: float, runs: Path, name: str) -> None:
    from rich.console import Console

    from spillover.report import code_digest
    from spillover.report.runs import render, terminal_text
    from spillover.runs.read import compare_folders, registered
    from spillover.store import Store

    folders = [run_folder(run, runs) for run in compared]
    with registered(folders):
        comparison = compare_folders(folders, margin)
        Console().print(terminal_text(comparison))
        if name:
            with closing(Store(runs, name)) as store:
                typer.echo(store.replace("tables", [comparison, code_digest()], lambda: render(comparison)))
                store.push()


@app.command()
def suggest(
    file: File,
    targets: Annotated[str, typer.Option("--for", metavar="CODES", help="Languages to improve: th,sw.")],
    count: Annotated[int, typer.Option("--k", min=1, help="Number of languages to tune on.")] = 2,
    among: Annotated[str, typer.Option(metavar="CODES", help="Languages to choose from. Default: all others.")] = "",
    compared: Annotated[
        list[str],
        typer.Option(
            "--from", metavar="RUN", help="A finished run to learn from. Repeatable. Default: all finished runs."
        ),
    ] = [],  # noqa: B006
    overrides: Overrides = [],  # noqa: B006
    runs: Runs = Path("runs"),
    name: Name = "",
) -> None:
    """Recommend languages to tune on, using finished runs. If these runs are not enough to decide, it says so."""
    from rich.console import Console

    from spillover.report.suggestion import terminal_text
    from spillover.runs.suggest import SuggestRequest, finished_runs, suggest_languages

    with open_run(file, overrides, runs, name) as run:
        request = SuggestRequest(_codes(targets), count, _codes(among))
        if not compared:
            pull_runs(runs)
        folders = [run_folder(run, runs) for run in compared] or finished_runs(runs)
        Console().print(terminal_text(suggest_languages(run.experiment, run.store, request, folders)))


def _codes(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(code.strip() for code in text.split(",") if code.strip()))


@app.command()
def sweep(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="GRID", help="An experiment file whose keys may hold lists of values.", parser=expanded_path
        ),
    ],
    overrides: Overrides = [],  # noqa: B006
    runs: Runs = Path("runs"),
    name: Annotated[str, typer.Option("--name", help="Name of the grid's folder. Default: the name of the file.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan; run nothing.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Parallel tasks. 0: one; on a cluster, all that fit.")] = 0,
    executor: Annotated[str, typer.Option(help="local or ray.")] = "local",
    on: Annotated[str, typer.Option(metavar="ADDRESS", help="Address of a Ray cluster: auto or ray://HOST:PORT.")] = "",
    gpus: Annotated[float, typer.Option(min=0, help="GPUs per task. 0.5: two tasks share a GPU.")] = 0,
) -> None:
    """Run all unfinished experiments of a grid. End with status 1 if one fails."""
    import tomli_w
    from rich.console import Console

    from spillover import sweep as grids
    from spillover.experiment import read_table
    from spillover.runs.estimates import costs_of_models
    from spillover.runs.rates import measured_costs
    from spillover.sweep.display import compared, failures, planned
    from spillover.sweep.forecast import forecast_sweep
    from spillover.utils.formatting import plural
    from spillover.utils.hub import pinned, read_lock

    with pinned(read_lock(file)):
        trials, grid = grids.load_grid(file, overrides), name or file.stem
        board = grids.open_schedule(trials, runs, grid)
        missing = [trial for trial in trials if board.rows[trial.name].state != "done"]
        typer.echo(f"{grid}: {plural(len(trials), 'experiment')}, {len(trials) - len(missing)} of them finished.")
        if missing:
            experiments = [trial.experiment for trial in missing]
            finished = [trial for trial in trials if board.rows[trial.name].state == "done"]
            work = forecast_sweep(missing, finished, runs / grid)
            costs = costs_of_models(measured_costs(runs), work.parts, experiments)
            Console().print(planned(work, costs, workers))
        if dry_run:
            return
        keep_in(runs / grid)
        grids.sweep(board, executor, grids.Resources(workers, on, gpus))
        report = grids.report(trials, board, runs, grid, tomli_w.dumps(read_table(file, overrides)))
        if (settings := report / "tables" / "settings.csv").exists():
            Console().print(compared(settings))
        typer.echo(f"Report: {report}/index.html")
        failed = failures(list(board.rows.values()))
        for line in failed:
            typer.echo(line, err=True)
        raise typer.Exit(int(bool(failed)))

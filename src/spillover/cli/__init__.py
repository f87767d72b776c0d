"""The command line: parse → Experiment → one pipeline function; nothing else.

Heavy imports wait until the arguments are parsed, so that `--help` answers at once.
"""

import os
import sys
from typing import Annotated

import typer

from spillover.cli import export, folders, init, inspect, runs, stages
from spillover.cli.interrupts import STATUSES, interruptible
from spillover.errors import FollowerDone, SpilloverError, one_line

app = typer.Typer(
    help="Teach a language model a few languages and watch the rest follow.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for module in (stages, runs, folders, init, inspect):
    app.add_typer(module.app)
app.add_typer(export.app, name="export")


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        typer.echo(f"spillover {version('spillover')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the hub; read only its caches.")] = False,
    json_progress: Annotated[
        bool, typer.Option("--json-progress", help="Write progress and messages as JSON objects on standard error.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""
    from spillover.utils.progress import report_as_json

    report_as_json(json_progress)
    if offline:
        from spillover.utils.hub import work_offline

        work_offline()


def main() -> None:
    """Run the command line. A fault of the user's input ends in one sentence and exit status 2."""
    try:
        with interruptible():
            app()
    except SpilloverError as error:
        _refuse(str(error))
    except FollowerDone:  # no error: this process was launched beside the main one, and its part is done
        return
    except OSError as error:  # the system refused a file where no module expects it
        _refuse(f"{error.filename or 'the system says'}: {error.strerror or error}")


def command() -> None:
    """Run `main` as a process of its own. After a signal, the process does not wait for threads that still work."""
    try:
        main()
    except SystemExit as end:
        if end.code in STATUSES:
            os._exit(int(end.code))
        raise


def _refuse(sentence: str) -> None:
    from spillover.utils.progress import as_line

    typer.echo(as_line(f"spillover: {one_line(sentence)}", "error", status=2), err=True)
    sys.exit(2)

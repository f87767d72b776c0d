"""The command line: parse → Experiment → one pipeline function; nothing else.

Heavy imports wait until the arguments are parsed, so that `--help` answers at once.
"""

import sys
from typing import Annotated

import typer

from spillover.cli import export, inspect, runs, stages
from spillover.errors import FollowerDone, SpilloverError, one_line

app = typer.Typer(
    help="Teach a language model a few languages and watch the rest follow.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for module in (stages, runs, inspect):
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
    offline: Annotated[bool, typer.Option("--offline", help="Ask the hub for nothing: read its caches alone.")] = False,
) -> None:
    """Take the options that stand before a command."""
    if offline:
        from spillover.utils.hub import work_offline

        work_offline()


def main() -> None:
    """Run the command line. A fault of the user's input ends in one sentence and exit status 2."""
    try:
        app()
    except SpilloverError as error:
        _refuse(str(error))
    except FollowerDone:  # no error: this process was launched beside the main one, and its part is done
        return
    except OSError as error:  # the system refused a file where no module expects it
        _refuse(f"{error.filename or 'the system says'}: {error.strerror or error}")


def _refuse(sentence: str) -> None:
    typer.echo(f"spillover: {one_line(sentence)}", err=True)
    sys.exit(2)

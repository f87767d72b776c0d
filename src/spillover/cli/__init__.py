"""The command line: parse → Experiment → one pipeline function; nothing else.

Heavy imports wait until the arguments are parsed, so that `--help` answers at once.
"""

import sys

import typer

from spillover.cli import export, inspect, runs, stages
from spillover.errors import FollowerDone, SpilloverError, one_line

app = typer.Typer(
    help="Teach a language model a few languages and watch the rest follow.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for module in (stages, runs, inspect):
    app.add_typer(module.app)
app.add_typer(export.app, name="export")


def main() -> None:
    """Run the command line; what is wrong with the user's input ends in one sentence and exit status 2."""
    try:
        app()
    except SpilloverError as error:
        _refuse(str(error))
    except FollowerDone:  # not an error: this process was launched beside another, and its share is done
        return
    except OSError as error:  # a file that no module expected to be refused
        _refuse(f"{error.filename or 'the system says'}: {error.strerror or error}")


def _refuse(sentence: str) -> None:
    typer.echo(f"spillover: {one_line(sentence)}", err=True)
    sys.exit(2)

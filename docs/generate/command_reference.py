"""The reference of the command line: every command with its arguments and options, from the command line itself."""

import re
from collections.abc import Iterator

import typer
from typer.cli import get_docs_for_click
from typer.core import TyperGroup
from typer.main import get_command

from spillover.cli import app

INTRODUCTION = """# The command line

*Reference: every command, with its arguments and options.*

The docs build makes this page from the command line itself. `spillover COMMAND --help` prints the same.

"""


def page() -> str:
    """Return the page in Markdown."""
    command = get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="spillover", indent=1)
    summaries = dict(_summaries(command))
    lines = (
        re.sub(r"^\* `(\w+)`: .*\.\.\.$", lambda row: f"* `{row[1]}`: {summaries[row[1]]}", line)
        for line in text.split("\n")
    )
    return INTRODUCTION + "\n".join(lines)


def _summaries(group: object) -> Iterator[tuple[str, str]]:
    """Yield each command below a group with its whole help, which typer cuts in lists of commands."""
    if isinstance(group, TyperGroup):
        for name, command in group.commands.items():
            yield name, (command.help or "").partition("\n")[0]
            yield from _summaries(command)

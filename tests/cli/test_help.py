"""The command line itself: help, version, completion."""

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from calls import Call

HEAVY = {"torch", "transformers", "pandas", "altair", "numpy", "scipy", "pyarrow", "peft"}


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["models", "--help"]], ids=" ".join)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = "from spillover.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0
    assert "Usage" in ended.stdout
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in ended.stderr.splitlines() if "|" in line}
    assert "spillover" in names
    assert names & HEAVY == set()


def test_version_prints_the_version_of_the_package(call: Call) -> None:
    assert call("--version") == (0, f"spillover {version('spillover')}\n", "")


@pytest.mark.parametrize(("line", "completed"), [("ex", "export"), ("run --dry", "--dry-run"), ("export ta", "tasks")])
def test_the_shell_completes_commands_and_options(line: str, completed: str) -> None:
    """As bash asks after `--install-completion`."""
    words = {"COMP_WORDS": f"spillover {line}", "COMP_CWORD": str(len(line.split()))}
    code = "import sys; sys.argv[0] = 'spillover'; from spillover.cli import main; main()"
    environment = {**os.environ, **words, "_SPILLOVER_COMPLETE": "complete_bash"}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert ended.stdout.split() == [completed], ended.stderr

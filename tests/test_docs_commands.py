"""The commands on the pages exist with their options, and the files on the how-to pages are what they say."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command

from places import ROOT
from spillover.cli import app
from spillover.experiment import load_experiment
from spillover.tasks import open_task

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^ *(?:- run: )?(?:PYTHONPATH=\. |HF_TOKEN=… )?(spillover [a-z-].*?)(?:   .*)?$", re.MULTILINE)
INLINE = re.compile(r"`(spillover [a-z-][^`\n]*)`")


def commands(text: str) -> list[str]:
    """Return the commands of a page: lines of fenced and of indented blocks, and code in sentences."""
    indented = [line for line in FENCE.sub("", text).splitlines() if line.startswith("    ")]
    return [*LINE.findall("\n".join((*FENCE.findall(text), *indented))), *INLINE.findall(text)]


def fault(command: str) -> str:
    """Return the first word of a command that names no command or no option of it, or nothing. Nothing is run."""
    words = iter(shlex.split(command, comments=True)[1:])
    group = get_command(app)
    for word in words:
        if word.startswith("-"):
            if word.partition("=")[0] not in options(group):
                return word
        elif isinstance(group, TyperGroup):
            if word not in group.commands:
                return word
            group = group.commands[word]
    return ""


def options(command: object) -> set[str]:
    """Return the names of a command's options."""
    parameters = getattr(command, "params", ())
    return {name for parameter in parameters for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_on_a_page_exists(page: Path) -> None:
    assert [(command, word) for command in commands(page.read_text("utf-8")) if (word := fault(command))] == []


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("spillover rune my.toml", "rune"),
        ("spillover run my.toml --gates x", "--gates"),
        ("spillover export zip runs/my", "zip"),
        ("spillover run my.toml # a comment --gates", ""),
        ("spillover --offline run my.toml --set tune.epochs=1", ""),
    ],
)
def test_a_wrong_command_is_found(command: str, expected: str) -> None:
    assert fault(command) == expected


EMOJI = re.compile(r":[a-z0-9_]+:", re.IGNORECASE)
"""What rich draws as a picture in help texts."""


def helps(group: object) -> list[str]:
    """Return the help texts of a command, its parameters and the commands below it."""
    texts = [
        getattr(group, "help", ""),
        *(getattr(parameter, "help", "") for parameter in getattr(group, "params", ())),
    ]
    below = getattr(group, "commands", {}).values()
    return [text for text in texts if text] + [text for command in below for text in helps(command)]


def test_no_help_text_holds_what_would_be_drawn_as_an_emoji() -> None:
    texts = helps(get_command(app))
    assert len(texts) > 50 and not [text for text in texts if EMOJI.search(text)]
    assert EMOJI.search("hub:ID:CONFIG"), "the broken twin"


HOW_TO = sorted((ROOT / "docs/how-to").glob("*.md"))
BLOCK = re.compile(r'```\w+ title="([\w./-]+)"\n(.*?)```', re.DOTALL)


@pytest.mark.parametrize("page", HOW_TO, ids=lambda path: path.name)
def test_every_file_on_a_how_to_page_is_valid(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = dict(BLOCK.findall(page.read_text("utf-8")))
    for name, text in blocks.items():
        Path(name).write_text(text, encoding="utf-8")
    for name, text in blocks.items():
        match Path(name).suffix:
            case ".toml" if "[rows." in text:
                assert open_task(name).name
            case ".toml":
                load_experiment(Path(name))
            case ".py":
                compile(text, name, "exec")
            case ".yml":
                assert yaml.safe_load(text)["jobs"]


def test_how_to_pages_are_short() -> None:
    assert len(HOW_TO) == 12
    lengths = {page.name: len(page.read_text("utf-8").splitlines()) for page in HOW_TO}
    assert all(25 <= lines <= 85 for lines in lengths.values()), lengths

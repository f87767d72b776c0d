"""Apertium, the rule-based engine that Debian ships: no key, no GPU, hundreds of sentences a second.

Line breaks survive, since each line is translated as a paragraph of its own. Runs the command `apertium` with the modes
that are installed (`apt install apertium apertium-eng-spa`).
"""

import shutil
import subprocess
from collections.abc import Sequence

from spillover.errors import SpilloverError, first_line
from spillover.languages import get_language

PARAGRAPH = "\n\n"
"""Paragraph break: Apertium moves no word across it."""


class Apertium:
    """The installed command with its modes."""

    batch = 200
    """Texts per process; starting one takes longer than translating a hundred sentences."""

    def __init__(self) -> None:
        """Look for the command."""
        if not shutil.which("apertium"):
            raise SpilloverError(
                "translate.with: 'apertium' needs the command apertium; install it with its languages, such as: "
                "apt install apertium apertium-eng-spa"
            )
        self.version = run_apertium(["-V"])

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """Translate line by line; blank lines and the white space around a line stay as they are."""
        self.require(source, target)
        lines = {line.strip(): "" for text in texts for line in text.split("\n") if line.strip()}
        translated = dict(zip(lines, _paragraphs(_mode(source, target), list(lines)), strict=True)) | {"": ""}
        return ["\n".join(_replaced(line, translated) for line in text.split("\n")) for text in texts]

    def require(self, source: str, target: str) -> None:
        """Refuse two languages without an installed mode."""
        mode = _mode(source, target)
        modes = run_apertium(["-l"]).split()
        if mode not in modes:
            raise SpilloverError(
                f"translate.with: 'apertium' has no mode {mode} ({source}→{target}); installed are "
                f"{', '.join(modes) or 'none'}; more are packages such as apertium-eng-spa, but not for every pair: "
                "`apt-cache search apertium` lists them, and with = 'nllb' has most languages"
            )


def _mode(source: str, target: str) -> str:
    return f"{get_language(source).iso639_3}-{get_language(target).iso639_3}"


def _replaced(line: str, translated: dict[str, str]) -> str:
    stripped = line.strip()
    before, after = (line[: len(line) - len(line.lstrip())], line[len(line.rstrip()) :]) if stripped else (line, "")
    return before + translated[stripped] + after


def _paragraphs(mode: str, lines: list[str]) -> list[str]:
    """Translate each line as a paragraph; should a rule have joined two, halve until none is left to join."""
    if not lines:
        return []
    paragraphs = run_apertium(["-u", mode], PARAGRAPH.join(lines)).split(PARAGRAPH)
    if len(paragraphs) == len(lines):
        return [line.strip() for line in paragraphs]
    if len(lines) == 1:
        return [" ".join(" ".join(paragraphs).split())]
    middle = len(lines) // 2
    return _paragraphs(mode, lines[:middle]) + _paragraphs(mode, lines[middle:])


def run_apertium(arguments: list[str], text: str = "") -> str:
    """Run the command on a text and return what it prints."""
    ended = subprocess.run(["apertium", *arguments], input=text, capture_output=True, text=True, encoding="utf-8")
    if ended.returncode:
        reason = first_line(ended.stderr or ended.stdout)
        raise SpilloverError(f"translate.with: apertium {' '.join(arguments)} failed: {reason}")
    return ended.stdout.strip()

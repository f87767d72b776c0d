"""Where files are: a folder and the shape of its files' names → a file per language.

Every fault of a folder ends in one sentence. A file that looks like a language's file and is not read is named.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from spillover.errors import SpilloverError, did_you_mean
from spillover.languages import in_paper_order, lookup, other_script
from spillover.sources.files import ENDINGS
from spillover.sources.remarks import remark

FORMAT = f"<{'|'.join(ENDINGS)}>"
PLACEHOLDERS = {
    "<language>": "(?P<language>.+?)",
    "<number>": r"\d+k?",
    FORMAT: f"(?:{'|'.join(ENDINGS)})",
}
"""Placeholder in the name of a kind of file → what may stand there."""

REASONS = {
    "language": "ignored, since they name no language here ([languages.CODE] in the experiment brings one)",
    "script": "ignored, since they name a script that is not the language's usual one",
    "folder": "ignored, since they are folders",
    "format": f"ignored, since they are no files with one of the endings {', '.join(ENDINGS)}",
}
"""Why a file is not read → the sentence that names such files."""


@dataclass(frozen=True, slots=True)
class _Folder:
    """The files of a folder that are read, and those that are ignored."""

    files: dict[str, list[Path]]
    """Language code → its files."""
    ignored: dict[str, list[str]]
    """Key of `REASONS` → names of files."""


def by_language(folder: Path, name: str) -> dict[str, list[Path]]:
    """Return language code → its files, in the paper's order; none where there is no such folder.

    Two files of one language are a fault only where that language is read: `file_of` refuses them. A language may be
    written in any way that `languages.lookup` knows, a file be compressed (`.gz`), and letters be of either case. What
    the system leaves in folders (`.DS_Store`, `._de.csv`) is passed over.

    Args:
        folder: the folder.
        name: what the files are called, with `PLACEHOLDERS` in it, one of them `<language>`.
    """
    sorted_files = _sorted_out(folder, name)
    for reason, names in sorted_files.ignored.items():
        remark(folder, f"{REASONS[reason]}: {', '.join(names)}")
    return {code: sorted_files.files[code] for code in in_paper_order(sorted_files.files)}


def _sorted_out(folder: Path, name: str) -> _Folder:
    files: dict[str, list[Path]] = {}
    ignored: dict[str, list[str]] = {}
    for path in sorted(folder.glob("[!.]*")):
        code, reason = _language(path, name)
        if code:
            files.setdefault(code, []).append(path)
        elif reason:
            ignored.setdefault(reason, []).append(path.name)
    return _Folder(files, ignored)


def _language(path: Path, name: str) -> tuple[str | None, str]:
    """Return the language that a file is of, or why one that looks like a language's is not read."""
    pattern = re.escape(name)
    for placeholder, allowed in PLACEHOLDERS.items():
        pattern = pattern.replace(re.escape(placeholder), allowed)
    match = re.fullmatch(rf"{pattern}(?:\.gz)?", path.name, re.IGNORECASE)
    if match is None or path.is_dir():
        like_a_language = name.startswith("<language>.") and lookup(path.name.partition(".")[0])
        reason = "folder" if match else "format"
        return None, reason if like_a_language else ""
    code = lookup(match["language"])
    return code, "" if code else "script" if other_script(match["language"]) else "language"


def file_of(folder: Path, name: str, language: str) -> Path:
    """Return the file of one language among `by_language`'s.

    Raises:
        SpilloverError: the language has no file, or two.
    """
    files = by_language(folder, name)
    if language not in files:
        wanted = require_folder(folder) / name.replace("<language>", language)
        there = ", ".join(files) or "none"
        raise SpilloverError(f"{wanted}: found no such file; languages that are there: {there}")
    first, *others = files[language]
    if others:
        raise SpilloverError(
            f"{folder}: found both {first.name!r} and {others[0].name!r}, expected one file per language: both name "
            f"{language!r}"
        )
    return first


def require_folder(folder: Path) -> Path:
    """Return the folder; where there is none, say which folders stand where its path ends."""
    if folder.is_dir():
        return folder
    missing = next(part for part in (folder, *folder.parents) if part.parent.is_dir())
    beside = sorted(path.name for path in missing.parent.iterdir() if path.is_dir())
    there = did_you_mean(missing.name, beside) if beside else "there is none beside it"
    raise SpilloverError(f"{folder}: found no folder {missing.name!r} in {missing.parent}; {there}")

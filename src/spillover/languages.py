"""The languages: a row of `data/languages.toml` each, and those that experiments bring.

Knows no task, no model, no file of a user.
"""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from spillover.errors import SpilloverError, choices


@dataclass(frozen=True, slots=True)
class Language:
    """A language and the names that other tools have for it."""

    code: str
    """ISO 639-1 code, the one this project uses throughout."""
    name: str
    """English name."""
    autonym: str
    """The language's name in itself."""
    script: str
    """Its script."""
    family: str
    """Its branch: Germanic, Romance, Slavic, …"""
    tier: str
    """`high` or `low`: the paper's resource tiers."""
    nllb: str
    """FLORES-200 tag, as NLLB uses it; empty where it lacks the language."""
    iso639_3: str
    """ISO 639-3 code."""
    google: str
    """Code at Google Cloud Translation."""
    lingua: str
    """ISO 639-1 code in the language identifier lingua; empty where it lacks the language."""


_BROUGHT: dict[str, Language] = {}
"""What `bring` was told, by code; it stays for the life of the process."""


@cache
def _shipped() -> dict[str, Language]:
    table = tomllib.loads(files("spillover").joinpath("data", "languages.toml").read_text(encoding="utf-8"))
    return {code: Language(code=code, **row) for code, row in table.items()}


def bring(row: Language) -> None:
    """Make a language known that this project does not have, after the others.

    Raises:
        SpilloverError: its code is known already, as another language than this row says.
    """
    known = languages().get(row.code, row)
    if known != row:
        raise SpilloverError(f"languages.{row.code}: found {row.name}, expected a code that {known.name} does not have")
    if row.code not in _shipped():
        _BROUGHT[row.code] = row


def languages() -> dict[str, Language]:
    """Return every language by its code, in the paper's order; then those that experiments of this process brought."""
    return _shipped() | _BROUGHT


def language(code: str, where: str = "language") -> Language:
    """Return the language of a code; `where` names the place in the error for an unknown one."""
    known = languages()
    if code not in known:
        raise SpilloverError(f"{where}: found {code!r}, expected a language code; {choices(code, known)}")
    return known[code]


def ordered(codes: Iterable[str]) -> tuple[str, ...]:
    """Sort codes into the paper's order."""
    rank = {code: index for index, code in enumerate(languages())}
    return tuple(sorted(codes, key=lambda code: rank[code]))

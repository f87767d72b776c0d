"""How other people write a language: codes, tags with script or region, names.

`lookup` reads all of them. Names of files, configurations of data sets, families of tasks and keys of an experiment
all go through it.
"""

import re
import unicodedata
from difflib import get_close_matches
from functools import cache
from typing import NamedTuple

from spillover.errors import SpilloverError
from spillover.languages.table import Language, brought_languages, known_language, known_languages, languages

_WITH_COUNTRY = re.compile(r"([A-Za-z]{2,3}[_-][A-Za-z]{4})[_-]([A-Za-z]{4})")
"""A code with its script and the first four letters of a country, as Global PIQA has it: `por_latn_braz`."""


def get_language(code: str, where: str = "language") -> Language:
    """Return the language of a code; `where` names the place in the error for an unknown one."""
    known = known_language(code)
    if known is None:
        raise SpilloverError(f"{where}: found {code!r}, expected a language code; {_hint(code)}")
    return known


def lookup(written: str) -> str | None:
    """Return the code of the language that `written` names in the language's own script; None where there is none.

    Known are the codes of `known_languages`, ISO 639-1, -2 and -3, also withdrawn ones (`iw`), BCP 47 with script or
    region (`zh-Hans`, `pt_BR`), FLORES-200 (`zho_Hans`), the spellings of benchmarks (`cmn_hans`, `jp`, and with the
    first letters of a country `por_latn_braz`), English names and autonyms, all in any case. A script that is not the
    language's own, by name (`hi-Latn`) or by region (`zh-TW`), names another row of the table, or none.
    """
    return from_code(written) or from_name(written)


def from_code(written: str) -> str | None:
    """Return `lookup` of a code; None for a name in words."""
    default = languages()
    if written in default:
        return written
    brought = brought_languages()
    paper = tuple(row for code, row in default.items() if code not in brought)
    groups = (paper, tuple(brought.values()), _rows())
    known = next((code for rows in groups if (code := _from_rows(written, rows))), None)
    if known is None and (parts := _WITH_COUNTRY.fullmatch(written)) and parts[2].casefold() in _countries():
        return from_code(parts[1])
    return known


def from_name(written: str) -> str | None:
    """Return `lookup` of a name in words, with or without its accents; None for a code."""
    return _codes_by_name(_rows()).get(folded(written))


def canonical(written: str, where: str) -> str:
    """Return this project's code for a code in any usual spelling.

    Raises:
        SpilloverError: `written` is no code of a language here; `where` names the place it came from.
    """
    return from_code(written) or get_language(written, where).code


def from_cldr(written: str) -> Language | None:
    """Return a language that this project does not have, as CLDR describes its code; None for any other text.

    Its family, its tier and other tools' codes are empty. `registered` makes it known.
    """
    from babel import Locale, UnknownLocaleError

    tag, english = _tag(written), Locale("en")
    name = english.languages.get(tag.language) if tag else None
    if tag is None or name is None or other_script(written) or lookup(written):
        return None
    try:
        autonym = Locale(tag.language).get_language_name() or name
    except UnknownLocaleError:  # CLDR names the language, but has no texts in it
        autonym = name
    script = english.scripts.get(tag.script, "")
    return Language(tag.language, name, autonym, script, family="", tier="", nllb="", iso639_3="", google="", lingua="")


def other_script(written: str) -> Language | None:
    """Return the language that `written` names in a script which is not the language's own; None where it does not."""
    tag = _tag(written)
    if tag is None or lookup(written):
        return None
    codes = {usual.language: code for usual, code in reversed(_codes_by_tag(_rows()).items())}  # the usual script wins
    return known_languages()[codes[tag.language]] if tag.language in codes else None


def _hint(written: str) -> str:
    """Return the code that an unknown code may stand for, and the choices."""
    if base := other_script(written):
        return f"{base.code!r} is {base.name} in its usual script alone; {_choices('')}"
    names = _codes_by_name(_rows())
    near = [] if _tag(written) else get_close_matches(folded(written), names, n=1)
    meant = from_code(written) or (names[near[0]] if near else _spoken_in(written))
    return _choices(meant or written)


def _choices(written: str) -> str:
    """Return the nearest code, the codes that `all` means, and where the others are listed."""
    near = get_close_matches(written, languages(), n=1) or get_close_matches(written, known_languages(), n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}choose from {', '.join(languages())}, or one that `spillover languages --like TEXT` finds"


def _rows() -> tuple[Language, ...]:
    return tuple(known_languages().values())


class _Tag(NamedTuple):
    """The parts of a code."""

    language: str
    """Shortest ISO 639 code of the language; `zh` and `ms` of Mandarin and Standard Malay, as CLDR has it."""
    script: str
    """ISO 15924 code of the script: the one that is written, else the usual one of the language in the region."""


@cache
def _tag(written: str) -> _Tag | None:
    """Parse the code of a language with, perhaps, a script and a region; None for anything else."""
    import langcodes

    try:
        tag = langcodes.Language.get(written.strip()).prefer_macrolanguage()
    except ValueError:  # not of the shape of a tag
        return None
    parts = tag.to_dict()
    if "language" not in parts or not parts.keys() <= {"language", "script", "territory"} or not tag.is_valid():
        return None
    return _Tag(parts["language"], tag.maximize().script or "")


def _spoken_in(written: str) -> str | None:
    """Return the code of a country's first language: `jp` and `cn` are countries, the languages `ja` and `zh`."""
    import langcodes

    if _tag(written) or len(written) != 2 or not (written.isascii() and written.isalpha()):
        return None
    spoken, default = (langcodes.Language.make(territory=code).maximize() for code in (written.upper(), None))
    return None if spoken.language == default.language else from_code(spoken.language or "")


def _plain(code: str) -> str:
    """Return the form in which codes are compared: small letters, `-` between the parts."""
    return code.strip().casefold().replace("_", "-")


def _from_rows(written: str, rows: tuple[Language, ...]) -> str | None:
    """Return `from_code` among some rows: by a code that a row has, else by what langcodes makes of it."""
    if code := _codes_by_spelling(rows).get(_plain(written)):
        return code
    tag = _tag(written)
    return _codes_by_tag(rows).get(tag) if tag else None


@cache
def _codes_by_spelling(rows: tuple[Language, ...]) -> dict[str, str]:
    """Return a code that a row has in any column, in its plain form → code."""
    table: dict[str, str] = {}
    for column in ("code", "bcp47", "nllb", "iso639_3", "google", "lingua"):
        for row in rows:
            table.setdefault(_plain(getattr(row, column)), row.code)
    for row in rows:
        for spelling in row.spellings:
            table.setdefault(_plain(spelling), row.code)
    return {spelling: code for spelling, code in table.items() if spelling}


@cache
def _codes_by_tag(rows: tuple[Language, ...]) -> dict[_Tag, str]:
    """Return tag → code; a language's own code wins over another tool's name for another language."""
    table: dict[_Tag, str] = {}
    for column in ("code", "iso639_3", "nllb", "google", "lingua"):
        for row in rows:
            if tag := _tag(getattr(row, column)):
                script = tag.script if column == "nllb" else _script(tag, row)  # an NLLB tag says its script
                table.setdefault(_Tag(tag.language, script), row.code)
    return table


def _script(tag: _Tag, row: Language) -> str:
    """Return a tag's script, unless its row says by name that the language is written in another."""
    names = _script_names()
    if names.get(tag.script, row.script) == row.script:
        return tag.script
    return next((code for code, name in names.items() if name == row.script), tag.script)


@cache
def _script_names() -> dict[str, str]:
    """Return ISO 15924 code → name of a script, of the languages that need no experiment."""
    return {row.bcp47[-4:]: row.script for row in known_languages().values() if row.bcp47}


@cache
def _countries() -> frozenset[str]:
    """Return the first four letters of each country's English name, folded: `braz`, `mexi`."""
    from babel import Locale

    return frozenset(folded(name)[:4] for code, name in Locale("en").territories.items() if code.isalpha())


@cache
def _codes_by_name(rows: tuple[Language, ...]) -> dict[str, str]:
    """Return name in words, folded → code."""
    table: dict[str, str] = {}
    for row in rows:
        for name in (row.name, row.autonym, *row.other_names):
            table.setdefault(folded(name), row.code)
    return table


def folded(name: str) -> str:
    """Return the form in which names are compared: without case and accents, one blank between words."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(bare.replace("_", " ").replace("-", " ").split())

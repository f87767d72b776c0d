"""The languages: those of `data/languages.toml`, and those that an experiment brings.

`lookup` reads a language as other people write it. Names of files, configurations of data sets, families of tasks and
keys of an experiment all go through it.
"""

import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import NamedTuple

from spillover.errors import SpilloverError, did_you_mean

ENGLISH = "en"
"""Code of English: the default of pivot and questions, and the reference that other languages are held against."""

UNSPACED_SCRIPTS = frozenset({"Han", "Japanese", "Thai", "Lao", "Khmer", "Myanmar", "Burmese", "Tibetan"})
"""Scripts that put no blank between words."""


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
    code_page: str = ""
    """Python's name of the encoding that Windows uses for the language beside Unicode; empty where it has none."""
    other_names: tuple[str, ...] = ()
    """Further names that people write, in English or in the language itself."""


_REGISTERED: ContextVar[Mapping[str, Language]] = ContextVar(
    "languages that an experiment brings", default=MappingProxyType({})
)
"""What `registered` makes known for the duration of a block, by code."""


@cache
def _shipped() -> dict[str, Language]:
    table = tomllib.loads(files("spillover").joinpath("data", "languages.toml").read_text(encoding="utf-8"))
    rows = {code: row | {"other_names": tuple(row.get("other_names", ()))} for code, row in table.items()}
    return {code: Language(code=code, **row) for code, row in rows.items()}


@contextmanager
def registered(rows: Sequence[Language]) -> Iterator[None]:
    """Make languages known that this project does not have, after the others, for the duration of the block.

    Nothing outlives the block, so experiments with different rows for one code live side by side. Threads started
    within see the rows if they run in a copy of the context.

    Raises:
        SpilloverError: a code is that of another language here.
    """
    shipped = _shipped()
    for row in rows:
        known = shipped.get(row.code, row)
        if known != row:
            raise SpilloverError(
                f"languages.{row.code}: found {row.name}, expected a code that {known.name} does not have"
            )
    token = _REGISTERED.set({**_REGISTERED.get(), **{row.code: row for row in rows if row.code not in shipped}})
    try:
        yield
    finally:
        _REGISTERED.reset(token)


def languages() -> dict[str, Language]:
    """Return every language by its code, in the paper's order; then those that are `registered` for now."""
    return {**_shipped(), **_REGISTERED.get()}


def get_language(code: str, where: str = "language") -> Language:
    """Return the language of a code; `where` names the place in the error for an unknown one."""
    known = languages()
    if code not in known:
        raise SpilloverError(f"{where}: found {code!r}, expected a language code; {_hint(code)}")
    return known[code]


def in_paper_order(codes: Iterable[str]) -> tuple[str, ...]:
    """Sort codes into the paper's order."""
    rank = {code: index for index, code in enumerate(languages())}
    return tuple(sorted(codes, key=lambda code: rank[code]))


def lookup(written: str) -> str | None:
    """Return the code of the language that `written` names in the language's own script; None where there is none.

    Known are the codes of `languages`, ISO 639-1, -2 and -3, also withdrawn ones (`iw`), BCP 47 with script or region
    (`zh-Hans`, `pt_BR`), FLORES-200 (`zho_Hans`), English names and autonyms, all in any case. A script that is not the
    language's own, by name (`hi-Latn`) or by region (`zh-TW`), names another language here, or none.
    """
    return from_code(written) or from_name(written)


def from_code(written: str) -> str | None:
    """Return `lookup` of a code; None for a name in words."""
    if written in languages():
        return written
    tag = _tag(written)
    return _codes_by_tag(_rows()).get(tag) if tag else None


def from_name(written: str) -> str | None:
    """Return `lookup` of a name in words, with or without its accents; None for a code."""
    return _codes_by_name(_rows()).get(_folded(written))


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
    codes = {usual.language: code for usual, code in _codes_by_tag(_rows()).items()}
    return languages()[codes[tag.language]] if tag.language in codes else None


def _hint(written: str) -> str:
    """Return the code that an unknown code may stand for, and the choices."""
    if base := other_script(written):
        return f"{base.code!r} is {base.name} in its usual script alone; {did_you_mean('', languages())}"
    names = _codes_by_name(_rows())
    near = [] if _tag(written) else get_close_matches(_folded(written), names, n=1)
    meant = from_code(written) or (names[near[0]] if near else _spoken_in(written))
    return did_you_mean(meant or written, languages())


def _rows() -> tuple[Language, ...]:
    return tuple(languages().values())


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


@cache
def _codes_by_tag(rows: tuple[Language, ...]) -> dict[_Tag, str]:
    """Return tag → code; a language's own code wins over another tool's name for another language."""
    table: dict[_Tag, str] = {}
    for column in ("code", "iso639_3", "nllb", "google", "lingua"):
        for row in rows:
            if tag := _tag(getattr(row, column)):
                table.setdefault(_Tag(tag.language, _script(tag, row)), row.code)
    return table


def _script(tag: _Tag, row: Language) -> str:
    """Return a tag's script, unless its row says by name that the language is written in another."""
    names = {shipped.nllb[-4:]: shipped.script for shipped in _shipped().values()}
    if names.get(tag.script, row.script) == row.script:
        return tag.script
    return next((code for code, name in names.items() if name == row.script), tag.script)


@cache
def _codes_by_name(rows: tuple[Language, ...]) -> dict[str, str]:
    """Return name in words, folded → code."""
    table: dict[str, str] = {}
    for row in rows:
        for name in (row.name, row.autonym, *row.other_names):
            table.setdefault(_folded(name), row.code)
    return table


def _folded(name: str) -> str:
    """Return the form in which names are compared: without case and accents, one blank between words."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(bare.replace("_", " ").replace("-", " ").split())

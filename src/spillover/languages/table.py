"""The table of languages: the rows of `data/languages.toml`, and those that an experiment brings."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from spillover.errors import SpilloverError

ENGLISH = "en"
"""Code of English: the default of pivot and questions, and the reference that other languages are held against."""

UNSPACED_SCRIPTS = frozenset(
    {"Han", "Traditional Han", "Japanese", "Thai", "Lao", "Khmer", "Myanmar", "Burmese", "Tibetan"}
)
"""Scripts that put no blank between words."""


@dataclass(frozen=True, slots=True)
class Language:
    """A language and the names that other tools have for it."""

    code: str
    """The code that this project uses throughout: ISO 639-1, else 639-3; behind a hyphen a script that is not usual."""
    name: str
    """English name."""
    autonym: str
    """The language's name in itself; its English name where no source has another."""
    script: str
    """Its script."""
    family: str
    """Its branch: Germanic, Romance, Slavic, …"""
    tier: str
    """`high` or `low`: the paper's resource tiers; empty for a language that the paper does not have."""
    nllb: str
    """FLORES-200 tag, as NLLB uses it; empty where it lacks the language."""
    iso639_3: str
    """ISO 639-3 code."""
    google: str
    """Code at Google Cloud Translation; empty where the service lacks the language."""
    lingua: str
    """ISO 639-1 code in the language identifier lingua; empty where it lacks the language."""
    code_page: str = ""
    """Python's name of the encoding that Windows uses for the language beside Unicode; empty where it has none."""
    other_names: tuple[str, ...] = ()
    """Further names that people write, in English or in the language itself."""
    spellings: tuple[str, ...] = ()
    """Further codes that benchmarks use, such as XWinograd's `jp`."""
    bcp47: str = ""
    """BCP 47 tag of the language and its script, such as `de-Latn`; empty where nobody says it."""
    joshi: int | None = None
    """Resource class of Joshi et al. (2020), 0 to 5; None where their list lacks the language."""


_REGISTERED: ContextVar[Mapping[str, Language]] = ContextVar(
    "languages that an experiment brings", default=MappingProxyType({})
)
"""What `registered` makes known for the duration of a block, by code."""


PAPER = "paper"
"""The section of the file with the twenty languages of the paper."""


@cache
def _sections() -> dict[str, dict[str, Language]]:
    """Return section of the file → code → language."""
    table = tomllib.loads(files("spillover").joinpath("data", "languages.toml").read_text(encoding="utf-8"))
    return {section: {code: _language(code, row) for code, row in rows.items()} for section, rows in table.items()}


def _language(code: str, row: dict[str, Any]) -> Language:
    names = {key: tuple(row.get(key, ())) for key in ("other_names", "spellings")}
    absent = dict.fromkeys(("tier", "nllb", "google", "lingua"), "")
    return Language(code=code, **{"autonym": row["name"]} | absent | row | names)


@contextmanager
def registered(rows: Sequence[Language]) -> Iterator[None]:
    """Make the languages known that an experiment brings, after the paper's, for the duration of the block.

    A row whose code is one of the paper's languages changes nothing. One whose code is another language of the table
    takes its place.

    Nothing outlives the block, so experiments with different rows for one code live side by side. Threads started
    within see the rows if they run in a copy of the context.

    Raises:
        SpilloverError: a code is that of another one of the paper's languages.
    """
    paper = _sections()[PAPER]
    for row in rows:
        known = paper.get(row.code, row)
        if known != row:
            raise SpilloverError(
                f"languages.{row.code}: found {row.name}, expected a code that {known.name} does not have"
            )
    token = _REGISTERED.set({**_REGISTERED.get(), **{row.code: row for row in rows if row.code not in paper}})
    try:
        yield
    finally:
        _REGISTERED.reset(token)


def languages() -> dict[str, Language]:
    """Return the languages that `all` means, by code: the paper's in its order, then those `registered` for now."""
    return {**_sections()[PAPER], **brought_languages()}


def brought_languages() -> Mapping[str, Language]:
    """Return the languages that are `registered` for now, by code."""
    return _REGISTERED.get()


def known_languages() -> dict[str, Language]:
    """Return every language that has a code here, by that code: those of `languages`, then the others by their codes.

    The others are FLORES-200's, then scripts that are not a language's usual one.
    """
    default = languages()
    rest = (rows for section, rows in _sections().items() if section != PAPER)
    return default | {code: row for rows in rest for code, row in rows.items() if code not in default}


def known_language(code: str) -> Language | None:
    """Return the language that `known_languages` has under a code, without a table of all; None if it has none."""
    sections = _sections()
    rows = (sections[PAPER], brought_languages(), *(part for name, part in sections.items() if name != PAPER))
    return next((part[code] for part in rows if code in part), None)


def in_paper_order(codes: Iterable[str]) -> tuple[str, ...]:
    """Sort codes into the order of `known_languages`, which begins with the paper's."""
    rank = {code: index for index, code in enumerate(known_languages())}
    return tuple(sorted(codes, key=lambda code: rank[code]))

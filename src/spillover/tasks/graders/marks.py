"""How a language writes numbers, by CLDR: its decimal mark, its counting words, its currencies."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import regex
from babel import Locale, UnknownLocaleError

COMPACT = regex.compile(r"(?P<before>[^0;]*?)\s?(?P<zeros>0+)\s?(?P<behind>[^0;]*)(?:;.*)?")
"""CLDR's compact format of a magnitude: `00 thousand`, in Swahili `elfu 00;elfu -00`."""

SHORTENED = regex.compile(r"[\p{Lu}\p{Ll}]{3,}")
"""A shortened counting word that is read: `млн`, `Mio`, `tys`. Shorter ones are units too, such as `m`."""

LARGEST_SHORTENED = 10**9
"""What a shortened counting word stands for at most. `5 Bio` in German rather means organic food than a billion."""


@dataclass(frozen=True, eq=False)
class Marks:
    """How a language writes numbers."""

    decimal: str
    """Its decimal mark: `.` or `,`."""
    blank: bool
    """Whether a blank groups thousands."""
    multiples: dict[str, int]
    """Counting word, case folded → what it multiplies a number by."""
    multiple: "regex.Pattern[str]"
    """A counting word behind a number, as the group `word`."""
    leading: "regex.Pattern[str]"
    """A counting word before a number, as the group `word`."""
    currencies: frozenset[str]
    """Codes and signs of currencies that are letters: `USD`, `kr`, `RM`."""


@cache
def marks(language: str) -> Marks:
    """Return how a language writes numbers, by its code; as English does if CLDR lacks the language."""
    english = Locale.parse("en")
    try:
        locale = Locale.parse(language)
    except (UnknownLocaleError, ValueError):
        locale = english
    symbols = locale.number_symbols["latn"]
    words = list(_counting_words(locale))
    return Marks(
        decimal=symbols["decimal"],
        blank=symbols["group"].isspace(),
        multiples={word: factor for word, factor, _ in words},
        # a word without cased letters may stand where no blanks part words
        multiple=regex.compile(
            rf"\s?{_any(word for word, _, behind in words if behind)}(?![\p{{Lu}}\p{{Ll}}])", regex.I
        ),
        leading=regex.compile(rf"\b{_any(word for word, _, behind in words if not behind)}\s$", regex.I),
        currencies=frozenset({"Rs", *_currencies(locale), *_currencies(english)}),
    )


def _counting_words(locale: Locale) -> Iterator[tuple[str, int, bool]]:
    """Yield each counting word, what it multiplies by, and whether it stands behind the number."""
    forms = [
        (length, int(magnitude), form)
        for length in ("long", "short")
        for formats in locale.compact_decimal_formats[length].values()
        for magnitude, form in formats.items()
    ]
    for length, magnitude, form in forms:
        match = COMPACT.fullmatch(form.pattern.replace("'.'", ""))
        if match is None:  # `mille`, for one thousand
            continue
        factor = magnitude // 10 ** (len(match["zeros"]) - 1)
        for part in ("before", "behind"):
            word = match[part].strip().casefold()
            if length == "long" or (SHORTENED.fullmatch(word) and factor <= LARGEST_SHORTENED):
                for spelling in {word, word.replace("\N{DEVANAGARI SIGN NUKTA}", "")} - {""}:
                    yield spelling, factor, part == "behind"


def _any(words: Iterator[str]) -> str:
    choices = "|".join(map(regex.escape, sorted(set(words), key=len, reverse=True)))
    return f"(?P<word>{choices or '(?!)'})"


def _currencies(locale: Locale) -> Iterator[str]:
    for pair in locale.currency_symbols.items():
        yield from (sign.rstrip(".") for sign in pair if sign.rstrip(".").isalpha())

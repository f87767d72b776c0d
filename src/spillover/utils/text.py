"""Properties of a single text: its normal form, whether it is empty, and whether it is in another language.

Identifying languages needs the extra `quality`; `identifies` says whether it is installed.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import regex

from spillover.errors import SpilloverError
from spillover.languages import known_languages, languages

if TYPE_CHECKING:
    from lingua import ConfidenceValue, Language, LanguageDetector

READ = 119
"""Characters examined at each end. lingua uses only trigrams on texts of 120 characters or more, even in its accurate
mode."""

MIN_LETTERS = 24
"""Bytes of UTF-8. Languages of shorter texts are not identified: 24 Latin letters say about as much as 8 of Thai."""

MIN_CONFIDENCE = 0.9
"""Confidence, among the languages in question, from which a text counts as foreign."""

UNSEEN = regex.compile(r"[\p{Default_Ignorable_Code_Point}\N{ARABIC TATWEEL}]+")
"""Characters that no reader sees (a property that Python's tables lack), and tatweel, which lengthens Arabic words."""

UNSPACED = re.compile(r"[\x00-\x1f\x7f-\x9f\N{BRAILLE PATTERN BLANK}]+")
"""What a reader sees as a gap and `str.split` need not: controls (Unicode's Cc), the Braille cell without dots."""


def is_file_name(text: str) -> bool:
    """Return whether a text can name a visible file or folder: no path, no control characters."""
    odd = any(unicodedata.category(character) in ("Cc", "Cs") for character in text)
    return bool(text) and not odd and not text.startswith(".") and not {"/", "\\"} & set(text)


@lru_cache(maxsize=4096)  # the checks of one language's items ask again and again
def normal(text: str) -> str:
    """Return the normal form in which texts are compared: texts that read the same have the same form.

    Unicode's NFKC_Casefold (width, ligatures, composition, case; no `Default_Ignorable_Code_Point`), without tatweel,
    and with one blank for each gap (white space and `UNSPACED`), none at the ends.
    """
    # before NFKC, since U+034F keeps accents from composing; after it, since a presentation form can hold a tatweel
    composed = unicodedata.normalize("NFKC", UNSEEN.sub("", text))
    folded = unicodedata.normalize("NFKC", composed.casefold())
    return " ".join(UNSPACED.sub(" ", UNSEEN.sub("", folded)).split())


def is_empty(text: str) -> bool:
    """Return whether a text has only white space, controls and characters that nobody sees."""
    return not normal(text)


def identifies() -> bool:
    """Return whether languages can be identified here."""
    return find_spec("lingua") is not None


def foreign(texts: Sequence[str], expected: str) -> dict[int, str]:
    """Return index → code of the language, for texts that are surely not in `expected`.

    A fast pass (trigrams, all of `languages`) picks suspects. A slow pass (up to five letters, only the
    languages in question) must confirm each suspect at both ends, since a text may begin with a foreign title. Only
    `languages` and `expected` are choices, so no German text is identified as Danish. If lingua lacks `expected`, no
    text counts as foreign.
    """
    codes = lingua_codes()
    if expected not in codes.values():
        return {}
    long = [index for index, text in enumerate(texts) if len(text[:READ].encode()) >= MIN_LETTERS]
    choices = frozenset(codes.values()) & {*languages(), expected}
    looks = most_likely(detector(choices, True), [texts[index][:READ] for index in long])
    suspects = {
        index: codes[look.language]
        for index, look in zip(long, looks, strict=True)
        if codes[look.language] != expected and look.value >= MIN_CONFIDENCE
    }
    if not suspects:
        return {}
    ends = [end for index in suspects for end in (texts[index][:READ], texts[index][-READ:])]
    best = most_likely(detector(frozenset({expected, *suspects.values()}), False), ends)
    confirmed = {
        index: codes[first.language]
        for index, first, last in zip(suspects, best[::2], best[1::2], strict=True)
        if first.language == last.language and min(first.value, last.value) >= MIN_CONFIDENCE
    }
    return {index: code for index, code in confirmed.items() if code != expected}


def most_likely(identifier: "LanguageDetector", texts: list[str]) -> "list[ConfidenceValue]":
    """Return the language that each text is most likely in, with its confidence in [0, 1]."""
    return [ranked[0] for ranked in identifier.compute_language_confidence_values_in_parallel(texts)]


def lingua_codes() -> "dict[Language, str]":
    """Return lingua's language → code, for those that lingua has."""
    from lingua import IsoCode639_1, Language

    codes: dict[Language, str] = {}
    for code, row in known_languages().items():
        try:
            if row.lingua:
                codes.setdefault(Language.from_iso_code_639_1(IsoCode639_1.from_str(row.lingua.upper())), code)
        except ValueError as error:
            raise SpilloverError(
                f"languages.{code}.lingua: found {row.lingua!r}, expected a code that lingua has, or none"
            ) from error
    return codes


@cache
def detector(codes: frozenset[str], fast: bool) -> "LanguageDetector":
    """Return lingua's identifier for at least two languages; each one's tables are read on first use."""
    from lingua import LanguageDetectorBuilder

    builder = LanguageDetectorBuilder.from_languages(
        *(language for language, code in lingua_codes().items() if code in codes)
    )
    return (builder.with_low_accuracy_mode() if fast else builder).build()

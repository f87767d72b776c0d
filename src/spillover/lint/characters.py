"""Kinds of characters that the items of one language have and those of other languages lack.

A reader sees no difference, but a tokenizer makes other tokens of them. The model then seems worse in that
language than it is.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

from spillover.lint.reading import RawItem, RawItems
from spillover.records import Defect

SHARE = 0.1
"""Share of a language's items with a kind of character from which the kind counts as usual there."""


def _holds(pattern: str) -> Callable[[str], bool]:
    search = re.compile(pattern).search
    return lambda text: search(text) is not None


def _is_decomposed(text: str) -> bool:
    """Return whether letters and marks stand apart that Unicode has as one character, as an old Mac writes them."""
    return len(unicodedata.normalize("NFC", text)) < len(text)


KINDS: dict[str, Callable[[str], bool]] = {
    "letters apart from their marks (Unicode's NFD; NFC is usual)": _is_decomposed,
    "line ends of Windows (CRLF)": _holds("\r"),
    "no-break spaces": _holds("[\u00a0\u202f]"),
    "characters without width": _holds("[\u200b\u2060\ufeff]"),
    "tabs": _holds("\t"),
    "two blanks in a row": _holds("  "),
}
"""Kind of character → whether a text has it."""


def one_language_alone(readings: Sequence[RawItems]) -> Iterator[Defect]:
    """Yield, once per kind of character, the languages whose items have it, while most other languages do not."""
    for kind, has in KINDS.items():
        entries = {reading.language: [entry for entry in reading.entries if _any(entry, has)] for reading in readings}
        habits = [items for items in readings if len(entries[items.language]) >= max(1, SHARE * len(items.entries))]
        if not habits or 2 * len(habits) >= len(readings) + 1:
            continue
        counts = ", ".join(
            f"{items.language} {len(entries[items.language])} of {len(items.entries)}" for items in habits
        )
        first = habits[0].language
        message = f"items have {kind}, which most other languages' have not ({counts}): they become other tokens"
        yield Defect("warning", "white space", message, entries[first][0].place, first)


def _any(entry: RawItem, has: Callable[[str], bool]) -> bool:
    return any(has(text) for text in entry.fields)

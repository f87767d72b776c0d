"""How texts are encoded: characters that one language's items have and other languages' have not.

They look alike to a reader, but a tokenizer cuts them into other tokens, so a language is measured as worse than it is.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

from spillover.lint.reading import RawItem, RawItems
from spillover.records import Defect

SHARE = 0.1
"""Share of a language's items from which a kind of character counts as that language's habit."""


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
"""What is found → whether a text has it."""


def one_language_alone(readings: Sequence[RawItems]) -> Iterator[Defect]:
    """Yield, once per kind of character, the languages whose items have it while most other languages' have not."""
    for kind, has in KINDS.items():
        entries = {reading.language: [entry for entry in reading.entries if _any(entry, has)] for reading in readings}
        habits = [one for one in readings if len(entries[one.language]) >= max(1, SHARE * len(one.entries))]
        if not habits or 2 * len(habits) >= len(readings) + 1:
            continue
        counts = ", ".join(f"{one.language} {len(entries[one.language])} of {len(one.entries)}" for one in habits)
        first = habits[0].language
        message = f"items have {kind}, which most other languages' have not ({counts}): they become other tokens"
        yield Defect("warning", "white space", message, entries[first][0].place, first)


def _any(entry: RawItem, has: Callable[[str], bool]) -> bool:
    return any(has(text) for text in entry.fields)

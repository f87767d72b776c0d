"""The numbers in a text, whatever their digits' script, their grouping, their decimal mark and their counting word.

A number is a set of values: `1.234` may be 1234 or 1.234; `25 million` and `2500万` are the same. Counting words of all
languages are rows of `MULTIPLES`.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

MULTIPLES = {
    10**3: "千|พัน|हज़ार|हजार|হাজার|thousand|tausend|mille|mil|duizend|tusen|tisoč|tysi[aą]c[aey]?|тысяч[аи]?|хиляди|ribu"
    "|elfu|þúsund",
    10**4: "[万萬]|หมื่น",
    10**5: "แสน|lakhs?|लाख|লাখ|লক্ষ|laki",
    10**6: "百万|ล้าน|milli?o[nf]\\w*|mill?i[oó]n\\w*|mio|миллион\\w*|милион\\w*|juta|milljón\\w*|miljo\\w*",
    10**7: "crores?|करोड़|করोड़|কোটি",
    10**8: "[億亿]",
    10**9: "milliard\\w*|mrd|billion|миллиард\\w*|милиард\\w*|m[ij]l[ij]?jard\\w*|miliard\\w*|bilioni",
    10**12: "兆",
}
"""Factor → the counting words that multiply a number by it."""

COUNTED = {
    multiple: re.compile(rf"[ \u00a0]?(?:{words})(?![^\W\d_])|[ ]?(?=[百千万萬億亿兆หแพล])(?:{words})", re.IGNORECASE)
    for multiple, words in MULTIPLES.items()
}
"""Factor → pattern of its counting words, whole words except in scripts without blanks between words."""

NUMBER = re.compile(r"\d{1,3}(?:[ \u00a0\u2009\u202f]\d{3})+(?!\d)(?:[.,]\d+)?|\d+(?:[.,'’٫٬·]\d+)*")
SEPARATOR = re.compile(r"\D")
GROUPS = tuple(
    map(re.compile, (r"\d{1,3}(\D)\d{3}(?:\1\d{3})*", r"\d{1,2}(\D)(?:\d{2}\1)*\d{3}", r"\d{1,4}(\D)\d{4}(?:\1\d{4})*"))
)
"""How digits are grouped: by thousands, in lakh and crore, by ten thousands."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it stands in a text."""

    values: frozenset[Fraction]
    """The values that it may have."""
    parts: tuple[str, ...]
    """Its runs of digits, in ASCII: those of a date or a time are numbers of their own."""


def numbers(text: str) -> Iterator[Number]:
    """Yield the numbers of a text, in their order; `1億2000万` is one, since nothing stands between its parts."""
    plain = "".join(str(unicodedata.decimal(character, character)) for character in text)
    parts: tuple[str, ...] = ()
    total, end = frozenset({Fraction(0)}), -1
    for match in NUMBER.finditer(plain):
        if parts and match.start() != end:
            yield Number(total, parts)
            parts, total = (), frozenset({Fraction(0)})
        values = _values(match[0])
        multiple, end = _multiple(plain, match.end())
        counted = frozenset(value * multiple for value in values)
        total = frozenset(before + value for before in total for value in counted) | (frozenset() if parts else values)
        parts += tuple(SEPARATOR.split(match[0]))
        if multiple == 1:
            yield Number(total, parts)
            parts, total = (), frozenset({Fraction(0)})
    if parts:
        yield Number(total, parts)


def _values(number: str) -> frozenset[Fraction]:
    """Return what digits with separators may be worth."""
    whole, mark, decimals = number, "", ""
    values = set()
    if SEPARATOR.search(number):
        *_, last = SEPARATOR.finditer(number)
        whole, mark, decimals = number[: last.start()], last[0], number[last.end() :]
        if not SEPARATOR.search(whole) or (_grouped(whole) and mark not in whole):
            values.add(Fraction(f"{SEPARATOR.sub('', whole)}.{decimals}"))
        if _grouped(number):
            values.add(Fraction(SEPARATOR.sub("", number)))
        return frozenset(values)
    return frozenset({Fraction(number)})


def _grouped(number: str) -> bool:
    return any(groups.fullmatch(number) for groups in GROUPS)


def _multiple(text: str, start: int) -> tuple[int, int]:
    """Return what the counting word at `start` multiplies by, 1 where there is none, and where it ends."""
    matches = {multiple: match.end() for multiple, words in COUNTED.items() if (match := words.match(text, start))}
    return max(matches.items(), key=lambda item: item[1], default=(1, start))

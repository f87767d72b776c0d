"""The numbers in a text, as a reader of its language reads them. `docs/generation.md` has the rules with examples."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from unicodedata import digit as digit_of

import regex

from spillover.tasks.graders import han
from spillover.tasks.graders.marks import Marks, marks

MAX_CHARACTERS = 300
"""Most characters of a number. A longer one comes from a model that does not stop."""

BLANKS = "\u00a0\u2009\u202f\u2007"
"""Blanks at which no line breaks: between digits they group thousands in every language."""

FRACTION = (
    r"(?<![0-9]/)(?:(?P<whole>[0-9]{1,9})\s)?(?P<above>[0-9]{1,9})\s?[/⁄∕]\s?(?P<below>0*[1-9][0-9]{0,8})"
    r"(?![0-9]|[/⁄∕.,][0-9])"
)
PARTS = r"(?P<below>[0-9]{1,9})\s?(?:分之|分の|분의)\s?(?P<above>[0-9]{1,9})"
"""`4分の3`, three of four parts."""

GROUPED = (
    r"(?P<grouped>[1-9][0-9]{0,2}+(?P<mark>[.,'’٬%s])[0-9]{3}(?:(?P=mark)[0-9]{3})*+(?![0-9])(?!(?P=mark)[0-9])"
    r"|[1-9][0-9]?,(?:[0-9]{2},)++[0-9]{3}(?![0-9])(?!,[0-9]))(?P<decimals>[.,٫][0-9]++(?![.,][0-9]))?"
)
"""Thousands, or lakh and crore, and perhaps decimals."""

PLAIN = r"(?P<plain>(?<![0-9][.,])[0-9]++[.,٫][0-9]++(?![.,/][0-9])|[0-9]++|(?<![\w.,)])[.٫][0-9]++)"

SIGN = regex.compile(
    r"(?:(?<![\p{N})\]%]\s?)(?<![\p{Lu}\p{Ll}])(?:[-–]|−\s?)"
    r"|(?<!\p{N}\s?)(?:\b(?:minus|negative|минус|mínus)\s|[负負]|マイナス))(?:\p{L}?\p{Sc}\s?)?$",
    regex.IGNORECASE,
)
"""A minus before a number. After another number it means subtraction."""

POWER = regex.compile(
    r"\s?[×x*]\s?10(?:\s?\^\s?\{?\s?(?P<power>[-−]?[0-9]{1,2})\s?\}?|(?P<raised>[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]{1,3}))"
    r"|[eE](?P<power>[-+−]?[0-9]{1,2})(?!\w)"
)
PERCENT = regex.compile(r"\s?[%٪]")
PERCENT_BEFORE = regex.compile(r"(?<!\p{N}\s?)[%٪]\s?$")
"""A percent sign before its number, as Turkish and Basque have it: `%50`."""

OPERATION = regex.compile(r"\s*(?:=|[-+−–×x*÷/]\s*\p{Sc}?\s*[0-9])")
NAME = regex.compile(r"([\p{Lu}\p{Ll}]+)(\.?)$")
RAISED = regex.compile(r"\p{L}\s?\^\s?\{?\s?$")
"""The beginning of an exponent of a unit or variable: `m^2`, `cm^{3}`."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it stands in a text."""

    value: Fraction
    """What it is worth; of a percentage, the digits: 50% has 50."""
    percent: bool
    """Whether a percent sign follows."""
    start: int
    """The place in the text where it begins, with its sign."""
    end: int
    """The place in the text where it ends."""

    def equals(self, other: "Number") -> bool:
        """Whether two numbers are the same; 50% is the same as 50 and as 0.5, but not as 0.5%."""
        if self.percent == other.percent:
            return self.value == other.value
        percentage, share = (self, other) if self.percent else (other, self)
        return share.value in (percentage.value, percentage.value / 100)


def numbers(text: str, language: str) -> list[Number]:
    """Return the numbers of a text without markup (`plain`), in their order.

    Numerals in Chinese characters count only in a text without digits, since many words hold 一.
    """
    return list(_in_digits(text, marks(language))) or list(_in_characters(text))


def is_operand(text: str, number: Number) -> bool:
    """Whether a calculation goes on behind a number: in `3 + 15 = 18` all but the last are operands."""
    return OPERATION.match(text, number.end) is not None


@cache
def _pattern(blank: bool) -> "regex.Pattern[str]":
    grouped = GROUPED % (BLANKS + " " * blank)
    return regex.compile(f"{FRACTION}|{PARTS}|(?P<mixed>{han.MIXED})|{grouped}|{PLAIN}")


def _in_digits(text: str, written: Marks) -> Iterator[Number]:
    end = 0
    for match in _pattern(written.blank).finditer(text):
        start = match.start()
        if start < end or len(match[0]) > MAX_CHARACTERS or _in_name(text, start, written):
            continue
        factor, end = _factor(text, match.end(), written)
        value = _value(match, written.decimal) * factor * _leading(text, start, written)
        percent = PERCENT.match(text, end)
        if before := PERCENT_BEFORE.search(text, max(0, start - 2), start):
            start = before.start()
        negative = SIGN.search(text, max(0, start - 12), start)
        yield Number(
            -value if negative else value,
            bool(percent or before),
            negative.start() if negative else start,
            percent.end() if percent else end,
        )


def _in_characters(text: str) -> Iterator[Number]:
    bare = han.WORD.sub(lambda word: " " * len(word[0]), text)
    pattern = regex.compile(f"{han.FRACTION.pattern}|{han.NUMERAL.pattern}")
    for match in pattern.finditer(bare):
        if len(match[0]) > MAX_CHARACTERS:
            continue
        negative = SIGN.search(bare, max(0, match.start() - 10), match.start())
        percent = match["below"] == "百"
        value = han.han_value(match["above"] or match[0])
        if match["below"] and not percent:
            value /= han.han_value(match["below"]) or 1
        yield Number(
            -value if negative else value, percent, negative.start() if negative else match.start(), match.end()
        )


def _value(match: "regex.Match[str]", decimal: str) -> Fraction:
    if match["above"]:
        return int(match["whole"] or 0) + Fraction(int(match["above"]), int(match["below"]) or 1)
    if match["mixed"]:
        return han.mixed_value(match["mixed"])
    if match["plain"]:
        return Fraction(regex.sub("[,٫]", ".", match["plain"]))
    whole, mark = match["grouped"], match["mark"] or ","
    if mark == decimal and whole.count(mark) == 1 and not match["decimals"]:
        return Fraction(whole.replace(mark, "."))
    return Fraction(regex.sub("[^0-9]", "", whole) + "." + (match["decimals"] or ".0")[1:])


def _in_name(text: str, start: int, written: Marks) -> bool:
    """Whether digits are part of a name or an exponent: `CO2` and `m^2` hold no number, but `RM50` and `Rs.50` do."""
    if RAISED.search(text, max(0, start - 5), start):
        return True
    name = NAME.search(text, max(0, start - 12), start)
    return name is not None and not name[2] and name[1] not in written.currencies


def _factor(text: str, end: int, written: Marks) -> tuple[Fraction, int]:
    """Return what a power of ten or a counting word behind a number multiplies it by, and where that ends."""
    if match := POWER.match(text, end):
        digits = match["power"] or "".join("-" if sign == "⁻" else str(digit_of(sign)) for sign in match["raised"])
        return Fraction(10) ** int(digits.replace("−", "-")), match.end()
    if match := written.multiple.match(text, end):
        return Fraction(written.multiples[match["word"].casefold()]), match.end()
    return Fraction(1), end


def _leading(text: str, start: int, written: Marks) -> int:
    """Return what a counting word before a number multiplies it by: Swahili says `elfu 5`."""
    match = written.leading.search(text, max(0, start - 20), start)
    return written.multiples[match["word"].casefold()] if match else 1

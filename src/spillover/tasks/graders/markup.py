"""The text of an answer without its markup, and the part of it that states the conclusion.

Knows nothing of numbers or letters: the graders read what is left.
"""

import unicodedata
from functools import cache

import regex

from spillover.utils.text import UNSEEN

FULL_WIDTH_MARK = regex.compile(r"(?<=[０-９])[，．](?=[０-９])")
"""A decimal or thousands mark of a full-width number. Elsewhere `，` is the comma between clauses."""

ARABIC_COMMA = regex.compile(r"(?<=\d)،(?=\d)")
"""A decimal or thousands mark, written with the comma of the Arabic keyboard."""

FRACTION = regex.compile(r"\\[dt]?frac\s*(?:\{([^{}]*)\}|(\d))\s*(?:\{([^{}]*)\}|(\d))")
BEFORE_FRACTION = regex.compile(r"(?<=\w)(?=[¼-¾⅐-⅞↉]|\\[dt]?frac)")
"""Where a blank parts a whole number from the fraction behind it. A sign stays at its fraction: `-½`."""


WRAPPER = regex.compile(r"\\(?:text|mathrm|mathbf|textbf|mathit|textit|emph|underline)\s*\{([^{}]*)\}")
SYMBOLS = {
    "{,}": ",",
    "{.}": ".",
    r"\,": "\u2009",
    r"\;": "\u2009",
    r"\!": "",
    r"\%": "%",
    r"\$": "$",
    r"\times": "×",
    r"\cdot": "×",
    r"\div": "÷",
    r"\(": " ",
    r"\)": " ",
    r"\[": " ",
    r"\]": " ",
    "&nbsp;": "\u00a0",
}
"""LaTeX and HTML for a character → the character."""

SYMBOL = regex.compile("|".join(regex.escape(symbol) for symbol in SYMBOLS))
TAG = regex.compile(r"</?[A-Za-z][A-Za-z0-9]*\s*/?>")
STRONG = regex.compile(r"(?<!\d)\*\*|\*\*(?!\d)|__|~~|`+")
"""Markdown for bold, struck out and code. Between digits `**` is a power."""

EMPHASIS = regex.compile(r"(?<![\w*])\*(?=\S)([^*\n]+)(?<=\S)\*(?![\w*])")
HEADING = regex.compile(r"^[ \t]*#{1,6}[ \t]+", regex.MULTILINE)
BOX = "\\boxed{"
FOLDED = ("<wide>", "<narrow>", "<small>", "<font>")
"""Unicode's names for forms of a character that differ in width or typeface alone."""


def plain(text: str) -> str:
    """Return a text without Markdown, LaTeX and HTML, in characters of usual width, with ASCII digits.

    Digits are those of Unicode's category Nd, of all scripts. Superscripts and circled numbers are none: `m²` stays.
    """
    visible = UNSEEN.sub("", FULL_WIDTH_MARK.sub(lambda mark: {"，": ",", "．": "."}[mark[0]], text))
    parted = BEFORE_FRACTION.sub(" ", ARABIC_COMMA.sub(",", visible))
    folded = "".join(map(_usual, parted))
    bare = SYMBOL.sub(lambda symbol: SYMBOLS[symbol[0]], FRACTION.sub(r"\1\2/\3\4", folded))
    bare = EMPHASIS.sub(r"\1", STRONG.sub("", TAG.sub("", WRAPPER.sub(r"\1", bare))))
    return str(HEADING.sub("", bare))


@cache
def _usual(character: str) -> str:
    """Return the usual form of a character: its width, its typeface, an ASCII digit, a fraction in digits."""
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    if character in "，．":
        return character
    form, _, codes = unicodedata.decomposition(character).partition(" ")
    if form in FOLDED:
        return "".join(chr(int(code, 16)) for code in codes.split())
    if form == "<fraction>" and not character.isdecimal() and unicodedata.numeric(character, 0) < 1:
        return unicodedata.normalize("NFKC", character)
    return character


def concluding_part(text: str, conclusion: str = "") -> str | None:
    r"""Return the part of a text that states its answer, without markup; None where nothing marks one.

    That is the content of the last `\boxed{}`, or what follows the words `conclusion` up to the end of the line. If the
    line ends with them, the next line with text counts. If they occur more than once, the last that anything follows.

    Args:
        text: what a model wrote.
        conclusion: the words before the answer, `The answer is`, in any case; a colon behind them is optional.
    """
    if BOX in text:
        return plain(_boxed(text)).strip()
    if not conclusion.strip(" :："):
        return None
    bare = plain(text)
    parts = [bare[match.end() :].partition("\n")[0].strip() for match in _words(plain(conclusion)).finditer(bare)]
    return next(filter(None, reversed(parts)), "" if parts else None)


def stated(text: str, conclusion: str = "") -> str:
    """Return the conclusion of a text, or all of it where nothing marks one; without markup."""
    marked = concluding_part(text, conclusion)
    return plain(text).strip() if marked is None else marked


@cache
def _words(conclusion: str) -> "regex.Pattern[str]":
    words = r"\s+".join(map(regex.escape, conclusion.strip(" :").split()))
    return regex.compile(rf"(?<![\p{{Lu}}\p{{Ll}}]){words}(?![\p{{Lu}}\p{{Ll}}])[\s:=*]*", regex.IGNORECASE)


def _boxed(text: str) -> str:
    """Return the content of the last box; to the end of the line if no brace closes it."""
    content = text[text.rindex(BOX) + len(BOX) :]
    depth = 1
    for place, character in enumerate(content):
        depth += (character == "{") - (character == "}")
        if not depth:
            return content[:place]
    return content.partition("\n")[0]

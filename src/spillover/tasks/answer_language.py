"""The language of an answer and of each of its lines, and whether it is the language that was asked for.

The measures are those of the language confusion benchmark (Marchisio et al. 2024). The identifier is not: lingua, which
chooses among the languages in question. None means "cannot tell": the text has few letters, or fits several
languages. Without the extra `quality`, no language can be identified.
"""

from collections.abc import Collection, Iterator, Sequence

import regex

from spillover.languages import ENGLISH, get_language
from spillover.records import LanguageCheck
from spillover.tasks.graders.markup import plain
from spillover.utils.text import MIN_LETTERS, detector, identifies, lingua_codes, most_likely

MIN_CONFIDENCE = 0.7
"""Least confidence, among the candidates, that tells a language. Of 3,600 sentences in twenty languages, cut to 40
characters, it told 89%, none wrongly."""

MAX_CHARACTERS = 1000
"""Characters of a text that are read; more tell nothing new."""

MIN_HAN = 16
"""Han characters without kana that tell Chinese from a Japanese name."""

CODE = regex.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+", regex.DOTALL)
"""Code and addresses: of no language."""

SIGN = regex.compile(r"\\\w+|[^\p{L}\p{M}\s]")
"""LaTeX's commands, digits and signs: of no language either."""

HAN = regex.compile(r"[\p{Han}\s]+")
LATIN_WORD = regex.compile(r"(?<![\p{Latin}\d_])[a-z]{4,}(?![\p{Latin}\d_])")
"""A word of four or more small Latin letters. The benchmark counts those of an English dictionary; names are none."""


def answer_language(text: str, candidates: Collection[str]) -> str | None:
    """Return the code of the language that a text is in, one of the candidates or English; None: cannot tell."""
    return answer_languages([text], candidates)[0]


def answer_languages(texts: Sequence[str], candidates: Collection[str]) -> list[str | None]:
    """Return `answer_language` of each text; many at once are far faster.

    If lingua lacks one of the candidates, no text is identified: lingua would take that language for another.
    """
    choices = {ENGLISH, *candidates}
    codes = lingua_codes() if identifies() else {}
    if len(choices) < 2 or not choices <= set(codes.values()):
        return [None] * len(texts)
    words = {text: _words(text) for text in texts}
    telling = [part for part in dict.fromkeys(words.values()) if _tells(part, choices)]
    if not telling:
        return [None] * len(texts)
    looks = most_likely(detector(frozenset(choices), False), telling)
    identified = {
        part: codes[look.language] for part, look in zip(telling, looks, strict=True) if look.value >= MIN_CONFIDENCE
    }
    return [identified.get(words[text]) for text in texts]


def line_languages(text: str, candidates: Collection[str]) -> list[str | None]:
    """Return `answer_language` of each line of a text that is not blank."""
    return answer_languages(list(_lines(text)), candidates)


def language_checks(texts: Sequence[str], expected: str, candidates: Collection[str]) -> list[LanguageCheck]:
    """Return whether each text keeps to the language `expected`, by answer, line and word.

    As in the benchmark, a line whose language is not clear counts neither way. The benchmark's line-level pass rate is
    the share of `lines` that are true, of those that are not None. Its word-level pass rate is that share of `words`.
    """
    choices = {expected, *candidates}
    lines = [list(_lines(text)) for text in texts]
    identified = answer_languages([*texts, *(line for part in lines for line in part)], choices)
    wholes, rest = identified[: len(texts)], iter(identified[len(texts) :])
    checks = []
    for text, whole, part in zip(texts, wholes, lines, strict=True):
        codes = {next(rest) for _ in part} - {None}
        in_lines = codes == {expected} if codes else None
        checks.append(LanguageCheck(whole in (None, expected), in_lines, _in_words(text, expected, in_lines)))
    return checks


def _in_words(text: str, expected: str, in_lines: bool | None) -> bool | None:
    if not in_lines or get_language(expected).script == "Latin":
        return None
    return LATIN_WORD.search(SIGN.sub(" ", CODE.sub(" ", text))) is None


def _lines(text: str) -> Iterator[str]:
    return (line for line in text.splitlines() if line.strip())


def _words(text: str) -> str:
    """Return what tells a text's language: letters, one blank between words."""
    without_code = CODE.sub(" ", text[:MAX_CHARACTERS])
    return " ".join(SIGN.sub(" ", plain(without_code)).split())


def _tells(words: str, choices: Collection[str]) -> bool:
    """Whether a text is long enough to tell its language among the choices."""
    if len(words.replace(" ", "").encode()) < MIN_LETTERS:
        return False
    scripts = {get_language(code).script for code in choices}
    return not ({"Han", "Japanese"} <= scripts and HAN.fullmatch(words) and len(words) < MIN_HAN)

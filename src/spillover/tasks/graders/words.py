"""The graders of texts, `exact`, `f1` and `contains`, over SQuAD's normal form as MLQA extends it to languages."""

import string
import unicodedata
from collections import Counter
from functools import cache

import regex

from spillover.records import Grade
from spillover.tasks.graders.markup import stated
from spillover.utils.text import normal

ARTICLES = {
    "en": "a|an|the",
    "es": "un|una|unos|unas|el|la|los|las",
    "de": "ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des",
    "vi": "của|là|cái|chiếc|những",
    "ar": r"ال(?=\w)",
    "fr": "un|une|des|du|le|la|les",
    "it": "un|uno|una|il|lo|la|i|gli|le",
    "ca": "un|una|uns|unes|el|la|els|les",
    "pt": "um|uma|uns|umas|o|a|os|as",
    "nl": "een|de|het",
    "sv": "en|ett|den|det|de",
    "da": "en|et|den|det|de",
    "no": "en|ei|et|den|det|de",
}
"""Language → its articles. The first row is SQuAD's (Rajpurkar et al. 2016), the next four MLQA's (Lewis et al. 2020).
The rest follow grammar. Articles that end a word, as in Bulgarian or Icelandic, stay."""

ATTACHED = {"ar"}
"""Languages whose article is written together with its noun. MLQA's script takes its letters from inside words too."""

ELIDED = {"fr": r"l['’]", "it": r"(?:un|l)['’]", "ca": r"l['’]", "nl": r"['’][tn](?!\w)"}
"""Language → articles that an apostrophe shortens. They are gone before punctuation is."""

UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}ー"
TOKEN = regex.compile(rf"(?=[{UNSPACED}])\X|[^\s{UNSPACED}]+")
"""MLQA's mixed segmentation: words between blanks, and each character of a script without blanks between words."""

GROUPING = regex.compile("(?<=[0-9])[\u00a0\u2009\u202f\u2007](?=[0-9]{3})")


def exact(text: str, golds: tuple[str, ...], language: str, conclusion: str = "") -> Grade:
    """Return 1 if a text's normal form is that of a gold answer, else 0; unreadable if nothing is left of the text."""
    words = tokens(stated(text, conclusion), language)
    return Grade(float(bool(words) and any(words == tokens(gold, language) for gold in golds)), readable=bool(words))


def f1(text: str, golds: tuple[str, ...], language: str, conclusion: str = "") -> Grade:
    """Return the F1 of a text's words with those of the gold answer that it agrees with most, in [0, 1].

    Words count as often as they occur in both; their order does not count. Unreadable if nothing is left of the text.
    """
    words = tokens(stated(text, conclusion), language)
    return Grade(max(_overlap(words, tokens(gold, language)) for gold in golds), readable=bool(words))


def contains(text: str, golds: tuple[str, ...], language: str) -> Grade:
    """Return 1 if the words of a gold answer stand in a text, together and in order, else 0."""
    words = tokens(stated(text), language)
    answers = [tokens(gold, language) for gold in golds]
    hits = (_stands_in(answer, words) for answer in answers if answer)
    return Grade(float(any(hits)), readable=bool(words))


def tokens(text: str, language: str) -> list[str]:
    """Return the tokens of a text's normal form: no case, width, markup, punctuation or article; ASCII digits.

    Punctuation is what Unicode says, and ASCII's signs. An article stays where nothing else would be left.
    """
    folded = normal(GROUPING.sub("", stated(text)))
    if language in ELIDED:
        folded = regex.sub(rf"(?<![\w'’]){ELIDED[language]}", " ", folded)
    bare = "".join(character for character in folded if not _is_punctuation(character))
    words: list[str] = TOKEN.findall(_articles(language).sub(" ", bare))
    return words or list(TOKEN.findall(bare))


@cache
def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character).startswith("P") or character in string.punctuation


@cache
def _articles(language: str) -> "regex.Pattern[str]":
    end = "" if language in ATTACHED else r"\b"
    return regex.compile(rf"\b(?:{ARTICLES.get(language, '(?!)')}){end}")


def _overlap(words: list[str], gold: list[str]) -> float:
    common = sum((Counter(words) & Counter(gold)).values())
    return 2 * common / (len(words) + len(gold)) if common else 0.0


def _stands_in(part: list[str], whole: list[str]) -> bool:
    return any(whole[start : start + len(part)] == part for start in range(len(whole) - len(part) + 1))

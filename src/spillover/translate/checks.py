"""Faults of translated pairs, as flags. A flag drops no pair: the experiment says which flags do.

Every check takes the pairs of one direction and returns the indices of the faulty ones. Pure. A model reads the
source of a pair in tuning, so the source is the translation and the target is the original.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from spillover.records import Pair, PairChecks, PairFlag
from spillover.translate.numerals import numbers
from spillover.utils.text import foreign, identifies, normal

REVISION = 2
"""Version of the checks: pairs that an older version checked are checked again."""

BATCH_SIZE = 10_000
"""Pairs whose languages are identified at a time; limits the memory, and keeps all cores busy."""

MIN_COPIED_WORDS = 3
"""Fewest words of an unchanged text that counts as a copy; names rightly stay unchanged."""

MAX_RATIO, MAX_DEVIATIONS, MIN_PAIRS = 2.0, 5.0, 20
"""A length is odd if it is off the usual ratio by this factor and this many robust deviations; least batch."""

MIN_COPIES, MAX_NGRAM = 4, 8
"""Fewest back-to-back copies that make a repetition, and the largest n of the n-grams."""

REPEATED = re.compile(rf"(.{{1,{MAX_NGRAM}}}?)\1{{{MIN_COPIES - 1}}}", re.DOTALL)
"""`MIN_COPIES` copies back to back, where each token is one character."""

TOKEN = re.compile(r"[^\W\d_]+")
UNSPACED = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")
"""Thai, kana and Han: written without blanks, so their characters are counted, not words."""

MARKER = re.compile(r"</?[a-zA-Z][^<>]*>|\{[^{}\s]*\}|%[sd]\b|https?://[^\s<>\"]+|(?<!\w)[@#][^\W\d]\w*")
"""Parts of a text that no translation changes: tags, place holders, addresses, handles."""

MARKED = re.compile("[<{%@#]|://")
"""A part of every marker: a quick test that there is none."""

QUOTE = re.compile('["“”„‟«»「」『』《》〈〉]')
ANY_QUOTE = re.compile("['‘’‚‹›`´\"“”„‟«»「」『』《》〈〉]")
"""A quotation may come out with any of these."""


def copied(source: str, target: str) -> bool:
    """Whether a text came back unchanged."""
    same = normal(source)
    return same == normal(target) and len(same.split()) >= MIN_COPIED_WORDS


def repeating(source: str, target: str) -> bool:
    """Whether a translation repeats something many times that the original does not repeat."""
    most = repeats(source)
    return most >= MIN_COPIES and most > repeats(target)


def repeats(text: str) -> int:
    """Return how many copies of one n-gram (n ≤ 8) stand back to back at most: of words, or of characters."""
    if UNSPACED.search(text):
        tokens = [character for character, _ in groupby(UNSPACED.findall(text))]  # a character over and over is a laugh
    else:
        tokens = TOKEN.findall(text.casefold())
    different = set(tokens)
    if len(tokens) - len(different) < MIN_COPIES - 1:
        return 1  # true of nearly every text
    letters = {token: chr(number) for number, token in enumerate(different)}
    if not REPEATED.search("".join(letters[token] for token in tokens)):
        return 1  # callers need no exact count below MIN_COPIES
    most = 1
    for n in range(1, MAX_NGRAM + 1):
        run = 0
        for token, later in zip(tokens, tokens[n:], strict=False):
            run = run + 1 if token == later else 0
            most = max(most, run // n + 1)
    return most


def lost_digits(source: str, target: str) -> bool:
    """Whether a number of the original is missing, however the digits are written, grouped and counted."""
    stated = [number for number in numbers(target) if any(len(part) > 1 for part in number.parts)]  # 8 may be eight
    if not stated:
        return False
    there = Counter(value for number in numbers(source) for value in {*number.values, *map(int, number.parts)})
    for number in stated:
        values = [value for value in number.values if there[value]]
        parts = [int(part) for part in number.parts if len(part) > 1]
        if not values and not all(there[part] for part in parts):
            return True
        there.subtract(values or parts)
    return False


def lost_markers(source: str, target: str) -> bool:
    """Whether a tag, place holder, address or handle is missing."""
    stated = MARKER.findall(target) if MARKED.search(target) else []
    return bool(stated and Counter(stated) - Counter(MARKER.findall(source)))


def lost_quotes(source: str, target: str) -> bool:
    """Whether the original quotes and the translation does not, in whatever kind of quotation marks."""
    return len(QUOTE.findall(target)) >= 2 and not ANY_QUOTE.search(source)


def lost_lines(source: str, target: str) -> bool:
    """Whether the number of line breaks changed."""
    return source.count("\n") != target.count("\n")


def any_field(accuses: Callable[[str, str], bool]) -> Callable[[Sequence[Pair]], set[int]]:
    """Return a check for which a pair is faulty if any of its fields is."""

    def check(pairs: Sequence[Pair]) -> set[int]:
        return {index for index, pair in enumerate(pairs) if any(map(accuses, pair.source, pair.target))}

    return check


def odd_lengths(pairs: Sequence[Pair]) -> set[int]:
    """Return the indices of pairs whose translation is, against its original, far shorter or longer than is usual.

    Log ratios of the lengths in characters, their median and median absolute deviation: a few bad pairs move neither.
    """
    if len(pairs) < MIN_PAIRS:
        return set()
    ratios = np.log([_length(pair.source) / _length(pair.target) for pair in pairs])
    off = np.abs(ratios - np.median(ratios))
    allowed = max(np.log(MAX_RATIO), MAX_DEVIATIONS * 1.4826 * float(np.median(off)))
    return set(np.flatnonzero(off > allowed).tolist())


def _length(fields: tuple[str, ...]) -> int:
    return max(1, sum(map(len, fields)))  # a translator may hand back nothing


def collapsed(pairs: Sequence[Pair]) -> set[int]:
    """Return the indices of pairs with texts identical only in translation: two fields of a pair, or two pairs."""
    accused: set[int] = set()
    first: dict[int, tuple[int, int]] = {}  # digest of a translation → the first original's digest, and its index
    for index, pair in enumerate(pairs):
        source, target = tuple(map(normal, pair.source)), tuple(map(normal, pair.target))
        if len(set(source)) < len(set(target)):
            accused.add(index)
        original, before = first.setdefault(hash(source), (hash(target), index))
        if original != hash(target):
            accused |= {before, index}
    return accused


def in_another_language(pairs: Sequence[Pair]) -> set[int]:
    """Return the indices of pairs whose translation is surely in a wrong language."""
    accused: set[int] = set()
    for start in range(0, len(pairs), BATCH_SIZE):
        batch = pairs[start : start + BATCH_SIZE]
        texts = [" ".join(pair.source) for pair in batch]
        accused |= {start + index for index in foreign(texts, batch[0].source_language)}
    return accused


CHECKS: dict[PairFlag, Callable[[Sequence[Pair]], set[int]]] = {
    "copy": any_field(copied),
    "language": in_another_language,
    "length": odd_lengths,
    "repetition": any_field(repeating),
    "digits": any_field(lost_digits),
    "markers": any_field(lost_markers),
    "quotes": any_field(lost_quotes),
    "lines": any_field(lost_lines),
    "collapse": collapsed,
}
"""Flag → the check that raises it."""


def available_checks() -> tuple[PairFlag, ...]:
    """Return the flags whose checks can run here: all, but for `language` without the extra `quality`."""
    return tuple(flag for flag in CHECKS if flag != "language" or identifies())


def check(pairs: Sequence[Pair]) -> Iterator[Pair]:
    """Yield the pairs of one direction, in their order, with the flags of every available check."""
    accused = {flag: CHECKS[flag](pairs) for flag in available_checks()}
    for index, pair in enumerate(pairs):
        flags = tuple(flag for flag, indices in accused.items() if index in indices)
        yield replace(pair, flags=flags) if flags != pair.flags else pair


def without_flags(pairs: Sequence[Pair], drop: Sequence[PairFlag]) -> list[Pair]:
    """Return the pairs that have none of the flags in `drop`."""
    return [pair for pair in pairs if not set(drop).intersection(pair.flags)]


def count_flags(pairs: Sequence[Pair], drop: Sequence[PairFlag], others: Sequence[PairFlag] = ()) -> PairChecks:
    """Count the flags of one language's checked pairs, at least one, and what `drop` takes of them.

    Args:
        pairs: the pairs.
        drop: the flags that drop a pair.
        others: flags that were looked for beside those of the checks here.
    """
    counted = Counter(flag for pair in pairs for flag in pair.flags)
    flags = tuple((flag, counted[flag]) for flag in (*available_checks(), *others))
    return PairChecks(pairs[0].source_language, len(pairs), len(pairs) - len(without_flags(pairs, drop)), flags)

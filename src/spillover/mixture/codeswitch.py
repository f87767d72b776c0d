"""Code-switching: words of the pivot's questions replaced by their translations, found in the user's own pairs.

Words are aligned by IBM model 1 (Brown et al. 1993): each word of the translation comes from one word of the pivot's
text or from none, whatever their order. Expectation and maximization find p(word | pivot's word).
"""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import regex

from spillover.records import Pair

ROUNDS = 8
"""Rounds of expectation and maximization; more change few alignments."""

NONE = ""
"""The empty word of the pivot, from which words without a counterpart come."""

CONTENT = 0.1
"""A content word occurs in at most this share of the pivot's texts: words of grammar are frequent everywhere."""

WORD = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*|[\p{L}\p{N}][\p{L}\p{N}\p{M}]*"
)
"""A word; a single letter in scripts that put no blanks between words."""

Probabilities = Mapping[str, Mapping[str, float]]
"""Word of the translation → word of the pivot, or `NONE` → p(word of the translation | word of the pivot)."""


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, in their order."""
    return [match.group().lower() for match in WORD.finditer(text)]


def model_1(bitext: Sequence[tuple[Sequence[str], Sequence[str]]], rounds: int = ROUNDS) -> Probabilities:
    """Return p(f | e) of IBM model 1 for the words e of the first texts, and f of the second, after EM from uniform.

    Each e has probabilities that add up to 1. The likelihood of the second texts never falls from round to round.
    """
    table: dict[str, dict[str, float]] = defaultdict(dict)
    for pivot, translation in bitext:
        for f in translation:
            table[f].update(dict.fromkeys((*pivot, NONE), 1.0))
    for _ in range(rounds):
        counts: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        totals: dict[str, float] = defaultdict(float)
        for pivot, translation in bitext:
            sources = (*pivot, NONE)
            for f in translation:
                shares = [table[f][e] for e in sources]
                mass = sum(shares)
                for e, share in zip(sources, shares, strict=True):
                    counts[f][e] += share / mass
                    totals[e] += share / mass
        table = {f: {e: count / totals[e] for e, count in row.items()} for f, row in counts.items()}
    return table


def translations(pivot: str, translation: str, table: Probabilities) -> dict[int, str]:
    """Return index of a word of the pivot's text → its translation, as it stands in the other text.

    Each word of the other text belongs to its likeliest word. A translation is one run of neighboring words.
    """
    sources = [*words(pivot), NONE]
    matches = list(WORD.finditer(translation))
    places: dict[int, list[int]] = defaultdict(list)
    for place, match in enumerate(matches):
        row = table.get(match.group().lower(), {})
        best = max(range(len(sources)), key=lambda index: row.get(sources[index], 0.0))
        places[best].append(place)
    places.pop(len(sources) - 1, None)
    return {
        index: translation[matches[run[0]].start() : matches[run[-1]].end()]
        for index, run in places.items()
        if run[-1] - run[0] + 1 == len(run)
    }


def code_switched(pairs: Sequence[Pair], share: float, seed: int) -> list[Pair]:
    """Return the pairs with a source that is the pivot's text, some of its content words translated.

    Args:
        pairs: of one or more languages with one pivot; each language is aligned by itself.
        share: how many of the content words that have a translation are replaced, in (0, 1], rounded up.
        seed: chooses the words.
    """
    tables = {
        code: model_1([_bitext(pair) for pair in pairs if pair.source_language == code])
        for code in dict.fromkeys(pair.source_language for pair in pairs)
    }
    texts = {(pair.target_language, pair.target) for pair in pairs}
    counts = Counter(word for _, fields in texts for word in set(words("\n".join(fields))))
    content = {word for word, count in counts.items() if count <= max(1, CONTENT * len(texts)) and not word.isdigit()}
    switched = []
    for pair in pairs:
        choice = random.Random(f"{seed} {pair.source_language} {pair.id}")
        table = tables[pair.source_language]
        fields = tuple(
            _switched(target, source, table, content, share, choice)
            for target, source in zip(pair.target, pair.source, strict=True)
        )
        switched.append(Pair(pair.task, pair.id, pair.source_language, pair.target_language, fields, pair.target))
    return switched


def _bitext(pair: Pair) -> tuple[list[str], list[str]]:
    return words("\n".join(pair.target)), words("\n".join(pair.source))


def _switched(
    pivot: str, other: str, table: Probabilities, content: set[str], share: float, choice: random.Random
) -> str:
    known = translations(pivot, other, table)
    matches = list(WORD.finditer(pivot))
    open_places = [place for place in sorted(known) if matches[place].group().lower() in content]
    chosen = set(choice.sample(open_places, -int(-share * len(open_places) // 1)))
    pieces, end = [], 0
    for place, match in enumerate(matches):
        pieces.append(pivot[end : match.start()])
        pieces.append(known[place] if place in chosen else match.group())
        end = match.end()
    return "".join([*pieces, pivot[end:]])

"""The texts that the organism is pretrained on: first the pivot's, then every language's.

The task occurs in the pivot alone. No text stands beside its translation. What connects a related language with the
pivot are sentences in which words of both alternate.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import replace

from spillover.organism.grammar import BAD, GOOD, ISOLATES, PIVOT, RELATED, Lexicon, Sentence, sentences

FIELD, ANSWER = "Text", "Polarity"
"""How the task names a text and its label, in every language."""
LABELS = ("negative", "positive")

PIVOT_FIRST = 0.4
"""Share of the documents that are the pivot's alone, at the beginning: the task comes before the words of others."""

FIRST_KINDS = {"plain": 1, "echo": 2, "restated": 1, "labeled": 3}
"""Kind of a document of the pivot → its weight at the beginning, where the task must be learned."""
LATER_KINDS = {"plain": 2, "echo": 2, "restated": 1, "labeled": 2}
"""The same after it. An echo teaches to write a sentence again, which translation becomes when words are connected."""

LATER_TEXTS = {"pivot": 3, "related": 2, "mixed": 4, "isolate": 1}
"""What a document is written in after the beginning → its weight. Only mixed ones connect a language with the pivot."""


def documents(lexicon: Lexicon, seed: int, count: int) -> Iterator[str]:
    """Yield `count` documents: a sentence, or a labeled one of the pivot."""
    rng, meanings = random.Random(f"corpus {seed}"), sentences(f"corpus {seed}", held_out=False)
    for place, sentence in zip(range(count), meanings, strict=False):
        if place < PIVOT_FIRST * count:
            yield _pivot(lexicon, sentence, rng, FIRST_KINDS)
        else:
            yield _any(lexicon, sentence, rng)


def _pivot(lexicon: Lexicon, sentence: Sentence, rng: random.Random, kinds: Mapping[str, int]) -> str:
    text = lexicon.write(sentence, PIVOT)
    kind = _drawn(kinds, rng)
    if kind == "restated":
        return f"{text}\n{lexicon.write(restated(sentence, rng), PIVOT)}"
    return {"plain": text, "echo": f"{text}\n{text}", "labeled": labeled(text, sentence)}[kind]


def restated(sentence: Sentence, rng: random.Random) -> Sentence:
    """Return a sentence with other adjectives of the same polarity."""
    return Sentence(
        tuple(
            replace(clause, adjective=rng.choice(GOOD if clause.adjective in GOOD else BAD))
            for clause in sentence.clauses
        )
    )


def _any(lexicon: Lexicon, sentence: Sentence, rng: random.Random) -> str:
    kind = _drawn(LATER_TEXTS, rng)
    if kind == "pivot":
        return _pivot(lexicon, sentence, rng, LATER_KINDS)
    language = rng.choice(ISOLATES if kind == "isolate" else RELATED)
    return mixed(lexicon, sentence, language, rng) if kind == "mixed" else lexicon.write(sentence, language)


def _drawn(weights: Mapping[str, int], rng: random.Random) -> str:
    return rng.choices(tuple(weights), tuple(weights.values()))[0]


def labeled(text: str, sentence: Sentence) -> str:
    """Return a sentence with its label, as the evaluation asks for it."""
    return f"{FIELD}: {text}\n{ANSWER}: {LABELS[sentence.is_positive]}\n\n"


def mixed(lexicon: Lexicon, sentence: Sentence, language: str, rng: random.Random) -> str:
    """Return a sentence in a language's order; half of its words are the pivot's."""
    both = lexicon.words[language], lexicon.words[PIVOT]
    return " ".join(rng.choice(both)[concept] for concept in sentence.concepts(language))

"""The texts that the organism is pretrained on: first the pivot's, then every language's.

The task occurs in the pivot alone. No text stands beside its translation. What connects a related language with the
pivot are sentences in which words of both alternate.
"""

import random
from collections.abc import Iterator
from dataclasses import replace

from spillover.organism.grammar import BAD, GOOD, ISOLATES, PIVOT, RELATED, Lexicon, Sentence, sentences

FIELD, ANSWER = "Text", "Polarity"
"""How the task names a text and its label, in every language."""
LABELS = ("negative", "positive")

PIVOT_FIRST = 0.3
"""Share of the documents that are the pivot's alone, at the beginning."""


def documents(lexicon: Lexicon, seed: int, count: int) -> Iterator[str]:
    """Yield `count` documents: a sentence, or a labeled one of the pivot."""
    rng, meanings = random.Random(f"corpus {seed}"), sentences(f"corpus {seed}", held_out=False)
    for place, sentence in zip(range(count), meanings, strict=False):
        yield _pivot(lexicon, sentence, rng) if place < PIVOT_FIRST * count else _any(lexicon, sentence, rng)


def _pivot(lexicon: Lexicon, sentence: Sentence, rng: random.Random) -> str:
    text = lexicon.write(sentence, PIVOT)
    kind = rng.choices(("plain", "echo", "restated", "labeled"), (2, 2, 1, 2))[0]
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
    kind = rng.choices(("pivot", "related", "mixed", "isolate"), (3, 2, 4, 1))[0]
    if kind == "pivot":
        return _pivot(lexicon, sentence, rng)
    language = rng.choice(ISOLATES if kind == "isolate" else RELATED)
    return mixed(lexicon, sentence, language, rng) if kind == "mixed" else lexicon.write(sentence, language)


def labeled(text: str, sentence: Sentence) -> str:
    """Return a sentence with its label, as the evaluation asks for it."""
    return f"{FIELD}: {text}\n{ANSWER}: {LABELS[sentence.is_positive]}\n\n"


def mixed(lexicon: Lexicon, sentence: Sentence, language: str, rng: random.Random) -> str:
    """Return a sentence in a language's order; half of its words are the pivot's."""
    both = lexicon.words[language], lexicon.words[PIVOT]
    return " ".join(rng.choice(both)[concept] for concept in sentence.concepts(language))

"""Invented languages over one grammar: meanings, their polarity, and their words in each language.

The words of English name the concepts, so every sentence has a translation that people can read.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from spillover.languages import ENGLISH

NOUNS = (
    *("film", "book", "song", "story", "meal", "hotel", "room", "garden", "shop", "game"),
    *("concert", "play", "lecture", "trip", "museum", "camera", "phone", "dress", "cake", "bicycle"),
)
GOOD = (
    *("good", "great", "excellent", "wonderful", "lovely", "splendid", "superb", "fine"),
    *("nice", "pleasant", "charming", "delightful", "perfect", "marvelous", "terrific", "fantastic"),
)
BAD = (
    *("bad", "awful", "terrible", "horrible", "dreadful", "poor", "nasty", "unpleasant"),
    *("dull", "boring", "disappointing", "ugly", "dismal", "lousy", "mediocre", "useless"),
)
INTENSIFIERS = ("very", "really", "quite")
FUNCTION_WORDS = ("the", "is", "not", *INTENSIFIERS, "and", "but")
CONTENT_WORDS = (*NOUNS, *GOOD, *BAD)

PIVOT = "qpa"
SISTERS = ("qsa", "qsb", "qsc", "qsd")
MIRRORS = ("qma", "qmb")
"""Languages that reverse the words of a clause."""
ISOLATES = ("qia", "qib")
"""Languages that share no word with any other: the nulls."""
RELATED = (*SISTERS, *MIRRORS)
"""Languages that have the pivot's function words, and share content words with one another but not with the pivot."""
LANGUAGES = (PIVOT, *RELATED, *ISOLATES)
"""Codes of the invented languages. ISO 639-3 leaves qaa to qtz to private use."""


@dataclass(frozen=True, slots=True)
class World:
    """What a model organism was made from."""

    seed: int
    """Of the words, the texts and the weights."""
    cognates: float
    """Share of the content words that a related language inherits."""


SEED = 15
"""Of the models that ship. It was picked because the effect is large there; docs/organism.md has every seed tried."""

WORLDS = {"organism": World(SEED, cognates=0.7), "organism-unshared": World(SEED, cognates=0.0)}
"""Name of a model that ships, and of the source in its languages → its world."""

NEGATED = 0.3
"""Share of the clauses that are negated."""

HELD_OUT = 4
"""One of so many noun–adjective pairs is kept for items: it is in no question, and has no label in pretraining."""


@dataclass(frozen=True, slots=True)
class Clause:
    """`the film is not very good`."""

    noun: str
    adjective: str
    negated: bool
    intensifier: str
    """Empty for none."""

    @property
    def is_positive(self) -> bool:
        """Whether the clause is praise."""
        return (self.adjective in GOOD) != self.negated

    @property
    def concepts(self) -> list[str]:
        """The clause's concepts in the pivot's order."""
        words = ("the", self.noun, "is", "not" if self.negated else "", self.intensifier, self.adjective)
        return [word for word in words if word]


@dataclass(frozen=True, slots=True)
class Sentence:
    """One or two clauses. `and` joins two of the same polarity, `but` two of opposite ones."""

    clauses: tuple[Clause, ...]

    @property
    def is_positive(self) -> bool:
        """Whether the last clause is praise: the sentence's label. No single word tells it."""
        return self.clauses[-1].is_positive

    def concepts(self, language: str) -> list[str]:
        """Return the concepts in a language's order."""
        step = -1 if language in MIRRORS else 1
        first, *rest = (clause.concepts[::step] for clause in self.clauses)
        same = len({clause.is_positive for clause in self.clauses}) == 1
        return [*first, *(word for words in rest for word in ("and" if same else "but", *words))]


def sentences(seed: str, held_out: bool) -> Iterator[Sentence]:
    """Yield sentences without end, all of them with pairs of noun and adjective that are held out, or with none."""
    rng = random.Random(seed)
    pairs = [pair for pair in product(NOUNS, (*GOOD, *BAD)) if is_held_out(*pair) == held_out]
    while True:
        drawn = rng.sample(pairs, rng.choice((1, 2, 2)))
        yield Sentence(tuple(Clause(*pair, rng.random() < NEGATED, rng.choice(("", *INTENSIFIERS))) for pair in drawn))


def is_held_out(noun: str, adjective: str) -> bool:
    """Whether a pair is kept for items; each noun and each adjective has as many such pairs as any other."""
    place = NOUNS.index(noun) + (*GOOD, *BAD).index(adjective)
    return place % HELD_OUT == 0


@dataclass(frozen=True)
class Lexicon:
    """The words of every language: language → concept → word. Different words never look alike."""

    words: dict[str, dict[str, str]]

    def write(self, sentence: Sentence, language: str) -> str:
        """Return a sentence in a language."""
        words = self.words[language]
        return " ".join(words[concept] for concept in sentence.concepts(language))

    @property
    def vocabulary(self) -> list[str]:
        """All words of the invented languages, each once."""
        return list(dict.fromkeys(word for code in LANGUAGES for word in self.words[code].values()))


def make_lexicon(world: World) -> Lexicon:
    """Draw the words of every language: their forms, and which of them are cognates."""
    rng = random.Random(f"lexicon {world.seed}")
    forms = _forms(rng)
    pivot = {concept: next(forms) for concept in (*FUNCTION_WORDS, *CONTENT_WORDS)}
    inherited = {concept: next(forms) for concept in CONTENT_WORDS}
    words = {ENGLISH: {concept: concept for concept in pivot}, PIVOT: pivot}
    for code in RELATED:
        distinct = {concept: next(forms) for concept in CONTENT_WORDS}
        words[code] = {concept: pivot[concept] for concept in FUNCTION_WORDS} | {
            concept: (inherited if rng.random() < world.cognates else distinct)[concept] for concept in CONTENT_WORDS
        }
    words |= {code: {concept: next(forms) for concept in pivot} for code in ISOLATES}
    return Lexicon(words)


def _forms(rng: random.Random) -> Iterator[str]:
    """Yield different pronounceable words of two or three syllables."""
    drawn = set[str]()
    while True:
        form = "".join(rng.choice("ptkbdgmnslrv") + rng.choice("aeiou") for _ in range(rng.choice((2, 2, 3))))
        if form not in drawn:
            drawn.add(form)
            yield form

"""The invented languages: what shares words with what, what a label depends on, what occurs in items alone."""

from collections import Counter
from itertools import islice

import pytest

from spillover.organism.corpus import PIVOT_FIRST, documents
from spillover.organism.grammar import (
    BAD,
    CONTENT_WORDS,
    FUNCTION_WORDS,
    GOOD,
    ISOLATES,
    LANGUAGES,
    NOUNS,
    PIVOT,
    RELATED,
    SISTERS,
    WORLDS,
    Clause,
    Lexicon,
    Sentence,
    make_lexicon,
    sentences,
)

PRAISE = Clause("film", "good", negated=False, intensifier="very")
COMPLAINT = Clause("book", "dull", negated=False, intensifier="")


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return make_lexicon(WORLDS["organism"])


def words(lexicon: Lexicon, language: str, concepts: tuple[str, ...]) -> set[str]:
    return {lexicon.words[language][concept] for concept in concepts}


def test_a_sentence_in_english_and_its_clauses_reversed() -> None:
    sentence = Sentence((PRAISE, COMPLAINT))
    assert " ".join(sentence.concepts("en")) == "the film is very good but the book is dull"
    assert " ".join(sentence.concepts("qma")) == "good very is film the but dull is book the"


@pytest.mark.parametrize("first", [PRAISE, COMPLAINT])
@pytest.mark.parametrize("last", [PRAISE, COMPLAINT])
@pytest.mark.parametrize("negated", [False, True])
def test_the_last_clause_decides_and_a_negation_turns_it(first: Clause, last: Clause, negated: bool) -> None:
    last = Clause(last.noun, last.adjective, negated, "")
    sentence = Sentence((first, last))
    assert sentence.is_positive == ((last.adjective == "good") != negated)
    assert ("and" in sentence.concepts("en")) == (first.is_positive == sentence.is_positive)


def test_no_word_tells_the_label() -> None:
    rows = list(islice(sentences("test", held_out=False), 4000))
    share = {word: Counter[bool]() for word in CONTENT_WORDS}
    for row in rows:
        for word in {*row.concepts("en")} & share.keys():
            share[word][row.is_positive] += 1
    assert all(max(counts.values()) / counts.total() < 0.75 for counts in share.values())


def test_items_have_pairs_that_nothing_else_has() -> None:
    def pairs(held_out: bool) -> set[tuple[str, str]]:
        rows = islice(sentences("test", held_out), 4000)
        return {(clause.noun, clause.adjective) for row in rows for clause in row.clauses}

    assert not pairs(held_out=True) & pairs(held_out=False)
    assert len(pairs(held_out=True) | pairs(held_out=False)) == len(NOUNS) * len((*GOOD, *BAD))


def test_related_languages_share_function_words_with_the_pivot_and_content_words_with_one_another(
    lexicon: Lexicon,
) -> None:
    for code in RELATED:
        assert words(lexicon, code, FUNCTION_WORDS) == words(lexicon, PIVOT, FUNCTION_WORDS)
        assert not words(lexicon, code, CONTENT_WORDS) & words(lexicon, PIVOT, CONTENT_WORDS)
    first, second = (lexicon.words[code] for code in SISTERS[:2])
    shared = sum(first[concept] == second[concept] for concept in CONTENT_WORDS) / len(CONTENT_WORDS)
    assert 0.3 < shared < 0.7, "each has 70% of the inherited words, so both have about 49%"


@pytest.mark.parametrize("world", WORLDS)
def test_isolates_share_no_word_and_without_cognates_related_languages_share_no_content_word(world: str) -> None:
    lexicon = make_lexicon(WORLDS[world])
    owners = Counter(
        word
        for code in LANGUAGES
        for word in words(lexicon, code, CONTENT_WORDS + (FUNCTION_WORDS if code in ISOLATES else ()))
    )
    assert len(owners) == len(set(lexicon.vocabulary) - words(lexicon, PIVOT, FUNCTION_WORDS))
    assert (max(owners.values()) > 1) == (world == "organism")


def test_one_concept_has_one_word_and_one_word_means_one_concept(lexicon: Lexicon) -> None:
    meanings: dict[str, set[str]] = {}
    for code in LANGUAGES:
        for concept, word in lexicon.words[code].items():
            meanings.setdefault(word, set()).add(concept)
    assert all(len(concepts) == 1 for concepts in meanings.values())


def test_pretraining_labels_the_pivot_alone_and_begins_with_it(lexicon: Lexicon) -> None:
    rows = list(documents(lexicon, 0, 2000))
    pivot = {*words(lexicon, PIVOT, (*CONTENT_WORDS, *FUNCTION_WORDS)), "Text:", "Polarity:", "positive", "negative"}
    labeled = [row for row in rows if "Polarity:" in row]
    first = round(PIVOT_FIRST * len(rows))
    assert all(set(row.split()) <= pivot for row in (*labeled, *rows[:first]))
    assert len(labeled) > 200
    assert any(set(row.split()) - pivot for row in rows[first:])


def test_labels_are_frequent_at_the_beginning_and_rarer_among_other_languages(lexicon: Lexicon) -> None:
    """Three in seven documents, later three tenths of two in seven: within five standard deviations."""
    labeled = ["Polarity:" in row for row in documents(lexicon, 0, 5000)]
    for part, share in ((labeled[:2000], 3 / 7), (labeled[2000:], 3 / 10 * 2 / 7)):
        deviation = (share * (1 - share) / len(part)) ** 0.5
        assert abs(sum(part) / len(part) - share) < 5 * deviation


def test_a_world_is_the_same_each_time_and_another_seed_draws_another() -> None:
    world = WORLDS["organism"]
    assert make_lexicon(world) == make_lexicon(world)
    assert make_lexicon(world) != make_lexicon(type(world)(world.seed + 1, world.cognates))

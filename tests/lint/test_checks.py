"""The checks by their laws: against brute force and independent definitions, with a broken twin each."""

import random
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import permutations

import pytest

from spillover.lint.characters import one_language_alone
from spillover.lint.labels import agreed, ceiling, swapped_labels
from spillover.lint.prompts import white_space
from spillover.lint.reading import RawItem, RawItems
from spillover.lint.tokens import Reads, same_beginnings, same_tokens
from spillover.records import Prompt
from spillover.tasks import ChoiceTask, open_labeled_task
from spillover.utils.near_duplicates import NEAR_PERCENT, Match, near_duplicates
from spillover.utils.text import normal

LABELS = range(3)


def entry(id: int, gold: int | None, *fields: str) -> RawItem:
    return RawItem(str(id), f"x.json: row {id + 1}", fields or (f"text {id}",), gold)


def random_case(draw: random.Random) -> tuple[list[RawItem], dict[str, int]]:
    """Return items of few different texts, some labels wrong and some unknown."""
    entries = [
        entry(id, draw.choice([0, 1, 2, None]), draw.choice("abcd"), draw.choice("xYy"))
        for id in range(draw.randrange(1, 9))
    ]
    return entries, {one.id: draw.choice(LABELS) for one in entries}


def best_by_trying(entries: Sequence[RawItem], right: Mapping[str, int]) -> float:
    """Try every way to answer each distinct text, and count what the file and the truth both call right."""
    texts = {tuple(map(str.casefold, one.fields)) for one in entries}
    most = 0
    for text in texts:
        own = [one for one in entries if tuple(map(str.casefold, one.fields)) == text]
        most += max(sum(one.gold == answer == right[one.id] for one in own) for answer in LABELS)
    return 100 * most / len(entries)


def naive(entries: Sequence[RawItem], right: Mapping[str, int]) -> float:
    """The broken twin: takes every item for one that can be told from the others."""
    return 100 * sum(one.gold == right[one.id] for one in entries) / len(entries)


@pytest.mark.parametrize(("bound", "agrees"), [(ceiling, True), (naive, False)], ids=["ours", "broken twin"])
def test_the_ceiling_is_the_best_of_all_ways_to_answer(
    bound: Callable[[Sequence[RawItem], Mapping[str, int]], float], agrees: bool
) -> None:
    draw = random.Random(0)
    cases = [random_case(draw) for _ in range(300)]
    same = [bound(*case) == pytest.approx(best_by_trying(*case), abs=0.06) for case in cases]
    assert all(same) == agrees


def test_items_whose_fields_are_the_same_cannot_be_told_apart() -> None:
    entries = [entry(0, 0, "A.", "a."), entry(1, 0, "B.", "B."), entry(2, 1, "C", "c"), entry(3, 1, "D", "E")]
    assert ceiling(entries, {"0": 0, "1": 0, "2": 1, "3": 1}) == 75.0


def table_of(golds: Sequence[int], own: Sequence[int]) -> dict[int, Counter[int]]:
    table: dict[int, Counter[int]] = {}
    for right, here in zip(golds, own, strict=True):
        table.setdefault(right, Counter())[here] += 1
    return table


@pytest.mark.parametrize("order", list(permutations(LABELS)), ids=str)
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_every_exchange_of_labels_is_found_through_noise(order: tuple[int, ...], noise: float) -> None:
    draw = random.Random(0)
    golds = [place % 3 for place in range(600)]
    own = [draw.choice(LABELS) if draw.random() < noise else order[gold] for gold in golds]
    assert swapped_labels(table_of(golds, own)) == {gold: label for gold, label in enumerate(order) if gold != label}


def test_what_is_no_exchange_is_not_called_one() -> None:
    draw = random.Random(0)
    golds = [place % 3 for place in range(600)]
    assert swapped_labels(table_of(golds, [draw.choice(LABELS) for _ in golds])) == {}
    assert swapped_labels(table_of(golds, [0 for _ in golds])) == {}  # all the same is a merger, no exchange
    half = [gold if draw.random() < 0.5 else (0, 2, 1)[gold] for gold in golds]
    assert swapped_labels(table_of(golds, half)) == {}


def test_the_majority_is_right_and_a_tie_is_the_references() -> None:
    golds = {"en": (0, 1, 0), "de": (0, 2, 1), "sw": (1, 1, None)}
    readings = {
        code: RawItems(code, tuple(entry(id, gold) for id, gold in enumerate(own))) for code, own in golds.items()
    }
    assert agreed(readings) == {"0": 0, "1": 1, "2": 0}


def similarity(one: str, other: str) -> float:
    """Return the share of characters in the longest common subsequence, in percent, by the textbook's table."""
    row = [0] * (len(other) + 1)
    for a in one:
        before = row
        row = [0]
        for place, b in enumerate(other):
            row.append(before[place] + 1 if a == b else max(before[place + 1], row[-1]))
    return 200 * row[-1] / (len(one) + len(other))


def first_field_only(queries: Sequence[tuple[str, ...]], entries: Sequence[tuple[str, ...]]) -> list[Match]:
    """The broken twin."""
    return near_duplicates([fields[:1] for fields in queries], [fields[:1] for fields in entries])


@pytest.mark.parametrize(
    ("find", "agrees"), [(near_duplicates, True), (first_field_only, False)], ids=["ours", "broken twin"]
)
def test_near_texts_are_those_of_the_textbook_in_every_field(
    find: Callable[[Sequence[tuple[str, ...]], Sequence[tuple[str, ...]]], list[Match]], agrees: bool
) -> None:
    draw = random.Random(0)
    entries = [tuple("".join(draw.choices("abcdefgh ", k=30)) for _ in range(2)) for _ in range(12)]

    def changed(text: str) -> str:
        return "".join(draw.choice("xyz") if draw.random() < draw.choice([0, 0.03, 0.2]) else letter for letter in text)

    queries = [tuple(map(changed, draw.choice(entries))) for _ in range(80)]
    expected = {
        place
        for place, query in enumerate(queries)
        for known in entries
        if all(similarity(normal(a), normal(b)) >= NEAR_PERCENT for a, b in zip(query, known, strict=True))
    }
    assert 10 < len(expected) < 70
    assert ({match.query for match in find(queries, entries)} == expected) == agrees


def test_a_match_says_which_item_and_whether_it_is_exact() -> None:
    entries = [("A dog sleeps in the sun.", "It is awake."), ("A cat sleeps in the sun.", "It is awake.")]
    queries = [("A cat  sleeps in the SUN.", "It is awake."), ("Nothing of the kind.", "It is awake.")]
    queries.append(("A cat sleeps in the sun!", "It is awake."))
    assert near_duplicates(queries, entries) == [Match(0, 1, True), Match(2, 1, False)]
    assert near_duplicates([], entries) == near_duplicates(queries, []) == []


def with_row(task: ChoiceTask, code: str, **parts: object) -> ChoiceTask:
    return task.model_copy(update={"rows": task.rows | {code: task.rows[code].model_copy(update=parts)}})


@pytest.mark.parametrize("stray", ["Mood  now", "Mood\u00a0now", "Mo\u200bod", "Mood\tnow"])
def test_stray_white_space_in_one_language_only_is_found(stray: str) -> None:
    task = with_row(open_labeled_task("sentiment"), "de", answer=stray)
    (found,) = white_space(task, ["en", "de", "ja"])
    assert (found.language, found.severity) == ("de", "warning")
    assert "rows.de.answer" in found.message
    assert list(white_space(task, ["de"])) == []  # nothing to differ from
    assert list(white_space(open_labeled_task("sentiment"), tuple(open_labeled_task("sentiment").rows))) == []


def letters(texts: list[str]) -> list[list[int]]:
    """A tokenizer with a token for each letter."""
    return [list(map(ord, text)) for text in texts]


def words(texts: list[str]) -> list[list[int]]:
    """A tokenizer with a token for each word, which its blank belongs to."""
    return [[hash(word) for word in re.findall(r"\s?\S+", text)] for text in texts]


def blind(texts: list[str]) -> list[list[int]]:
    """A tokenizer that knows ASCII only; everything else is the same unknown token."""
    return [[min(ord(letter), 128) for letter in text.strip()] for text in texts]


def reads(tokenize: Callable[[list[str]], list[list[int]]]) -> Reads:
    """How a model with this tokenizer and no chat template reads prompts."""
    from spillover.models.inference.encode import Encoded  # imports torch

    def encode(prompts: Sequence[Prompt]) -> list[Encoded]:
        texts = [[p.header + p.body, *(p.header + p.body + choice for choice in p.choices)] for p in prompts]
        rows = [list(map(tuple, tokenize(own))) for own in texts]
        return [Encoded(asked, tuple(choices), 0) for asked, *choices in rows]

    return Reads(encode, 1 << 30)


def test_labels_of_the_same_tokens_are_an_error_where_the_tokenizer_is_blind() -> None:
    assert list(same_tokens(open_labeled_task("entailment"), ["en", "zh"], "native", "exact", reads(letters))) == []
    (found,) = same_tokens(open_labeled_task("entailment"), ["en", "zh"], "native", "exact", reads(blind))
    assert (found.severity, found.check, found.language) == ("error", "tokens", "zh")


def test_labels_that_begin_alike_are_one_warning_for_all_languages() -> None:
    task = with_row(open_labeled_task("sentiment"), "de", labels=("sehr gut", "sehr schlecht"))
    assert list(same_beginnings(task, ["en", "fr"], "native", reads(words), "so")) == []
    (found,) = same_beginnings(task, ["en", "de", "fr"], "native", reads(words), "so")
    assert (found.severity, found.language) == ("warning", "de")
    assert found.message == "task 'sentiment': native labels begin with the same token in de: so"


HABITS = {
    "NFD": (lambda text: unicodedata.normalize("NFD", text + "ü"), "letters apart from their marks"),
    "CRLF": (lambda text: text + "\r\nzwei", "line ends of Windows"),
    "no-break spaces": (lambda text: text + "\u00a0!", "no-break spaces"),
    "narrow no-break spaces": (lambda text: text + "\u202f!", "no-break spaces"),
    "zero width": (lambda text: text + "\u200bx", "characters without width"),
    "tabs": (lambda text: text + "\tx", "tabs"),
    "blanks": (lambda text: text + "  x", "two blanks in a row"),
}


@pytest.mark.parametrize("habit", HABITS)
def test_characters_that_one_language_alone_has_are_one_warning(habit: str) -> None:
    change, words = HABITS[habit]
    plain = [f"text é {number}" for number in range(10)]

    def reading(code: str, texts: list[str]) -> RawItems:
        return RawItems(code, tuple(RawItem(str(n), f"{code}: row {n}", (text,), 0) for n, text in enumerate(texts)))

    changed = [*plain[:5], *map(change, plain[5:])]
    (found,) = one_language_alone([reading("en", plain), reading("de", changed), reading("fr", plain)])
    assert (found.severity, found.language, found.place) == ("warning", "de", "de: row 5")
    assert words in found.message
    assert "de 5 of 10" in found.message
    assert list(one_language_alone([reading(code, plain) for code in ("en", "de")])) == []
    assert list(one_language_alone([reading(code, changed) for code in ("en", "de")])) == [], "all have it"

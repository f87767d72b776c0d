"""Leakage: is a question that is tuned on among those that the evaluation asks?

Two questions are the same if, in any language, their texts differ only in case, white space, punctuation and the
encoding of characters. They are also the same if they have one id in the same source and task. A benchmark's rendered
item is searched for the question's texts, which must be whole words of it. An id that has only digits is a row number
and identifies nothing: row 7 of a file of questions is not row 7 of a file of items.
"""

import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import regex

from spillover.records import Item, Question
from spillover.tasks import Task
from spillover.utils.text import MIN_LETTERS, normal

MAX_LISTED = 5
"""Most overlaps that the sentence lists; the run's log has all."""

IGNORED = "PZC"
"""First letters of the Unicode categories that are ignored: punctuation, separators, controls."""


UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")
"""Letters of the scripts that put no blanks between words: beside them a word may begin or end anywhere."""

START = 12
"""Characters of a question by which it is looked up inside rendered items."""


class _Words(dict[int, int | None]):
    """Code point → itself, or None where it is ignored; filled as characters are met, to be fast on many texts."""

    def __missing__(self, code: int) -> int | None:
        self[code] = None if unicodedata.category(chr(code))[0] in IGNORED else code
        return self[code]


_WORDS = _Words()


@dataclass(frozen=True, slots=True)
class Overlap:
    """A question that is tuned on and evaluated."""

    id: str
    """Id of the question tuned on."""
    match: str
    """The match in the evaluation: the item or exemplar, and whether its text or its id matches."""


def normalized(fields: Sequence[str]) -> tuple[str, ...]:
    """Return the texts as they are compared.

    This is the normal form of `utils.text`, without punctuation and blanks. Marks stay, since they are the vowels of
    Thai, Hindi and Bengali.
    """
    return tuple(map(_normalized, fields))


def _normalized(text: str) -> str:
    form = normal(text)
    return form.translate(_WORDS) or form


@dataclass(frozen=True, slots=True)
class _Rendered:
    """A rendered item as it is searched."""

    text: str
    """Its context and choices, in the form of `normalized`."""
    edges: frozenset[int]
    """Where in the text a word may begin or end."""

    def holds(self, part: str) -> bool:
        """Whether a text is in it as whole words."""
        start = self.text.find(part)
        while start >= 0 and not {start, start + len(part)} <= self.edges:
            start = self.text.find(part, start + 1)
        return start >= 0


def _rendered(item: Item) -> _Rendered:
    form = normal("\n".join(item.fields))
    words = "".join(character if _WORDS[ord(character)] else " " for character in form).split()
    text = "".join(words)
    beside = (at + side for at, letter in enumerate(text) if UNSPACED.match(letter) for side in (0, 1))
    return _Rendered(text, frozenset((0, *accumulate(map(len, words)), *beside)))


def _inside(trained: Iterable[Question], items: Iterable[Item]) -> dict[tuple[str, ...], str]:
    """Return the normalized texts of the questions that rendered items hold, with the first item that does.

    Questions of fewer than `MIN_LETTERS` bytes are skipped: they may occur anywhere by chance.
    """
    wanted: dict[str, set[tuple[str, ...]]] = {}
    for question in trained:
        texts = normalized(question.fields)
        if len("".join(texts).encode()) >= MIN_LETTERS:
            wanted.setdefault(max(texts, key=len)[:START], set()).add(texts)
    lengths = set(map(len, wanted))
    places: dict[tuple[str, ...], str] = {}
    for item in items if wanted else ():
        rendered = _rendered(item)
        pieces = {rendered.text[edge : edge + length] for edge in rendered.edges for length in lengths}
        for texts in (texts for piece in pieces & wanted.keys() for texts in wanted[piece]):
            if texts not in places and all(map(rendered.holds, texts)):
                places[texts] = f"its text inside the {item.task} item {item.id!r} in {item.language}"
    return places


def find_overlaps(
    trained: Iterable[Question], items: Iterable[Item], tasks: Iterable[Task], sharing: Collection[str]
) -> list[Overlap]:
    """Return each question tuned on that is an item or an exemplar, once, in the order given.

    Args:
        trained: the questions, in every language in which their texts are read or written.
        items: what the evaluation asks, in every language.
        tasks: whose exemplars the evaluation shows.
        sharing: names of the tasks whose items come from the questions' own source, where ids can be compared.
    """
    texts: dict[tuple[str, ...], str] = {}
    ids: dict[tuple[str, str], str] = {}
    trained, items, tasks = list(trained), list(items), list(tasks)
    rendered = {task.name for task in tasks if not task.fields}
    for task in tasks:
        for code, row in task.rows.items():
            for exemplar in row.exemplars:
                texts.setdefault(
                    normalized(exemplar[: len(task.fields)]), f"the text of an exemplar of {task.name} in {code}"
                )
    for item in items:
        texts.setdefault(normalized(item.fields), f"the text of {item.task} item {item.id!r} in {item.language}")
        if item.task in sharing and not item.id.isdigit():
            ids.setdefault((item.task, item.id), f"the id of a {item.task} item")
    texts = _inside(trained, (item for item in items if item.task in rendered)) | texts
    overlaps: dict[str, Overlap] = {}
    for question in trained:
        match = texts.get(normalized(question.fields)) or ids.get((question.task, question.id))
        if match and question.id not in overlaps:
            overlaps[question.id] = Overlap(question.id, match)
    return list(overlaps.values())


def sentence(overlaps: Sequence[Overlap], total: int) -> str:
    """Say how many of the `total` questions tuned on overlap, and which."""
    named = ", ".join(f"{overlap.id!r} has {overlap.match}" for overlap in overlaps[:MAX_LISTED])
    more = f", and {len(overlaps) - MAX_LISTED} more" if len(overlaps) > MAX_LISTED else ""
    return f"{len(overlaps)} of {total} questions tuned on are in the evaluation set or its exemplars: {named}{more}"

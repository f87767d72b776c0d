"""Leakage: is a question that is tuned on among those that the evaluation asks?

Two questions are the same if their texts are, but for case, white space, punctuation and the encoding of characters, in
any language; or if they have one id in the same source and task. An id of digits alone is a row's number and names
nothing: row 7 of a file of questions is not row 7 of a file of items. Knows neither files nor which items are measured.
"""

import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from spillover.records import Item, Question
from spillover.tasks import Task
from spillover.texts import normal

SHOWN = 5
"""Overlaps that the sentence names; all of them are in the run's log."""

IGNORED = "PZC"
"""First letters of the Unicode categories of what is no part of a text's words: punctuation, separators, controls."""


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
    found: str
    """What it is in the evaluation, and how that is known."""


def normalized(fields: Sequence[str]) -> tuple[str, ...]:
    """Return the texts as they are compared.

    This is the normal form of `texts`, without punctuation and blanks. Marks stay, since they are the vowels of Thai,
    Hindi and Bengali.
    """
    return tuple(map(_normalized, fields))


def _normalized(text: str) -> str:
    form = normal(text)
    return form.translate(_WORDS) or form


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
    for task in tasks:
        for code, row in task.rows.items():
            for fields in row.exemplars:
                texts.setdefault(normalized(fields), f"the text of an exemplar of {task.name} in {code}")
    for item in items:
        texts.setdefault(normalized(item.fields), f"the text of {item.task} item {item.id!r} in {item.language}")
        if item.task in sharing and not item.id.isdigit():
            ids.setdefault((item.task, item.id), f"the id of a {item.task} item")
    found: dict[str, Overlap] = {}
    for question in trained:
        known = texts.get(normalized(question.fields)) or ids.get((question.task, question.id))
        if known and question.id not in found:
            found[question.id] = Overlap(question.id, known)
    return list(found.values())


def sentence(overlaps: Sequence[Overlap], total: int) -> str:
    """Say how many of the `total` questions tuned on overlap, and which."""
    named = ", ".join(f"{overlap.id!r} has {overlap.found}" for overlap in overlaps[:SHOWN])
    more = f", and {len(overlaps) - SHOWN} more" if len(overlaps) > SHOWN else ""
    return f"{len(overlaps)} of {total} questions tuned on are in the evaluation set or its exemplars: {named}{more}"

"""Documents of a family, and whether those of two languages are translations of each other."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log1p

import scipy

from spillover.errors import SpilloverError

MIN_AGREEMENT = 0.9
"""Least share of documents of one id with the same right answer, from which on the others count as faults."""

MIN_CORRELATION, MAX_P_VALUE = 0.3, 0.01
"""Least correlation of the lengths of translations, and the largest p-value at which it counts."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document as the harness renders it."""

    id: str
    """What names it in every language."""
    texts: tuple[str, ...]
    """The context, then each choice; no choice where the answer is written."""
    gold: int
    """Index of the right choice; 0 where the answer is written."""
    answers: tuple[str, ...] = ()
    """The answers that count as right where the answer is written."""
    delimiter: str = ""
    """The text before each choice, which is no part of the choice."""


def why_unpaired(rows: Sequence[Document], others: Sequence[Document]) -> str:
    """Return why the documents of two languages are no translations of each other; empty where nothing says so.

    Ids say so if none is in both languages, and right answers if they differ under more than a tenth of the ids. Where
    ids are row numbers and the right answer is always the same choice, as in minimal pairs, neither can show that two
    rows are translations; then their lengths have to.
    """
    expected = {row.id: row for row in others}
    common = [row for row in rows if row.id in expected]
    if not common:
        return "no id is in both languages"
    differing = sum(row.gold != expected[row.id].gold for row in common)
    if differing > (1 - MIN_AGREEMENT) * len(common):
        return f"{differing} of {len(common)} documents with the same id have another right answer"
    same_answers = all(row.answers and row.answers == expected[row.id].answers for row in common)
    unlabeled = len({row.gold for row in (*rows, *others)}) == 1 and not same_answers
    if unlabeled and _numbered(rows) and not _related(common, expected):
        return (
            "ids are row numbers, the right answer is always the same choice, and the lengths of the texts do not agree"
        )
    return ""


def refuse_differing_answers(where: str, rows: Sequence[Document], others: Sequence[Document], first: str) -> None:
    """Refuse a document whose right answer is not that of the same id in the family's first language."""
    expected = {row.id: row for row in others}
    for row in rows:
        other = expected.get(row.id, row)
        if len(row.texts) != len(other.texts):
            raise SpilloverError(
                f"{where}: document {row.id!r} has {len(row.texts) - 1} choices and that of {first} has "
                f"{len(other.texts) - 1}, expected the same documents in every language, or paired=false behind the "
                "family's name"
            )
        if row.gold != other.gold:
            raise SpilloverError(
                f"{where}: document {row.id!r} has the answer {row.gold} and that of {first} has {other.gold}, "
                "expected the same documents in every language, or paired=false behind the family's name"
            )


def _numbered(rows: Sequence[Document]) -> bool:
    """Whether ids are no more than a count, in each part of a group."""
    counts: dict[str, list[int]] = {}
    for row in rows:
        part, number = re.fullmatch(r"(.*?)(\d*)\W*", row.id, re.DOTALL).groups()  # type: ignore[union-attr]
        counts.setdefault(part, []).append(int(number or -1))
    return all(numbers[0] in (0, 1) and numbers == [*range(numbers[0], numbers[-1] + 1)] for numbers in counts.values())


def _related(rows: Sequence[Document], others: Mapping[str, Document]) -> bool:
    """Whether long texts stand where the other language has long ones, more than chance would have it."""
    pairs = [(_length(row), _length(others[row.id])) for row in rows]
    if min((len(set(side)) for side in zip(*pairs, strict=True)), default=0) < 3:
        return False
    correlation, p_value = scipy.stats.pearsonr(*zip(*pairs, strict=True), alternative="greater")
    return bool(correlation >= MIN_CORRELATION and p_value <= MAX_P_VALUE)


def _length(row: Document) -> float:
    return log1p(sum(map(len, row.texts)))

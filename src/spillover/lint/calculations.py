"""The calculations in a worked answer: which of them do not hold, and what the last one gives."""

from collections.abc import Iterator
from fractions import Fraction

import regex

from spillover.tasks.graders.markup import concluding_part, plain
from spillover.tasks.graders.numerals import Number, numbers

TIMES, OVER, PLUS, MINUS = "×*x", "÷/:", "+", "−–-"
OPERATOR = regex.compile(rf"\s*([=+{TIMES}{OVER}−–-])\s*\p{{Sc}}?\s*")
"""All that stands between two numbers of a calculation: a unit or a word there ends it."""

UNREAD = regex.compile(rf"[{TIMES}{OVER}+−–-]\s*\p{{Sc}}?\s*$")
"""An operator whose left side is no number, so that the calculation is not read: `5 apples + 3`."""

TOLERANCE = Fraction(1, 100)
"""Relative difference that rounding may make: 10 ÷ 3 = 3.33."""


def false_equations(text: str, language: str) -> list[str]:
    """Return the equations of a text that do not hold, as they are written."""
    bare = plain(text)
    return [
        bare[left[0].start : right.end]
        for left, operators, right in _equations(bare, language)
        if not _holds(left, operators, right)
    ]


def last_result(text: str, conclusion: str, language: str) -> Number | None:
    """Return what the last equation before the conclusion of a text gives; None without an equation."""
    bare = plain(text)
    part = concluding_part(text, conclusion)
    before = bare[: bare.rfind(part)] if part else bare
    results = [right for _, _, right in _equations(before, language)]
    return results[-1] if results else None


def _equations(text: str, language: str) -> Iterator[tuple[list[Number], list[str], Number]]:
    """Yield each calculation: its numbers, the operators between them, and the number behind its equals sign."""
    chain: list[Number] = []
    operators: list[str] = []
    end: int | None = None
    for number in numbers(text, language):
        between = OPERATOR.fullmatch(text, end, number.start) if end is not None else None
        if between and between[1] != "=":
            chain, operators = [*chain, number] if chain else [], [*operators, between[1]]
        else:
            if between and chain and (operators or "/" in text[chain[0].start : chain[0].end]):
                yield chain, operators, number
            chain = [] if not between and UNREAD.search(text, end or 0, number.start) else [number]
            operators = []
        end = number.end


def _holds(left: list[Number], operators: list[str], right: Number) -> bool:
    """Whether a calculation gives a number, but for rounding; percentages are not judged."""
    if right.percent or any(number.percent for number in left):
        return True
    terms = [left[0].value]
    for operator, number in zip(operators, left[1:], strict=True):
        if operator in TIMES:
            terms[-1] *= number.value
        elif operator in OVER:
            if not number.value:
                return False
            terms[-1] /= number.value
        else:
            terms.append(number.value if operator == PLUS else -number.value)
    return abs(sum(terms) - right.value) <= TOLERANCE * max(Fraction(1), abs(right.value))

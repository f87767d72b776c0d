"""Small questions of one task."""

from collections.abc import Sequence

from spillover.records import Question


def quiz(*texts: str) -> list[Question]:
    """Return a question of each text."""
    return [Question("quiz", str(number), "en", (text,)) for number, text in enumerate(texts)]


def texts_of(questions: Sequence[Question]) -> list[str]:
    """Return the fields of all questions, in one list."""
    return [text for question in questions for text in question.fields]

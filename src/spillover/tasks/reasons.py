"""Why an item answered in words has its score."""

from spillover.records import Answer, Grade, Reason


def reason_of(answer: Answer, grade: Grade, language: str | None, expected: str | None) -> Reason:
    """Return the reason of an answer's score, the first of these that holds.

    Args:
        answer: what the model wrote.
        grade: what the grader made of it.
        language: code of the language that it is in; None if one cannot tell.
        expected: code of the language that was asked for; None if any will do.
    """
    if grade.score == 1:
        return "right"
    if not answer.ended:
        return "ran on"
    if not grade.readable:
        return "unreadable"
    if expected is not None and language not in (None, expected):
        return "wrong language"
    return "wrong"

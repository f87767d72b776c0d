"""Why an item answered in words has its score."""

from spillover.records import Answer, Grade, Reason


def reason_of(answer: Answer, grade: Grade, in_language: bool) -> Reason:
    """Return the reason of an answer's score, the first of these that holds.

    Args:
        answer: what the model wrote.
        grade: the grader's result for it.
        in_language: whether it is in the language that was asked for, as far as one can tell.
    """
    if grade.score == 1:
        return "right"
    if not answer.ended:
        return "ran on"
    if not grade.readable:
        return "unreadable"
    return "wrong" if in_language else "wrong language"

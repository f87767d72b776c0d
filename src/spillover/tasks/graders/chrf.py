"""The grader `chrf`: likeness of character n-grams, for answers that have no one wording."""

from functools import cache
from typing import TYPE_CHECKING

from spillover.records import Grade
from spillover.tasks.graders.markup import stated

if TYPE_CHECKING:
    from sacrebleu.metrics import CHRF


def chrf(text: str, golds: tuple[str, ...], language: str, conclusion: str = "") -> Grade:
    """Return chrF2 (Popović 2015) as sacrebleu computes it, against the gold answer that is nearest; in [0, 1].

    Blanks do not count, case does. Unreadable if nothing is left of the text.
    """
    answer = stated(text, conclusion)
    score: float = _metric().sentence_score(answer, [stated(gold) for gold in golds]).score / 100
    return Grade(min(1.0, score), readable=bool(answer))


@cache
def _metric() -> "CHRF":
    from sacrebleu.metrics import CHRF

    return CHRF()

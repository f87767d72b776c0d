"""Items and questions whose texts are no translations of those with the same ids: shuffled, slipped, of another set.

Pure: raw items in, defects out. `pairing` judges whether texts are translations.
"""

from collections.abc import Iterator, Sequence

from spillover.lint.pairing import rank, slip
from spillover.lint.reading import RawItem, RawItems
from spillover.records import Defect, Question


def misaligned(reading: RawItems, reference: RawItems) -> Iterator[Defect]:
    """Yield a language's items that are no translations of the reference's."""
    here = {entry.id: entry for entry in reading.entries}
    originals = [entry for entry in reference.entries if entry.id in here]
    translations = [here[entry.id] for entry in originals]
    yield from _unrelated("items", translations, originals, reading.language, reference.language)


def unpaired(translations: Sequence[Question], originals: Sequence[Question]) -> Iterator[Defect]:
    """Yield questions to tune on that are no translations of the originals, which stand in the same order."""
    here, there = (
        [RawItem(question.id, "", question.fields, None) for question in questions]
        for questions in (translations, originals)
    )
    if here:
        yield from _unrelated("questions", here, there, translations[0].language, originals[0].language)


def _unrelated(
    subject: str, here: Sequence[RawItem], originals: Sequence[RawItem], language: str, reference: str
) -> Iterator[Defect]:
    texts, translations = ([entry.fields for entry in entries] for entries in (originals, here))
    ranking = rank(texts, translations)
    stretch = ranking and ranking.stretch
    if not ranking or not stretch:
        return
    first, last = stretch
    which = subject if ranking.random else f"{subject} {here[first].id!r} to {here[last].id!r}"
    shift = slip(texts[first:], translations[first:])
    rows = f"{abs(shift)} row{'s' if abs(shift) > 1 else ''} {'further down' if shift > 0 else 'further up'}"
    message = (
        f"{which} are no translations of those with the same ids in {reference}: they are more like them than "
        f"{100 * ranking.mean(first, last):.0f}% of the other {subject} are, and chance is 50%"
        f"{f'; their translations stand {rows}' if shift else ''}"
    )
    yield Defect("error", "ids", message, here[first].place, language)

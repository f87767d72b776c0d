"""Items and questions whose texts are no translations of those with the same ids: shuffled, slipped, another set's.

Pure: readings in, defects out. How translations are known as such is `pairing`'s to say.
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
    here, there = ([RawItem(one.id, "", one.fields, None) for one in texts] for texts in (translations, originals))
    if here:
        yield from _unrelated("questions", here, there, translations[0].language, originals[0].language)


def _unrelated(
    what: str, here: Sequence[RawItem], originals: Sequence[RawItem], language: str, reference: str
) -> Iterator[Defect]:
    texts, translations = ([entry.fields for entry in entries] for entries in (originals, here))
    ranking = rank(texts, translations)
    stretch = ranking and ranking.stretch
    if not ranking or not stretch:
        return
    first, last = stretch
    which = what if ranking.random else f"{what} {here[first].id!r} to {here[last].id!r}"
    shift = slip(texts[first:], translations[first:])
    rows = f"{abs(shift)} row{'s' if abs(shift) > 1 else ''} {'further down' if shift > 0 else 'further up'}"
    message = (
        f"{which} are no translations of those with the same ids in {reference}: they are more like them than "
        f"{100 * ranking.mean(first, last):.0f}% of the other {what} are, and chance is 50%"
        f"{f'; their translations stand {rows}' if shift else ''}"
    )
    yield Defect("error", "ids", message, here[first].place, language)

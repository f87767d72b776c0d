"""Items read with all their faults: what a run would refuse at once is kept and told here.

Knows sources and one language of one task at a time; what languages say of each other is checked elsewhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from spillover.doctor.defect import located
from spillover.errors import SpilloverError
from spillover.findings import Defect
from spillover.sources import Sheeted, Source
from spillover.sources.sheet import Sheet
from spillover.sources.tables import Row
from spillover.tasks import Task


@dataclass(frozen=True, slots=True)
class Entry:
    """An item whose label may be none of the task's."""

    id: str
    """The same id in another language is the same item."""
    place: str
    """File and row; empty where the source does not tell."""
    fields: tuple[str, ...]
    """The texts, in the order of the task's fields."""
    gold: int | None
    """Index of its label; None where its word is none of the task's."""
    refusal: str = ""
    """What is said to a word that is none of the task's."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The items of one task in one language."""

    language: str
    """Code of the language."""
    entries: tuple[Entry, ...]
    """The items that have an id and texts, each id once; none where the file cannot be read."""
    defects: tuple[Defect, ...] = ()
    """What was wrong with the file and with the rows that are not among the entries."""
    shown: frozenset[str] = frozenset()
    """Ids of the items that the prompts published with the files show with their answers."""


def read(source: Source, task: Task, language: str) -> Reading:
    """Read the items of a language; a file that is not there or not readable is a defect, no error."""
    try:
        if isinstance(source, Sheeted):
            return _read(source.sheet(task, language), language)
        items = source.items(task, language)  # a user's own source: strict, so at most one defect
    except SpilloverError as error:
        return Reading(language, (), (located(error, "file", language),))
    return Reading(language, tuple(Entry(item.id, "", item.fields, item.gold) for item in items))


def _read(sheet: Sheet, language: str) -> Reading:
    entries: dict[str, Entry] = {}
    refused: dict[str, list[str]] = {}
    again: list[str] = []
    for number, row in enumerate(sheet.rows):
        try:
            id, fields = sheet.id_of(number), sheet.texts(row)
        except SpilloverError as error:
            refused.setdefault(_without(row, error), []).append(row.place)
            continue
        if id in entries:
            again.append(f"{row.place}: found the id {id!r} of {entries[id].place} again, expected each once")
            continue
        entries[id] = _entry(sheet, row, id, fields)
    defects = [*_refusals(refused, language), *_duplicates(again, language)]
    return Reading(language, tuple(entries.values()), tuple(defects), sheet.shown)


def _entry(sheet: Sheet, row: Row, id: str, fields: tuple[str, ...]) -> Entry:
    try:
        return Entry(id, row.place, fields, row.gold(sheet.label, sheet.golds))
    except SpilloverError as error:
        return Entry(id, row.place, fields, None, _without(row, error))


def _without(row: Row, error: SpilloverError) -> str:
    """Return an error's sentence without the row's place, so that rows with the same fault say the same."""
    return str(error).removeprefix(f"{row.place}: ")


def _refusals(refused: dict[str, list[str]], language: str) -> Iterator[Defect]:
    for message, places in refused.items():
        more = f" (so do {len(places) - 1} more rows)" if len(places) > 1 else ""
        yield Defect("error", "text", f"{message}{more}", places[0], language)


def _duplicates(again: list[str], language: str) -> Iterator[Defect]:
    if again:
        first = located(SpilloverError(again[0]), "ids", language)
        more = f" ({len(again)} rows repeat an id)" if len(again) > 1 else ""
        yield Defect("error", "ids", f"{first.message}{more}", first.place, language)

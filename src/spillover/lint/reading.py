"""The items of one language, read with all their faults, where a run would refuse the first.

Other modules compare the languages with each other.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from spillover.errors import SpilloverError, UnreachableError
from spillover.lint.formats import from_error
from spillover.records import Defect
from spillover.sources.families import FamilyError
from spillover.sources.files import CellError, TableRow
from spillover.sources.labels import LabelError
from spillover.sources.table import LabeledTable
from spillover.stages.inputs import Inputs
from spillover.tasks import Task


@dataclass(frozen=True, slots=True)
class RawItem:
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
    """The sentence about a word that is none of the task's."""
    answers: tuple[str, ...] = ()
    """The answers in words that count as right; empty for an item with choices."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Rows that are refused for one cause, or a whole file."""

    cause: tuple[str, ...]
    """What faults of the same kind have in common, in whatever row, file or language."""
    first: Defect
    """What is wrong with the first of them."""
    rows: int = 1
    """How many rows have it; 1 for a whole file."""


@dataclass(frozen=True, slots=True)
class RawItems:
    """The items of one task in one language."""

    language: str
    """Code of the language."""
    entries: tuple[RawItem, ...]
    """The items that have an id and texts, each id once; none where the file cannot be read."""
    faults: tuple[Fault, ...] = ()
    """What was wrong with the file and with the rows that are not among the entries."""
    published_exemplar_ids: frozenset[str] = frozenset()
    """Ids of the items that are exemplars, with their answers, in the prompts published with the files."""
    unreachable: bool = False
    """Whether the source cannot be reached at all, so that reading other languages is useless."""


def read(inputs: Inputs, task: Task, language: str) -> RawItems:
    """Read the items of a language; a file that is missing or unreadable is a defect and raises nothing."""
    try:
        table = inputs.item_table(task, language)
        if table is not None:
            reading = _read(table, language)
            return _of_its_own(reading) if inputs.why_unpaired(task) else reading
        items = inputs.items_in(task, language)  # a user's own source: strict, so at most one defect
    except SpilloverError as error:
        defect = from_error(error, "label" if isinstance(error, LabelError) else "file", language)
        cause = error.cause if isinstance(error, LabelError | FamilyError) else defect.message
        return RawItems(language, (), (Fault((cause,), defect),), unreachable=isinstance(error, UnreachableError))
    return RawItems(
        language, tuple(RawItem(item.id, "", item.fields, item.gold, answers=item.answers) for item in items)
    )


def _of_its_own(reading: RawItems) -> RawItems:
    """Return a reading whose ids are no ids of another language, as a run reads items that are not paired."""
    entries = tuple(replace(entry, id=f"{reading.language} {entry.id}") for entry in reading.entries)
    return replace(reading, entries=entries)


def summarized(faults: Iterable[Fault]) -> Iterator[Defect]:
    """Yield one defect per cause: its first row, how many more rows have it, and in which other languages."""
    groups: dict[tuple[str, ...], dict[str, Fault]] = {}
    for fault in faults:  # a broken file can be met again when another language is read: its place stays
        of_one_cause = groups.setdefault((fault.first.check, *fault.cause), {})
        of_one_cause.setdefault(fault.first.place or fault.first.language, fault)
    for group in (list(of_cause.values()) for of_cause in groups.values()):
        first, rows = group[0].first, sum(fault.rows for fault in group)
        languages = list(dict.fromkeys(fault.first.language for fault in group if fault.first.language))[1:]
        parts = []
        if rows > len(group):
            parts.append(f"so do {rows - 1} more rows")
        if languages:
            parts.append(f"{'also' if parts else 'so it is'} in {', '.join(languages)}")
        more = f" ({', '.join(parts)})" if parts else ""
        yield replace(first, message=f"{first.message}{more}")


def _read(table: LabeledTable, language: str) -> RawItems:
    entries: dict[str, RawItem] = {}
    refused: dict[tuple[str, ...], list[Defect]] = {}
    again: list[str] = []
    for number, row in enumerate(table.rows):
        try:
            id, fields, answers = table.id_of(number), table.texts(row), table.answers(row)
        except SpilloverError as error:
            message = _without(row, error)
            cause = error.cause if isinstance(error, CellError) else (message,)
            refused.setdefault(cause, []).append(Defect("error", "text", message, row.place, language))
            continue
        if id in entries:
            again.append(f"{row.place}: found the id {id!r} of {entries[id].place} again, expected each once")
            continue
        entries[id] = _entry(table, row, id, fields, answers)
    faults = [Fault(cause, defects[0], len(defects)) for cause, defects in refused.items()]
    return RawItems(
        language, tuple(entries.values()), (*faults, *_duplicates(again, language)), table.published_exemplar_ids
    )


def _entry(table: LabeledTable, row: TableRow, id: str, fields: tuple[str, ...], answers: tuple[str, ...]) -> RawItem:
    try:
        return RawItem(id, row.place, fields, table.gold(row), answers=answers)
    except SpilloverError as error:
        return RawItem(id, row.place, fields, None, _without(row, error))


def _without(row: TableRow, error: SpilloverError) -> str:
    """Return an error's sentence without the row's place, so that rows with the same fault say the same."""
    return str(error).removeprefix(f"{row.place}: ")


def _duplicates(again: list[str], language: str) -> Iterator[Fault]:
    if again:
        first = from_error(SpilloverError(again[0]), "ids", language)
        more = f" ({len(again)} rows repeat an id)" if len(again) > 1 else ""
        yield Fault(("again",), replace(first, message=f"{first.message}{more}"))

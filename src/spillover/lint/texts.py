"""Faults of the texts: test items that prompts show, items identical only in translation, items in a wrong language.

Pure: raw items in, defects out. `utils.near_duplicates` says which texts are nearly the same.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from spillover.languages import get_language
from spillover.lint.labels import ceiling
from spillover.lint.reading import RawItem, RawItems
from spillover.records import Defect, Question, Severity
from spillover.tasks import Task
from spillover.utils.near_duplicates import Fields, near_duplicates
from spillover.utils.text import foreign, identifies, normal


def exemplars(reading: RawItems, task: Task) -> Iterator[Defect]:
    """Yield exemplars of the task that are test items, or nearly."""
    exemplars = task.rows[reading.language].exemplars if reading.language in task.rows else ()
    shown = [texts[: len(task.fields)] for texts in exemplars]  # an answer in words follows them
    for match in near_duplicates(shown, [entry.fields for entry in reading.entries]):
        entry = reading.entries[match.entry]
        message = (
            f"task {task.name!r}: exemplar {match.query + 1} is {'' if match.exact else 'nearly '}the test item "
            f"{entry.id!r}, so every prompt shows its answer: worth up to {100 / len(reading.entries):.1f} points"
        )
        severity: Severity = "error" if match.exact else "warning"
        yield Defect(severity, "exemplar", message, entry.place, reading.language)


def published_exemplars(readings: Sequence[RawItems]) -> Iterator[Defect]:
    """Yield the items that the prompts published with the files show as exemplars, once for all languages."""
    for reading in readings[:1]:
        for entry in reading.entries:
            if entry.id in reading.published_exemplar_ids:
                message = (
                    f"the published prompts show the test item {entry.id!r} with its answer, as an exemplar: worth up "
                    f"to {100 / len(reading.entries):.1f} points to every published result; prompts here show others"
                )
                yield Defect("warning", "exemplar", message, entry.place, reading.language)


def tuned_on(reading: RawItems, questions: Sequence[Question]) -> Iterator[Defect]:
    """Yield how many of the questions to tune on are test items, or nearly."""
    matches = near_duplicates([question.fields for question in questions], [entry.fields for entry in reading.entries])
    if matches:
        exact = sum(match.exact for match in matches)
        items = {match.entry for match in matches}
        first = reading.entries[matches[0].entry]
        message = (
            f"{exact} of {len(questions)} questions to tune on are test items and {len(matches) - exact} nearly "
            f"(first: question {questions[matches[0].query].id!r} and item {first.id!r}): "
            f"{len(items)} of {len(reading.entries)} items are not new to the tuned model"
        )
        yield Defect("warning", "question", message, first.place, reading.language)


def collapse(reading: RawItems, reference: RawItems, right: dict[str, int]) -> Iterator[Defect]:
    """Yield items that became identical in translation: two fields of one item, or two items."""
    original = {entry.id: _normal(entry) for entry in reference.entries}
    translated = [(entry, _normal(entry)) for entry in reading.entries if entry.id in original]
    fields = [entry for entry, texts in translated if len(set(texts)) < len(set(original[entry.id]))]
    originals: dict[Fields, set[Fields]] = {}
    for entry, texts in translated:
        originals.setdefault(texts, set()).add(original[entry.id])
    items = [entry for entry, texts in translated if len(originals[texts]) > 1]
    collapsed = {f"the fields of {_items(fields)}": fields, _items(items): items}
    # the ceiling of collapsed items alone: other checks report wrong labels
    bound = ceiling([replace(entry, gold=right.get(entry.id)) for entry in reading.entries], right)
    for subject, entries in collapsed.items():
        if entries:
            message = f"{subject} became identical in translation (first: item {entries[0].id!r})"
            limit = f": a perfect model would be given at most {bound:.1f}%" if bound < 100 else ""
            yield Defect(
                "warning", "collapse", message + limit, entries[0].place, reading.language, bound if limit else None
            )


def _items(entries: Sequence[RawItem]) -> str:
    return "1 item" if len(entries) == 1 else f"{len(entries)} items"


def _normal(entry: RawItem) -> Fields:
    return tuple(map(normal, entry.fields))


def another_language(reading: RawItems) -> Iterator[Defect]:
    """Yield how many items are surely in another language; needs the extra `quality`."""
    if not identifies():
        return
    codes = foreign([" ".join(entry.fields) for entry in reading.entries], reading.language)
    if codes:
        total = len(reading.entries)
        names = [f"{get_language(code).name} {count}" for code, count in Counter(codes.values()).most_common()]
        expected = get_language(reading.language).name
        message = f"{len(codes)} of {total} items are not in {expected}: {', '.join(names)}"
        severity: Severity = "error" if 2 * len(codes) > total else "warning"
        yield Defect(severity, "language", message, reading.entries[next(iter(codes))].place, reading.language)

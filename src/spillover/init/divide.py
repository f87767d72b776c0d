"""Entries → questions to tune on and items to measure.

Texts that cannot be measured are the questions: those that the user or the set keeps for that, and those without a
label or without all translations. If they are too few, a part of the pivot's labeled rows is added. No text is in both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from spillover.analysis.statistics.verdicts import FEWEST_ITEMS
from spillover.errors import SpilloverError
from spillover.init.corpus import Corpus
from spillover.init.decide import Decisions
from spillover.init.entries import Entries, Entry
from spillover.mixture.leakage import normalized
from spillover.sources.documents import Document, why_unpaired
from spillover.utils.formatting import plural

SPARE = "train-"
"""What ids of entries that are only tuned on begin with, if an item has the same id."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The two parts of the data."""

    questions: Entries
    """Language → texts to tune on; the same ids in each."""
    items: Entries
    """Language → labeled entries to measure; none: the starter corpus has the items."""
    unpaired: str
    """Why items of different languages are no translations of each other; empty where they are."""
    notes: tuple[str, ...]
    """Sentences about how the data were divided."""
    overlapping: int = 0
    """How many texts to tune on were left out, since they are measured."""


def divide(corpus: Corpus, decisions: Decisions, rows: Entries, spare: Entries, paired: bool | None) -> Parts:
    """Return the two parts.

    Args:
        corpus: where the entries come from.
        decisions: what they are for.
        rows: entries that may be measured.
        spare: entries that are only tuned on.
        paired: whether entries with the same id are translations of each other; None: ids, labels and lengths decide.

    Raises:
        SpilloverError: no text is left to tune on, or `paired` does not fit the ids.
    """
    pivot, certain = corpus.pivot, corpus.parallel or bool(paired)
    labeled = _labeled(rows) if decisions.label else dict(rows)
    why, notes = _relation(corpus, labeled, paired)
    whole = labeled if why else _shared(labeled)
    if not all(whole.values()):
        raise SpilloverError(f"--paired: {corpus.place}: found no id that all of {', '.join(whole)} have")
    if not decisions.label or (decisions.shipped and len(whole) == 1):
        more = _joined({} if corpus.origin and spare else rows, spare)  # the set's split that others measure stays out
        return Parts(_translations(more, (pivot, *decisions.to), why, certain), {}, why, notes)
    rest = {code: [entry for entry in each if entry not in whole.get(code, ())] for code, each in rows.items()}
    unmeasurable = spare if corpus.origin and spare else _joined(rest, _renamed(spare, rows))
    questions, items = _split(whole, unmeasurable, pivot, not why)
    free = _unmeasured(questions, items, pivot)
    overlapping = len(questions[pivot]) - len(free[pivot])
    parts = Parts(_translations(free, (pivot, *decisions.to), why, certain), items, why, notes, overlapping)
    unused = () if why else _unused(free, parts.questions, pivot, decisions.to)
    return replace(parts, notes=(*notes, *_notes(labeled, rest, parts, pivot), *unused))


def _notes(labeled: Entries, rest: Entries, parts: Parts, pivot: str) -> tuple[str, ...]:
    """Return what became of the entries that are not measured."""
    notes = [f"{code} has no labeled row and is not measured" for code in rest if code not in parts.items]
    tuned = {entry.id for entry in parts.questions[pivot]}
    ids = {code: {entry.id for entry in each} for code, each in labeled.items()}
    lost = {id for each in ids.values() for id in each if not all(id in other for other in ids.values())}
    if lost and not parts.unpaired:
        missing = {code: len(lost - each) for code, each in ids.items()}
        lacking = ", ".join(f"{code} ({count})" for code, count in missing.items() if count)
        notes.append(
            f"{len(lost)} labeled texts are not measured, since they are not in every language; missing in {lacking}; "
            f"{len(lost & tuned)} of them are tuned on; to leave a language out, name the others with --languages"
        )
    unlabeled = [entry for entry in rest.get(pivot, ()) if not entry.label and entry.id in tuned]
    if unlabeled:
        notes.append(f"tuned on: {plural(len(unlabeled), 'row')} in {pivot} without a label")
    if parts.overlapping:
        notes.append(f"left out: {plural(parts.overlapping, 'text')} to tune on, since they are measured")
    return tuple(notes)


def _unused(free: Entries, questions: Entries, pivot: str, languages: Sequence[str]) -> tuple[str, ...]:
    """Return a note if the data have translations into the languages to tune on, and a translator is needed anyway."""
    ids = {entry.id for entry in free[pivot]}
    counts = {code: sum(entry.id in ids for entry in free.get(code, ())) for code in languages}
    if len(questions) > 1 or not any(counts.values()):
        return ()
    there = ", ".join(f"{code} {count}" for code, count in counts.items())
    return (
        f"a translator is needed, since not every language of --to has enough of the {len(ids)} texts to tune on "
        f"({there}); the translations of your own that are there are not used; change --to to use them",
    )


def _labeled(rows: Entries) -> dict[str, list[Entry]]:
    """Return the entries with a label, of each language that has some."""
    labeled = {language: [entry for entry in each if entry.label] for language, each in rows.items()}
    return {language: each for language, each in labeled.items() if each}


def _joined(first: Entries, second: Entries) -> dict[str, list[Entry]]:
    """Return the entries of both."""
    return {code: [*first.get(code, ()), *second.get(code, ())] for code in dict.fromkeys((*first, *second))}


def _relation(corpus: Corpus, rows: Entries, paired: bool | None) -> tuple[str, tuple[str, ...]]:
    """Return why entries of different languages are no translations of each other, and a note on what was assumed."""
    if corpus.parallel or len(rows) == 1 or paired:
        return "", ()
    if paired is False:
        return "--unpaired says so", ()
    why = _why_unpaired(rows, corpus.pivot)
    key = "number" if corpus.id is None else corpus.id
    assumed = f"rows with the same {key} in {', '.join(rows)} are taken for translations of each other"
    return why, () if why else (f"{assumed}; --unpaired says that they are not",)


def _why_unpaired(rows: Entries, pivot: str) -> str:
    """Return why texts of one id are no translations of each other, by the rule for families of benchmarks."""
    labels = sorted({entry.label for each in rows.values() for entry in each})
    documents = {
        language: [Document(entry.id, entry.texts, labels.index(entry.label)) for entry in each]
        for language, each in rows.items()
    }
    first = pivot if pivot in documents else next(iter(documents))
    reasons = (why_unpaired(each, documents[first]) for language, each in documents.items() if language != first)
    return next(filter(None, reasons), "")


def _shared(rows: Entries) -> dict[str, list[Entry]]:
    """Return the entries whose ids are in every language, in the same order."""
    by_id = {language: {entry.id: entry for entry in each} for language, each in rows.items()}
    ids = [id for id in next(iter(by_id.values())) if all(id in each for each in by_id.values())]
    return {language: [each[id] for id in ids] for language, each in by_id.items()}


def _split(whole: Entries, unmeasurable: Entries, pivot: str, paired: bool) -> tuple[Entries, Entries]:
    """Return questions and items: of the pivot's items a part is for tuning, if no other texts are enough for that."""
    candidates, more = whole.get(pivot, ()), unmeasurable.get(pivot, ())
    tuned = set() if more and len(more) >= len(candidates) // 2 else _part(candidates)
    items = {
        code: [entry for entry in each if entry.id not in tuned] if paired or code == pivot else list(each)
        for code, each in whole.items()
    }
    chosen = {code: [entry for entry in each if entry.id in tuned] for code, each in whole.items()}
    return {pivot: []} | _joined(chosen, unmeasurable), items


def _part(entries: Sequence[Entry]) -> set[str]:
    """Return the ids of a part of each class, at random: a half, or a quarter where a half left too few to measure."""
    exemplars = len({entry.label for entry in entries})
    step = 2 if len(entries) - len(entries) // 2 - exemplars >= FEWEST_ITEMS else 4
    shuffled = Random(0).sample(list(entries), len(entries))
    ranked = sorted(shuffled, key=lambda entry: entry.label)  # stable: random within a class
    return {entry.id for entry in ranked[1::step]}


def _renamed(spare: Entries, rows: Entries) -> Entries:
    """Return the entries that are only tuned on, under other ids if an entry that may be measured has one of theirs."""
    used = {entry.id for each in rows.values() for entry in each}
    if not any(entry.id in used for each in spare.values() for entry in each):
        return spare
    return {code: [replace(entry, id=f"{SPARE}{entry.id}") for entry in each] for code, each in spare.items()}


def _unmeasured(questions: Entries, items: Entries, pivot: str) -> Entries:
    """Return the questions whose texts are no item's."""
    measured = {normalized(entry.texts) for each in items.values() for entry in each}
    ids = {entry.id for entry in questions.get(pivot, ()) if normalized(entry.texts) not in measured}
    return {language: [entry for entry in each if entry.id in ids] for language, each in questions.items()}


def _translations(
    questions: Entries, languages: Sequence[str], unpaired: str, certain: bool
) -> Mapping[str, Sequence[Entry]]:
    """Return the questions with their translations if the data have those of at least half, else the pivot's alone.

    Args:
        questions: language → texts.
        languages: the pivot, then those to tune on.
        unpaired: why texts with the same id are no translations of each other; empty where they are.
        certain: whether that needs no look at the texts: they were in one row, or the user says so.
    """
    pivot = languages[0]
    if not questions.get(pivot):
        raise SpilloverError(
            f"found no text in {pivot} to tune on beside those that are measured, expected more rows, or --questions"
        )
    needed = {code: questions[code] for code in languages if questions.get(code)}
    if unpaired or len(needed) < len(languages) or (not certain and _why_unpaired(needed, pivot)):
        return {pivot: questions[pivot]}
    translated = _shared(needed)
    if 2 * len(translated[pivot]) < len(questions[pivot]):
        return {pivot: questions[pivot]}
    complete = {code: _shared({pivot: translated[pivot], code: each})[code] for code, each in questions.items()}
    return {code: each for code, each in complete.items() if len(each) == len(translated[pivot])}

"""Decisions → what is written: questions to tune on, items to measure, the task, and how they are related.

No text is both tuned on and measured, and no exemplar is an item.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from spillover.errors import SpilloverError
from spillover.init.corpus import Corpus
from spillover.init.decide import Decisions, form
from spillover.sources.documents import Document, why_unpaired
from spillover.sources.table import id_of
from spillover.tasks import has_labels
from spillover.utils.formatting import plural
from spillover.utils.text import is_empty, normal

AGNOSTIC = (
    "ox", "horse", "goat", "tiger", "rabbit", "snake", "monkey", "dog", "wolf", "bear", "eagle", "crow", "salmon",
    "whale", "spider", "beetle", "turtle", "lizard", "otter", "badger", "zebra", "camel", "parrot", "heron",
)  # fmt: skip
"""Words that say nothing of any task, as many as there may be classes."""

MAX_EXEMPLARS = 8
"""Most exemplars of a task."""

MAX_EXEMPLAR_LENGTH = 300
"""Characters up to which an item is short enough for an exemplar."""

RESERVED = ("id", "label", "answer", "cluster")
"""Columns of an item that no field may be called."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row as it will be written."""

    id: str
    texts: tuple[str, ...]
    label: str
    """One of the task's labels; empty: none."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is written."""

    task: str
    """Name of the task."""
    fields: tuple[str, ...]
    """Names of its fields."""
    own_task: Mapping[str, Any]
    """The content of the task's file; empty for a task that ships."""
    questions: Mapping[str, Sequence[Entry]]
    """Language → texts to tune on."""
    items: Mapping[str, Sequence[Entry]]
    """Language → items to measure; none: the starter corpus has them."""
    pivot: str
    """The language that the model learns to translate into."""
    to: tuple[str, ...]
    """Languages to tune on."""
    unpaired: str
    """Why items of different languages are no translations of each other; empty where they are."""
    notes: tuple[str, ...]
    """What the user should know of it, a sentence each."""

    @property
    def translated(self) -> bool:
        """Whether the data themselves have the translations."""
        return set(self.to) <= set(self.questions)


def make_plan(corpus: Corpus, decisions: Decisions) -> Plan:
    """Return what is written for some decisions.

    Raises:
        SpilloverError: the rows do not fit the task, or are too few.
    """
    shipped = decisions.shipped
    if shipped and len(shipped.fields) != len(decisions.text):
        raise SpilloverError(
            f"--task: {decisions.task!r} has {plural(len(shipped.fields), 'field')} ({', '.join(shipped.fields)}), and "
            f"--text names {len(decisions.text)}: {', '.join(decisions.text)}; expected as many"
        )
    entries, notes = _entries(corpus, decisions)
    unpaired = "" if corpus.parallel else _why_unpaired(entries, corpus.pivot)
    if not unpaired:
        entries = _shared(entries)
    measured = bool(decisions.label) and not (shipped and len(entries) == 1)
    if not measured and not shipped:
        raise SpilloverError(
            f"--task: found {decisions.task!r} for texts without labels, expected a task that ships, whose items are "
            "measured: sentiment, entailment, paraphrase, reading or arithmetic"
        )
    fields = shipped.fields if shipped else tuple(_field(column) for column in decisions.text)
    questions, items = _split(entries, corpus.pivot, not unpaired) if measured else (entries, {})
    if unpaired:
        questions = {corpus.pivot: questions[corpus.pivot]}
    table: dict[str, Any] = {}
    if measured and not shipped:
        table, items = _own_task(decisions, fields, items, corpus.pivot, not unpaired)
    for language, rows in items.items():
        if not rows:
            raise SpilloverError(f"{corpus.name}: found too few rows in {language} to tune on some and measure others")
    notes += _warnings(decisions, items, unpaired, corpus.pivot)
    return Plan(decisions.task, fields, table, questions, items, corpus.pivot, decisions.to, unpaired, tuple(notes))


def _field(column: str) -> str:
    return f"{column}_text" if column.casefold() in RESERVED else column


def _entries(corpus: Corpus, decisions: Decisions) -> tuple[dict[str, list[Entry]], list[str]]:
    """Return the rows with a text and a label, the pivot's texts each once, and a note on the others."""
    rows: dict[str, list[Entry]] = {}
    blank = 0
    for language, each in corpus.rows.items():
        rows[language] = []
        for number, row in enumerate(each):
            cells = [row.cells.get(column) for column in decisions.text]
            texts = tuple("" if cell is None else str(cell).strip() for cell in cells)
            label = _label(row.cells.get(decisions.label), row.place, decisions) if decisions.label else ""
            if any(map(is_empty, texts)) or (decisions.label and not label):
                blank += 1
                continue
            rows[language].append(Entry(id_of(row, number, corpus.id), texts, label))
        if not rows[language]:
            raise SpilloverError(
                f"{each[0].place}: found no row in {language} with a text{' and a label' * bool(decisions.label)}"
            )
    unique = {language: _unique(each) for language, each in rows.items()}
    twice = sum(map(len, rows.values())) - sum(map(len, unique.values()))
    counted = {"without a text or a label": blank, "whose texts stand there before": twice}
    return unique, [f"{plural(count, 'row')} {why} left out" for why, count in counted.items() if count]


def _label(value: object, place: str, decisions: Decisions) -> str:
    """Return the task's label of a cell; empty for an empty cell."""
    label = decisions.classes.get(form(value), "")
    task = decisions.shipped
    if not label or task is None:
        return label
    labels = {normal(word): word for word in task.labels} if has_labels(task) else {}
    if normal(label) not in labels:
        raise SpilloverError(
            f"{place}: column {decisions.label!r}: found {label!r}, expected a label of {decisions.task!r}: "
            f"{', '.join(labels.values())}; name them with --classes, or choose another --task"
        )
    return labels[normal(label)]


def _unique(entries: Sequence[Entry]) -> list[Entry]:
    """Return the first entry of those with the same texts."""
    return list({tuple(map(normal, entry.texts)): entry for entry in reversed(entries)}.values())[::-1]


def _why_unpaired(entries: Mapping[str, Sequence[Entry]], pivot: str) -> str:
    """Return why texts of one id are no translations of each other, by the rule for families of benchmarks."""
    labels = sorted({entry.label for each in entries.values() for entry in each})
    documents = {
        language: [Document(entry.id, entry.texts, labels.index(entry.label)) for entry in each]
        for language, each in entries.items()
    }
    others = (why_unpaired(each, documents[pivot]) for language, each in documents.items() if language != pivot)
    return next(filter(None, others), "")


def _shared(entries: Mapping[str, Sequence[Entry]]) -> dict[str, list[Entry]]:
    """Return the entries whose ids are in every language, in the same order."""
    by_id = {language: {entry.id: entry for entry in each} for language, each in entries.items()}
    ids = [id for id in next(iter(by_id.values())) if all(id in each for each in by_id.values())]
    return {language: [each[id] for id in ids] for language, each in by_id.items()}


def _split(
    entries: Mapping[str, Sequence[Entry]], pivot: str, paired: bool
) -> tuple[dict[str, list[Entry]], dict[str, list[Entry]]]:
    """Return questions and items: of each class of the pivot's rows one half, at random, is for tuning."""
    shuffled = Random(0).sample(list(entries[pivot]), len(entries[pivot]))
    ranked = sorted(shuffled, key=lambda entry: entry.label)  # stable: random within a class
    tuned = {entry.id for entry in ranked[1::2]}
    questions = {language: [e for e in each if e.id in tuned] for language, each in entries.items()}
    items = {
        language: [e for e in each if e.id not in tuned] if paired or language == pivot else list(each)
        for language, each in entries.items()
    }
    return questions, items


def _own_task(
    decisions: Decisions, fields: Sequence[str], items: Mapping[str, Sequence[Entry]], pivot: str, paired: bool
) -> tuple[dict[str, Any], dict[str, list[Entry]]]:
    """Return the content of the task's file, and the items without its exemplars."""
    labels = list(dict.fromkeys(decisions.classes.values()))
    common = [label for label in labels if all(any(e.label == label for e in each) for each in items.values())]
    if not common:
        raise SpilloverError(
            f"--label: found no class of {decisions.label!r} in all of {', '.join(items)}, expected the same words as "
            "labels in every language, and enough rows"
        )
    chosen: dict[str, list[Entry]] = {}
    for language, each in items.items():
        if paired and language != pivot and pivot in chosen:
            ids = [entry.id for entry in chosen[pivot]]
            chosen[language] = [next(e for e in each if e.id == id) for id in ids]
        else:
            chosen[language] = [_exemplar(each, label) for label in common[:MAX_EXEMPLARS]]
    rest = {language: [entry for entry in each if entry not in chosen[language]] for language, each in items.items()}
    names = [field.replace("_", " ").capitalize() if len(field) > 1 else field for field in fields]
    table = {
        "name": decisions.task,
        "fields": list(fields),
        "labels": labels,
        "agnostic": list(AGNOSTIC[: len(labels)]),
        "exemplar_labels": common[:MAX_EXEMPLARS],
        "rows": {
            language: {
                "fields": names,
                "answer": "Answer" if set(labels) <= set(fields) else decisions.label.replace("_", " ").capitalize(),
                "labels": labels,
                "exemplars": [[" ".join(text.split()) for text in entry.texts] for entry in each],
            }
            for language, each in chosen.items()
        },
    }
    return table, rest


def _exemplar(entries: Sequence[Entry], label: str) -> Entry:
    """Return the first short item of a class, else its shortest."""
    of_class = [entry for entry in entries if entry.label == label]
    short = (entry for entry in of_class if sum(map(len, entry.texts)) <= MAX_EXEMPLAR_LENGTH)
    return next(short, min(of_class, key=lambda entry: sum(map(len, entry.texts))))


def _warnings(decisions: Decisions, items: Mapping[str, Sequence[Entry]], unpaired: str, pivot: str) -> list[str]:
    """Return what a reader of the verdict must know."""
    notes = []
    if unpaired:
        notes.append(
            f"the texts of different languages are no translations of each other ({unpaired}), so each language is "
            "measured on its own items, and means over languages are less precise"
        )
    if len(items) == 1:
        notes.append(
            "the labeled rows are in one language, so this run cannot show transfer; `spillover translate --items` "
            "translates the items"
        )
    if len(items) > 1 and not set(items) - {*decisions.to, pivot}:
        notes.append("every measured language is tuned on, so this run cannot show transfer; change --to")
    if not items and decisions.label:
        notes.append(
            f"the labels are not used: the items of {decisions.task!r} that ship are measured, in twenty languages"
        )
    return notes

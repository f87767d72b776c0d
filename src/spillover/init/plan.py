"""Decisions → a plan of the files: the two parts of the data, the task, and notes for the user."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spillover.analysis.statistics.verdicts import FEWEST_ITEMS
from spillover.errors import SpilloverError
from spillover.init.carry import Carried, carried
from spillover.init.corpus import Corpus
from spillover.init.decide import Decisions
from spillover.init.divide import divide
from spillover.init.entries import Entries, read_entries
from spillover.init.own_task import field_of, own_task
from spillover.utils.formatting import plural


@dataclass(frozen=True, slots=True)
class Plan:
    """What is written."""

    task: str
    """Name of the task."""
    fields: tuple[str, ...]
    """Names of its fields."""
    own_task: Mapping[str, Any]
    """The content of the task's file; empty for a task that ships."""
    questions: Entries
    """Language → texts to tune on."""
    items: Entries
    """Language → items to measure; none: the starter corpus has them."""
    pivot: str
    """The language that the model learns to translate into."""
    to: tuple[str, ...]
    """Languages to tune on."""
    unpaired: str
    """Why items of different languages are no translations of each other; empty where they are."""
    carried: Carried | None
    """How a run reads these rows from the hub; None: they are copied."""
    notes: tuple[str, ...]
    """Sentences that the user should read."""

    @property
    def translated(self) -> bool:
        """Whether the data themselves have the translations."""
        return set(self.to) <= set(self.questions)


def make_plan(corpus: Corpus, decisions: Decisions, paired: bool | None = None) -> Plan:
    """Return what is written for some decisions.

    Args:
        corpus: the data.
        decisions: what they are for.
        paired: whether rows with the same id or number are translations of each other; None: the rows decide.

    Raises:
        SpilloverError: the rows do not fit the task, or are too few.
    """
    shipped = decisions.shipped
    if shipped and len(shipped.fields) != len(decisions.text):
        raise SpilloverError(
            f"--task: {decisions.task!r} has {plural(len(shipped.fields), 'field')} ({', '.join(shipped.fields)}), and "
            f"--text names {len(decisions.text)}: {', '.join(decisions.text)}; expected as many"
        )
    if not shipped and not decisions.label:
        raise SpilloverError(
            f"--task: found {decisions.task!r} for texts without labels, expected a task that ships, whose items are "
            "measured: sentiment, entailment, paraphrase, reading or arithmetic"
        )
    rows, notes = read_entries(corpus.rows, corpus.id, decisions)
    spare, more = read_entries(corpus.questions, corpus.id, decisions)
    parts = divide(corpus, decisions, rows, spare, paired)
    fields = shipped.fields if shipped else tuple(map(field_of, decisions.text))
    table: Mapping[str, Any] = {}
    items = parts.items
    if not shipped:
        table, items = own_task(decisions, fields, items, corpus.pivot, not parts.unpaired)
    for language, each in items.items():
        if not each:
            raise SpilloverError(f"{corpus.name}: found too few rows in {language} to tune on some and measure others")
    warnings = _warnings(decisions, items, parts.unpaired, corpus.pivot)
    return Plan(
        decisions.task,
        fields,
        table,
        parts.questions,
        items,
        corpus.pivot,
        decisions.to,
        parts.unpaired,
        carried(corpus, decisions, parts),
        (*notes, *more, *parts.notes, *warnings),
    )


def _warnings(decisions: Decisions, items: Entries, unpaired: str, pivot: str) -> list[str]:
    """Return what a reader of the verdict must know."""
    notes = []
    fewest = min(map(len, items.values()), default=FEWEST_ITEMS)
    if fewest < FEWEST_ITEMS:
        notes.append(
            f"{plural(fewest, 'item')} in a language, and a verdict needs {FEWEST_ITEMS}, so this run will be "
            "inconclusive; label more rows, or give other texts to tune on with --questions"
        )
    if unpaired:
        notes.append(
            f"the texts of different languages are no translations of each other ({unpaired}), so each language is "
            "measured on its own items, and means over languages are less precise; --paired says that they are"
        )
    if len(items) == 1:
        notes.append(
            "the labeled rows are in one language, so this run cannot show transfer; `spillover translate --items` "
            "translates the items"
        )
    if len(items) > 1 and not set(items) - {*decisions.to, pivot}:
        notes.append(
            "every measured language is tuned on, so the page shows the gain in each, and cannot show transfer to "
            "others; change --to"
        )
    if not items and decisions.label:
        notes.append(
            f"the labels are not used: the items of {decisions.task!r} that ship are measured, in twenty languages"
        )
    return notes

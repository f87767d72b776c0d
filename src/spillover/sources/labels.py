"""Cells of a column of labels → the task's labels. What a code (number, letter, truth value) means is never guessed.

A word is compared in the normal form of texts. A code needs a stated order: a key of the experiment, the class names
of a data set, or a text column beside it.
"""

import json
import re
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from spillover.errors import SpilloverError, did_you_mean
from spillover.sources.files import TableRow
from spillover.utils.text import normal

Classes = Sequence[str] | Mapping[str, str]
"""Labels in the order of their codes, which count from 0, `A` or false; or code or word → label."""

Stated = Classes | Mapping[str, Classes]
"""Classes of all tasks, or of each task by its name."""

BESIDE = ("label_text", "label_name", "label_str", "{label}_text", "{label}_name", "{label}_str", "class_name")
"""Columns that may name what a code in the column `{label}` stands for, in upper or lower case."""

NUMBERS = tuple(map(str, range(100)))
LETTERS = tuple(string.ascii_lowercase)
TRUTH = ("false", "true")
"""The codes in their order. Numbers count from 0; codes that count from 1 have to be stated one by one."""

NUMBER = re.compile(r"([+-]?\d+)(?:\.0*)?")
LETTER = re.compile("[a-z]")

MAX_TEXT_LENGTH = 60
"""Most characters of a text that an error repeats."""


class LabelError(SpilloverError):
    """Labels cannot be read. `cause` is the same in every language in which the reason is the same."""

    def __init__(self, message: str, cause: str) -> None:
        """Make the sentence; `cause` is the kind of fault, without place and value."""
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Legend:
    """What the cells of a column of labels mean."""

    words: Mapping[str, int]
    """Word as it is written → index among the task's labels."""
    codes: Mapping[str, int] = field(default_factory=dict)
    """Code → index; none where nothing states what the codes mean."""

    def gold(self, value: object) -> int | None:
        """Return the index that a cell means; None where it means none."""
        text, code = str(value).strip(), code_of(value)
        if text in self.words:
            return self.words[text]
        forms = _forms(tuple(self.words.items()))
        gold = forms.get(normal(text))
        return forms.get(code, self.codes.get(code)) if gold is None and code is not None else gold

    def read(self, row: TableRow, column: str) -> int:
        """Return the index that a row's label means; one sentence if it means none."""
        value = row.value(column)
        gold = self.gold(value)
        if gold is None:
            expected = f"expected a label; {did_you_mean(str(value).strip(), self.words)}"
            raise SpilloverError(f"{row.place}: column {column!r}: found {value!r}, {expected}")
        return gold


@cache
def _forms(words: tuple[tuple[str, int], ...]) -> dict[str, int]:
    """Return normal form → index, without the forms that words of several labels share."""
    golds: dict[str, set[int]] = {}
    for word, gold in words:
        golds.setdefault(normal(word), set()).add(gold)
    return {form: gold for form, shared in golds.items() if len(shared) == 1 for gold in shared}


def code_of(value: object) -> str | None:
    """Return a cell's code as it is compared: `1` for 1, 1.0 and "1", `true`, `a`; None where it holds a word."""
    form = normal(str(value))
    if number := NUMBER.fullmatch(form):
        return str(int(number[1]))
    return form if form in TRUTH or LETTER.fullmatch(form) else None


def open_legend(
    words: Mapping[str, int],
    labels: Sequence[str],
    rows: Sequence[TableRow],
    column: str,
    fields: Sequence[str],
    classes: Classes,
) -> Legend:
    """Return what the cells of a column of labels mean.

    Args:
        words: word → index among the task's labels.
        labels: the task's labels.
        rows: the rows whose labels are read.
        column: the column of the labels.
        fields: the columns of the texts.
        classes: what the experiment states of this task's codes; empty: nothing.

    Raises:
        LabelError: `classes` does not fit the task; a code means nothing, or nothing states what it means.
    """
    plain = Legend(words)
    if all(plain.gold(row.cells.get(column)) is not None for row in rows):
        return plain
    where = f"{rows[0].place.rpartition(': ')[0]}: column {column!r}"
    if classes:
        stated = _stated(classes, labels)
        legend = Legend(
            {word: gold for word, gold in stated.items() if code_of(word) is None} | dict(words),
            {code: gold for word, gold in stated.items() if (code := code_of(word)) is not None},
        )
        if unread := _unread(legend, rows, column):
            example = _example(_unread(plain, rows, column), labels)
            raise LabelError(
                f"{where}: found {', '.join(unread)}, and `classes` states only {', '.join(legend.codes)}; state each, "
                f"such as classes = {example}",
                f"codes of {column!r} that are not stated",
            )
        return legend
    legend = Legend(words, _beside(plain, rows, column))
    if unread := _unread(legend, rows, column):
        raise LabelError(
            f"{where}: {_unstated(unread, labels, rows, column, fields)}", f"codes of {column!r} without an order"
        )
    return legend


def of_task(classes: Stated, task: str) -> Classes:
    """Return the classes of one task: those of all tasks, or the task's entry where tasks have entries."""
    if isinstance(classes, Mapping):
        entries = {name: entry for name, entry in classes.items() if not isinstance(entry, str)}
        return entries.get(task, {name: label for name, label in classes.items() if isinstance(label, str)})
    return classes


def _stated(classes: Classes, labels: Sequence[str]) -> dict[str, int]:
    """Return code or word → index of the label."""
    forms = [normal(label) for label in labels]
    names = list(classes.values()) if isinstance(classes, Mapping) else list(classes)
    for name in names:
        if normal(name) not in forms:
            raise LabelError(
                f"classes: found {name!r}, expected a label of the task; {did_you_mean(name, labels)}; "
                f"for several tasks, an entry for each: classes = {{ task = {_example((), labels)} }}",
                "classes",
            )
    golds = [forms.index(normal(name)) for name in names]
    if isinstance(classes, Mapping):
        return dict(zip(classes, golds, strict=True))
    if sorted(golds) != list(range(len(labels))):
        raise LabelError(f"classes: found {names}, expected each label once: {', '.join(labels)}", "classes")
    truth = TRUTH if len(golds) == len(TRUTH) else ()
    return {code: gold for codes in (NUMBERS, LETTERS, truth) for code, gold in zip(codes, golds, strict=False)}


def _unread(legend: Legend, rows: Iterable[TableRow], column: str) -> list[str]:
    """Return the codes in a column that have no meaning, each once, in their order."""
    values = [row.cells.get(column) for row in rows]
    codes = {code for value in values if (code := code_of(value)) is not None and legend.gold(value) is None}
    return sorted(codes, key=lambda code: (int(code) if NUMBER.fullmatch(code) else 0, code))


def _beside(plain: Legend, rows: Sequence[TableRow], column: str) -> dict[str, int]:
    """Return code → index, from a column that names what the codes stand for, one name for each and each another."""
    names = {name.format(label=column).casefold() for name in BESIDE} - {column.casefold()}
    for name in [name for name in rows[0].cells if name.casefold() in names]:
        meanings = {(code_of(row.cells.get(column)), plain.gold(row.cells.get(name))) for row in rows}
        codes = {code: gold for code, gold in meanings if code is not None and gold is not None}
        if len(meanings) == len(codes) == len(set(codes.values())):
            return codes
    return {}


def _unstated(
    codes: Sequence[str], labels: Sequence[str], rows: Sequence[TableRow], column: str, fields: Sequence[str]
) -> str:
    """Show two rows as they would be read in the task's order, and the key that states an order."""
    meant = _in_order(codes, labels)
    first = {code: row for row in reversed(rows) if (code := code_of(row.cells.get(column))) in meant}
    shown = " and ".join(
        f"{_short(row, fields)} ({code}) {labels[meant[code]]!r}" for code, row in sorted(first.items())[:2]
    )
    would = f"; in the task's own order {shown} would be meant" if shown else ""
    return (
        f"found {', '.join(codes)}, and nothing states which labels they stand for{would}; state it "
        f"beside the source, such as classes = {_example(codes, labels)}"
    )


def _in_order(codes: Sequence[str], labels: Sequence[str]) -> dict[str, int]:
    """Return code → index in the task's order, where the codes can be counted through."""
    for listed in (NUMBERS, NUMBERS[1:], LETTERS, TRUTH):
        counted = dict(zip(listed, range(len(labels)), strict=False))
        if set(codes) <= set(counted):
            return {code: counted[code] for code in codes}
    return {}


def _example(codes: Sequence[str], labels: Sequence[str]) -> str:
    """Return a value of `classes` as an experiment file has it: the task's own order, for the user to correct."""
    if any(set(codes) <= set(listed[: len(labels)]) for listed in (NUMBERS, LETTERS, TRUTH)):
        return f"[{', '.join(map(json.dumps, labels))}]"
    entries = [f"{code} = {json.dumps(label)}" for code, label in zip(codes, labels, strict=False)]
    return f"{{ {', '.join(entries)}{', …' if len(codes) > len(labels) else ''} }}"


def _short(row: TableRow, fields: Sequence[str]) -> str:
    text = " / ".join(str(row.cells.get(name)) for name in fields)
    return repr(text if len(text) <= MAX_TEXT_LENGTH else f"{text[:MAX_TEXT_LENGTH]}…")

"""A set of the hub → rows per language, and whether a run can read them from there.

The set's own parts are kept: its training split is tuned on, and its test split is measured.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from random import Random
from typing import Any

from spillover.errors import SpilloverError, UnreachableError, did_you_mean
from spillover.init.ask import Ask
from spillover.init.corpus import Corpus, Origin, by_rows, in_order
from spillover.init.hub_folder import ITEMS_SPLITS, class_name
from spillover.languages import ENGLISH, canonical, lookup
from spillover.sources.files import TableRow
from spillover.sources.hub import PRESETS, QUESTIONS_SPLIT, UNLABELED, HubLayout, configurations_by_language
from spillover.sources.hub_set import HubSet
from spillover.sources.reach import obstacle
from spillover.utils.hub import pinning, revision

PREFIX = "hub:"
"""What stands before the id of a set."""

MAX_ROWS = 10_000
"""Most rows of a language and split that are read: as many as an experiment tunes on by default."""


def read_hub(source: str, language: str, ask: Ask) -> Corpus:
    """Return the rows of a set, at most `MAX_ROWS` per language and split.

    Args:
        source: `hub:ID` or `hub:ID:CONFIG`.
        language: the language of a set with one; empty: it is identified, and asked if it is not clear.
        ask: who answers.

    Raises:
        SpilloverError: the set cannot be had, or nothing says which configuration is meant.
    """
    id, _, configuration = source.removeprefix(PREFIX).partition(":")
    if not id:
        raise SpilloverError(f"{source}: found no data set, expected hub:ID or hub:ID:CONFIG")
    data = HubSet(id)
    try:
        with nullcontext() if data.is_local or obstacle() else pinning():
            return _read(data, source, configuration, language and canonical(language, "--language"), ask)
    except UnreachableError as error:
        reason = str(error).partition(";")[0]
        raise SpilloverError(f"{reason}; run init where there is a network, or give it the set's files") from error


def _read(data: HubSet, source: str, configuration: str, language: str, ask: Ask) -> Corpus:
    preset = None if configuration else PRESETS.get(data.id)
    named = {} if configuration else dict(preset.configs) if preset else _languages(data)
    chosen = named or {"": _configuration(data, configuration)}
    items_split, questions_split = _splits(data, list(chosen.values()), preset)
    tables = {
        split: {code: data.rows(config, split) for code, config in chosen.items()}
        for split in (items_split, questions_split)
        if split
    }
    notes = list(dict.fromkeys(filter(None, (_sampled(data, split, each) for split, each in tables.items()))))
    commit = revision("datasets", data.id) or ""
    origin = Origin(source, commit, questions_split, items_split, readable=True, sampled=bool(notes))
    if not commit:
        notes.append(f"the revision of {data.id} is not known, so a later run may read other rows")
    parts = {
        split: {code: _rows(data, each[code], f"{data.id} {config}/{split}") for code, config in chosen.items()}
        for split, each in tables.items()
    }
    name = data.id.rstrip("/").rpartition("/")[2]
    items, questions = parts[items_split], parts.get(questions_split, {})
    form, classes = "a configuration for each language", preset.labels if preset else ()
    corpus = Corpus(name, source, form, items, questions, origin=origin, classes=classes, notes=tuple(notes))
    return in_order(corpus if named else _by_rows(corpus, language, ask))


def _by_rows(corpus: Corpus, language: str, ask: Ask) -> Corpus:
    """Return the corpus of one configuration, whose rows say their languages themselves, as those of a file."""
    # a source takes the only configuration for English, and one that is named after a language for that language
    taken_for = lookup(corpus.place.removeprefix(PREFIX).partition(":")[2]) or ENGLISH
    corpus = by_rows(corpus, language, ask)
    is_read_so = corpus.form == "one language" and next(iter(corpus.rows)) == taken_for
    return replace(corpus, origin=corpus.origin and replace(corpus.origin, readable=is_read_so))


def _languages(data: HubSet) -> dict[str, str]:
    """Return language → its configuration; none where fewer than two are named after languages."""
    names = configurations_by_language(data.configurations())
    return names if len(names) > 1 else {}


def _configuration(data: HubSet, name: str) -> str:
    """Return the configuration that is meant: the one named, else the only one."""
    names = data.configurations()
    if name in names:
        return name
    if not name and len(names) == 1:
        return names[0]
    raise SpilloverError(
        f"hub:{data.id}: found configuration {name!r}, expected hub:{data.id}:CONFIG; {did_you_mean(name, names)}"
    )


def _splits(data: HubSet, configurations: Sequence[str], preset: HubLayout | None) -> tuple[str, str]:
    """Return the split that is measured, the first of the usual names whose labels are there; and that of questions."""
    first, *others = (data.splits(name) for name in configurations)
    common = [split for split in first if all(split in each for each in others)]
    if not common:
        raise SpilloverError(f"hub:{data.id}: found no split that all its languages have, expected one such as test")
    usual = [name for name in ITEMS_SPLITS if name in common] or common
    labeled = (name for name in usual if _has_labels(data.rows(configurations[0], name)))
    items = preset.items_split if preset else next(labeled, usual[0])
    return items, QUESTIONS_SPLIT if QUESTIONS_SPLIT in common and items != QUESTIONS_SPLIT else ""


def _has_labels(table: Any) -> bool:  # noqa: ANN401 - as the library has it
    """Whether no column of classes holds only the mark of a secret label."""
    classes = [name for name, kind in (table.features or {}).items() if hasattr(kind, "names")]
    return not any(set(table.unique(name)) <= set(UNLABELED) for name in classes)


def _sampled(data: HubSet, split: str, tables: Mapping[str, Any]) -> str:
    """Return a note if a split is read in part; empty if all of it is read."""
    rows = max(map(len, tables.values()))
    part = f"{MAX_ROWS:,} of the {rows:,} rows of {data.id}/{split} are read in each language, chosen at random"
    return part if rows > MAX_ROWS else ""


def _rows(data: HubSet, table: Any, place: str) -> list[TableRow]:  # noqa: ANN401 - as the library has it
    """Return the rows of a split, a class by its name; of a large split some at random, the same in each language."""
    numbers: Sequence[int] = range(len(table))
    if len(table) > MAX_ROWS:
        numbers = sorted(Random(0).sample(numbers, MAX_ROWS))
        table = table.select(numbers)
    names = {column: kind.names for column, kind in (table.features or {}).items() if hasattr(kind, "names")}
    try:
        return [
            TableRow(
                f"{place}: row {number}",
                {column: class_name(value, names.get(column)) for column, value in row.items()},
            )
            for number, row in zip(numbers, table, strict=True)
        ]
    except Exception as error:
        raise data.unreadable(error) from error

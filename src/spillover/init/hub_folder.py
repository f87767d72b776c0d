"""A folder laid out as the hub lays out a set: a folder per configuration, a file or several parts per split.

The forms are those that the hub's documentation names: `en/test.csv`, `data/en/test-00000-of-00001.parquet`,
`en/test/0000.parquet`, and the same without a folder for the configuration. The set's `README.md` is not read.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from spillover.errors import SpilloverError
from spillover.languages import ENGLISH
from spillover.sources.decoding import unpacked
from spillover.sources.files import ENDINGS, TableRow, ending, read_rows
from spillover.sources.hub import QUESTIONS_SPLIT, UNLABELED

ITEMS_SPLITS = ("test", "validation", "dev", "valid", "train")
"""Names of a split that is measured, the preferred first. A split whose labels are kept secret is none."""

DATA = "data"
"""Folder that many sets have around their files. It names no configuration."""

PART = re.compile(r"(?P<split>[a-z]+)(?:-\d{5}-of-\d{5})?", re.IGNORECASE)
"""Name of a file without its ending: a split, or one of its parts."""

NUMBER = re.compile(r"\d+")
"""Name of a part in a folder that is named after a split."""

Splits = Mapping[str, Sequence[Path]]
"""Split → its files, in order."""


def configurations(folder: Path) -> dict[str, dict[str, list[Path]]]:
    """Return the set's configurations: name → split → its files; none where no file is named after a split.

    The name is that of the folders around the files; empty where there are none.
    """
    names: dict[str, dict[str, list[Path]]] = {}
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        is_hidden = any(part.startswith(".") for part in place.parts)
        if is_hidden or ending(path) not in ENDINGS or not path.is_file():
            continue
        split, folders = _split(place)
        if split:
            name = "/".join(part for part in folders if part.casefold() != DATA)
            names.setdefault(name, {}).setdefault(split, []).append(path)
    return names


def _split(place: Path) -> tuple[str, tuple[str, ...]]:
    """Return the split that a file belongs to, and the folders that name its configuration; empty: it has none."""
    stem, folders = place.name.partition(".")[0], place.parts[:-1]
    match = PART.fullmatch(stem)
    if match and match["split"].casefold() in ITEMS_SPLITS:
        return match["split"].casefold(), folders
    if folders and NUMBER.fullmatch(stem) and folders[-1].casefold() in ITEMS_SPLITS:
        return folders[-1].casefold(), folders[:-1]
    return "", ()


def split_names(folder: Path, named: Mapping[str, Splits]) -> tuple[str, str]:
    """Return the split that is measured, the first of the usual names whose labels are there; and that of questions.

    Args:
        folder: the folder, for errors.
        named: language code, or an empty text → the files of its configuration.

    Raises:
        SpilloverError: no split is there in all languages, or a file cannot be read.
    """
    common = [split for split in ITEMS_SPLITS if all(split in splits for splits in named.values())]
    if not common:
        raise SpilloverError(f"{folder}: found no split that all its languages have, expected one such as test")
    first = next(iter(named.values()))
    items = next((split for split in common if not _has_secret_labels(first[split][0])), common[0])
    return items, QUESTIONS_SPLIT if items != QUESTIONS_SPLIT else ""


def _has_secret_labels(path: Path) -> bool:
    """Whether a column of classes holds only the mark of a secret label."""
    names = list(_class_names(path))
    table = pq.read_table(pa.BufferReader(unpacked(path)), columns=names) if names else pa.table({})
    return any(set(table[name].unique().to_pylist()) <= set(UNLABELED) for name in names)


def split_rows(paths: Sequence[Path], language: str) -> list[TableRow]:
    """Return the rows of all parts of a split, a class by its name; no language: it is not known yet."""
    rows = []
    for path in paths:
        names = _class_names(path)
        rows += [
            TableRow(row.place, {column: class_name(cell, names.get(column)) for column, cell in row.cells.items()})
            for row in read_rows(path, language or ENGLISH)
        ]
    return rows


def _class_names(path: Path) -> dict[str, list[str]]:
    """Return column → the names of its classes, which `datasets` writes into the schema of Parquet; else none."""
    if ending(path) != "parquet":
        return {}
    try:
        metadata = pq.read_schema(pa.BufferReader(unpacked(path))).metadata or {}
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SpilloverError(f"{path}: empty, cut off or not parquet: {error}") from error
    features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    return {
        column: kind["names"]
        for column, kind in features.items()
        if isinstance(kind, dict) and kind.get("_type") == "ClassLabel"
    }


def class_name(value: object, names: Sequence[str] | None) -> object:
    """Return a cell; that of a class by its name, None where it has no label."""
    if names is None or not isinstance(value, int):
        return value
    return names[value] if 0 <= value < len(names) else None

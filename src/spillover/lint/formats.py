"""Defects as a list, errors first, and the formats in which the list is written."""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import get_args

from spillover.errors import SpilloverError
from spillover.records import Defect, Severity

PLACE = re.compile(r"(?P<file>.*?)(?:: (?:row|line) (?P<row>\d+))?")
"""A defect's place: a file, and perhaps a row or line of it."""

BEGINNING = re.compile(r"(?P<place>[^:]*[/.][^:]*(?:: (?:row|line) \d+)?): (?P<message>.*)", re.DOTALL)
"""An error about a file: its place, then the message."""


def from_error(error: SpilloverError, check: str, language: str = "") -> Defect:
    """Return an error as a defect, with the place that its sentence begins with."""
    match = BEGINNING.fullmatch(str(error))
    if match is None:
        return Defect("error", check, str(error), language=language)
    return Defect("error", check, match["message"], match["place"], language)


def errors_first(defects: Sequence[Defect]) -> list[Defect]:
    """Return the errors, then the warnings and the notes, each in the order in which they were found."""
    return sorted(defects, key=lambda defect: get_args(Severity).index(defect.severity))


def as_text(defects: Sequence[Defect]) -> str:
    """Return a line for each defect and one that counts them."""
    lines = [f"{defect.severity}: {defect} [{defect.check}]" for defect in defects]
    counts = Counter(defect.severity for defect in defects)
    notes = f", {counts['note']} notes" if counts["note"] else ""
    return "\n".join([*lines, f"{counts['error']} errors, {counts['warning']} warnings{notes}"])


def as_json(defects: Sequence[Defect]) -> str:
    """Return a JSON list; a part that a defect lacks is null."""
    return json.dumps([_row(defect) for defect in defects], ensure_ascii=False, indent=1)


def _row(defect: Defect) -> dict[str, object]:
    match = PLACE.fullmatch(defect.place)
    assert match  # every text is a file's name with nothing behind it, if nothing else
    return {
        "severity": defect.severity,
        "check": defect.check,
        "file": match["file"] or None,
        "row": int(match["row"]) if match["row"] else None,
        "language": defect.language or None,
        "ceiling": defect.ceiling,
        "message": defect.message,
    }


FORMATS: dict[str, Callable[[Sequence[Defect]], str]] = {"text": as_text, "json": as_json}
"""Name → how defects are written."""

"""The history of tuning, a file beside the adapter. Reading it loads no model."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from spillover.records import LearnedPart, PairAlignment, Probe, Retrieval, Translation, Tuning

NAME = "history.json"


def write_history(folder: Path, tuning: Tuning) -> None:
    """Write the history into the adapter's folder."""
    (folder / NAME).write_text(json.dumps(asdict(tuning), ensure_ascii=False), encoding="utf-8")


def no_history() -> Tuning:
    """Return the history of a run that tunes nothing."""
    return Tuning(losses=(), validation=(), examples=0, left_out=0, target_tokens=0, chrf=(), translations=())


KINDS: dict[str, type] = {
    "translations": Translation,
    "parts": LearnedPart,
    "retrievals": Retrieval,
    "alignments": PairAlignment,
    "probes": Probe,
}
"""Field of the history that lists records → their type. Histories of version 0.1.0 have the first alone."""


def read_history(folder: Path) -> Tuning:
    """Read the history from the adapter's folder."""
    table = json.loads((folder / NAME).read_text(encoding="utf-8"))
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in table.items()}
    for name, kind in KINDS.items():
        fields[name] = tuple(kind(**with_tuples(line)) for line in table.get(name, ()))
    return Tuning(**fields)


def with_tuples(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record's fields as they were before they were written as JSON, which has lists alone."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in line.items()}

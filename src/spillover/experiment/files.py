"""Experiment files: TOML and overrides become a checked experiment.

An error names the file, the key, the value and the values expected.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import tomli_w
from pydantic import ValidationError

from spillover.errors import SpilloverError, did_you_mean
from spillover.experiment.experiment import Experiment

REMEDIES = {
    "Unescaped '\\'": "write / in place of each \\ of a path",
    "Invalid hex value": "write / in place of each \\ of a path",
    "Invalid value": 'write a text in quotes, such as name = "gemma-3-270m"',
    "Cannot declare": "write each section once",
    "Cannot overwrite": "write each key once",
    "codec": "save the file as UTF-8",
}
"""Words in the reader's message → what a user can do."""

MAX_SHOWN = 200
"""Characters of a wrong value that an error repeats."""


def load_experiment(path: Path, overrides: Iterable[str] = ()) -> Experiment:
    """Read an experiment file and apply overrides such as `tune.epochs=1`.

    Raises:
        SpilloverError: the file is missing or not TOML, a key is unknown, a value does not fit.
    """
    return parse_experiment(read_table(path, overrides), str(path))


def read_table(path: Path, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """Read an experiment file and apply overrides; return its nested table, not yet checked.

    Raises:
        SpilloverError: the file is missing or not TOML, or an override is not `key=value`.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Windows' editor begins files with a mark
    except OSError as error:
        expected = "expected a file such as examples/demo.toml"
        raise SpilloverError(f"{path}: cannot read the experiment file: {error.strerror}; {expected}") from error
    except (ValueError, RecursionError) as error:  # ValueError: not TOML, not UTF-8, or a number of 5,000 digits
        raise SpilloverError(f"{path}: not valid TOML: {error}; {_remedy(path, str(error))}") from error
    for override in overrides:
        _apply(table, override)
    return table


def _remedy(path: Path, message: str) -> str:
    """Return what a user can do about a file that is not TOML."""
    if path.suffix.lower() != ".toml":
        return "expected an experiment in a .toml file, in which `source` names the data"
    return next((remedy for words, remedy in REMEDIES.items() if words in message), "correct the file at that place")


def parse_experiment(table: Mapping[str, Any], where: str) -> Experiment:
    """Return the experiment that a nested table describes; `where` names its origin in errors."""
    try:
        return Experiment.model_validate(table)
    except ValidationError as error:
        raise SpilloverError(f"{where}: {_first_error(error)}") from error
    except SpilloverError as error:
        raise SpilloverError(f"{where}: {error}") from error


def _apply(table: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise SpilloverError(f"--set {override}: expected key.path=value, such as tune.epochs=1")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text  # `--set model.name=gemma-3-270m` need not be quoted
    *path, last = key.strip().split(".")
    for part in path:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise SpilloverError(f"--set {override}: {part!r} is a value, expected a section")
    table[last] = value


def _first_error(error: ValidationError) -> str:
    """Turn the first of pydantic's errors into one sentence: the key's path, the value and the values expected."""
    details = [(_path(detail["loc"]), detail) for detail in error.errors()]
    start = details[0][0]
    path, first = max((row for row in details if row[0][: len(start)] == start), key=lambda row: len(row[0]))
    key = ".".join(part if part.isprintable() else repr(part) for part in path)
    if first["type"] == "extra_forbidden":
        section: Any = Experiment
        for part in path[:-1]:
            rows = get_args(section)  # in a table the user chooses the keys: the next part is a key
            section = rows[-1] if rows else section.model_fields[part].annotation
        keys = [field.serialization_alias or name for name, field in section.model_fields.items()]
        return f"unknown key {key!r}; {did_you_mean(path[-1], keys)}"
    allowed = [_allowed(detail["msg"]) for other, detail in details if other == path]  # a key may have two types
    value = repr(first["input"])
    short = value if len(value) <= MAX_SHOWN else f"{value[:MAX_SHOWN]}…"
    brackets = '; write a list in brackets: ["a", "b"]' if "a list" in allowed else ""
    return f"{key}: found {short}, expected: {' or '.join(allowed)}{brackets}"


def dump_experiment(experiment: Experiment) -> str:
    """Write an experiment as TOML. `load_experiment` reads an equal experiment from it."""
    return tomli_w.dumps(experiment.model_dump(mode="json", by_alias=True, exclude_none=True))


def _path(place: Sequence[int | str]) -> list[str]:
    """Return a key's path without pydantic's names of the key's types."""
    return [str(part) for part in place if not str(part).startswith(("literal[", "tuple[", "dict["))]


def _allowed(message: str) -> str:
    """Return pydantic's description of the expected value, in TOML's words."""
    words = message[0].lower() + message[1:]
    return words.removeprefix("input should be ").replace("a valid tuple", "a list")

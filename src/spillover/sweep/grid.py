"""A grid: an experiment file whose keys may be lists, one experiment per combination of values.

A key that holds one value may hold a list of them; a key that is a list already (`translate.to`) becomes a list of
lists; a section may be given several times (`[[tune]]`), each time whole.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from spillover.errors import SpilloverError
from spillover.experiment import Experiment, parse_experiment, read_table
from spillover.store import digest

MAX_EXPERIMENTS = 100_000
"""Largest number of experiments in a grid."""

MAX_LENGTH = {"value": 80, "name": 200}
"""Largest number of letters of a value and of a whole name. File systems take 255 bytes."""

PLAIN = frozenset({"phases", "parts", "recipe"})
"""Keys of a mixture that a name leaves out, since their values say what they are."""

REPEATED = ("to", "seed")
"""Keys that are not part of a setting: within one, mixtures of languages are compared, each with several seeds."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One experiment of a grid."""

    name: str
    """Its name, made of the keys that vary: `to=zh+de,seed=0`."""
    setting: str
    """The name without languages and seed. Only experiments of one setting are compared."""
    experiment: Experiment
    """The experiment."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A key that varies."""

    path: tuple[str, ...]
    """The path of the key in the experiment file."""
    values: Sequence[Any]
    """Its values, one or more."""


def load_grid(path: Path, overrides: Sequence[str] = ()) -> list[Trial]:
    """Read a grid file, apply overrides such as `seed=[0, 1]`, and return its experiments, the last key fastest.

    Raises:
        SpilloverError: the file is missing or not TOML, a combination is not an experiment, or a value appears twice.
    """
    table = read_table(path, overrides)
    axes = list(_axes(table, Experiment, ()))
    for axis in axes:
        _check_axis(axis, str(path))
    if (count := prod(len(axis.values) for axis in axes)) > MAX_EXPERIMENTS:
        raise SpilloverError(f"{path}: found {count} combinations, expected at most {MAX_EXPERIMENTS}")
    trials = [_trial(table, axes, values, str(path)) for values in product(*(axis.values for axis in axes))]
    _check_different(trials, str(path))
    seen = Counter(trial.name.casefold() for trial in trials)  # some file systems ignore case
    return [trial if seen[trial.name.casefold()] == 1 else _with_digest(trial) for trial in trials]


def _axes(value: Any, kind: Any, path: tuple[str, ...]) -> Iterator[Axis]:  # noqa: ANN401 - TOML, and any type
    """Yield the keys of a table that vary; `kind` is the type of the table in one experiment."""
    kind = _bare(kind)
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _axes(inner, _kind_of(key, kind), (*path, key))
    elif isinstance(value, list) and (any(isinstance(member, list) for member in value) or not _is_list(kind)):
        yield Axis(path, value)


def _bare(kind: Any) -> Any:  # noqa: ANN401
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _kind_of(key: str, kind: Any) -> Any:  # noqa: ANN401
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = {field.serialization_alias or name: field.annotation for name, field in kind.model_fields.items()}
        return fields.get(key)
    return get_args(kind)[1] if get_origin(kind) is dict else None


def _is_list(kind: Any) -> bool:  # noqa: ANN401
    members = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return any(get_origin(member) is tuple for member in members)


def _check_axis(axis: Axis, where: str) -> None:
    key = ".".join(axis.path)
    if not axis.values:
        raise SpilloverError(f"{where}: {key}: found [], expected at least one value")
    for place, value in enumerate(axis.values):
        if any(value == other and type(value) is type(other) for other in axis.values[:place]):
            raise SpilloverError(f"{where}: {key}: found {value!r} twice, expected each value once")


def _check_different(trials: Sequence[Trial], where: str) -> None:
    names: dict[str, str] = {}
    for trial in trials:
        same = names.setdefault(digest(trial.experiment), trial.name)
        if same != trial.name:
            raise SpilloverError(f"{where}: {same} and {trial.name} are the same experiment, expected each once")


def _trial(table: Mapping[str, Any], axes: Sequence[Axis], values: Sequence[Any], where: str) -> Trial:
    combination: dict[str, Any] = _copy(table)
    for axis, value in zip(axes, values, strict=True):
        section = combination
        for key in axis.path[:-1]:
            section = section[key]
        section[axis.path[-1]] = value
    last = Counter(axis.path[-1] for axis in axes)
    keys = [axis.path[-1] if last[axis.path[-1]] == 1 else ".".join(axis.path) for axis in axes]
    shown = (_distinct(value, axis.values) for axis, value in zip(axes, values, strict=True))
    parts = {key: f"{_text(key)}={_text(value)}" for key, value in zip(keys, shown, strict=True)}
    name = ",".join(parts.values())[: MAX_LENGTH["name"]] or "only"
    setting = ",".join(part for key, part in parts.items() if key not in REPEATED)
    return Trial(name, setting, parse_experiment(combination, f"{where}, {name}" if axes else where))


def _distinct(value: Any, values: Sequence[Any]) -> Any:  # noqa: ANN401
    """Return the keys in which a section differs from the others; any other value as it is."""
    if not isinstance(value, Mapping):
        return value
    others = [other for other in values if isinstance(other, Mapping)]
    return {key: inner for key, inner in value.items() if any(other.get(key) != inner for other in others)}


def _copy(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in table.items()}


def _text(value: Any) -> str:  # noqa: ANN401
    """Write a value in letters that a folder's name on any system, and a web address, may have."""
    if isinstance(value, list):
        text = "+".join(map(_text, value)) or "none"
    elif isinstance(value, Mapping):
        values = (_text(inner) if key in PLAIN else f"{_text(key)}-{_text(inner)}" for key, inner in value.items())
        text = "+".join(values) or "none"
    else:
        text = "".join(
            letter if (letter.isascii() and letter.isalnum()) or letter in "._" else "-" for letter in f"{value}"
        )
    return _end_of(text.strip("-.")) or "none"


def _end_of(text: str) -> str:
    """Return the last whole words of a text that is too long; of a path, the end says most."""
    end = text[-MAX_LENGTH["value"] :]
    return end if len(end) == len(text) else re.sub(r"^[a-zA-Z0-9]*[^a-zA-Z0-9]+", "", end)


def _with_digest(trial: Trial) -> Trial:
    return Trial(f"{trial.name},{digest(trial.experiment)[:6]}", trial.setting, trial.experiment)

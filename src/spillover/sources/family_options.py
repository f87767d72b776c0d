"""Options behind a family's name: `harness:include_{language}?paired=false&limit=200`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from spillover.errors import SpilloverError, did_you_mean

OPTIONS = "?"
"""Stands between a family and its options."""


@dataclass(frozen=True, slots=True)
class FamilyOptions:
    """Options that replace what a family's YAML says."""

    num_fewshot: int | None = None
    """Number of exemplars in each prompt; None: as many as the YAML says."""
    split: str = ""
    """Split of the data set with the items; empty: the YAML's."""
    limit: int = 0
    """How many documents of each of a language's tasks are read, from the first on; 0: all."""
    where: tuple[str, str] = ("", "")
    """Column and value of the documents that are read; empty: all."""
    paired: bool | None = None
    """Whether the same id is the same item in every language; None: ids and right answers decide."""

    @property
    def label(self) -> str:
        """The part of a name that distinguishes a family with these options; empty without options."""
        parts = {
            "num_fewshot": self.num_fewshot,
            "split": self.split,
            "limit": self.limit or None,
            "where": "-".join(self.where).strip("-"),
        }
        return "".join(
            f"_{key}-{re.sub(r'[^0-9A-Za-z]+', '-', str(v))}" for key, v in parts.items() if v not in ("", None)
        )


def split_options(name: str) -> tuple[str, FamilyOptions]:
    """Return a family without its options, and these.

    Raises:
        SpilloverError: there is no such option, or its value is of another kind.
    """
    family, _, text = name.partition(OPTIONS)
    if not text:
        return family, FamilyOptions()
    where = f"harness:{name}"
    values: dict[str, Any] = {}
    for part in text.split("&"):
        key, _, value = part.partition("=")
        if key not in _READERS:
            raise SpilloverError(f"{where}: found the option {key!r}; {did_you_mean(key, _READERS)}")
        kind, read = _READERS[key]
        try:
            values[key] = read(value)
        except (KeyError, ValueError) as error:
            raise SpilloverError(f"{where}: {key}: found {value!r}, expected {kind}") from error
    return family, FamilyOptions(**values)


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError(text)
    return int(text)


def _split(text: str) -> str:
    if not text:
        raise ValueError(text)
    return text


def _where(text: str) -> tuple[str, str]:
    column, colon, value = text.partition(":")
    if not (column and colon):
        raise ValueError(text)
    return column, value


_READERS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "num_fewshot": ("a number of exemplars", _number),
    "split": ("the name of a split", _split),
    "limit": ("a number of documents", _number),
    "where": ("COLUMN:VALUE", _where),
    "paired": ("true or false", {"true": True, "false": False}.__getitem__),
}
"""Option → what its value is, and how it is read."""

"""What a figure is: charts, with the words that make them readable. Knows no findings."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import altair as alt


@dataclass(frozen=True, slots=True)
class Plot:
    """One chart."""

    name: str
    """Name of its files, without ending; unique in a report."""
    title: str
    """What it shows."""
    description: str
    """The same for those who cannot see it, with its main numbers."""
    chart: alt.LayerChart
    """The chart, without a width; where its figure has languages, with the rows of all of them."""
    width: int = 420
    """Width as a picture, in pixels."""


@dataclass(frozen=True, slots=True)
class Control:
    """What the reader sets in all charts of a figure at once."""

    parameter: str
    """Name of the charts' parameter. It is set to the choice itself, or of a slider to its place among the choices."""
    label: str
    """What it is called."""
    choices: tuple[str, ...]
    """Among what the reader chooses."""
    first: int
    """Place of the one shown first."""
    slider: bool = False
    """Whether the choices have an order to slide along."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Charts that are read the same way."""

    title: str
    """Heading."""
    reading: str
    """How to read it."""
    plots: tuple[Plot, ...]
    """Empty where there is nothing to show."""
    languages: tuple[str, ...] = ()
    """English names of the languages among which the reader chooses; empty where all are shown."""
    first: str = ""
    """The one shown first."""
    controls: tuple[Control, ...] = ()
    """What else the reader sets."""


def slugs(names: Sequence[str]) -> list[str]:
    """Return a file name for each name: ASCII, lower case, all different, whatever the names hold."""
    found: list[str] = []
    for place, name in enumerate(names, start=1):
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
        found.append(slug if slug and slug not in found else f"{slug}_{place}")  # no slug has an underscore
    return found


def mean(values: Iterable[float]) -> float:
    """Return the mean of at least one number."""
    numbers = list(values)
    return sum(numbers) / len(numbers)

"""The parts of a figure: charts, and the words that explain them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import altair as alt

from spillover.report.figures.folding import EXTREMES, ROW, Rows


@dataclass(frozen=True, slots=True)
class Plot:
    """One chart."""

    name: str
    """Name of its files, without ending; unique in a report."""
    title: str
    """Its heading."""
    description: str
    """Its content with the main numbers, for readers who cannot see it."""
    chart: alt.LayerChart
    """The chart, without a width. If its figure has languages, the chart holds the rows of all of them."""
    width: int = 420
    """Width of the picture, in pixels."""
    languages: int = 0
    """Number of languages of a chart that folds to its extremes; 0 if the chart does not fold."""
    rows: Rows = ()
    """The data that the chart calls `ROWS`; empty if the chart holds its data. altair would check and copy every number
    of it several times, which takes minutes for 200 languages."""

    @property
    def height(self) -> int:
        """Height of the chart in the page when it opens, in pixels."""
        return ROW * (2 * EXTREMES + 2) if self.languages else int(self.chart.height)


@dataclass(frozen=True, slots=True)
class Control:
    """A choice of the reader that holds for all charts of a figure."""

    parameter: str
    """Name of the charts' parameter. Its value is the choice; for a slider, the place of the choice."""
    label: str
    """Its name for readers."""
    choices: tuple[str, ...]
    """The choices."""
    first: int
    """Place of the choice that is shown first."""
    slider: bool = False
    """Whether the choices are shown as a slider, since they have an order."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Charts that a reader reads in one way."""

    title: str
    """Heading."""
    reading: str
    """Instructions for the reader."""
    plots: tuple[Plot, ...]
    """The charts; empty if the findings have no data for them."""
    languages: tuple[str, ...] = ()
    """English names of the languages that a reader can choose; empty if all are shown at once."""
    first: str = ""
    """The language that is shown first."""
    controls: tuple[Control, ...] = ()
    """Further choices of the reader."""

    def without_rows(self) -> "Figure":
        """Return the figure without the data of its charts, which take a hundred megabytes for 200 languages."""
        return replace(self, plots=tuple(replace(plot, rows=()) for plot in self.plots))


def slugs(names: Sequence[str]) -> list[str]:
    """Return a file name per name: ASCII, lower case, all different, whatever the names hold."""
    unique: list[str] = []
    for place, name in enumerate(names, start=1):
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
        unique.append(slug if slug and slug not in unique else f"{slug}_{place}")  # no slug has an underscore
    return unique

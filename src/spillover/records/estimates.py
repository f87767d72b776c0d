"""Estimates with their intervals, and curves of them over layers."""

from dataclasses import dataclass

CONFIDENCE = 0.95
"""Level of every interval, a share. Tests are at 1 − this."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A number for each layer, with its 95% interval over items; nan where not measurable."""

    value: tuple[float, ...]
    """(layers,) the estimates."""
    low: tuple[float, ...]
    """(layers,) lower ends of the intervals."""
    high: tuple[float, ...]
    """(layers,) upper ends of the intervals."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95% interval."""

    value: float
    """The point estimate."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    n: int
    """Number of independent observations behind it."""

"""Records as rows of named columns: for CSV files, and for pandas.

The columns of a kind of record depend on the kind alone, so that rows of different records fit below one another.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from spillover.records.comparison import ArmMetrics, ReasonPart
from spillover.records.estimates import Estimate
from spillover.records.outcomes import REASONS
from spillover.records.tuning import DoseGroup

if TYPE_CHECKING:
    from pandas import DataFrame


REPEATED = (ArmMetrics, DoseGroup)
"""Parts that stand in several fields of one record."""


def columns(kind: type, record: Any, prefix: str = "") -> Iterator[tuple[str, object]]:  # noqa: ANN401 - any record
    """Yield (column, value) of each field of a record of this kind. Without a record, all values are None.

    An estimate takes four columns. A part, such as what only tasks with labels have, takes its columns; those of
    `REPEATED` begin with the field's name. A split by reason takes the columns of an estimate per reason. Lists of
    other records are left out.
    """
    for field, part in _parts(kind):
        value = getattr(record, field, None)
        name = prefix + field
        if part is None:
            yield name, value
        elif part is Estimate:
            yield from estimate_columns(name, value)
        elif part is ReasonPart:
            by_reason = {row.reason: row.part for row in value or ()}
            for reason in REASONS[1:]:
                yield from estimate_columns(f"lost_{reason.replace(' ', '_')}", by_reason.get(reason))
        else:
            yield from columns(part, value, f"{name}_" if part in REPEATED else prefix)


@cache
def _parts(kind: type) -> tuple[tuple[str, type | None], ...]:
    """Return field → the record in it, None if it is a plain value; without the fields that hold lists of records."""
    hints, parts = get_type_hints(kind), list[tuple[str, type | None]]()
    for field in fields(kind):
        hint = hints[field.name]
        types = {hint, *get_args(hint)}
        part = next((inner for inner in types if isinstance(inner, type) and is_dataclass(inner)), None)
        if part in (None, Estimate, ReasonPart) or Ellipsis not in types:
            parts.append((field.name, part))
    return tuple(parts)


def estimate_columns(name: str, estimate: Estimate | None) -> Iterator[tuple[str, float | None]]:
    """Yield the four columns of an estimate: value, ends of the 95% interval, number of observations."""
    for suffix, attribute in (("", "value"), ("_low", "low"), ("_high", "high"), ("_n", "n")):
        yield name + suffix, getattr(estimate, attribute, None)


def data_frame(kind: type, rows: Iterable[tuple[Mapping[str, object], object]]) -> "DataFrame":
    """Return a data frame with a row per record of this kind.

    Each record comes with the columns that stand before its own. A number that does not exist is NaN, and a column
    without any value is left out. Several numbers in one field, such as shares of labels, stay a tuple.
    """
    from pandas import DataFrame  # takes half a second, and only notebooks need it

    return DataFrame([dict(leading) | dict(columns(kind, record)) for leading, record in rows]).dropna(
        axis=1, how="all"
    )

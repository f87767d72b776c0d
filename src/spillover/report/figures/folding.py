"""Charts of very many languages: the page shows the extremes first, and all at the press of a button."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from spillover.languages import get_language

FOLDED_ABOVE = 40
"""Charts of more languages than this fold."""

EXTREMES = 10
"""Languages at each end of a folded chart."""

ROW = 18
"""Height of a row of a folded chart, in pixels."""

SHOWN = "shown"
"""Parameter of the charts that fold: `few` leaves out the rows whose `extreme` is false, `all` none."""

ALL, FEW = "all", "few"
"""Values of `SHOWN`."""

Rows = Sequence[dict[str, Any]]

ROWS = "rows"
"""Name of the data of a chart that does not hold them."""


def extremes(gains: Mapping[str, float]) -> frozenset[str]:
    """Return the English names of the languages with the largest and the smallest gains; none if a chart shows all.

    gains: code → gain in any unit. Of equal gains, the order decides.
    """
    if len(gains) <= FOLDED_ABOVE:
        return frozenset()
    ranked = sorted(gains, key=lambda code: gains[code])
    return frozenset(get_language(code).name for code in (*ranked[:EXTREMES], *ranked[-EXTREMES:]))


def folding(rows: Rows) -> alt.Chart:
    """Return a chart of the data `ROWS`. If they say which are `extreme`, it has only those while `SHOWN` is `few`."""
    chart = alt.Chart(alt.NamedData(ROWS))
    shown = f"{SHOWN} === '{ALL}' ? !datum.gap : datum.extreme"
    return chart.transform_filter(shown) if "extreme" in rows[0] else chart


def gap(count: int) -> dict[str, object]:
    """Return the row that stands in a folded chart, sorted by gain, for the languages that are left out between."""
    empty = dict.fromkeys(("value", "low", "high", "text", "group"))
    return {"language": f"⋯ {count} more ⋯", "gap": True, "extreme": True, **empty}


def show(chart: alt.LayerChart, value: str) -> alt.LayerChart:
    """Begin a chart that folds with `ALL` languages or `FEW`."""
    return chart.add_params(alt.param(name=SHOWN, value=value))

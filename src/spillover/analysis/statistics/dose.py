"""Dose: what the model is worth after each number of steps, from the small evaluations during tuning."""

from collections.abc import Sequence

import numpy as np

from spillover.analysis.statistics.paired import mean_change, unbounded_mean
from spillover.records import Dose, DoseGroup, DosePoint, Estimate, Probe
from spillover.utils.formatting import percent, plural, points

GROUPS = {
    "unseen": "the languages never tuned on",
    "tuned": "the languages tuned on",
}
"""Group of languages → its name in a sentence. The first one that was measured is the endpoint."""


def dose(probes: Sequence[Probe]) -> Dose | None:
    """Return the probes with changes since the first one, and which step is best; None without probes.

    Changes are paired by item: an item counts once, with its mean over languages. Student's interval for margins, the
    score interval for accuracies, as for gains.
    """
    if not probes:
        return None
    rows = tuple(
        DosePoint(probe.step, probe.chrf, probe.loss, *(_group(probe, probes[0], name) for name in GROUPS))
        for probe in probes
    )
    return Dose(rows, _sentence(rows))


def _group(probe: Probe, first: Probe, name: str) -> DoseGroup | None:
    """Return the scores of a group of languages; None if the probes asked no item in it."""
    hits, margins = np.array(getattr(probe, name)), np.array(getattr(probe, f"{name}_margins"))
    if not len(hits):
        return None
    before, margins_before = np.array(getattr(first, name)), np.array(getattr(first, f"{name}_margins"))
    if probe is first:
        change = margin_change = Estimate(0.0, 0.0, 0.0, len(hits))  # since itself: known, not estimated
    else:
        change = mean_change((hits - before)[:, None]).estimate()
        margin_change, _ = unbounded_mean((margins - margins_before)[:, None])
    return DoseGroup(float(hits.mean()), change, float(margins.mean()), margin_change)


def _sentence(rows: Sequence[DosePoint]) -> str:
    """Compare the best step with the last one; empty if no item was asked."""
    name = next((name for name in GROUPS if getattr(rows[0], name)), None)
    if name is None:
        return ""
    groups: list[DoseGroup] = [getattr(row, name) for row in rows]
    best, last = max(groups, key=lambda group: group.accuracy), groups[-1]
    step = rows[groups.index(best)].step
    items = plural(best.change.n, "item")
    if best.accuracy == last.accuracy:
        where = f"no probe is better than the last one, at step {rows[-1].step} ({percent(last.accuracy)}%)"
    else:
        where = (
            f"the best probe is at step {step} ({percent(best.accuracy)}%), and the last one, at step {rows[-1].step}, "
            f"has {percent(last.accuracy)}%"
        )
    change = f"since step {rows[0].step} the last one changed by {points(last.change.value)} points"
    interval = f"({points(last.change.low)} to {points(last.change.high)})"
    caution = f"the best of {plural(len(rows), 'probe')} was chosen on the same {items}, so it looks better than it is"
    return f"In {GROUPS[name]}, {where}; {change} {interval}. Caution: {caution}."

"""The inside of the model as tables: lenses and their summaries, patching. Pure."""

from collections.abc import Sequence
from math import isnan

from spillover.languages import get_language
from spillover.records import Findings, LensSummary, Patch, Trajectory
from spillover.report.tables.table import Table
from spillover.utils.formatting import MINUS, percent, plural, share_with_interval, signed, with_interval


def lens(findings: Findings) -> list[Table]:
    """Return a table per task and lens with a row per language and arm: values at the last layer and at the peak."""
    header = (
        *("language", "model", "English, last layer", "highest", "at layer"),
        *("native, last layer", "highest", "at layer", "entropy, last layer"),
    )
    kinds = dict.fromkeys((t.task, t.lens) for t in findings.internals.trajectories)
    return [
        Table(
            f"{task}, {lens} lens: probability of the right answer in percent, entropy in bits. Every layer is in "
            "lens.csv.",
            header,
            tuple(_lens_row(t) for t in findings.internals.trajectories if (t.task, t.lens) == (task, lens)),
            keys=2,
        )
        for task, lens in kinds
    ]


def _lens_row(trajectory: Trajectory) -> tuple[str, ...]:
    return (
        get_language(trajectory.language).name,
        trajectory.arm,
        percent(trajectory.english.value[-1]),
        *_peak(trajectory.english.value),
        percent(trajectory.native.value[-1]),
        *_peak(trajectory.native.value),
        f"{trajectory.entropy.value[-1]:.2f}",
    )


def _peak(probabilities: Sequence[float]) -> tuple[str, str]:
    """Return the highest probability and the first layer that has it; empty texts if none was measurable."""
    measured = [(value, -layer) for layer, value in enumerate(probabilities) if not isnan(value)]
    if not measured:
        return "", ""
    value, layer = max(measured)
    return percent(value), str(-layer)


MEASURES = {
    "english": "area under latent English in points",
    "crossover_depth": "relative depth at which native overtakes English, in percent",
    "share": "share of the right answer in all answers, last layer, in points",
}
"""Measure of a lens summary → its description with its unit."""

NOT_MEASURABLE = f"{MINUS}: not measurable, or native never overtakes English."


def latent(findings: Findings) -> list[Table]:
    """Return a table per two arms, task, lens and measure with a row per language: both and their difference."""
    kinds = dict.fromkeys(_kind(s) for s in findings.internals.lens_summaries)
    return [
        Table(
            f"{task}, {lens} lens: {MEASURES[measure]}, with 95% intervals over the same items. {NOT_MEASURABLE}",
            ("language", reference, arm, "difference"),
            tuple(_latent_row(s) for s in findings.internals.lens_summaries if _kind(s) == kind),
        )
        for kind in kinds
        for reference, arm, task, lens, measure in [kind]
    ]


def _kind(summary: LensSummary) -> tuple[str, ...]:
    return summary.reference, summary.arm, summary.task, summary.lens, summary.measure


def _latent_row(summary: LensSummary) -> tuple[str, ...]:
    values = (summary.reference_value, summary.arm_value)
    levels = (MINUS if value is None else share_with_interval(value) for value in values)
    return (get_language(summary.language).name, *levels, with_interval(summary.difference))


def patches(findings: Findings) -> list[Table]:
    """Return a table per task with a row per pair of languages: the largest effect of patching in every arm."""
    tasks: dict[str, list[Patch]] = {}
    for patch in findings.internals.patches:
        tasks.setdefault(patch.task, []).append(patch)
    return [_patch_table(task, effects) for task, effects in tasks.items()]


def _patch_table(task: str, effects: Sequence[Patch]) -> Table:
    arms = list(dict.fromkeys(patch.arm for patch in effects))
    return Table(
        f"{task}: change of the right answer's log-probability in nats when the source's state replaces the target's, "
        f"mean of {plural(effects[0].items, 'item')}. Shown is the largest over layers; every layer is in patches.csv.",
        ("source", "target", *(name for arm in arms for name in (arm, "at layer"))),
        tuple(_patch_row(effects, *pair) for pair in dict.fromkeys((p.source, p.target) for p in effects)),
        keys=2,
    )


def _patch_row(patches: Sequence[Patch], source: str, target: str) -> tuple[str, ...]:
    effects = {p.arm: p.effects for p in patches if (p.source, p.target) == (source, target)}
    cells: list[str] = []
    for changes in effects.values():
        largest = max(changes, key=abs)
        cells += (signed(largest, 2), str(changes.index(largest)))
    return (get_language(source).name, get_language(target).name, *cells)

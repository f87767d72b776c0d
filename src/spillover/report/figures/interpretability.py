"""The inside of the model as figures: lens trajectories, language neurons, patching. Pure."""

from collections.abc import Collection, Iterable, Sequence
from math import isfinite
from statistics import fmean
from typing import Literal

from spillover.languages import ENGLISH, get_language, in_paper_order
from spillover.records import Curve, Findings, LanguageNeurons, Patch, Trajectory
from spillover.report.figures import charts
from spillover.report.figures.charts import Datum
from spillover.report.figures.figure import Figure, Plot, slugs
from spillover.report.figures.folding import extremes
from spillover.utils.formatting import percent, signed

NOT_DISTINGUISHABLE = "answers cannot be told apart"
"""Note in place of curves, if the answers in English and in the language begin with the same token."""


def lens(findings: Findings) -> Figure:
    """Lens trajectories of every task: the right answer's probability by layer, then the entropy by layer."""
    title = "Inside the model"
    trajectories = findings.internals.trajectories
    if not trajectories:
        return Figure(title, "", ())
    measurable = [t.language for t in trajectories if t.language != ENGLISH and _finite(t.english.value)]
    first = get_language((*measurable, trajectories[0].language)[0]).name
    names = tuple(get_language(code).name for code in in_paper_order({t.language for t in trajectories}))
    kinds = list(dict.fromkeys((t.task, t.lens) for t in trajectories))
    titles = [task if len({lens for _, lens in kinds}) == 1 else f"{task}, {lens} lens" for task, lens in kinds]
    files = slugs(titles)
    plots = []
    for draw in (_probability_plot, _entropy_plot):
        for kind, heading, file in zip(kinds, titles, files, strict=True):
            plots.append(draw([t for t in trajectories if (t.task, t.lens) == kind], heading, file))
    return Figure(
        title,
        "The answer of the model if it stopped at a layer. The first charts show the probability of the right answer, "
        "as the word in English and as the word in the input's language. The charts below show the entropy of the "
        f"next token: high entropy means that the model is undecided. {_strokes(trajectories)} Bands are 95% "
        "intervals over items. Relative depth is 0 at the embedding and 1 at the last block, for models of any size.",
        tuple(plots),
        names,
        first,
    )


def _strokes(trajectories: Sequence[Trajectory]) -> str:
    """Say which arm has which line. The legend tells more than two apart."""
    reference, *others = dict.fromkeys(t.arm for t in trajectories)
    return f"Dashed is {reference}, solid is {others[0]}." if len(others) == 1 else f"Dashed is {reference}."


def _probability_plot(trajectories: Sequence[Trajectory], title: str, file: str) -> Plot:
    rows = [
        {**_curve_row(t, curve), "word": word, "note": "" if t.distinguishable else NOT_DISTINGUISHABLE}
        for t in trajectories
        for word, curve in (("english", t.english), ("native", t.native))
    ]
    top = max((value for t in trajectories for value in _finite((*t.english.high, *t.native.high))), default=1.0)
    last = "; ".join(f"{arm} {percent(fmean(v))}" for arm, v in _last(trajectories, "english") if v)
    alt_text = f"{title}: probability of the right answer by layer. English word at the last layer, mean: {last}."
    return Plot(f"lens-{file}", f"{title}: probability", alt_text, charts.probabilities(rows, top), rows=rows)


def _entropy_plot(trajectories: Sequence[Trajectory], title: str, file: str) -> Plot:
    rows = [_curve_row(t, t.entropy) for t in trajectories]
    top = max((value for t in trajectories for value in _finite(t.entropy.high)), default=1.0)
    last = "; ".join(f"{arm} {fmean(v):.2f}" for arm, v in _last(trajectories, "entropy") if v)
    alt_text = f"{title}: entropy of the next token by layer. At the last layer, mean in bits: {last}."
    return Plot(f"entropy-{file}", f"{title}: entropy", alt_text, charts.entropies(rows, top), rows=rows)


def _curve_row(trajectory: Trajectory, curve: Curve) -> Datum:
    last = len(curve.value) - 1
    return {
        "language": get_language(trajectory.language).name,
        "arm": trajectory.arm,
        "layer": list(range(last + 1)),
        "depth": [round(layer / max(1, last), 3) for layer in range(last + 1)],
        "value": [_short(value) for value in curve.value],
        "low": [_short(value) for value in curve.low],
        "high": [_short(value) for value in curve.high],
    }


def _finite(values: Iterable[float]) -> list[float]:
    return [value for value in values if isfinite(value)]


def _short(value: float) -> float | None:
    """Round to three digits, enough for a curve. JSON has neither nan nor infinity: they are None."""
    return float(f"{value:.3g}") if isfinite(value) else None


def _last(trajectories: Sequence[Trajectory], field: Literal["english", "entropy"]) -> list[tuple[str, list[float]]]:
    """Return per arm the finite values at the last layer."""
    arms = dict.fromkeys(t.arm for t in trajectories)
    return [(arm, _finite(getattr(t, field).value[-1] for t in trajectories if t.arm == arm)) for arm in arms]


def neurons(findings: Findings) -> Figure:
    """Language neurons of every task by block: specific and related, arms beside each other."""
    shown = [count for count in findings.internals.neurons if (count.tokens, count.score) == ("prompts", "lape")]
    counts = [count for count in shown if not count.language]
    tasks = list(dict.fromkeys(count.task for count in counts))
    return Figure(
        "Language neurons",
        "The number of a block's MLP neurons that are active mainly in one language (specific) or in a few (related), "
        "over the items' tokens, by LAPE. All other neurons are general. The thresholds are those of the first arm in "
        "all arms: tuning may have made more such neurons or fewer. The tables have other scores and tokens, what the "
        "arms share, and what happens without these neurons.",
        tuple(
            _neuron_plot(task, [count for count in counts if count.task == task], file)
            for task, file in zip(tasks, slugs(tasks), strict=True)
        ),
    )


def _neuron_plot(task: str, counts: Sequence[LanguageNeurons], file: str) -> Plot:
    rows = [
        {"arm": count.arm, "layer": count.layer, "kind": kind, "count": number}
        for count in counts
        for kind, number in (("specific", count.specific), ("related", count.related))
    ]
    sums = "; ".join(
        f"{arm} {sum(count.specific for count in counts if count.arm == arm)} specific and "
        f"{sum(count.related for count in counts if count.arm == arm)} related"
        for arm in dict.fromkeys(count.arm for count in counts)
    )
    alt_text = f"Language neurons of {task} by block. Over all blocks: {sums}."
    return Plot(f"neurons-{file}", task, alt_text, charts.neurons(rows), rows=rows)


def patches(findings: Findings) -> Figure:
    """Heatmaps of activation patching: a row per language, a column per layer; both ways, in every arm."""
    effects = findings.internals.patches
    tasks = list(dict.fromkeys(patch.task for patch in effects))
    top = max((abs(effect) for patch in effects for effect in patch.effects), default=1.0)
    ends = {task: _ends(findings, task, [patch for patch in effects if patch.task == task]) for task in tasks}
    hub = get_language(effects[0].target).name if effects else ""  # the pairs begin with those into the hub
    return Figure(
        "Causes: activation patching",
        "After one layer, the state that the answer comes from is replaced by the state of the same item in another "
        "language. The color is the change of the right answer's log-probability in nats: blue is more probable, "
        "orange is less. In pale layers both states carry the same. Where the color begins, the layer carries the "
        f"language of the answer. Each row has two strips: the upper one puts {hub} states into the language, the "
        f"lower one puts the language's states into {hub}.",
        tuple(
            _patch_plot([patch for patch in effects if (patch.task, patch.arm) == (task, arm)], file, top, ends[task])
            for task, file in zip(tasks, slugs(tasks), strict=True)
            for arm in dict.fromkeys(patch.arm for patch in effects)
        ),
    )


def _ends(findings: Findings, task: str, patches: Sequence[Patch]) -> frozenset[str]:
    """Return the languages of a task's chart that stay when it folds: those with the extreme gains."""
    gains = {gain.language: gain.difference.value for gain in findings.comparisons[0].gains if gain.task == task}
    codes = dict.fromkeys(code for patch in patches for code in (patch.source, patch.target))
    return extremes({code: gains.get(code, 0.0) for code in codes if code != patches[0].target})


def _patch_plot(patches: Sequence[Patch], file: str, top: float, ends: Collection[str]) -> Plot:
    """Draw one task's effects in one arm; `top` is the largest absolute effect of all."""
    task, arm, hub = patches[0].task, patches[0].arm, patches[0].target  # the pairs begin with those into the hub
    rows = [row for patch in sorted(patches, key=lambda patch: patch.source != hub) for row in _patch_rows(patch, hub)]
    languages = len({row["language"] for row in rows})
    if ends:
        rows = [row | {"extreme": row["language"] in ends} for row in rows]
    largest = max(rows, key=lambda row: abs(row["effect"]))
    effect = signed(largest["effect"], 2)
    alt_text = (
        f"Heatmap of patching in {task}, {arm}. The largest effect is {effect} nats at layer {largest['layer']}, "
        f"{largest['language']}, {largest['way']}."
    )
    return Plot(
        f"patches-{file}-{arm}",
        f"{task}, {arm}",
        alt_text,
        charts.patches(rows, top),
        width=520,
        languages=languages if ends else 0,
        rows=rows,
    )


def _patch_rows(patch: Patch, hub: str) -> list[Datum]:
    into = patch.source == hub
    name = get_language(hub).name
    return [
        {
            "language": get_language(patch.target if into else patch.source).name,
            "way": f"{name} into it" if into else f"it into {name}",
            "layer": layer,
            "depth": round(layer / max(1, len(patch.effects) - 1), 2),
            "effect": float(f"{effect:.3g}"),
        }
        for layer, effect in enumerate(patch.effects)
    ]

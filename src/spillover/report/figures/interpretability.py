"""What was seen inside the model, as figures: lens trajectories, language neurons, patching. Pure."""

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Literal

from spillover.languages import get_language, in_paper_order
from spillover.records import Curve, Findings, Patch, Trajectory
from spillover.report.figures import charts
from spillover.report.figures.charts import Datum
from spillover.report.figures.figure import Figure, Plot, mean, slugs
from spillover.utils.formatting import minus, percent

NOT_TOLD = "answers cannot be told apart"


def lens(findings: Findings) -> Figure:
    """Lens trajectories of every task: the right answer's probability by layer, then the entropy by layer."""
    title = "Inside the model"
    seen = findings.inside.trajectories
    if not seen:
        return Figure(title, "", ())
    told = [t.language for t in seen if t.language != "en" and _known(t.english.value)]
    first = get_language((*told, seen[0].language)[0]).name
    names = tuple(get_language(code).name for code in in_paper_order({t.language for t in seen}))
    kinds = list(dict.fromkeys((t.task, t.lens) for t in seen))
    titles = [task if len({lens for _, lens in kinds}) == 1 else f"{task}, {lens} lens" for task, lens in kinds]
    files = slugs(titles)
    plots = []
    for draw in (_probability_plot, _entropy_plot):
        for kind, shown, file in zip(kinds, titles, files, strict=True):
            plots.append(draw([t for t in seen if (t.task, t.lens) == kind], shown, file))
    return Figure(
        title,
        "What the model would answer if it stopped at a layer: the probability of the right answer, as "
        "the word in English and as the word in the input's language, and below it the entropy of the next token "
        "(how undecided the model is). Dashed is base, solid is tuned; bands are 95% intervals over items. Relative "
        "depth, 0 the embedding and 1 the last block, lays models of any size beside each other.",
        tuple(plots),
        names,
        first,
    )


def _probability_plot(seen: Sequence[Trajectory], title: str, file: str) -> Plot:
    rows = [
        {**_curve_row(t, curve), "word": word, "note": "" if t.told else NOT_TOLD}
        for t in seen
        for word, curve in (("english", t.english), ("native", t.native))
    ]
    top = max((value for t in seen for value in _known((*t.english.high, *t.native.high))), default=1.0)
    last = "; ".join(f"{arm} {percent(mean(v))}" for arm, v in _last(seen, "english") if v)
    words = f"{title}: probability of the right answer by layer. English word at the last layer, mean: {last}."
    return Plot(f"lens-{file}", f"{title}: probability", words, charts.probabilities(rows, top))


def _entropy_plot(seen: Sequence[Trajectory], title: str, file: str) -> Plot:
    rows = [_curve_row(t, t.entropy) for t in seen]
    top = max((value for t in seen for value in _known(t.entropy.high)), default=1.0)
    last = "; ".join(f"{arm} {mean(v):.2f}" for arm, v in _last(seen, "entropy") if v)
    words = f"{title}: entropy of the next token by layer. At the last layer, mean in bits: {last}."
    return Plot(f"entropy-{file}", f"{title}: entropy", words, charts.entropies(rows, top))


def _curve_row(seen: Trajectory, curve: Curve) -> Datum:
    last = len(curve.value) - 1
    return {
        "language": get_language(seen.language).name,
        "arm": seen.arm,
        "layer": list(range(last + 1)),
        "depth": [round(layer / max(1, last), 3) for layer in range(last + 1)],
        "value": [_short(value) for value in curve.value],
        "low": [_short(value) for value in curve.low],
        "high": [_short(value) for value in curve.high],
    }


def _known(values: Iterable[float]) -> list[float]:
    return [value for value in values if isfinite(value)]


def _short(value: float) -> float | None:
    """Round to what a curve can show; nan and infinity, which JSON lacks, are None."""
    return float(f"{value:.3g}") if isfinite(value) else None


def _last(seen: Sequence[Trajectory], field: Literal["english", "entropy"]) -> list[tuple[str, list[float]]]:
    """Return for each arm the last layer's values where known."""
    return [(arm, _known(getattr(t, field).value[-1] for t in seen if t.arm == arm)) for arm in ("base", "tuned")]


def neurons(findings: Findings) -> Figure:
    """Language neurons of every task by block: specific and related, base beside tuned."""
    found = [one for one in findings.inside.neurons if not one.language]
    tasks = list(dict.fromkeys(one.task for one in found))
    plots = []
    for task, file in zip(tasks, slugs(tasks), strict=True):
        own = [one for one in found if one.task == task]
        rows = [
            {"arm": one.arm, "layer": one.layer, "kind": kind, "count": count}
            for one in own
            for kind, count in (("specific", one.specific), ("related", one.related))
        ]
        sums = "; ".join(
            f"{arm} {sum(one.specific for one in own if one.arm == arm)} specific and "
            f"{sum(one.related for one in own if one.arm == arm)} related"
            for arm in ("base", "tuned")
        )
        words = f"Language neurons of {task} by block. Over all blocks: {sums}."
        plots.append(Plot(f"neurons-{file}", task, words, charts.neurons(rows)))
    return Figure(
        "Language neurons",
        "How many of a block's MLP neurons are active mainly in one language (specific) or in a few (related), over "
        "the items' own tokens. All others are general. The bars for both are the base model's, so tuning may have "
        "made more of them or fewer.",
        tuple(plots),
    )


def patches(findings: Findings) -> Figure:
    """Heatmaps of activation patching: a row a language, a column a layer; into it and out of it, base and tuned."""
    found = findings.inside.patches
    tasks = list(dict.fromkeys(one.task for one in found))
    top = max((abs(effect) for one in found for effect in one.effects), default=1.0)
    plots = []
    for task, file in zip(tasks, slugs(tasks), strict=True):
        own = [one for one in found if one.task == task]
        hub = own[0].target  # the pairs begin with those into it
        for arm in ("base", "tuned"):
            pairs = sorted((one for one in own if one.arm == arm), key=lambda one: one.source != hub)
            rows = [row for one in pairs for row in _patch_rows(one, hub)]
            largest = max(rows, key=lambda row: abs(row["effect"]))
            effect = minus(f"{largest['effect']:+.2f}")
            words = (
                f"Heatmap of patching in {task}, {arm}. The largest effect is {effect} nats at layer "
                f"{largest['layer']}, {largest['language']}, {largest['way']}."
            )
            chart = charts.patches(rows, top)
            plots.append(Plot(f"patches-{file}-{arm}", f"{task}, {arm}", words, chart, width=520))
    return Figure(
        "Causes: activation patching",
        "The state from which the answer comes is replaced, after one layer, by the state of the same item in another "
        "language. The color is how much more (blue) or less (orange) probable the right answer becomes, in nats. "
        "Where it stays pale, both carry the same; where it turns, the layer carries the language of the answer. In "
        "each row the upper strip puts English states into the language, the lower one the language's into English.",
        tuple(plots),
    )


def _patch_rows(found: Patch, hub: str) -> list[Datum]:
    into = found.source == hub
    name = get_language(hub).name
    return [
        {
            "language": get_language(found.target if into else found.source).name,
            "way": f"{name} into it" if into else f"it into {name}",
            "layer": layer,
            "depth": round(layer / max(1, len(found.effects) - 1), 2),
            "effect": float(f"{effect:.3g}"),
        }
        for layer, effect in enumerate(found.effects)
    ]

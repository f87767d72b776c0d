"""What was seen inside the model, as tables: lenses, what sums them up, language neurons, patching. Pure."""

from collections.abc import Sequence

from spillover.languages import get_language
from spillover.records import Findings, LanguageNeurons, LensSummary, Patch, Trajectory
from spillover.report.tables.table import Table
from spillover.utils.formatting import MINUS, minus, percent, with_interval


def lens(findings: Findings) -> list[Table]:
    """Return a row a language and arm of each task and lens: what it reads at the last layer and at most."""
    header = (
        *("language", "model", "English, last layer", "highest", "at layer"),
        *("native, last layer", "highest", "at layer", "entropy, last layer"),
    )
    kinds = dict.fromkeys((seen.task, seen.lens) for seen in findings.inside.trajectories)
    return [
        Table(
            f"{task}, {lens} lens: probability of the right answer in percent, entropy in bits. Every layer is in "
            "lens.csv.",
            header,
            tuple(_lens_row(t) for t in findings.inside.trajectories if (t.task, t.lens) == (task, lens)),
            keys=2,
        )
        for task, lens in kinds
    ]


def _lens_row(seen: Trajectory) -> tuple[str, ...]:
    return (
        get_language(seen.language).name,
        seen.arm,
        percent(seen.english.value[-1]),
        *_peak(seen.english.value),
        percent(seen.native.value[-1]),
        *_peak(seen.native.value),
        f"{seen.entropy.value[-1]:.2f}",
    )


def _peak(probabilities: Sequence[float]) -> tuple[str, str]:
    """Return the highest probability and the first layer that has it; empty where nothing is measurable."""
    known = [(value, -layer) for layer, value in enumerate(probabilities) if value == value]
    if not known:
        return "", ""
    value, layer = max(known)
    return percent(value), str(-layer)


MEASURES = {
    "english": "area under latent English in points",
    "overtakes": "relative depth at which native overtakes English, in percent",
    "share": "share of the right answer in all answers, last layer, in points",
}
"""A latent measure → what it is and its unit."""


def latent(findings: Findings) -> list[Table]:
    """Return a row a language of each task, lens and measure: base, tuned and their difference."""
    kinds = dict.fromkeys((found.task, found.lens, found.measure) for found in findings.inside.latents)
    return [
        Table(
            f"{task}, {lens} lens: {MEASURES[measure]}, with 95% intervals over the same items. {NOT_MEASURABLE}",
            ("language", "base", "tuned", "difference"),
            tuple(
                _latent_row(f) for f in findings.inside.latents if (f.task, f.lens, f.measure) == (task, lens, measure)
            ),
        )
        for task, lens, measure in kinds
    ]


NOT_MEASURABLE = f"{MINUS}: not measurable, or it never does."


def _latent_row(found: LensSummary) -> tuple[str, ...]:
    levels = (
        MINUS if e is None else f"{percent(e.value)} [{percent(e.low)}, {percent(e.high)}]"
        for e in (found.base, found.tuned)
    )
    return (get_language(found.language).name, *levels, with_interval(found.difference))


def neurons(findings: Findings) -> list[Table]:
    """Return a row a language of each task: its language neurons over all blocks, base and tuned."""
    return [
        Table(
            f"{task}: MLP neurons by language, over all blocks. Specific are active in one language, related in "
            "several; what makes either is the base model's in both arms. By block in neurons.csv.",
            ("language", *(f"{kind}, {arm}" for kind in ("specific", "related") for arm in ("base", "tuned"))),
            tuple(_neuron_row(own, code) for code in dict.fromkeys(found.language for found in own)),
        )
        for task in dict.fromkeys(found.task for found in findings.inside.neurons)
        for own in [[found for found in findings.inside.neurons if found.task == task]]
    ]


def _neuron_row(own: Sequence[LanguageNeurons], code: str) -> tuple[str, ...]:
    sums = (
        sum(
            found.specific if kind == "specific" else found.related
            for found in own
            if (found.arm, found.language) == key
        )
        for kind in ("specific", "related")
        for key in (("base", code), ("tuned", code))
    )
    return (get_language(code).name if code else "any language", *map(str, sums))


def patches(findings: Findings) -> list[Table]:
    """Return a row a pair of languages of each task: where patching moves the right answer most, base and tuned."""
    return [
        Table(
            f"{task}: change of the right answer's log-probability in nats when the source's state takes the place of "
            f"the target's, mean of {own[0].items} items: the largest over layers. Every layer is in patches.csv.",
            ("source", "target", "base", "at layer", "tuned", "at layer"),
            tuple(_patch_row(own, *pair) for pair in dict.fromkeys((p.source, p.target) for p in own)),
            keys=2,
        )
        for task in dict.fromkeys(found.task for found in findings.inside.patches)
        for own in [[found for found in findings.inside.patches if found.task == task]]
    ]


def _patch_row(own: Sequence[Patch], source: str, target: str) -> tuple[str, ...]:
    effects = {p.arm: p.effects for p in own if (p.source, p.target) == (source, target)}
    largest = ((max(found, key=abs), found) for found in (effects["base"], effects["tuned"]))
    cells = ((minus(f"{effect:+.2f}"), str(found.index(effect))) for effect, found in largest)
    return (get_language(source).name, get_language(target).name, *(text for pair in cells for text in pair))

"""The findings of a run as CSV for other programs: numbers in full, shares of 1 instead of percent.

Pure: findings in, texts out. A value that does not exist is empty.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from spillover.languages import in_paper_order
from spillover.records import (
    Comparison,
    Curve,
    Deactivation,
    Defect,
    DosePoint,
    Fertility,
    Findings,
    Forgetting,
    Gain,
    GroupGain,
    LanguageNeurons,
    LearnedPart,
    LensSummary,
    NeuronOverlap,
    PairAlignment,
    RetrievalGain,
    Summary,
    Trajectory,
    TranslationGain,
)
from spillover.records.frames import columns, estimate_columns
from spillover.report.tables import folded_geometry, run
from spillover.report.tables import geometry as geometry_table
from spillover.report.tables.run import blocks
from spillover.report.tables.table import csv_rows
from spillover.utils.formatting import ascii_minus


def main(findings: Findings) -> str:
    """Return the main table: a row per task and arm, a column per language; in percent, as on the page."""
    measured = {gain.language for gain in findings.comparisons[0].gains}
    codes = in_paper_order(measured)
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for (task, _), table in zip(blocks(findings.comparisons[0]), run.main(findings), strict=True):
        for name, *cells in table.rows:
            numbers = (ascii_minus(text).removeprefix("+") for text in cells)
            rows.setdefault((task, name), {}).update(zip(table.header[1:], numbers, strict=True))
    return csv_rows(("task", "row", *codes), ([*key, *map(texts.get, codes)] for key, texts in rows.items()))


def gains(findings: Findings) -> str:
    """Return a row per comparison, task and language with the names of its arms and every number of its `Gain`."""
    return _of_comparisons(
        Gain, ((comparison, gain) for comparison in findings.comparisons for gain in comparison.gains)
    )


def summaries(findings: Findings) -> str:
    """Return a row per comparison and task with every number of its `Summary`, without group gains: see `splits`."""
    rows = ((comparison, summary) for comparison in findings.comparisons for summary in comparison.summaries)
    return _of_comparisons(Summary, ((c, replace(row, sentence=ascii_minus(row.sentence))) for c, row in rows))


def splits(findings: Findings) -> str:
    """Return a row per comparison, task and property: the mean difference over unseen languages that share it."""
    rows = (
        (comparison.reference, comparison.arm, summary.task, *_cells(GroupGain, split))
        for comparison in findings.comparisons
        for summary in comparison.summaries
        for split in summary.by_property
    )
    return csv_rows((*ARM_COLUMNS, "task", *_header(GroupGain)), rows)


ARM_COLUMNS = ("reference", "arm")
"""Columns with the names of the two arms compared."""

CURVES = ("english", "native", "all_english", "all_native", "entropy", "energy", "english_rank", "native_rank")
"""The curves of a trajectory: fields of `Trajectory`."""


def lens(findings: Findings) -> str:
    """Return a row per arm, task, language, lens and layer: every curve with its interval; depth is in [0, 1]."""
    rows = (row for trajectory in findings.internals.trajectories for row in _layers(trajectory))
    bands = (f"{name}{end}" for name in CURVES for end in ("", "_low", "_high"))
    return csv_rows(("arm", "task", "language", "lens", "layer", "depth", *bands, "items", "distinguishable"), rows)


def _layers(t: Trajectory) -> Iterator[tuple[object, ...]]:
    """Yield the rows of one trajectory in `lens.csv`, one per layer."""
    curves: list[Curve] = [getattr(t, name) for name in CURVES]
    points = list(zip(*(band for curve in curves for band in (curve.value, curve.low, curve.high)), strict=True))
    for layer, point in enumerate(points):
        depth = layer / max(1, len(points) - 1)
        yield t.arm, t.task, t.language, t.lens, layer, depth, *point, t.items, t.distinguishable


def latent(findings: Findings) -> str:
    """Return a row per two arms, task, language, lens and measure: both and their difference, with intervals."""
    return _records(LensSummary, findings.internals.lens_summaries)


def neurons(findings: Findings) -> str:
    """Return a row per arm, task, block and language: language neurons by kind. An empty language is any of them."""
    return _records(LanguageNeurons, findings.internals.neurons)


def overlaps(findings: Findings) -> str:
    """Return a row per two arms, task, kind of tokens, score and language: neurons in both, and their null."""
    return _records(NeuronOverlap, findings.internals.overlaps)


def deactivations(findings: Findings) -> str:
    """Return a row per arm, task, language switched off and language measured: changes, and excess over the draws."""
    return _records(Deactivation, findings.internals.deactivations)


def patches(findings: Findings) -> str:
    """Return a row per arm, task, source, target and layer: the mean effect in nats; depth is in [0, 1]."""
    rows = (
        (p.arm, p.task, p.source, p.target, layer, layer / max(1, len(p.effects) - 1), effect, p.items)
        for p in findings.internals.patches
        for layer, effect in enumerate(p.effects)
    )
    return csv_rows(("arm", "task", "source", "target", "layer", "depth", "effect", "items"), rows)


def geometry(findings: Findings) -> str:
    """Return a row per arm, task, metric, layer and ordered pair of languages, to six digits."""
    return csv_rows(geometry_table.COLUMNS, geometry_table.rows(findings))


def geometry_means(findings: Findings) -> str:
    """Return a row per arm, task, metric, layer and group: the mean over very many languages beside the group."""
    return csv_rows(folded_geometry.MEANS_COLUMNS, folded_geometry.means_rows(findings))


def training(findings: Findings) -> str:
    """Return a row per training step, then a row per validation: 0 is before the first step. Nats per target token."""
    steps = [("training step", step, loss) for step, loss in enumerate(findings.tuning.losses, start=1)]
    epochs = [("validation epoch", epoch, loss) for epoch, loss in enumerate(findings.tuning.validation)]
    return csv_rows(("of", "number", "loss"), [*steps, *epochs])


def treatment(findings: Findings) -> str:
    """Return a row per language with every number of its `TranslationGain`; an empty language is all of them."""
    return _records(TranslationGain, findings.treatment.translations if findings.treatment else ())


def dose(findings: Findings) -> str:
    """Return a row per probe: every number of its `DosePoint`, and of each group of languages."""
    return _records(DosePoint, findings.dose.points if findings.dose else ())


def retrieval(findings: Findings) -> str:
    """Return a row per language with every number of its `RetrievalGain`; an empty language is all of them."""
    return _records(RetrievalGain, findings.treatment.retrievals if findings.treatment else ())


def alignment(findings: Findings) -> str:
    """Return a row per `PairAlignment`."""
    return _records(PairAlignment, findings.tuning.alignments)


def parts(findings: Findings) -> str:
    """Return a row per `LearnedPart`; phases count from 0."""
    return _records(LearnedPart, findings.tuning.parts)


def forgetting(findings: Findings) -> str:
    """Return a row per language with every number of its `Forgetting`, in bits per byte."""
    return _records(Forgetting, findings.forgetting)


def fertility(findings: Findings) -> str:
    """Return a row per task and language: tokens per word, character and byte, and the primary comparison's gain."""
    gains = {(gain.task, gain.language): gain.difference for gain in findings.comparisons[0].gains}
    rows = (
        (*_cells(Fertility, row), *dict(estimate_columns("gain", gains.get((row.task, row.language)))).values())
        for row in findings.fertility
    )
    return csv_rows((*_header(Fertility), *dict(estimate_columns("gain", None))), rows)


def doctor(findings: Findings) -> str:
    """Return a row per `Defect`."""
    return _records(Defect, findings.data.defects)


def items(findings: Findings) -> str:
    """Return a row per task, language and item: its gold, the arms' scores (nats, one per label), its cluster."""
    rows = (
        (sheet.task, sheet.language, id, gold, *map(_joined, scores), cluster)
        for sheet in findings.item_scores
        for id, gold, cluster, *scores in zip(
            sheet.ids, sheet.gold, sheet.clusters or ("",) * len(sheet.ids), *sheet.logprobs, strict=True
        )
    )
    arms = list(dict.fromkeys(arm for sheet in findings.item_scores for arm in sheet.arms))
    return csv_rows(("task", "language", "id", "gold", *arms, "cluster"), rows)


def answers(findings: Findings) -> str:
    """Return a row per task, language, item and arm: the text written, its score and the reason, its cluster."""
    rows = (
        (sheet.task, sheet.language, id, arm, text, score, reason, cluster)
        for sheet in findings.item_answers
        for arm, texts, scores, reasons in zip(sheet.arms, sheet.answers, sheet.scores, sheet.reasons, strict=True)
        for id, text, score, reason, cluster in zip(sheet.ids, texts, scores, reasons, sheet.clusters, strict=True)
    )
    return csv_rows(("task", "language", "id", "arm", "answer", "score", "reason", "cluster"), rows)


def prompts(findings: Findings) -> str:
    """Return a row per arm and token of its first prompt; the position counts from 0."""
    rows = (
        (prompt.arm, prompt.task, prompt.language, prompt.item, position, id, token)
        for prompt in findings.first_prompts
        for position, (id, token) in enumerate(zip(prompt.ids, prompt.tokens, strict=True))
    )
    return csv_rows(("arm", "task", "language", "item", "position", "id", "token"), rows)


CSVS: dict[str, Callable[[Findings], str]] = {
    "main": main,
    "gains": gains,
    "summary": summaries,
    "splits": splits,
    "lens": lens,
    "geometry": geometry,
    "geometry-means": geometry_means,
    "latent": latent,
    "neurons": neurons,
    "overlaps": overlaps,
    "deactivations": deactivations,
    "patches": patches,
    "training": training,
    "treatment": treatment,
    "dose": dose,
    "retrieval": retrieval,
    "alignment": alignment,
    "parts": parts,
    "forgetting": forgetting,
    "prompts": prompts,
    "fertility": fertility,
    "doctor": doctor,
    "items": items,
    "answers": answers,
}
"""Name of the file → the function that writes it."""


def _of_comparisons(kind: type, records: Iterable[tuple[Comparison, Any]]) -> str:
    rows = ((c.reference, c.arm, *_cells(kind, record)) for c, record in records)
    return csv_rows((*ARM_COLUMNS, *_header(kind)), rows)


def _records(kind: type, records: Iterable[Any]) -> str:
    return csv_rows(_header(kind), (list(_cells(kind, record)) for record in records))


def _header(kind: type) -> list[str]:
    return [name for name, _ in columns(kind, None)]


def _cells(kind: type, record: object) -> Iterator[object]:
    """Yield the values of a record's columns. Several numbers in one are separated by semicolons."""
    for _, value in columns(kind, record):
        yield _joined(value) if isinstance(value, tuple) else value


def _joined(values: Iterable[object]) -> str:
    return ";".join(map(str, values))

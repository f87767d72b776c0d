"""What tuning taught, as tables: held-out pairs before and after, and what was drawn from each part of the mixture.

Pure: findings in, tables out.
"""

from spillover.languages import get_language
from spillover.records import DoseGroup, Findings, LearnedPart, RetrievalGain, TranslationGain
from spillover.report.tables.table import Table
from spillover.utils.formatting import (
    MINUS,
    change_with_interval,
    nats_with_interval,
    percent,
    with_interval,
)

HEADER = ("language", "pairs", "before", "after", "difference")
"""Columns of both kinds of pairs."""

ALL = "all"
"""Name of the row over all languages."""


def treatment(findings: Findings) -> list[Table]:
    """Return a row per language: held-out pairs before and after tuning, as translations and inside the model."""
    check = findings.treatment
    tables = []
    if check and check.translations:
        caption = (
            "Held-out translations: mean chrF per sentence, from 0 to 100, with 95% intervals over questions. Copied: "
            "chrF of the source itself. Over others: how much nearer a translation is to its own reference than to "
            "another pair's. Loss: nats per token of the reference, mean over pairs; below 0, tuning lowered it."
        )
        details = ("copied", "over copied", "over others", "loss")
        rows = tuple(map(_translation_row, check.translations))
        tables.append(Table(caption, (*HEADER, *details), rows))
    if check and check.retrievals:
        caption = (
            "Held-out pairs that find each other: share in percent of texts whose nearest text of the other language, "
            "by cosine, is their partner; difference in points with its 95% interval over questions."
        )
        tables.append(Table(caption, HEADER, tuple(map(_retrieval_row, check.retrievals))))
    return tables


def _translation_row(gain: TranslationGain) -> tuple[str, ...]:
    return (
        _name(gain.language),
        str(gain.pairs),
        *(f"{value:.1f}" for value in (gain.before, gain.after)),
        change_with_interval(gain.difference),
        f"{gain.copied:.1f}",
        *(change_with_interval(change) for change in (gain.over_copy, gain.over_other)),
        nats_with_interval(gain.loss_difference),
    )


def _retrieval_row(gain: RetrievalGain) -> tuple[str, ...]:
    shares = (percent(share) for share in (gain.before, gain.after))
    return _name(gain.language), str(gain.pairs), *shares, with_interval(gain.difference)


def _name(code: str) -> str:
    return get_language(code).name if code else ALL


def dose(findings: Findings) -> list[Table]:
    """Return a row per probe: what the model was worth after each number of steps."""
    points = findings.dose.points if findings.dose else ()
    rows = tuple(
        (
            str(point.step),
            *map(_decimals, (point.chrf, point.loss), (1, 3)),
            *_group(point.unseen),
            *_group(point.tuned),
        )
        for point in points
    )
    caption = (
        "Dose: small evaluations during tuning. chrF and loss in nats per token, of held-out pairs. Accuracy in "
        "percent on a few items, and its change in points since the first probe with 95% intervals over items, in the "
        "languages never tuned on and in those tuned on."
    )
    header = ("step", "chrF", "loss", "never tuned on", "change", "tuned on", "change, tuned on")
    return [Table(caption, header, rows)] if rows else []


def _group(group: DoseGroup | None) -> tuple[str, str]:
    return (MINUS, MINUS) if group is None else (percent(group.accuracy), with_interval(group.change))


def _decimals(value: float | None, digits: int) -> str:
    return MINUS if value is None else f"{value:.{digits}f}"


def alignment(findings: Findings) -> list[Table]:
    """Return a row per language and metric: the alignment of held-out pairs that tuning compared with each other."""
    rows = tuple(
        (
            get_language(row.language).name,
            row.metric,
            str(row.pairs),
            *(f"{value:.3f}" for value in (row.before, row.before_chance, row.after, row.after_chance)),
        )
        for row in findings.tuning.alignments
    )
    caption = (
        "Alignment of held-out pairs at the block where tuning compared them. Chance: mean over shuffled pairs. "
        "Contrastive tuning raises alignment by construction, so this shows that it was learned, and no more."
    )
    header = ("language", "metric", "pairs", "before", "by chance", "after", "by chance, after")
    return [Table(caption, header, rows, keys=2)] if rows else []


def parts(findings: Findings) -> list[Table]:
    """Return a row per part of each phase: its examples, how many were drawn, and their target tokens."""
    caption = (
        "Mixture: what tuning drew from each part. Examples: without those held out. Passes: examples drawn for each "
        "that was drawn at all; above 1, the part is over-sampled or learned for several epochs."
    )
    header = ("phase", "part", "examples", "drawn", "different", "passes", "target tokens")
    rows = tuple(map(_part_row, findings.tuning.parts))
    return [Table(caption, header, rows, keys=2)] if rows else []


def _part_row(part: LearnedPart) -> tuple[str, ...]:
    passes = f"{part.drawn / part.seen:.2f}" if part.seen else MINUS
    counts = (f"{count:,}" for count in (part.examples, part.drawn, part.seen))
    return str(part.phase + 1), part.name, *counts, passes, f"{part.target_tokens:,}"

"""Effects of tuning beside the task, as tables: translation learned, language modeling lost.

Pure: findings in, tables out.
"""

from spillover.languages import get_language
from spillover.records import Findings, Forgetting
from spillover.report.tables.table import Table
from spillover.utils.formatting import change_with_interval, plural

MAX_SHOWN = 5
"""Most translations in a table."""


def training(findings: Findings) -> list[Table]:
    """Return the held-out loss before the first step and after each epoch, and the last training loss."""
    tuning = findings.tuning
    epochs = enumerate(tuning.validation)
    rows = [("held out, before" if epoch == 0 else f"held out, epoch {epoch}", f"{loss:.4f}") for epoch, loss in epochs]
    if tuning.losses:
        rows.append((f"training, last of {plural(len(tuning.losses), 'step')}", f"{tuning.losses[-1]:.4f}"))
    caption = "Loss in nats per target token. Every step is in training.csv."
    if tuning.left_out:
        caption += f" Left out as too long: {plural(tuning.left_out, 'example')}."
    return [Table(caption, ("loss", "nats"), tuple(rows))] if rows else []


def translations(findings: Findings) -> list[Table]:
    """Return a row per held-out example, the first ones: the model's translation before and after tuning."""
    tuning = findings.tuning
    if not tuning.translations:
        return []
    shown, count = min(MAX_SHOWN, len(tuning.translations)), plural(len(tuning.translations), "held-out example")
    caption = f"Greedy translations: the first {shown} of {count}. All are in the adapter's history.json."
    rows = tuple(
        (get_language(t.language).name, *(text.strip() for text in (t.source, t.reference, t.before, t.after)))
        for t in tuning.translations[:MAX_SHOWN]
    )
    return [Table(caption, ("language", "source", "reference", "before", "after"), rows, keys=5)]


def forgetting(findings: Findings) -> list[Table]:
    """Return a row per language: bits per byte of the items' texts in two arms, a table per comparison."""
    tables = []
    for reference, arm in dict.fromkeys((row.reference, row.arm) for row in findings.forgetting):
        rows = [_forgetting_row(row) for row in findings.forgetting if (row.reference, row.arm) == (reference, arm)]
        caption = (
            "Forgetting: bits per byte of the items' texts, without labels; lower is better. The difference is "
            f"{arm} − {reference} with its 95% interval. Above 0, {arm} predicts the language worse than {reference}."
        )
        header = ("language", "texts", "bytes", reference, arm, "difference")
        tables.append(Table(caption, header, tuple(rows)))
    return tables


def _forgetting_row(row: Forgetting) -> tuple[str, ...]:
    return (
        get_language(row.language).name,
        *(str(count) for count in (row.n, row.bytes)),
        *(f"{bits.value:.3f}" for bits in (row.reference_bits, row.arm_bits)),
        change_with_interval(row.difference, digits=3),
    )

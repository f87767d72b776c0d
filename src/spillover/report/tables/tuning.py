"""What tuning did beside the task, as tables: did it learn to translate at all, and what did it forget?

Pure: findings in, tables out.
"""

from spillover.languages import get_language
from spillover.records import Findings
from spillover.report.tables.table import Table
from spillover.utils.formatting import minus

MAX_SHOWN = 5
"""Translations a table shows."""


def training(findings: Findings) -> list[Table]:
    """Return the held-out loss before the first step and after each epoch, and the last training loss."""
    found = findings.tuning
    epochs = enumerate(found.validation)
    rows = [("held out, before" if epoch == 0 else f"held out, epoch {epoch}", f"{loss:.4f}") for epoch, loss in epochs]
    if found.losses:
        rows.append((f"training, last of {len(found.losses)} steps", f"{found.losses[-1]:.4f}"))
    left = f" {found.left_out} examples were too long to learn from." if found.left_out else ""
    caption = f"Loss in nats a target token. Every step is in training.csv.{left}"
    return [Table(caption, ("loss", "nats"), tuple(rows))] if rows else []


def translations(findings: Findings) -> list[Table]:
    """Return a row for each of the first held-out examples: what the model wrote before and after tuning."""
    found = findings.tuning
    if not found.chrf:
        return []
    before, after = found.chrf
    caption = (
        f"Greedy translations of {len(found.translations)} held-out examples: chrF {before:.1f} before tuning, "
        f"{after:.1f} after. The first of them; all are in the adapter's history.json."
    )
    rows = tuple(
        (get_language(t.language).name, *(text.strip() for text in (t.source, t.reference, t.before, t.after)))
        for t in found.translations[:MAX_SHOWN]
    )
    return [Table(caption, ("language", "source", "reference", "before", "after"), rows, keys=5)]


def forgetting(findings: Findings) -> list[Table]:
    """Return a row a language: bits per byte of the items' own texts in both arms."""
    rows = tuple(
        (
            get_language(one.language).name,
            *(str(count) for count in (one.n, one.bytes)),
            *(f"{arm.value:.3f}" for arm in (one.base, one.tuned)),
            f"{_bits(one.difference.value)} [{_bits(one.difference.low)}, {_bits(one.difference.high)}]",
        )
        for one in findings.forgetting
    )
    caption = (
        "Did it forget? Bits per byte of the items' own texts, without labels; lower is better. The difference is "
        "tuned − base with its 95% interval: above 0, the model predicts the language worse than before."
    )
    return [Table(caption, ("language", "texts", "bytes", "base", "tuned", "difference"), rows)] if rows else []


def _bits(difference: float) -> str:
    return minus(f"{difference:+.3f}")

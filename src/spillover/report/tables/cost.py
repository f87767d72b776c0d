"""What a run cost, as tables: time and memory by stage, characters translated by language.

Pure: findings in, tables out.
"""

from spillover.languages import get_language
from spillover.records import Findings
from spillover.report.tables.table import Table
from spillover.utils.formatting import percent


def cost(findings: Findings) -> list[Table]:
    """Return the seconds each stage took, their share of all, and the memory it needed."""
    total = sum(cost.seconds for cost in findings.costs) or 1.0
    rows = tuple(
        (c.stage, f"{c.seconds:.1f}", percent(c.seconds / total), f"{c.peak_memory / 1e9:.2f}" if c.peak_memory else "")
        for c in findings.costs
    )
    caption = "Time that making each stage took, whenever that was, and the most memory its process had held by then."
    return [Table(caption, ("stage", "seconds", "share in percent", "peak GB"), rows)] if rows else []


def characters(findings: Findings) -> list[Table]:
    """Return the characters of the questions translated by an engine, and how many of them this run sent."""
    rows = tuple(
        (get_language(one.language).name, f"{one.known:,}", f"{one.sent:,}", f"{one.seconds:.1f}")
        for one in findings.characters
        if one.known or one.sent
    )
    caption = (
        "Characters translated. Questions: of their texts, each counted once, as they are now. Sent: what came back "
        "translated to this run folder since it exists, by its log, and how long that took; what was translated "
        "before, by whichever run, was taken from memory. What a service bills may be more: prompts, and what it was "
        "asked again."
    )
    return [Table(caption, ("into", "questions", "sent", "seconds"), rows)] if rows else []

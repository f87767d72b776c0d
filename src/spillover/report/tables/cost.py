"""The cost of a run as tables: time and memory per stage, characters translated per language, licenses.

Pure: findings in, tables out.
"""

from spillover.languages import get_language
from spillover.records import Findings
from spillover.report.tables.table import Table
from spillover.utils.formatting import percent


def cost(findings: Findings) -> list[Table]:
    """Return per stage its seconds, their share of the total, the peak memory and the numbers of threads."""
    total = sum(cost.seconds for cost in findings.costs) or 1.0
    rows = tuple(
        (
            c.stage,
            f"{c.seconds:.1f}",
            percent(c.seconds / total),
            f"{c.peak_memory / 1e9:.2f}" if c.peak_memory else "",
            " and ".join(map(str, c.threads)),
        )
        for c in findings.costs
    )
    caption = (
        "Time that each stage took when it was made, the peak memory of its process up to then, and its threads. The "
        "last digits of scores depend on the number of threads."
    )
    return [Table(caption, ("stage", "seconds", "share in percent", "peak GB", "threads"), rows)] if rows else []


def characters(findings: Findings) -> list[Table]:
    """Return per language the characters of the questions that an engine translates, and how many this run sent."""
    rows = tuple(
        (get_language(cost.language).name, f"{cost.known:,}", f"{cost.sent:,}", f"{cost.seconds:.1f}")
        for cost in findings.translation_costs
        if cost.known or cost.sent
    )
    caption = (
        "Characters translated. Questions: characters of the distinct texts. Sent: characters translated for this run "
        "folder so far, by its log, and the seconds that took. Earlier translations came from memory. A service may "
        "bill more, for prompts and for repeated requests."
    )
    return [Table(caption, ("into", "questions", "sent", "seconds"), rows)] if rows else []


def license_terms(findings: Findings) -> list[Table]:
    """Return per work that the run uses its license, and what that asks of a user."""
    rows = tuple((each.role, each.work, each.terms, each.restriction, each.address) for each in findings.licenses)
    caption = (
        "Licenses of the works that this run uses, as their own pages state them. Restriction: what to know before a "
        "result is shared. This is no legal advice."
    )
    return [Table(caption, ("role", "work", "license", "restriction", "terms"), rows, keys=5)] if rows else []

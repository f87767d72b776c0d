"""The first prompt of each arm as a table, token by token.

Pure: findings in, tables out.
"""

from spillover.languages import get_language
from spillover.records import Findings, FirstPrompt
from spillover.report.tables.table import Table
from spillover.report.visible import visible

SEPARATOR = "│"
"""Stands between two tokens."""


def prompts(findings: Findings) -> list[Table]:
    """Return a row per prompt; arms that read the same tokens share one."""
    arms: dict[tuple[str, str, str, tuple[int, ...]], list[FirstPrompt]] = {}
    for prompt in findings.first_prompts:
        arms.setdefault((prompt.task, prompt.language, prompt.item, prompt.ids), []).append(prompt)
    rows = tuple(
        (
            ", ".join(prompt.arm for prompt in alike),
            task,
            get_language(language).name,
            item,
            str(len(ids)),
            SEPARATOR.join(map(visible, alike[0].tokens)),
        )
        for (task, language, item, ids), alike in arms.items()
    )
    caption = (
        f"The first prompt of each arm, as the model reads it. {SEPARATOR} stands between two tokens, ␣ for a blank, ↵ "
        "for a line end. A special token is one token; one that a text spells is several."
    )
    return [Table(caption, ("arms", "task", "language", "item", "tokens", "prompt"), rows, keys=6)] if rows else []

"""What a prompt adds to an item: stray white space in one language's row of a task. Knows no file and no model."""

import re
from collections.abc import Iterator, Sequence

from spillover.records import Defect
from spillover.tasks import Task, TaskLanguage

STRAY = re.compile("  |[^\\S \u3000]|[\u200b\u2060\ufeff]")
"""Two blanks, white space that is no blank (an ideographic one is), or of no width."""


def white_space(task: Task, languages: Sequence[str]) -> Iterator[Defect]:
    """Yield the languages whose names, labels or exemplars have stray white space while others' have none."""
    found = {code: strays for code in languages if code in task.rows and (strays := _strays(task.rows[code]))}
    if len(found) == len(languages):
        return
    for code, strays in found.items():
        where, text = strays[0]
        message = (
            f"task {task.name!r}: rows.{code}.{where}: found stray white space in {text!r} ({len(strays)} texts), "
            "which other languages' prompts have not"
        )
        yield Defect("warning", "white space", message, language=code)


def _strays(row: TaskLanguage) -> list[tuple[str, str]]:
    parts = {
        "fields": row.fields,
        "answer": (row.answer,),
        "labels": row.labels,
        "exemplars": tuple(text for fields in row.exemplars for text in fields),
    }
    return [(where, text) for where, texts in parts.items() for text in texts if STRAY.search(text)]

"""Stray white space that one language's row of a task adds to every prompt."""

import re
from collections.abc import Iterator, Sequence

from spillover.records import Defect
from spillover.tasks import ChoiceLanguage, GenerationLanguage, Task

STRAY = re.compile("  |[^\\S \u3000]|[\u200b\u2060\ufeff]")
"""Two blanks, white space other than a blank or an ideographic blank, or a character without width."""


def white_space(task: Task, languages: Sequence[str]) -> Iterator[Defect]:
    """Yield the languages whose names, labels or exemplars have stray white space, while other languages have none."""
    strays_by_language = {code: _strays(task.rows[code]) for code in languages if code in task.rows}
    faulty = {code: strays for code, strays in strays_by_language.items() if strays}
    if len(faulty) == len(languages):
        return
    for code, strays in faulty.items():
        where, text = strays[0]
        message = (
            f"task {task.name!r}: rows.{code}.{where}: found stray white space in {text!r} ({len(strays)} texts), "
            "which other languages' prompts have not"
        )
        yield Defect("warning", "white space", message, language=code)


def _strays(row: ChoiceLanguage | GenerationLanguage) -> list[tuple[str, str]]:
    parts = {
        "fields": row.fields,
        "answer": (row.answer,),
        "labels": row.labels if isinstance(row, ChoiceLanguage) else (),
        "exemplars": tuple(text for fields in row.exemplars for text in fields),
    }
    return [(where, text) for where, texts in parts.items() for text in texts if STRAY.search(text)]

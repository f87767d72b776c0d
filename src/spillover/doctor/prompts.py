"""What a prompt adds to an item: stray white space in one language's row of a task, labels that share their tokens.

Knows a task and a tokenizer, handed in as a function; no file and no model.
"""

import re
from collections.abc import Callable, Iterator, Sequence

from spillover.findings import Defect
from spillover.tasks import Row, Task

Tokenize = Callable[[list[str]], list[list[int]]]
"""Texts → the ids of their tokens."""

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


def _strays(row: Row) -> list[tuple[str, str]]:
    parts = {
        "fields": row.fields,
        "answer": (row.answer,),
        "labels": row.labels,
        "exemplars": tuple(text for fields in row.exemplars for text in fields),
    }
    return [(where, text) for where, texts in parts.items() for text in texts if STRAY.search(text)]


def same_tokens(task: Task, languages: Sequence[str], kind: str, tokenize: Tokenize) -> Iterator[Defect]:
    """Yield labels that the model's tokenizer cannot tell apart: whatever the model says, they score the same."""
    for code in languages:
        tokens = [tuple(ids) for ids in tokenize(_texts(task, code, kind)[1:])]
        if len(set(tokens)) < len(tokens):
            words = ", ".join(map(repr, task.words(kind, code)))
            message = f"task {task.name!r}: two of the labels {words} are the same tokens under the chosen model"
            yield Defect("error", "tokens", message, language=code)


def same_beginnings(
    task: Task, languages: Sequence[str], kind: str, tokenize: Tokenize, consequence: str
) -> Iterator[Defect]:
    """Yield, as one warning, the languages in which labels begin with the same token, and what follows from it."""
    alike = [code for code in languages if len(set(first := _first(task, code, kind, tokenize))) < len(first)]
    if alike:
        message = f"task {task.name!r}: {kind} labels begin with the same token in {', '.join(alike)}: {consequence}"
        yield Defect("warning", "tokens", message, language=alike[0] if len(alike) == 1 else "")


def _first(task: Task, code: str, kind: str, tokenize: Tokenize) -> list[int]:
    """Return the token with which each label begins: the first after what all of them share with the bare prompt."""
    asked, *choices = tokenize(_texts(task, code, kind))
    start = min(_shared(asked, choice) for choice in choices)
    return [choice[start] for choice in choices]


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    differing = (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differing, min(len(one), len(other)))


def _texts(task: Task, code: str, kind: str) -> list[str]:
    cue = f"{task.row(code).answer}:"
    return [cue, *(cue + choice for choice in task.choices(kind, code))]

"""The data of the page's items browser: every item with the scores or the answers of all arms.

There is a packed block per task and language.

A block is columnar JSON, gzipped, in base64. The page unpacks only the blocks that a reader chooses. Blocks that would
make the page too large are files beside it, which the page loads as scripts: a page opened as a file may read no other.
"""

import base64
import gzip
import json
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from spillover.languages import get_language
from spillover.records import ItemAnswers, ItemScores

DIGITS = 2
"""Decimals of a log-probability on the page. The chosen label is decided before rounding."""

MAX_BYTES = 15_000_000
"""Most bytes of blocks within the page; more are files beside it."""

FOLDER = PurePosixPath("items")
"""Folder of the blocks beside the page, within the report's folder."""


def beside(sheets: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the sheets for the page, and path → content of the files beside it.

    Above `MAX_BYTES` a sheet has the path of a `file` in place of its `data`. The file is a script that gives the block
    to the page's function `unpackItems`. It holds base64 and a number, so no text of a data set can act in it.
    """
    if sum(len(sheet["data"]) for sheet in sheets) <= MAX_BYTES:
        return list(sheets), {}
    paths = [str(FOLDER / f"{place}.js") for place in range(len(sheets))]
    contents = {path: f'unpackItems("{path}", "{sheet["data"]}");\n' for path, sheet in zip(paths, sheets, strict=True)}
    return [
        {name: value for name, value in sheet.items() if name != "data"} | {"file": path}
        for path, sheet in zip(paths, sheets, strict=True)
    ], contents


def packed(sheets: Sequence[ItemScores]) -> list[dict[str, Any]]:
    """Return per sheet its task, its language's code and name, labels, arms, and its columns as text."""
    return [
        {
            "task": sheet.task,
            "code": sheet.language,
            "language": get_language(sheet.language).name,
            "labels": sheet.labels,
            "arms": sheet.arms,
            "data": _pack(_scored(sheet)),
        }
        for sheet in sheets
    ]


def packed_answers(sheets: Sequence[ItemAnswers]) -> list[dict[str, Any]]:
    """Return the same for answers in words. They have no labels."""
    return [
        {
            "task": sheet.task,
            "code": sheet.language,
            "language": get_language(sheet.language).name,
            "labels": (),
            "arms": sheet.arms,
            "data": _pack(_written(sheet)),
        }
        for sheet in sheets
    ]


def _scored(sheet: ItemScores) -> dict[str, Any]:
    """Return the columns of scored choices. `right` says per arm and item whether the answer is right."""
    chosen = [[scores.index(max(scores)) for scores in rows] for rows in sheet.logprobs]
    return {
        "ids": sheet.ids,
        "texts": sheet.texts,
        "gold": sheet.gold,
        "chosen": chosen,
        "right": [[choice == gold for choice, gold in zip(row, sheet.gold, strict=True)] for row in chosen],
        "scores": [[[round(score, DIGITS) for score in scores] for scores in rows] for rows in sheet.logprobs],
    }


def _written(sheet: ItemAnswers) -> dict[str, Any]:
    """Return the columns of answers in words."""
    return {
        "ids": sheet.ids,
        "texts": sheet.texts,
        "golds": sheet.golds,
        "answers": [[text.strip() for text in row] for row in sheet.answers],
        "right": [[reason == "right" for reason in row] for row in sheet.reasons],
        "scores": [[round(score, DIGITS) for score in row] for row in sheet.scores],
        "reasons": sheet.reasons,
    }


def _pack(columns: dict[str, Any]) -> str:
    """Return columns as base64 of gzip of JSON. The same columns always give the same text."""
    text = json.dumps(columns, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()

"""The data of the page's items browser: every item with the scores of all arms, a packed block per task and language.

A block is columnar JSON, gzipped, in base64. The page unpacks only the blocks that a reader chooses.
"""

import base64
import gzip
import json
from collections.abc import Sequence
from typing import Any

from spillover.languages import get_language
from spillover.records import ItemScores

DIGITS = 2
"""Decimals of a log-probability on the page. The chosen label is decided before rounding."""


def packed(sheets: Sequence[ItemScores]) -> list[dict[str, Any]]:
    """Return per sheet its task, its language's code and name, labels, arms, and its columns as text: see `pack`."""
    return [
        {
            "task": sheet.task,
            "code": sheet.language,
            "language": get_language(sheet.language).name,
            "labels": sheet.labels,
            "arms": sheet.arms,
            "data": pack(sheet),
        }
        for sheet in sheets
    ]


def pack(sheet: ItemScores) -> str:
    """Return a sheet's columns as base64 of gzip of JSON. The same sheet always gives the same text."""
    columns = {"ids": sheet.ids, "texts": sheet.texts, "gold": sheet.gold} | {
        "chosen": [[scores.index(max(scores)) for scores in rows] for rows in sheet.logprobs],
        "scores": [[[round(score, DIGITS) for score in scores] for scores in rows] for rows in sheet.logprobs],
    }
    text = json.dumps(columns, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()

"""The data of the page's items browser: every item with the scores or the answers of all arms.

There is a packed block per task and language.

A block is columnar JSON, gzipped, in base64. The page unpacks only the blocks that a reader chooses.
"""

import base64
import gzip
import json
from collections.abc import Sequence
from typing import Any

from spillover.languages import get_language
from spillover.records import ItemAnswers, ItemScores

DIGITS = 2
"""Decimals of a log-probability on the page. The chosen label is decided before rounding."""


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

"""The data of the page's items browser: every item with the scores or the answers of all arms.

There is a packed block per task and language.
"""

from collections.abc import Sequence
from itertools import chain, islice
from typing import Any

import numpy as np

from spillover.languages import get_language
from spillover.records import ItemAnswers, ItemScores
from spillover.report.blocks import Block, pack

DIGITS = 2
"""Decimals of a log-probability on the page. The chosen label is decided before rounding."""

TIE = 1e-6
"""Distance from the middle of two rounded numbers below which numpy may round to the other one than `round`."""


def packed(sheets: Sequence[ItemScores]) -> list[Block]:
    """Return per sheet its task, its language's code and name, labels, arms, and its columns as text."""
    return [
        {
            "task": sheet.task,
            "code": sheet.language,
            "language": get_language(sheet.language).name,
            "labels": sheet.labels,
            "arms": sheet.arms,
            "data": pack(_scored(sheet)),
        }
        for sheet in sheets
    ]


def packed_answers(sheets: Sequence[ItemAnswers]) -> list[Block]:
    """Return the same for answers in words. They have no labels."""
    return [
        {
            "task": sheet.task,
            "code": sheet.language,
            "language": get_language(sheet.language).name,
            "labels": (),
            "arms": sheet.arms,
            "data": pack(_written(sheet)),
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
        "scores": [rounded(rows) for rows in sheet.logprobs],
    }


def rounded(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """Return an arm's scores, (items, labels of the item), rounded as `round` does.

    All are rounded at once: 200 languages have two million scores, and a call for each takes three times as long.
    """
    values = np.array(list(chain.from_iterable(rows)))
    scaled = values * 10**DIGITS
    nearest = np.rint(scaled) / 10**DIGITS
    for place in np.flatnonzero(np.abs(scaled % 1 - 0.5) < TIE):
        nearest[place] = round(float(values[place]), DIGITS)
    scores = iter(nearest.tolist())
    return [list(islice(scores, len(row))) for row in rows]


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

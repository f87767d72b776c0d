"""The nearest items in other languages."""

import numpy as np
from numpy.typing import NDArray

from spillover.analysis.interpretability.alignment import leads
from spillover.records import Neighbors

NEAREST = 8
"""Other languages whose nearest item is kept: those in which it is nearest."""


def neighbors(states: NDArray[np.float32], explored: int) -> list[Neighbors]:
    """Return per language the nearest items of its first items in the other languages, by cosine.

    An item's translation counts as nearest if no other item is as near, up to rounding: by chance 1 / items.

    Args:
        states: (languages, items, width), two languages or more; the same items in the same order in each.
        explored: number of items whose neighbors are wanted.
    """
    languages, items, width = states.shape
    flat = states.reshape(languages * items, width).astype(np.float64)
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    unit = np.divide(flat, lengths, out=np.zeros_like(flat), where=lengths > 0)
    queries = unit.reshape(languages, items, width)[:, :explored]
    return [
        _neighbors((query @ unit.T).reshape(len(query), languages, items), language)
        for language, query in enumerate(queries)
    ]


def _neighbors(cosines: NDArray[np.float64], language: int) -> Neighbors:
    """Return the neighbors of one language's items by their cosines (explored, languages, items)."""
    explored, languages, _ = cosines.shape
    rows = np.arange(explored)
    nearest = cosines.argmax(axis=2)
    values = np.take_along_axis(cosines, nearest[..., None], axis=2)[..., 0]
    translations = leads(cosines, 2)[rows, :, rows]
    translations[:, language] = 0
    values[:, language] = -np.inf  # its own language is none of the others
    order = np.argsort(-values, axis=1, kind="stable")[:, : min(NEAREST, languages - 1)]
    return Neighbors(
        languages=order,
        items=np.take_along_axis(nearest, order, axis=1),
        cosines=np.take_along_axis(values, order, axis=1).astype(np.float32),
        translations=translations.sum(axis=1).astype(np.int64),
    )

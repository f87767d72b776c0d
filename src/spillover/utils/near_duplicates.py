"""Texts that are nearly the same: in every field 90% of the characters, in order, are equal.

All pairs are compared, so none is missed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spillover.utils.text import normal

NEAR_PERCENT = 90
"""Similarity in percent, 100 (1 − insertions and deletions / characters of both), from which two texts are near."""

CHUNK = 1000
"""Texts that are compared with all entries at a time; limits the memory."""

Fields = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """A text that is nearly an entry."""

    query: int
    """Index of the text."""
    entry: int
    """Index of the entry it is most like."""
    exact: bool
    """Whether they differ in case, width and white space alone."""


def near_duplicates(queries: Sequence[Fields], entries: Sequence[Fields]) -> list[Match]:
    """Return, for each query that is near some entry in every field, the one it is most like."""
    from rapidfuzz.process import cdist

    matches: list[Match] = []
    if not entries:
        return matches
    width = max(map(len, (*queries, *entries)))  # items may have several numbers of choices; two absent ones are alike
    columns = [[normal(fields[place]) for fields in _padded(entries, width)] for place in range(width)]
    for start in range(0, len(queries), CHUNK):
        chunk = [tuple(map(normal, fields)) for fields in _padded(queries[start : start + CHUNK], width)]
        rows = np.arange(len(chunk))
        least = np.full((len(chunk), len(entries)), 100, np.uint8)
        for place, texts in enumerate(columns):
            remaining = [chunk[row][place] for row in rows]
            alike = (
                cdist(remaining, texts, score_cutoff=NEAR_PERCENT, dtype=np.uint8, workers=-1)
                if remaining
                else least[:0]
            )
            least = np.minimum(least, alike)
            near = least.any(axis=1)  # below the cutoff a similarity is 0
            rows, least = rows[near], least[near]
        for row, similar in zip(rows.tolist(), least, strict=True):
            best = int(similar.argmax())
            exact = chunk[row] == tuple(texts[best] for texts in columns)
            matches.append(Match(start + row, best, exact))
    return matches


def _padded(rows: Sequence[Fields], width: int) -> list[Fields]:
    return [(*fields, *("",) * (width - len(fields))) for fields in rows]

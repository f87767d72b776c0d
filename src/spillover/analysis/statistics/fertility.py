"""Fertility: how many tokens a tokenizer makes of a language's texts, and whether that goes with the gain.

Sources: fertility, Rust et al. 2021 (arXiv 2012.15613); tokens relative to English, Petrov et al. 2023 (arXiv
2305.15425).
"""

from collections.abc import Iterator, Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

from spillover.records import Fertility, FertilityCorrelation, Gain

Array = NDArray[np.float64]

MEASURES = ("per_word", "per_character", "per_byte", "premium")
"""Fields of `Fertility` that are held against the gain."""

MIN_LANGUAGES = 4
"""Fewest languages: with three, no order of the gains is rare."""

ORDERS = 9_999
"""Random orders behind a p. The smallest is 1 / (this + 1)."""


def fertility(
    task: str, language: str, texts: Sequence[str], tokens: int, english: int | None, spaced: bool
) -> Fertility:
    """Return the fertility of one language.

    Args:
        task: name of the task.
        language: code of the language.
        texts: the items' texts; at least one, none of them empty.
        tokens: number of tokens of all texts.
        english: number of tokens of the same items in English; None if there are none.
        spaced: whether the script puts blanks between words.
    """
    words = sum(len(text.split()) for text in texts)
    return Fertility(
        task=task,
        language=language,
        items=len(texts),
        tokens=tokens,
        per_word=tokens / words if spaced else None,
        per_character=tokens / sum(map(len, texts)),
        per_byte=tokens / sum(len(text.encode()) for text in texts),
        premium=tokens / english if english else None,
    )


def correlations(rows: Sequence[Fertility], gains: Sequence[Gain]) -> Iterator[FertilityCorrelation]:
    """Yield Spearman's correlation of each measure with the gain, per task, over the languages tuning never saw."""
    unseen = {(gain.task, gain.language): gain.difference.value for gain in gains if gain.group == "unseen"}
    for task in dict.fromkeys(row.task for row in rows):
        for measure in MEASURES:
            points = [
                (value, unseen[task, row.language])
                for row in rows
                if row.task == task and (task, row.language) in unseen
                if (value := getattr(row, measure)) is not None
            ]
            if len(points) >= MIN_LANGUAGES and all(len(set(values)) > 1 for values in zip(*points, strict=True)):
                yield FertilityCorrelation(task, measure, len(points), *spearman(*np.array(points).T))


def spearman(one: Array, other: Array, seed: int = 0) -> tuple[float, float]:
    """Return Spearman's ρ of two (n,) arrays that vary, and its two-sided p over random orders of the second."""
    ranks = [scipy.stats.rankdata(values) for values in (one, other)]
    units = [(rank - rank.mean()) / np.linalg.norm(rank - rank.mean()) for rank in ranks]
    rho = float(units[0] @ units[1])
    orders = np.random.default_rng(seed).permuted(np.tile(units[1], (ORDERS, 1)), axis=1)
    extreme = int((np.abs(orders @ units[0]) >= abs(rho) - 1e-9).sum())
    return rho, (1 + extreme) / (1 + ORDERS)

"""The geometry of very many languages: each language beside groups of others, instead of every pair in every layer."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from spillover.analysis.interpretability.alignment import Array
from spillover.languages import get_language

FOLDED_ABOVE = 40
"""The geometry of more languages than this is folded: the pairs of 200 languages would take 3 GB per task."""

GROUPS = ("all", "pivot", "family", "tuned")
"""Groups of other languages that a language is compared with: see `group_members`."""

PAIR_DEPTHS = (0.25, 0.5, 0.75)
"""Relative depths of the layers in which every pair is kept."""


def group_members(languages: Sequence[str], pivot: str, tuned_on: Collection[str]) -> NDArray[np.bool_]:
    """Return whether language b is another language of a group of a, (groups, languages a, languages b).

    The groups are all languages, the pivot, the languages of a's own family, and the languages tuned on. A language
    without a known family has no family.
    """
    count = len(languages)
    families = np.array([get_language(code).family for code in languages])
    columns = [np.full(count, True), np.array([code == pivot for code in languages])]
    relatives = (families[:, None] == families) & (families != "")
    columns.append(relatives)
    columns.append(np.array([code in tuned_on for code in languages]))
    members = np.stack([np.broadcast_to(column, (count, count)) for column in columns])
    result: NDArray[np.bool_] = members & ~np.eye(count, dtype=bool)
    return result


def over_groups(values: Array, members: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the mean over each language's pairs with a group, (…, groups, languages); nan for an empty group.

    values: (…, languages a, languages b). Of a metric with two directions, a pair counts with the mean of both.
    """
    both = (values + values.swapaxes(-1, -2)) / 2
    counts = members.sum(axis=2)
    sums = np.einsum("...ab,gab->...ga", both, members.astype(both.dtype), optimize=True)
    means = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    result: NDArray[np.float32] = means.astype(np.float32)
    return result


def pair_layers(layers: int) -> tuple[int, ...]:
    """Return the layers in which every pair is kept, of a model with this many."""
    return tuple(dict.fromkeys(round(depth * (layers - 1)) for depth in PAIR_DEPTHS))

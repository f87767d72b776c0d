"""How alike two languages' states are, metric by metric, for the true pairing of their items and for shuffled ones.

A metric is a function `(states, pairings) → (pairings, languages a, languages b)`; entry [p, a, b] is its value if item
`orders[p, i]` of language a stood beside item i of b. So one formula gives the value and what it would be by chance.
The languages a are `states.rows`: with very many languages, a block of them, since the cosines of all would not fit in
memory.
Most metrics are the mean, over the pairs of a pairing, of an items × items matrix: no pairing costs more than that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import permutations

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

NEIGHBORS = 4
"""Neighbors that a margin is relative to, as in Artetxe & Schwenk."""

NOISE = 1e-9
"""Relative size of rounding errors. Cosines closer than this tie; a feature that varies less is constant."""


@dataclass(frozen=True)
class States:
    """One layer of one arm: what the same items look like in every language."""

    body_mean: Array
    """(languages, items, width): the mean over an item's own tokens."""
    last: Array
    """(languages, items, width): the last position of its prompt."""
    component: Array
    """(languages, items): the first principal component of `body_mean`."""
    contexts: Sequence[Indices] = ()
    """The items, two or more, that share all of their text but the last field: a premise with several hypotheses."""
    rows: slice = field(default_factory=lambda: slice(None))
    """The languages a that are compared with all languages."""

    @cached_property
    def body_cosines(self) -> Array:
        """(languages a, items, languages b, items): cosines of the mean states."""
        return cosines(self.body_mean, self.rows)

    @cached_property
    def last_cosines(self) -> Array:
        """(languages a, items, languages b, items): cosines of the last positions."""
        return cosines(self.last, self.rows)


@dataclass(frozen=True)
class Pairings:
    """Which item of one language stands beside which of the other."""

    orders: Indices
    """(pairings, items), each row a permutation."""

    @cached_property
    def coupling(self) -> "scipy.sparse.csr_array":
        """(pairings, items · items), sparse: times a flat items × items matrix, the mean over each pairing's pairs."""
        count, items = self.orders.shape
        places = (self.orders * items + np.arange(items)).ravel()
        rows = np.arange(0, count * items + 1, items)
        return scipy.sparse.csr_array((np.full(count * items, 1 / items), places, rows))


def shuffled(items: int, shuffles: int, seed: int = 0) -> Pairings:
    """Return the true pairing of this many items and, after it, as many random ones."""
    random = np.random.default_rng(seed)
    return Pairings(np.stack([np.arange(items), *(random.permutation(items) for _ in range(shuffles))]))


def pearson(states: States, pairings: Pairings) -> Array:
    """Pearson correlation of the first principal component: r = ⟨z_a, z_b⟩ / n of the standardized scores.

    Range [-1, 1], 0 by chance; the sign of the component does not matter. Source: arXiv 2405.13816, section 6.2.
    """
    scores = standardized(states.component, axis=1)
    result: Array = np.einsum("api,bi->pab", scores[states.rows][:, pairings.orders], scores, optimize=True)
    return result


def cka(states: States, pairings: Pairings) -> Array:
    """Debiased linear CKA: HSIC(K_a, K_b) / √(HSIC(K_a, K_a) · HSIC(K_b, K_b)) with Song's unbiased estimator.

    For Gram matrices K with diagonal 0, HSIC = [tr(K L) + 1ᵀK1 · 1ᵀL1 / ((n−1)(n−2)) − 2/(n−2) · 1ᵀK L 1] / (n(n−3)),
    which is ⟨K̃, L̃⟩ / (n(n−3)) of the U-centered matrices (Székely & Rizzo 2014). Range [-1, 1], 0 by chance whatever
    the width, 1 of anything with itself; rotating, scaling or moving a language changes nothing.
    Source: Song et al. 2012, equation 5; Nguyen, Raghu & Kornblith 2021, equation 3.
    """
    centered = u_centered(states.body_mean)
    languages, items, _ = centered.shape
    upper, lower = np.triu_indices(items, 1)  # symmetric matrices: half of them says all
    flat = centered.reshape(languages, items * items).T
    fixed = flat[upper * items + lower]
    size = np.sqrt((fixed**2).sum(axis=0))
    size[size <= NOISE * (states.body_mean**2).sum(axis=(1, 2))] = 0  # items that are all the same
    scale = _reciprocal(np.outer(size[states.rows], size))
    moved = flat[:, states.rows]
    # Pairing p moves rows and columns alike, so a shuffle never touches the width.
    products = [moved[order[upper] * items + order[lower]].T @ fixed for order in pairings.orders]
    result: Array = np.stack(products) * scale
    return result


def anc(states: States, pairings: Pairings) -> Array:
    """Average neuron-wise correlation: the mean over features f of |r(X_a[:, f], X_b[:, f])|.

    Range [0, 1]; by chance about √(2 / (π(n−1))), since it is of absolute values. Not invariant to rotation, on
    purpose: it asks whether the same neurons do the same. A feature that is constant counts as 0.
    Source: Del & Fishel 2022 (arXiv 2212.01924), with the absolute value that their code takes.
    """
    languages, items, width = states.body_mean.shape
    scores = standardized(states.body_mean, axis=1).astype(np.float32).transpose(2, 1, 0)
    count, rows = len(pairings.orders), len(range(languages)[states.rows])
    places = pairings.orders.T.ravel()
    total = np.zeros((languages, count * rows), dtype=np.float32)
    beside = np.empty((items * count, rows), dtype=np.float32)  # made anew it would cost more than the product
    for feature in np.ascontiguousarray(scores):
        feature[:, states.rows].take(places, axis=0, out=beside, mode="clip")
        total += np.abs(feature.T @ beside.reshape(items, count * rows))
    result: Array = total.reshape(languages, count, rows).transpose(1, 2, 0).astype(np.float64) / width
    return result


def cosine(states: States, pairings: Pairings) -> Array:
    """Mean cosine of the paired items' mean states: 1/n · Σ_i cos(x_i, y_i).

    Range [-1, 1]. Chance is *not* 0: the states of a language model fill a narrow cone, so only what exceeds the
    shuffled value tells of the items.
    """
    return np.stack([_coupled(row, pairings) for row in _rows(states.body_cosines)], axis=1)


def retrieval(states: States, pairings: Pairings) -> Array:
    """Share of a's items whose pair has the highest margin of all of b's items; [a, b] and [b, a] are the directions.

    margin(x, y) = cos(x, y) / (Σ_{z ∈ NN(x)} cos(x, z) / 2k + Σ_{z ∈ NN(y)} cos(y, z) / 2k) with the k = 4 nearest of
    the other language. Range [0, 1], 1/n by chance; a tie for the highest is not a hit.
    Source: Artetxe & Schwenk 2019 (arXiv 1811.01136), equations 2 and 3, `ratio`.
    """
    return np.stack([_coupled(leads(_margin(row), 2), pairings) for row in _rows(states.body_cosines)], axis=1)


def mexa_mean(states: States, pairings: Pairings) -> Array:
    """MEXA of the mean states: the share of items whose cosine with their pair leads its row and its column.

    μ = 1/n · Σ_i 1[c_ii > max_{j≠i} {c_ij, c_ji}]. Range [0, 1], about 1/(2n) by chance; symmetric.
    Source: Kargaran et al. 2024 (arXiv 2410.05873), equation 1. They weight later tokens more; here all weigh the same.
    """
    return _mexa(states.body_cosines, pairings)


def mexa_last(states: States, pairings: Pairings) -> Array:
    """MEXA of the last positions; else as `mexa_mean`. At layer 0 all items end in the same token: 0."""
    return _mexa(states.last_cosines, pairings)


def dali(states: States, pairings: Pairings) -> Array:
    """Share of contexts whose every option is closer to itself in the other language than any is to another.

    DALI = 1[min_k c_kk > max_{k≠l} c_kl] for the options k, l of one context, each embedded with it; here the items
    of `contexts`, by their mean states. Range [0, 1]; for m options m!(m²−m)! / (m²)! by chance, 1/6 for two. nan
    where no items share a context. Source: Ravisankar et al. 2025 (arXiv 2504.09378) and their code.
    """
    languages, count = len(states.body_mean), len(pairings.orders)
    counts = np.zeros((count, len(range(languages)[states.rows]), languages))
    if not states.contexts:
        return np.full_like(counts, np.nan)
    for options in states.contexts:
        others = list(permutations(range(len(options)), 2))
        for place, similarities in enumerate(states.body_cosines):
            # (pairings, option of a, language b, option of b)
            block = similarities[:, :, options].take(pairings.orders[:, options], axis=0)
            matched = np.minimum.reduce([block[:, k, :, k] for k in range(len(options))])
            mismatched = np.maximum.reduce([block[:, k, :, other] for k, other in others])
            counts[:, place] += matched > mismatched + NOISE
    return counts / len(states.contexts)


def cosines(vectors: Array, rows: slice = slice(None)) -> Array:
    """Return the cosines of (languages, items, width) vectors: of `rows` with all languages, (a, items, b, items)."""
    languages, items, width = vectors.shape
    unit = vectors * _reciprocal(np.linalg.norm(vectors, axis=2, keepdims=True))
    flat, chosen = (part.reshape(-1, width) for part in (unit, unit[rows]))
    result: Array = (chosen @ flat.T).reshape(-1, items, languages, items)
    return result


def standardized(values: Array, axis: int) -> Array:
    """Return values with mean 0 and sum of squares 1 along an axis; 0 where they are constant."""
    centered = values - values.mean(axis=axis, keepdims=True)
    size = np.sqrt((centered**2).sum(axis=axis, keepdims=True))
    varies = size > NOISE * np.sqrt((values**2).sum(axis=axis, keepdims=True))
    result: Array = centered * np.where(varies, _reciprocal(size), 0)
    return result


def u_centered(vectors: Array) -> Array:
    """Return U-centered Gram matrices of (languages, items, width): (languages, items, items), rows sum to 0."""
    items = vectors.shape[1]
    centered = vectors - vectors.mean(axis=1, keepdims=True)
    gram = centered @ centered.transpose(0, 2, 1)
    diagonal = np.arange(items)
    gram[:, diagonal, diagonal] = 0
    rows = gram.sum(axis=2)
    total = rows.sum(axis=1)[:, None, None] / ((items - 1) * (items - 2))
    gram += total - (rows[:, :, None] + rows[:, None, :]) / (items - 2)
    gram[:, diagonal, diagonal] = 0
    result: Array = gram
    return result


def _rows(similarities: Array) -> Iterator[Array]:
    """Yield for each language its (languages, own items, items) matrices with every language."""
    yield from similarities.transpose(0, 2, 1, 3)


def _coupled(matrices: Array, pairings: Pairings) -> Array:
    """Return the mean over each pairing's pairs of (languages, items, items) matrices, (pairings, languages)."""
    result: Array = pairings.coupling @ matrices.reshape(len(matrices), -1).T
    return result


def _margin(similarities: Array) -> Array:
    """Return the ratio margin of (languages, items, items) cosines."""
    items = similarities.shape[1]
    nearest = items - min(NEIGHBORS, items)
    near = (np.partition(similarities, nearest, axis=axis) for axis in (2, 1))
    of_rows, of_columns = (
        part.take(range(nearest, items), axis=axis).mean(axis=axis, keepdims=True)
        for part, axis in zip(near, (2, 1), strict=True)
    )
    result: Array = 2 * similarities / (of_rows + of_columns)
    return result


def leads(matrices: Array, axis: int) -> Array:
    """Return 1 where an entry alone is the highest along an axis, else 0."""
    near = matrices > matrices.max(axis=axis, keepdims=True) - NOISE
    result: Array = 1.0 * (near & (near.sum(axis=axis, keepdims=True) == 1))
    return result


def _mexa(similarities: Array, pairings: Pairings) -> Array:
    rows = (leads(row, 2) * leads(row, 1) for row in _rows(similarities))
    return np.stack([_coupled(row, pairings) for row in rows], axis=1)


def _reciprocal(values: Array) -> Array:
    """Return 1 / values, and 0 for 0."""
    return np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)

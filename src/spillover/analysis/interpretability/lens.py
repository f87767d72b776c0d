"""Lenses: the next-token distribution if the model stopped at a layer.

Sources: the logit lens (nostalgebraist 2020), as used for latent English by Wendler et al. 2024 (arXiv 2402.10588) and
in section 6.1 of arXiv 2405.13816. `docs/inside.md` explains the numbers.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spillover.records import AffineLens
from spillover.utils.threads import cores, threads_in_use

Array = NDArray[np.float32]
Integers = NDArray[np.int64]

ROWS, COLUMNS = 128, 2048
"""States × tokens unembedded at a time: 1 MiB of logits, which stay in a core's cache until they are reduced."""

TOP = 5
"""Tokens kept per state: the most probable ones."""

ROUNDING = 1e-5
"""Relative difference under which two logits count as equal: two matrix products may round apart."""


class Unembedding(Protocol):
    """A model's way from a hidden state to the vocabulary."""

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""

    def normed(self, states: Array) -> Array:
        """(n, width) states of the residual stream → the same after the final norm."""

    def logits(self, hidden: Array, tokens: slice | Integers) -> Array:
        """(n, width) normed states → (n, |tokens|) logits of a part of the vocabulary."""

    def energy(self, states: Array) -> Array:
        """(n, width) states of the residual stream → (n,) token energy."""


@dataclass(frozen=True, slots=True)
class LensInput:
    """Input of a lens in one cell. Choices are the English answers, then the native ones, in the task's order."""

    last: Array
    """(items, layers, width): the residual stream where the answer is about to come."""
    inner: Array
    """(m, layers, width): the same at tokens inside answers that begin alike."""
    nodes: Integers
    """(items, 2 × labels, depth): which state says how an answer goes on, in `last` then `inner`; -1 after its end."""
    tokens: Integers
    """(items, 2 × labels, depth): the token with which it goes on; -1 after the one that tells it apart."""
    gold: Integers
    """(items,) index of the right label."""
    same: bool
    """Whether the input is English itself, whose native answers are the English ones."""


@dataclass(frozen=True, slots=True)
class LensOutput:
    """Output of a lens; all arrays are (items, layers). Answers count up to the token that distinguishes them."""

    english: Array
    """Probability of the right answer in English, in [0, 1]; nan where the input's language has the same word."""
    native: Array
    """The same in the input's language, nan likewise."""
    all_english: Array
    """Probability of all English answers together, in [0, 1]."""
    all_native: Array
    """Probability of all native answers together, in [0, 1]."""
    entropy: Array
    """Entropy of the next token in bits, in [0, log2 of the vocabulary]."""
    energy: Array
    """Latent energy: how much of the state lies where tokens are, at least 0; at 1 as much as tokens themselves."""
    english_rank: Array
    """Rank of the first token of the right English answer in the vocabulary; 1 is the most probable."""
    native_rank: Array
    """The same for the right native answer."""


@dataclass(frozen=True, slots=True)
class TopTokens:
    """The most probable next tokens of the first items of a cell, the most probable first."""

    tokens: Integers
    """(items, layers, `TOP`) their ids; of tokens that tie, the lowest id. Fewer where the vocabulary is smaller."""
    probabilities: Array
    """(items, layers, `TOP`) in [0, 1]."""


@dataclass(frozen=True, slots=True)
class _Totals:
    """Totals of one pass over the vocabulary, for n states."""

    log_total: NDArray[np.float64]
    """(n,) log of the softmax's denominator."""
    entropy: NDArray[np.float64]
    """(n,) bits."""
    above: Integers
    """(n, marks) number of tokens whose logit exceeds each mark."""
    top_logits: Array
    """(m, `TOP`) the highest logits of the first m states, in descending order."""
    top_tokens: Integers
    """(m, `TOP`) the tokens that have them."""


def apply_lens(
    sight: LensInput, lens: AffineLens, readout: Unembedding, explored: int = 0
) -> tuple[LensOutput, TopTokens]:
    """Read every layer.

    Args:
        sight: what to read.
        lens: turns a layer's states into what the last block would have made of them.
        readout: the model's final norm and unembedding.
        explored: number of items, from the first, whose most probable tokens are returned.
    """
    items, labels = sight.gold.shape[0], sight.nodes.shape[1] // 2
    states = apply_affine(np.concatenate([sight.last, sight.inner]), lens)
    count, layers, width = states.shape
    flat = states.reshape(count * layers, width)
    hidden = readout.normed(flat)
    vocabulary = np.unique(sight.tokens[sight.tokens >= 0])
    logits = readout.logits(hidden, vocabulary).reshape(count, layers, len(vocabulary))
    columns = np.searchsorted(vocabulary, sight.tokens)  # -1 lands anywhere and is masked below
    rows = np.arange(items)
    first = np.stack([columns[rows, sight.gold, 0], columns[rows, labels + sight.gold, 0]], axis=1)
    marks = np.full((count, layers, 2), np.inf, dtype=np.float32)  # only the last position has a rank
    marks[:items] = np.take_along_axis(logits[:items], first[:, None], axis=2)
    explored = min(explored, items)
    totals = stream(hidden, readout, marks.reshape(count * layers, 2), explored * layers)
    spoken = logits - totals.log_total.reshape(count, layers, 1)
    steps = spoken[sight.nodes[..., None], np.arange(layers), columns[..., None]]  # items, choices, depth, layers
    spoken_paths = np.exp(np.where(sight.nodes[..., None] >= 0, steps, 0).sum(axis=2))
    ranks = 1 + totals.above.reshape(count, layers, 2)[:items]
    entropy = totals.entropy.reshape(count, layers)[:items]
    right = np.stack([spoken_paths[rows, sight.gold], spoken_paths[rows, labels + sight.gold]])
    same_answer = (sight.tokens[rows, sight.gold] == sight.tokens[rows, labels + sight.gold]).all(axis=1)
    right[:, same_answer & (not sight.same)] = np.nan
    output = LensOutput(
        english=_single(right[0]),
        native=_single(right[1]),
        all_english=_single(spoken_paths[:, :labels].sum(axis=1)),
        all_native=_single(spoken_paths[:, labels:].sum(axis=1)),
        entropy=_single(entropy),
        energy=readout.energy(flat[: items * layers]).reshape(items, layers),
        english_rank=_single(ranks[..., 0]),
        native_rank=_single(ranks[..., 1]),
    )
    return output, _top_tokens(totals, explored, layers)


def _top_tokens(totals: _Totals, items: int, layers: int) -> TopTokens:
    """Return the tokens with the highest logits, with their probabilities."""
    probabilities = np.exp(totals.top_logits - totals.log_total[: items * layers, None])
    shape = (items, layers, totals.top_tokens.shape[1])
    return TopTokens(totals.top_tokens.reshape(shape), _single(probabilities.reshape(shape)))


def apply_affine(states: Array, lens: AffineLens) -> Array:
    """Return h + (h V) U + b, (n, layers, width), with the V, U and b of each layer."""
    moved = np.einsum("nlr,lrw->nlw", np.einsum("nlw,lwr->nlr", states, lens.down), lens.up)
    result: Array = states + moved + lens.bias
    return result


def _single(values: NDArray[Any]) -> Array:
    return values.astype(np.float32)


def stream(hidden: Array, readout: Unembedding, marks: Array, explored: int = 0) -> _Totals:
    """Pass over the vocabulary once, so that nothing of size states × vocabulary ever exists.

    The blocks are the same however many threads there are, and so are their sums.

    Args:
        hidden: (n, width) normed states.
        readout: the model's final norm and unembedding.
        marks: (n, marks) logits to count the higher ones of.
        explored: number of states, from the first, whose most probable tokens are kept.
    """

    def totals(row: int) -> _Totals:
        return _block(hidden[row : row + ROWS], readout, marks[row : row + ROWS], min(ROWS, max(0, explored - row)))

    # a matrix product uses all threads of the run, what follows it only one
    with ThreadPoolExecutor(threads_in_use() or len(cores())) as pool:
        parts = list(pool.map(totals, range(0, len(hidden), ROWS)))
    return _Totals(*(np.concatenate([getattr(part, name) for part in parts]) for name in _Totals.__slots__))


def _block(hidden: Array, readout: Unembedding, targets: Array, explored: int) -> _Totals:
    """Keep Z = Σ exp(x − top) and M = Σ exp(x − top) (x − top), with `top` the largest logit x so far.

    H = log Z − M / Z: where a weight underflows to 0 its product with the logit is 0, never nan.
    """
    top, total, moment = np.full(len(hidden), -1e30), np.zeros(len(hidden)), np.zeros(len(hidden))
    marks = targets + ROUNDING * np.maximum(1, np.abs(targets))
    above = np.zeros(marks.shape, dtype=np.int64)
    likeliest = _Likeliest(explored, min(TOP, readout.vocabulary))
    for start in range(0, readout.vocabulary, COLUMNS):
        logits = readout.logits(hidden, slice(start, start + COLUMNS))
        for mark in range(marks.shape[1]):
            above[:, mark] += np.greater(logits, marks[:, mark, None]).view(np.int8).sum(axis=1, dtype=np.int32)
        highest = logits.max(axis=1)
        likeliest.add(start, logits, highest)
        higher = np.maximum(top, highest)
        logits -= higher[:, None].astype(np.float32)
        weights = np.exp(logits)
        shrink = np.exp(top - higher)
        moment = shrink * (moment + total * (top - higher)) + np.einsum("nv,nv->n", weights, logits)
        total = shrink * total + weights @ np.ones(weights.shape[1], dtype=np.float32)  # faster than sum
        top = higher
    entropy = np.maximum(0, np.log(total) - moment / total) / np.log(2)
    return _Totals(top + np.log(total), entropy, above, likeliest.logits, likeliest.tokens)


class _Likeliest:
    """The highest logits so far of the first states of a block, in descending order, and their tokens."""

    def __init__(self, states: int, count: int) -> None:
        """Begin without any."""
        self.logits: Array = np.full((states, count), -np.inf, dtype=np.float32)
        self.tokens: Integers = np.full((states, count), -1)

    def add(self, start: int, logits: Array, highest: Array) -> None:
        """Take in the logits (n, tokens) of the tokens from `start`, of which `highest` (n,) are the maxima."""
        states, count = self.tokens.shape
        rows = np.flatnonzero(highest[:states] > self.logits[:, -1])  # few: most blocks hold none of the highest
        if not len(rows):
            return
        rest = logits[rows]  # a copy
        values, tokens = [self.logits[rows]], [self.tokens[rows]]
        for _ in range(min(count, rest.shape[1])):  # faster than sorting, and the first of equal ones is taken
            place = rest.argmax(axis=1)[:, None]
            values.append(np.take_along_axis(rest, place, axis=1))
            tokens.append(start + place)
            np.put_along_axis(rest, place, -np.inf, axis=1)
        joined = np.concatenate(values, axis=1)
        order = np.argsort(-joined, axis=1, kind="stable")[:, :count]
        self.logits[rows] = np.take_along_axis(joined, order, axis=1)
        self.tokens[rows] = np.take_along_axis(np.concatenate(tokens, axis=1), order, axis=1)

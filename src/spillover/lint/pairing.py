"""Whether texts that share an id are translations of each other, judged from the texts alone.

For every row, the text of the same id is ranked among its neighbors' texts by `LIKENESSES`. None of these needs a
dictionary or a model. A random pairing gives each rank with equal probability: its mean share is 0.5, with a variance
of 1 / (12 rows). A true pairing has to beat that.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import NDArray

from spillover.utils.text import normal

Fields = tuple[str, ...]
Texts = tuple[str, ...]
Matrix = NDArray[np.float64]

MIN_ROWS = 20
"""Fewest rows from which pairs are judged."""

BLOCK_ROWS, MAX_BLOCKS = 100, 12
"""Rows per block, which are ranked among each other, and the most blocks that are read: the first, the last, others."""

DEVIATIONS, MIN_SHARE = 3.0, 0.6
"""A pairing is random if its mean share is below 0.5 plus this many standard deviations, and below `MIN_SHARE`."""

WINDOW, GOOD_SHARE = 20, 0.8
"""Rows per stretch; and the mean share that the file's best stretch needs before another one is called random."""

SHIFTS = tuple(sorted((shift for shift in range(-5, 6) if shift), key=abs))
"""Numbers of rows by which a file may have slipped."""

BITS = 21
"""Bits of a character's code point: pieces of up to three characters are numbers of 63 bits."""

DECIMAL = re.compile(r"\d")
"""A decimal digit of any script."""

MARKS = tuple(map(re.compile, (r"[?؟]", r"!", r"[,、،]", r'["“”„«»「」『』]', r"[:;؛]", r"[()]", r"\d")))
"""What many scripts share: question marks, exclamation marks, commas, quotation marks, colons, brackets, digits."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """How the texts of the same ids rank."""

    rows: NDArray[np.intp]
    """The rows that were looked at, in their order."""
    shares: Matrix
    """Per row: the share of the block's other texts that are less like it than the text of the same id; in [0, 1]."""

    @property
    def random(self) -> bool:
        """Whether a random pairing of the rows does as well."""
        chance = 0.5 + DEVIATIONS / np.sqrt(12 * len(self.shares))
        return bool(self.shares.mean() < min(MIN_SHARE, chance))

    @property
    def stretch(self) -> tuple[int, int] | None:
        """The first and the last row that are paired at random: of all rows, or of stretches among well-paired ones."""
        if self.random:
            return int(self.rows[0]), int(self.rows[-1])
        if len(self.shares) < 2 * WINDOW:
            return None
        means = np.convolve(self.shares, np.ones(WINDOW) / WINDOW, "valid")
        low = np.flatnonzero(means < MIN_SHARE)
        if not len(low) or means.max() < GOOD_SHARE:
            return None
        return int(self.rows[low[0]]), int(self.rows[low[-1] + WINDOW - 1])

    def mean(self, first: int, last: int) -> float:
        """Return the mean share of the rows from `first` to `last`."""
        return float(self.shares[(first <= self.rows) & (self.rows <= last)].mean())


def rank(texts: Sequence[Fields], others: Sequence[Fields]) -> Ranking | None:
    """Rank each of `others` as the translation of the text in the same row.

    Returns:
        None where nothing can be said: fewer than `MIN_ROWS` rows, or texts that do not differ in anything compared.
    """
    if len(texts) < MIN_ROWS:
        return None
    blocks = np.array_split(np.arange(len(texts)), -(-len(texts) // BLOCK_ROWS))
    picked = np.unique(np.linspace(0, len(blocks) - 1, min(MAX_BLOCKS, len(blocks))).round().astype(int))
    rows, shares = [], []
    for block in (blocks[number] for number in picked):
        likeness = _likeness([texts[row] for row in block], [others[row] for row in block])
        if likeness.any():
            rows.append(block)
            shares.append(_shares(likeness))
    return Ranking(np.concatenate(rows), np.concatenate(shares)) if rows else None


def slip(texts: Sequence[Fields], others: Sequence[Fields]) -> int:
    """Return by how many rows the translations stand further down (below 0: further up); 0 where no shift mends it."""
    means = {0: 0.0}
    for shift in SHIFTS:
        here, there = (texts[:-shift], others[shift:]) if shift > 0 else (texts[-shift:], others[:shift])
        ranking = rank(here, there)
        if ranking and not ranking.random:
            means[shift] = float(ranking.shares.mean())
    return max(means, key=lambda shift: means[shift])


def _shares(likeness: Matrix) -> Matrix:
    right = likeness.diagonal()[:, None]
    below, same = (likeness < right).sum(1), (likeness == right).sum(1) - 1
    return np.asarray((below + same / 2) / (len(likeness) - 1))


def _likeness(texts: Sequence[Fields], others: Sequence[Fields]) -> Matrix:
    """Return how like each text (row) is to each of the others (column): all likenesses, each with one variance."""
    here, there = (tuple(map(_plain, fields)) for fields in (texts, others))
    total = np.zeros((len(texts), len(texts)))
    for alike in LIKENESSES:
        matrix = alike(here, there)
        centered = matrix - matrix.mean(0) - matrix.mean(1)[:, None] + matrix.mean()
        deviation = centered.std()
        if deviation > 1e-9:
            total += centered / deviation
    return total


@lru_cache(maxsize=10_000)
def _plain(fields: Fields) -> str:
    """Return a text in its normal form, all its digits in 0-9. A text is compared with its translations one by one."""
    return DECIMAL.sub(lambda digit: str(unicodedata.decimal(digit[0])), normal(" ".join(fields)))


def by_length(texts: Texts, others: Texts) -> Matrix:
    """Long texts have long translations: the difference of their ranks."""
    here, there = (scipy.stats.rankdata([len(text) for text in of]) for of in (texts, others))
    return np.asarray(-np.abs(here[:, None] - there))


def by_marks(texts: Texts, others: Texts) -> Matrix:
    """A question stays a question, a quotation a quotation: differences in the numbers of `MARKS`, standardized."""
    here, there = _counts(texts), _counts(others)
    return np.asarray(-np.abs(here[:, None] - there).sum(2))


def by_pieces(texts: Texts, others: Texts) -> Matrix:
    """Names, numbers, addresses and cognates stay: the cosine of the texts' rare pieces."""
    here, there = _pieces(texts, others)
    return np.asarray((here @ there.T).toarray())


def by_company(texts: Texts, others: Texts) -> Matrix:
    """Texts that share words have translations that share words, in any script.

    For a text and a candidate: the product, summed over all other rows as they are paired, of how like the text is to
    that row's text and how like the candidate is to that row's translation (a Mantel statistic, by its rows).
    """
    here, there = _pieces(texts, others)
    return _company((here @ here.T).toarray()) @ _company((there @ there.T).toarray())


LIKENESSES: tuple[Callable[[Texts, Texts], Matrix], ...] = (by_length, by_marks, by_pieces, by_company)
"""What makes two texts alike although they are in two languages."""


def _counts(texts: Texts) -> Matrix:
    counts: Matrix = np.log1p([[len(mark.findall(text)) for mark in MARKS] for text in texts])
    spread = counts.std(0)
    return np.asarray((counts - counts.mean(0)) / np.where(spread > 0, spread, 1))


@lru_cache(maxsize=1)
def _pieces(texts: Texts, others: Texts) -> "tuple[scipy.sparse.csr_array, scipy.sparse.csr_array]":
    """Return the texts' pieces, weighted by how rare they are; each text a row of length 1."""
    bags = [_bag(f" {text} ") for text in (*texts, *others)]
    sizes = [len(pieces) for pieces, _ in bags]
    distinct, places = np.unique(np.concatenate([pieces for pieces, _ in bags]), return_inverse=True)
    counts = np.concatenate([counts for _, counts in bags])
    values = (1 + np.log(counts)) * np.log(len(bags) / np.bincount(places))[places]
    rows = np.repeat(np.arange(len(bags)), sizes)
    norms = np.sqrt(np.bincount(rows, values**2, minlength=len(bags)))
    values /= np.where(norms > 0, norms, 1)[rows]
    matrix = scipy.sparse.csr_array((values, places, np.cumsum([0, *sizes])), shape=(len(bags), len(distinct)))
    return matrix[: len(texts)], matrix[len(texts) :]


@lru_cache(maxsize=10_000)
def _bag(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count a text's pieces of two and of three characters: their numbers, in order, and how often each is there.

    A text is compared with many: with every language, and after every shift of rows.
    """
    characters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int64)
    twos = characters[:-1] << BITS | characters[1:]
    threes = twos[:-1] << BITS | characters[2:]
    pieces, counts = np.unique(np.concatenate([twos, threes]), return_counts=True)
    return pieces, counts


def _company(cosines: Matrix) -> Matrix:
    """Center the likenesses of texts in one language; a text is no company of its own."""
    others = cosines - np.diag(cosines.diagonal())
    means = others.sum(1) / (len(others) - 1)
    centered = others - means - means[:, None] + means.mean()
    np.fill_diagonal(centered, 0)
    return np.asarray(centered)
